"""The OpenAPI document: what flask-smorest, apispec and our plugin make, and the description of the API as a whole."""

import functools
from collections.abc import Callable
from typing import Any

from apispec import APISpec
from apispec.core import Components
from flask import Response, current_app
from flask_smorest import Api, Blueprint
from flask_smorest.spec import FlaskPlugin

from sigma.docs.addresses import service_url
from sigma.docs.plugin import ServicePlugin, describe_error
from sigma.http.access import public
from sigma.http.errors import ERRORS, ErrorResponseBody
from sigma.http.ignored_query import HEADER
from sigma.http.responses import NO_STORE, json_response
from sigma.http.strict_json import to_json
from sigma.permissions import PERMISSIONS
from sigma.resources.not_built import NOT_BUILT

HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-Id": ("The id of the request in the service's log", {"pattern": "^[A-Za-z0-9._-]{1,64}$"}),
    "X-Sigma-Required-Permission": ("What a key needs; session: no key may call", {"enum": [*PERMISSIONS, "session"]}),
    "WWW-Authenticate": ("How to authenticate", {}),
    "Retry-After": ("How many seconds to wait", {"type": "integer", "minimum": 1}),
}

DESCRIPTION = """A local stand-in for the Sigma PIM API: same paths, same bodies, same refusals, real state.

Integrations send an API key in `X-Sigma-ApiKey`; people sign in at `POST /api/v1/auth/login` and send the token as
`Authorization: Bearer <token>`. Each operation says in `x-required-permission` which permission a key needs for it:

""" + "\n".join(f"- `{permission}`: {meaning}" for permission, meaning in PERMISSIONS.items())
DESCRIPTION += "\n\nEvery refusal has the same shape, and one of these codes:\n\n" + "\n".join(
    f"- {error.status} `{code}`: {error.meaning}" for code, error in ERRORS.items()
)
DESCRIPTION += f"\n\n`{HEADER}` names the query parameters of a GET that the route does not know; they change nothing."
DESCRIPTION += "\n\nSigma PIM documents more, which this stand-in does not have and answers with 501:\n\n" + "\n".join(
    f"- `/api/v1{path}` and all below it: {feature}" for path, feature in NOT_BUILT.items()
)

INFO = {"description": DESCRIPTION, "contact": {"name": "The operator of this service"}}
SERVER = {"url": "…", "description": "Where this document was read"}  # each response has the address that its client used


def _add_components(components: Components, examples: dict[str, Any]) -> None:
    key = f"An integration's API key; {examples['credentials']['apiKey']}"
    session = f"A person's session token, from logging in; {examples['credentials']['session']}"
    components.security_scheme("apiKey", {"type": "apiKey", "in": "header", "name": "X-Sigma-ApiKey", "description": key})
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    components.security_scheme("session", {**bearer, "description": session, "x-logins": examples["logins"]})
    components.schema("ErrorResponse", schema=ErrorResponseBody())
    for name, (description, schema) in HEADERS.items():
        components.header(name, {"description": description, "required": True, "schema": {"type": "string", **schema}})
    for code, message in examples["refusals"].items():
        components.response(code, describe_error(code, message, ["X-Request-Id", "X-Sigma-Required-Permission"]), lazy=True)


def _make_document(blueprints: list[Blueprint], examples: dict[str, Any]) -> dict[str, Any]:
    plugin = ServicePlugin(examples)
    spec = APISpec("Sigma PIM API", "1.0", "3.0.3", [FlaskPlugin(), plugin], info=INFO)
    _add_components(spec.components, examples)
    for blueprint in blueprints:
        spec.tag({"name": blueprint.name, "description": blueprint.description})
        blueprint.register_views_in_doc(Api(), current_app, spec, name=blueprint.name, parameters=None)
    plugin.describe_requests()
    document = spec.to_dict()
    return {"openapi": document.pop("openapi"), "info": document.pop("info"), "servers": [SERVER], **document}


def document_view(blueprints: list[Blueprint], read_examples: Callable[[], dict[str, Any]]) -> Callable[[], Response]:
    """Return the view of the OpenAPI document of these blueprints. The first request makes the document."""

    @functools.cache
    def parts() -> list[bytes]:
        text = to_json(_make_document(blueprints, read_examples()))
        return [part.encode() for part in text.split(to_json(SERVER["url"]), 1)]

    @public
    def show_document() -> Response:
        """Return the document. The server's address is absolute where it is certain, because Postman understands no other."""
        before, after = parts()
        response = json_response(before + to_json(service_url() or ".").encode() + after)
        response.headers.update(NO_STORE)  # no cache may show one host's address to another
        return response

    return show_document
