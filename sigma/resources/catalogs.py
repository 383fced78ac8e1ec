"""Catalogs: ways of presenting products, each with its own tree of categories."""

from collections.abc import Iterable
from typing import Any

from flask import Response, g
from marshmallow import fields

from sigma.database import execute, snapshot
from sigma.http.access import requires, session_only
from sigma.http.blueprint import ApiBlueprint
from sigma.http.fields import Items, id_field, string_field
from sigma.http.responses import json_response
from sigma.resources.categories import CategoryBody
from sigma.resources.model import ModelBody, add_model_routes, fetch_object_text
from sigma.resources.role_limits import hidden_catalogs

blueprint = ApiBlueprint("Catalogs", "Ways of presenting products.")


class CatalogBody(ModelBody):
    """A way of presenting products, with its own tree of categories."""

    id = id_field("The catalog's id")
    alias = id_field("Short name")
    name = string_field("The catalog's name")
    description = string_field("What it is for", required=False, longest=10_000)

    def hidden_ids(self) -> list[str]:
        """Return the ids of the catalogs that the caller's role hides."""
        return hidden_catalogs()

    def goes_through_records(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> bool:
        """Return whether records are taken out of categories."""
        return new is None


add_model_routes(
    blueprint, "catalog", CatalogBody, update=session_only("canManageSchemas"), delete=session_only("canManageSchemas")
)


class CategoryNodeBody(CategoryBody):
    """A category with its subcategories."""

    children = Items(fields.Nested("CategoryNodeBody"), "The categories directly below", required=True, example=[])


def _nest_categories(categories: Iterable[tuple[str, str | None, str]]) -> str:
    """Return the JSON text of a tree, from the id, parent and text of each category; siblings come last one first."""
    children: dict[str | None, list[tuple[str, str]]] = {}
    for category, parent, body in categories:
        children.setdefault(parent, []).append((category, body))
    # A stack instead of recursion, because a tree may be deeper than Python's call stack. pop() restores the siblings' order.
    pieces: list[str] = []
    open_lists = [children.get(None, [])]
    while open_lists:
        if not open_lists[-1]:
            open_lists.pop()
            pieces.append("]}" if open_lists else "]")
            continue
        category, body = open_lists[-1].pop()
        pieces.append(("," if pieces and pieces[-1] == "]}" else "") + body[:-1] + ',"children":[')
        open_lists.append(children.get(category, []))
    return "[" + "".join(pieces)


@blueprint.get("/catalogs/<id>/tree")
@requires("read")
@blueprint.ready_response(200, CategoryNodeBody(many=True))
def get_catalog_tree(id: str) -> Response:
    """Get a catalog's categories as a tree, siblings by sortOrder and then by name."""
    sql = (
        "SELECT id, parent_id, body FROM categories WHERE tenant = ? AND catalog_id = ?"
        " ORDER BY json_extract(body, '$.sortOrder') DESC, json_extract(body, '$.name') DESC, seq DESC"
    )
    with snapshot():
        fetch_object_text("catalog", id)
        categories = execute(sql, g.tenant, id).fetchall()
    return json_response(_nest_categories(categories))
