"""Categories: the places in the trees of catalogs, and the records in them."""

from typing import Any, NamedTuple

from flask import Response, g, request
from marshmallow import fields

from sigma.database import execute, fetch_one, snapshot, transaction
from sigma.http.access import requires, session_only
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError, holder_named, name_of, not_found_error
from sigma.http.fields import Body, Number, described, id_field, string_field
from sigma.http.nearest import what_there_is
from sigma.http.paging import PAGE_PARAMETERS, page_bounds, page_of
from sigma.http.responses import TEXT_OR_SIZE, Rows, json_list, json_response
from sigma.http.stamps import random_id
from sigma.http.strict_json import format_value, to_json
from sigma.http.waiting import leave_worker
from sigma.resources.entities import entity_page, holds_much, record_exists, require_record
from sigma.resources.model import check_path_id, fetch_object_text
from sigma.resources.records import ProductRecordBody
from sigma.resources.role_limits import hidden_catalogs, require_assignable

blueprint = ApiBlueprint("Categories", "The places in the trees of catalogs, and the records in them.")


class CategoryBody(Body):
    """A place in a catalog's tree."""

    id = id_field("The category's id")
    catalogId = string_field("The catalog it belongs to", example="cat-webshop")
    alias = id_field("Short name")
    name = string_field("The category's name")
    parentId = fields.String(
        load_default=None, allow_none=True, metadata={"description": "The category above; null at the top"}
    )
    sortOrder = Number("Siblings come in ascending order, then by name", load_default=0)
    description = string_field("What belongs here", required=False, longest=10_000)


class CategoryRequestBody(CategoryBody):
    """A category to be created, or to replace another."""

    id = id_field("The category's id; made when absent", required=False)
    catalogId = string_field(
        "The catalog it belongs to; may be left out, because the path decides it", required=False, example="cat-webshop"
    )


class AssignmentBody(Body):
    """A record to put into a category, or take out."""

    entityId = fields.String(required=True, metadata=described("Id of a record", "ent-coastal-wb"))


CATEGORY_SUBTREE = (  # a category and all categories below it; takes id, tenant
    "WITH RECURSIVE below (id) AS (SELECT ?"
    " UNION ALL SELECT c.id FROM below b JOIN categories c ON c.tenant = ? AND c.parent_id = b.id)"
)


class Category(NamedTuple):
    """A category as it is stored."""

    catalog_id: str
    text: str
    total: int  # how many records are in it


def _fetch_category(id: str) -> Category:
    """Return a category. Raises ApiError 404, also if the caller's role hides its catalog."""
    row = fetch_one("SELECT catalog_id, body, total FROM categories WHERE tenant = ? AND id = ?", g.tenant, id)
    if row is None or row[0] in hidden_catalogs():
        raise not_found_error("category", id)
    return Category(*row)


def _make_category_text(body: dict[str, Any], id: str, catalog_id: str) -> str:
    if body.get("catalogId", catalog_id) != catalog_id:
        raise ApiError(400, f"catalogId: expected '{catalog_id}', got {format_value(body['catalogId'])}")
    parent, sql = body["parentId"], "SELECT 1 FROM categories WHERE tenant = ? AND catalog_id = ? AND id = ?"
    if parent is not None and not fetch_one(sql, g.tenant, catalog_id, parent):
        ids = [id for (id,) in execute("SELECT id FROM categories WHERE tenant = ? AND catalog_id = ?", g.tenant, catalog_id)]
        problem = f"does not exist in catalog '{catalog_id}'{what_there_is(parent, ids)}"
        raise ApiError(400, f"parentId: category '{parent}' {problem}")
    return to_json({"id": id, "catalogId": catalog_id, **body})


def _name_category(id: str) -> str | None:
    (catalog,) = fetch_one("SELECT catalog_id FROM categories WHERE tenant = ? AND id = ?", g.tenant, id)
    return None if catalog in hidden_catalogs() else f"{name_of('category', id)} of {name_of('catalog', catalog)}"


def insert_category(body: dict[str, Any], catalog_id: str) -> str:
    """Store a new category and return its text. Raises ApiError 400, 404 or 409."""
    fetch_object_text("catalog", catalog_id)
    category_id = body.get("id") or random_id("cat")
    stored = _make_category_text(body, category_id, catalog_id)
    with holder_named(lambda _: _name_category(category_id)):
        execute("INSERT INTO categories (tenant, body) VALUES (?, ?)", g.tenant, stored)
    return stored


@blueprint.post("/catalogs/<id>/categories")
@session_only("canManageSchemas")
@blueprint.arguments(CategoryRequestBody())
@blueprint.ready_response(201, CategoryBody)
@blueprint.errors("CONFLICT")
def create_category(body: dict[str, Any], id: str) -> Response:
    """Create a category in a catalog, at the top or below another one."""
    with transaction():
        return json_response(insert_category(body, id), 201)


