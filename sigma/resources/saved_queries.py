"""Saved queries: searches that people keep under a name and run again."""

import json
from typing import Any

from flask import Response, g, request
from marshmallow import fields

from sigma.database import execute, fetch_one, snapshot, transaction
from sigma.http.access import requires, session_only
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import get_or_404, holder_named, name_of, not_found_error
from sigma.http.fields import Body, id_field, name_field, string_field, timestamp_field
from sigma.http.paging import PAGE_PARAMETERS, page_bounds, page_of
from sigma.http.responses import TEXT_OR_SIZE, Rows, json_list, json_response
from sigma.http.stamps import random_id, utc_now
from sigma.http.strict_json import to_json
from sigma.resources.records import ProductRecordBody
from sigma.resources.search import SearchBody, read_query, search

blueprint = ApiBlueprint("Saved Queries", "Searches that people keep under a name.")

QUERY_PATH = "query."  # before the members of a search, in messages about a saved query


class SavedQueryBody(Body):
    """A search with a name."""

    id = id_field("The saved query's id")
    name = name_field("Human-readable name")
    query = fields.Nested(SearchBody, required=True, metadata={"description": "The search, as it is sent to /search"})
    createdAt = timestamp_field("When it was saved")
    createdBy = string_field("Id of the user that saved it", example="user-admin")


class SavedQueryRequestBody(SavedQueryBody):
    """A search to be saved."""

    id = id_field("The saved query's id; made when absent", required=False)

    class Meta(Body.Meta):
        fields = ("id", "name", "query")


def _insert_saved_query(body: dict[str, Any]) -> str:
    read_query(body["query"], QUERY_PATH)
    saved = {
        "id": body.get("id") or random_id("sq"),
        "name": body["name"],
        "query": body["query"],
        "createdAt": utc_now(),
        "createdBy": g.caller.id,
    }
    stored = to_json(saved)
    with holder_named(lambda _: name_of("saved-query", saved["id"])):
        execute("INSERT INTO saved_queries (tenant, body) VALUES (?, ?)", g.tenant, stored)
    return stored


def _fetch_saved_query_text(id: str) -> str:
    row = fetch_one("SELECT body FROM saved_queries WHERE tenant = ? AND id = ?", g.tenant, id)
    return get_or_404(row, "saved-query", id)[0]


@blueprint.get("/saved-queries")
@requires("read")
@blueprint.response(200, SavedQueryBody(many=True))
def list_saved_queries() -> Response:
    """List all saved queries, in order of creation."""
    return json_list(Rows(f"SELECT {TEXT_OR_SIZE} FROM saved_queries WHERE tenant = ? ORDER BY seq", (g.tenant,)))  # noqa: S608


@blueprint.post("/saved-queries")
@session_only()
@blueprint.arguments(SavedQueryRequestBody())
@blueprint.response(201, SavedQueryBody)
@blueprint.errors("CONFLICT")
def create_saved_query(body: dict[str, Any]) -> Response:
    """Save a search under a name; a search that cannot be run now is refused."""
    with transaction():
        return json_response(_insert_saved_query(body), 201)


@blueprint.get("/saved-queries/<id>")
@requires("read")
@blueprint.response(200, SavedQueryBody)
def get_saved_query(id: str) -> Response:
    """Get one saved query."""
    return json_response(_fetch_saved_query_text(id))


@blueprint.delete("/saved-queries/<id>")
@session_only()
@blueprint.response(204)
def delete_saved_query(id: str) -> None:
    """Delete a saved query, whoever saved it."""
    with transaction():
        if not execute("DELETE FROM saved_queries WHERE tenant = ? AND id = ?", g.tenant, id).rowcount:
            raise not_found_error("saved-query", id)


@blueprint.post("/saved-queries/<id>/execute")
@requires("read")
@blueprint.doc(parameters=PAGE_PARAMETERS)
@blueprint.response(200, page_of(ProductRecordBody))
def execute_saved_query(id: str) -> Response:
    """Find the records that a saved query asks for; offset and limit in the query string override the saved ones.

    A body is ignored.
    """
    bounds = zip(("offset", "limit"), page_bounds(request.args), strict=True)
    overrides = {name: number for name, number in bounds if name in request.args}
    with snapshot():
        query = json.loads(_fetch_saved_query_text(id))["query"]
        return search(query | overrides, QUERY_PATH)
