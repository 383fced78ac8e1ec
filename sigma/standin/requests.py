"""The routes of the journal: the last requests to the API, and the reason for each response."""

import re
from collections.abc import Callable
from typing import NamedTuple

from flask import Response, current_app, request
from marshmallow import fields

from sigma.http.access import demo_only
from sigma.http.app import METHODS
from sigma.http.errors import ApiError, not_found_error
from sigma.http.fields import Body, Items, described, string_field, timestamp_field
from sigma.http.masking import mask_text
from sigma.http.paging import Parameter, query_number, query_parameter
from sigma.http.responses import json_response
from sigma.standin.blueprint import blueprint
from sigma.standin.journal import CHECKS, MAX_ENTRIES, MAX_TEXT, Entry, Journal, has_several_processes

NO_SECRETS = "secrets in it are masked"


def _nullable_string(description: str, example: str | None = None) -> fields.String:
    return fields.String(required=True, allow_none=True, metadata=described(description, example))


class JournalEntryBody(Body):
    """A request to the API, its response, and the reason for that."""

    id = string_field("The id of the request, which the response has in X-Request-Id", example="5f0c9d3b7a1e2468")
    at = timestamp_field("When the request came")
    method = string_field("The method", example="DELETE")
    path = string_field(f"The path; {NO_SECRETS}", example="/api/v1/records/ent-coastal-wb")
    query = fields.String(
        required=True, metadata=described(f"The query string as it was sent; {NO_SECRETS}", "no-such-filter=1")
    )
    ignored = Items(
        fields.String(), "The parameters in the query that the route does not know", required=True, example=["no-such-filter"]
    )
    route = _nullable_string("The path as in this document; null if there is no such route", "/api/v1/records/{id}")
    status = fields.Integer(required=True, metadata=described("The status of the response", 403))
    code = _nullable_string("The code of the error; null for a success", "PERMISSION_DENIED")
    message = _nullable_string(
        "The message of the error; null for a success", "This route needs permission 'delete-data'; the key holds: read"
    )
    ms = fields.Float(required=True, metadata=described("How many milliseconds it took until the response began", 1.2))
    workspace = _nullable_string("The caller's workspace; null for a caller who is not known", "ws-demo")
    caller = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        allow_none=True,
        metadata=described(
            "Who called: the kind (api-key or user), id and name; null for a caller who is not known",
            {"kind": "api-key", "id": "apikey-sync-prod", "name": "Shopify Sync - Production"},
        ),
    )
    needed = _nullable_string("What the caller needed: a permission, session, or a flag of the role", "delete-data")
    held = fields.Raw(
        required=True,
        allow_none=True,
        metadata=described("The permissions of a key, in the published order, or the id of a user's role", ["read"]),
    )
    step = _nullable_string(
        f"The check that refused the request: {', '.join(CHECKS[:-1])} or {CHECKS[-1]}; null if it was not refused",
        "permission",
    )
    requestBody = _nullable_string(f"The first {MAX_TEXT} bytes of the request's body as text; {NO_SECRETS}")
    responseBody = _nullable_string(
        f"The first {MAX_TEXT} bytes of the response's body as text; {NO_SECRETS}",
        '{"error":"PERMISSION_DENIED","message":"…"}',
    )


class Filter(NamedTuple):
    """A query parameter that filters entries."""

    parameter: Parameter
    chooses: Callable[[Entry, str], bool]


ID = re.compile("[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")

FILTERS = (
    Filter(
        Parameter("workspace", "Only requests of callers of this workspace", "the id of a workspace", ID.fullmatch),
        lambda entry, id: entry.caller is not None and entry.caller.tenant == id,
    ),
    Filter(
        Parameter("key", "Only requests with this API key, given by its id", "the id of an API key", ID.fullmatch),
        lambda entry, id: entry.caller is not None and entry.caller.is_key and entry.caller.id == id,
    ),
    Filter(
        Parameter(
            "status",
            "Only responses with this status, such as 404, or of this class, such as 4xx",
            "a status such as 404, or a class such as 4xx",
            re.compile("[1-5]([0-9]{2}|xx)").fullmatch,
        ),
        lambda entry, status: status in (str(entry.status), f"{entry.status // 100}xx"),
    ),
    Filter(
        Parameter("method", "Only this method", f"one of {', '.join(METHODS)}", METHODS.__contains__),
        lambda entry, method: entry.method == method,
    ),
    Filter(
        Parameter(
            "path",
            "Only requests whose path contains this",
            "1 to 500 characters of a path",
            re.compile(r"[\s\S]{1,500}").fullmatch,
        ),
        lambda entry, part: part in mask_text(entry.path),
    ),
)
AFTER = Parameter(
    "after",
    "Only requests newer than the one with this id",
    "the id of a request",
    re.compile("[A-Za-z0-9._-]{1,64}").fullmatch,
)


def _get_journal() -> Journal:
    """Return the journal. Raises ApiError 409 if several processes answer requests, because it would have only some of them."""
    if has_several_processes(request.environ):
        raise ApiError(
            409,
            "The journal is in the memory of one process, and here several answer requests, so each would know only its own:"
            " start the service with SIGMA_WORKERS=1",
        )
    journal: Journal = current_app.extensions["journal"]
    return journal


@blueprint.get("/requests")
@demo_only
@blueprint.doc(
    parameters=[
        *(filter.parameter.describe() for filter in FILTERS),
        AFTER.describe(),
        query_parameter(
            "limit", "How many to return at most", type="integer", minimum=1, maximum=MAX_ENTRIES, default=MAX_ENTRIES
        ),
    ]
)
@blueprint.response(200, JournalEntryBody(many=True))
@blueprint.errors("CONFLICT")
def list_requests() -> Response:
    """List the last requests to the API, newest first, each with the reason for its response."""
    wanted = [(filter.chooses, filter.parameter.read(request.args)) for filter in FILTERS]
    after = AFTER.read(request.args)
    limit = query_number(request.args, "limit", MAX_ENTRIES, 1, MAX_ENTRIES)
    chosen = [
        entry
        for entry in _get_journal().newest_first(after)
        if all(chooses(entry, text) for chooses, text in wanted if text is not None)
    ]
    return json_response(b"[" + b",".join(entry.describe() for entry in chosen[:limit]) + b"]")


@blueprint.get("/requests/<id>")
@demo_only
@blueprint.response(200, JournalEntryBody)
@blueprint.errors("CONFLICT")
def get_request(id: str) -> Response:
    """Get one request to the API; of several with the same id, the last one."""
    for entry in _get_journal().newest_first():
        if entry.id == id:
            return json_response(entry.describe())
    raise not_found_error("request", id)


@blueprint.delete("/requests")
@demo_only
@blueprint.response(204)
@blueprint.errors("CONFLICT")
def clear_requests() -> None:
    """Forget all requests so far."""
    _get_journal().clear()