@blueprint.get("/categories/<id>")
@requires("read")
@blueprint.ready_response(200, CategoryBody)
def get_category(id: str) -> Response:
    """Get one category."""
    return json_response(_fetch_category(id).text)


@blueprint.put("/categories/<id>")
@session_only("canManageSchemas")
@blueprint.arguments(CategoryRequestBody())
@blueprint.ready_response(200, CategoryBody)
def replace_category(body: dict[str, Any], id: str) -> Response:
    """Replace a category as a whole; another parentId moves it with all categories below it."""
    body = check_path_id(body, id)
    with transaction():
        stored = _make_category_text(body, id, _fetch_category(id).catalog_id)
        is_below = f"{CATEGORY_SUBTREE} SELECT 1 FROM below WHERE id = ?"  # noqa: S608 (constants only)
        if fetch_one(is_below, id, g.tenant, body["parentId"]):
            raise ApiError(
                400, f"parentId: expected a category that is not '{id}' or below it, got {format_value(body['parentId'])}"
            )
        execute("UPDATE categories SET body = ? WHERE tenant = ? AND id = ?", stored, g.tenant, id)
        return json_response(stored)


@blueprint.delete("/categories/<id>")
@session_only("canManageSchemas")
@blueprint.response(204)
def delete_category(id: str) -> None:
    """Delete a category and all categories below it; the records in them stay."""
    if holds_much():
        leave_worker()
    with transaction():
        _fetch_category(id)
        sql = f"{CATEGORY_SUBTREE} DELETE FROM categories WHERE tenant = ? AND id IN (SELECT id FROM below)"  # noqa: S608
        execute(sql, id, g.tenant, g.tenant)


@blueprint.get("/categories/<id>/entities")
@requires("read")
@blueprint.doc(parameters=PAGE_PARAMETERS)
@blueprint.ready_response(200, page_of(ProductRecordBody))
def list_category_records(id: str) -> Response:
    """List the records in a category, page by page, in the order in which they were put there."""
    offset, limit = page_bounds(request.args)
    sql = (
        f"SELECT {TEXT_OR_SIZE} FROM (SELECT seq, tenant, record_id FROM category_assignments"  # noqa: S608
        " WHERE tenant = ? AND category_id = ? ORDER BY seq LIMIT ? OFFSET ?) a"
        " JOIN entities e ON e.tenant = a.tenant AND e.id = a.record_id ORDER BY a.seq"
    )
    with snapshot():
        total = _fetch_category(id).total
        return entity_page(Rows(sql, (g.tenant, id, limit, offset)), total, offset, limit)


def _require_named_record(body: dict[str, Any]) -> None:
    if not record_exists(body["entityId"]):
        raise ApiError(400, f"entityId: record {format_value(body['entityId'])} does not exist")


def insert_assignment(category_id: str, record_id: str) -> None:
    """Put a record into a category, unless it is there already."""
    sql = "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    execute(sql, g.tenant, category_id, record_id)


@blueprint.post("/categories/<id>/assign")
@requires("update-data")
@blueprint.arguments(AssignmentBody())
@blueprint.response(204)
def assign_record(body: dict[str, Any], id: str) -> None:
    """Put a record into a category; doing it again changes nothing."""
    with transaction():
        require_assignable(_fetch_category(id).catalog_id)
        _require_named_record(body)
        insert_assignment(id, body["entityId"])


@blueprint.post("/categories/<id>/unassign")
@requires("delete-data")
@blueprint.arguments(AssignmentBody())
@blueprint.response(204)
def unassign_record(body: dict[str, Any], id: str) -> None:
    """Take a record out of a category; doing it again changes nothing."""
    with transaction():
        require_assignable(_fetch_category(id).catalog_id)
        _require_named_record(body)
        sql = "DELETE FROM category_assignments WHERE tenant = ? AND category_id = ? AND record_id = ?"
        execute(sql, g.tenant, id, body["entityId"])


@blueprint.get("/records/<id>/categories")
@requires("read")
@blueprint.ready_response(200, CategoryBody(many=True))
def list_record_categories(id: str) -> Response:
    """List the categories that a record is in, in the order in which it was put there."""
    sql = (
        f"SELECT {TEXT_OR_SIZE} FROM category_assignments a"  # noqa: S608
        " JOIN categories c ON c.tenant = a.tenant AND c.id = a.category_id"
        " WHERE a.tenant = ? AND a.record_id = ? AND c.catalog_id NOT IN (SELECT value FROM json_each(?)) ORDER BY a.seq"
    )
    with snapshot():
        require_record(id)
        return json_list(Rows(sql, (g.tenant, id, to_json(hidden_catalogs()))))
