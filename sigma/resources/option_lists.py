"""Option lists: the values to choose from."""

from collections.abc import Iterable
from typing import Any

import marshmallow as ma
from flask import Response
from marshmallow import fields

from sigma.database import transaction
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError, name_of, not_found_error
from sigma.http.fields import Body, Flag, Items, Number, id_field, string_field, unique_items
from sigma.http.nearest import what_there_is
from sigma.http.responses import json_response
from sigma.http.strict_json import format_value, to_json
from sigma.resources.model import ModelBody, add_model_routes, check_path_id, load_object, store_object

blueprint = ApiBlueprint("Option Lists", "The values to choose from.")


class OptionValueBody(Body):
    """One value of an option list."""

    id = id_field("The value's id")
    alias = id_field("Short name")
    label = string_field("What people see")
    sortOrder = Number("Values are listed in ascending order", load_default=0)
    color = string_field("A colour, in hex", required=False)
    parentId = string_field("The value above it, in a hierarchical list", required=False)


def descendants(ids: Iterable[str], values: list[dict[str, Any]]) -> set[str]:
    """Return these ids and those of all values below them."""
    children: dict[str | None, list[str]] = {}
    for value in values:
        children.setdefault(value.get("parentId"), []).append(value["id"])
    found_ids = list(ids)
    for above in found_ids:  # the list grows during the loop
        found_ids.extend(children.get(above, []))
    return set(found_ids)


def parent_problems(values: list[dict[str, Any]], hierarchical: bool) -> dict[int, str]:
    """Return what is wrong with the parents of values, by the index of the value."""
    ids, problems = {value["id"] for value in values}, {}
    rooted = descendants((value["id"] for value in values if value.get("parentId") not in ids), values)
    for index, value in enumerate(values):
        parent = value.get("parentId")
        if parent is not None and not hierarchical:
            problems[index] = "Expected none, because the list is not hierarchical"
        elif parent is not None and parent not in ids:
            problems[index] = f"Expected the id of another value of the list{what_there_is(parent, ids)}"
        elif value["id"] not in rooted:
            problems[index] = "Expected a value that is not below this one"
    return problems


class OptionListBody(ModelBody):
    """A list of values to choose from."""

    id = id_field("The list's id")
    alias = id_field("Short name")
    name = string_field("The list's name")
    hierarchical = Flag("Whether its values may have parents in the list", load_default=False)
    values = Items(fields.Nested(OptionValueBody), "Its values", load_default=list, validate=unique_items("id", "alias"))

    @ma.validates_schema
    def check_values(self, data: dict[str, Any], **_: Any) -> None:
        """Raise ValidationError for values whose parent is not allowed."""
        problems = parent_problems(data["values"], data["hierarchical"])
        if problems:
            raise ma.ValidationError({"values": {index: {"parentId": [text]} for index, text in problems.items()}})

    @ma.post_load
    def sort_values(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Sort the values by sortOrder, ascending."""
        return {**data, "values": sorted(data["values"], key=lambda value: value["sortOrder"])}


add_model_routes(
    blueprint,
    "option-list",
    OptionListBody,
    update=requires("update-model", "canManageOptionLists"),
    delete=requires("delete-model", "canManageOptionLists"),
)


def _find_option_value(id: str, value_id: str) -> tuple[dict[str, Any], int]:
    options = load_object("option-list", id)
    for place, value in enumerate(options["values"]):
        if value["id"] == value_id:
            return options, place
    raise not_found_error("option-value", value_id)


def _store_option_values(old: dict[str, Any], values: list[dict[str, Any]], new: dict[str, Any] | None = None) -> None:
    if new is not None:
        for member in ("id", "alias"):
            holder = next((value for value in values if value is not new and value[member] == new[member]), None)
            if holder:
                conflict = f"is already taken in option list '{old['id']}' by {name_of('option-value', holder['id'])}"
                raise ApiError(409, f"{member}: {format_value(new[member])} {conflict}")
        for problem in parent_problems(values, old["hierarchical"]).values():
            raise ApiError(400, f"parentId: {problem}, got {format_value(new.get('parentId'))}")
    store_object("option-list", {**old, "values": sorted(values, key=lambda value: value["sortOrder"])}, old)


@blueprint.post("/option-lists/<id>/values")
@requires("update-model", "canManageOptionLists")
@blueprint.arguments(OptionValueBody())
@blueprint.ready_response(201, OptionValueBody)
@blueprint.errors("CONFLICT")
def create_option_value(value: dict[str, Any], id: str) -> Response:
    """Add a value to an option list."""
    with transaction():
        options = load_object("option-list", id)
        _store_option_values(options, [*options["values"], value], value)
        return json_response(to_json(value), 201)


@blueprint.put("/option-lists/<id>/values/<value_id>")
@requires("update-model", "canManageOptionLists")
@blueprint.arguments(OptionValueBody(partial=("id",)))
@blueprint.ready_response(200, OptionValueBody)
@blueprint.errors("CONFLICT")
def replace_option_value(value: dict[str, Any], id: str, value_id: str) -> Response:
    """Replace a value of an option list; the body may leave its id out."""
    value = check_path_id(value, value_id)
    with transaction():
        options, place = _find_option_value(id, value_id)
        values = options["values"]
        _store_option_values(options, [*values[:place], value, *values[place + 1 :]], value)
        return json_response(to_json(value))


@blueprint.delete("/option-lists/<id>/values/<value_id>")
@requires("delete-model", "canManageOptionLists")
@blueprint.response(204)
def delete_option_value(id: str, value_id: str) -> None:
    """Remove a value from an option list, and the values below it."""
    with transaction():
        options, _ = _find_option_value(id, value_id)
        removed = descendants([value_id], options["values"])
        _store_option_values(options, [value for value in options["values"] if value["id"] not in removed])
