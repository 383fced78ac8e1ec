"""Attributes: the kinds of values that records hold."""

from typing import Any

import marshmallow as ma
import re2
from flask import Response
from marshmallow import fields, validate

from sigma.database import snapshot
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError
from sigma.http.fields import Body, Flag, Items, Number, Reference, enum_field, id_field, string_field, unique_items
from sigma.http.responses import json_response
from sigma.http.strict_json import exact
from sigma.resources.model import ModelBody, add_model_routes, fetch_attribute_texts, load_object
from sigma.resources.named_attributes import find_namers
from sigma.resources.role_limits import limiting_roles
from sigma.resources.stored_values import check_stored_values, reads_stored_values
from sigma.resources.value_checks import ATTRIBUTE_TYPES, compile_pattern

blueprint = ApiBlueprint("Attributes", "The kinds of values that records hold.")


class ValidationBody(Body):
    """The rules that an attribute's values must meet."""

    required = Flag("Counts for completeness; never blocks a write")
    maxLength = fields.Integer(
        strict=True,
        allow_none=True,
        validate=validate.Range(0, error="Expected 0 or more"),
        metadata={"description": "Maximum number of characters in a text"},
    )
    min = Number("Smallest number allowed", allow_none=True)
    max = Number("Largest number allowed", allow_none=True)
    pattern = string_field("Regular expression (RE2 syntax) that must match somewhere in a text", required=False, longest=1000)
    unique = Flag("No two records or variants may hold the same value in the same scope; empty values do not count")

    @ma.validates_schema
    def check_rules(self, data: dict[str, Any], **_: Any) -> None:
        """Raise ValidationError for a pattern that does not compile, or for an empty range."""
        try:
            compile_pattern(data.get("pattern") or "")
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
            raise ma.ValidationError(f"Expected an RE2 pattern: {reason}", "pattern") from None
        least, most = data.get("min"), data.get("max")
        if least is not None and most is not None and exact(least) > exact(most):
            raise ma.ValidationError("Expected a number not less than min", "max")


class AttributeGuardBody(Body):
    """A condition on another attribute's value that decides whether the attribute is shown."""

    attributeId = Reference("attribute", required=True)
    operator = enum_field("How the other attribute's value is compared", ["equals", "notEquals", "isEmpty", "isNotEmpty", "in"])
    value = fields.Raw(allow_none=True, metadata={"description": "What that value is compared with"})


class ProductAttributeBody(ModelBody):
    """An attribute: one kind of value that records hold."""

    id = id_field("The attribute's id")
    alias = id_field("Short name, under which records hold its values")
    name = string_field("The attribute's name")
    type = enum_field(
        "The type of its values; a datetime is RFC 3339 with a zone, or a plain date, which is midnight UTC",
        ATTRIBUTE_TYPES,
        "AttributeType",
    )
    dimensionIds = Items(
        Reference("dimension"), "The dimensions by which its values differ", load_default=list, validate=unique_items()
    )
    inheritable = Flag("Whether variants inherit it", load_default=True)
    validation = fields.Nested(
        ValidationBody, load_default=dict, metadata={"description": "The rules that its values must meet"}
    )
    guards = Items(fields.Nested(AttributeGuardBody), "The conditions under which it is shown", load_default=list, most=100)
    optionListId = Reference("option-list", allow_none=True)
    multiple = Flag("Whether each value is an array", load_default=False)

    @ma.validates_schema
    def check_options(self, data: dict[str, Any], **_: Any) -> None:
        """Require an option list for the type option, and forbid one for every other type."""
        if (data["type"] == "option") != (data.get("optionListId") is not None):
            expected = "the id of an option list" if data["type"] == "option" else "none, because the type is not option"
            raise ma.ValidationError(f"Expected {expected}", "optionListId")

    def check_change(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """Raise ApiError 409 if stored values would be lost or not fit, or if a new alias would part it from what names it.

        Claim the stored values of an attribute that becomes unique.
        """
        renamed = old if old is not None and old["alias"] != new["alias"] else None
        if renamed and (roles := limiting_roles(renamed)):
            raise ApiError(409, f"alias: role '{roles[0]}' limits attribute '{renamed['id']}', and would no longer do so")
        check_stored_values(old, new)
        if renamed and (namers := find_namers(renamed["alias"])):
            named = "{} '{}' names attribute '{}' by this alias".format(*namers[0], renamed["id"])
            raise ApiError(409, f"alias: {named}, and would no longer find it")

    def goes_through_records(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> bool:
        """Return whether stored values are checked or claimed."""
        return new is not None and reads_stored_values(old, new)

    def other_referrers(self, stored: dict[str, Any]) -> list[tuple[str, str]]:
        """Return the roles and workflows that name the attribute.

        If another attribute replaced it, a role would show what it hides now.
        """
        return find_namers(stored["alias"], stored["id"])


add_model_routes(
    blueprint,
    "attribute",
    ProductAttributeBody,
    update=requires("update-model", "canManageSchemas"),
    delete=requires("delete-model", "canManageSchemas"),
)


@blueprint.get("/schemas/<id>/attributes")
@requires("read")
@blueprint.ready_response(200, ProductAttributeBody(many=True))
def list_schema_attributes(id: str) -> Response:
    """List the attributes of one schema, in the order of its groups."""
    with snapshot():
        return json_response(f"[{','.join(fetch_attribute_texts(load_object('schema', id)))}]")
