"""Dimensions: what values differ by, such as language or market."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import marshmallow as ma
from flask import Response
from marshmallow import fields

from sigma.database import snapshot
from sigma.http.access import requires
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import ApiError
from sigma.http.fields import Body, Flag, Items, Reference, id_field, string_field, unique_items
from sigma.http.nearest import some_of, what_there_is
from sigma.http.references import references
from sigma.http.responses import json_response
from sigma.http.strict_json import format_value, to_json
from sigma.resources.model import ModelBody, add_model_routes, exists, hint_at_id, load_object, require_existing

blueprint = ApiBlueprint("Dimensions", "What values differ by, such as language or market.")


class SegmentBody(Body):
    """One value of a dimension."""

    id = id_field("The segment's id")
    alias = id_field("Short name")
    name = string_field("The segment's name")
    isDefault = Flag("Whether it is the default segment; defaultSegmentId decides", load_default=False)


class DimensionBody(ModelBody):
    """Something that values differ by, such as language or market."""

    id = id_field("The dimension's id")
    alias = id_field("Short name")
    name = string_field("The dimension's name")
    defaultSegmentId = string_field("The segment that counts when none is named")
    segments = Items(fields.Nested(SegmentBody), "Its values, in order", required=True, validate=unique_items("id", "alias"))

    @ma.validates_schema
    def check_segments(self, data: dict[str, Any], **_: Any) -> None:
        """Raise ValidationError for the id that the scope matrix has in its path, or for a default that is not a segment."""
        if data.get("id") == "scope-matrix":
            raise ma.ValidationError("Expected another id: this one is reserved", "id")
        default, ids = data["defaultSegmentId"], [segment["id"] for segment in data["segments"]]
        if default not in ids:
            raise ma.ValidationError(f"Expected the id of one of the segments: {some_of(default, ids)}", "defaultSegmentId")

    @ma.post_load
    def mark_default(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Keep isDefault in step with defaultSegmentId."""
        for segment in data["segments"]:
            segment["isDefault"] = segment["id"] == data["defaultSegmentId"]
        return data


add_model_routes(
    blueprint,
    "dimension",
    DimensionBody,
    update=requires("update-model", "canManageDimensions"),
    delete=requires("delete-model", "canManageDimensions"),
)


def find_segments(id: str) -> list[str] | None:
    """Return the ids of a dimension's segments, or None if there is no such dimension."""
    if not exists("dimension", id):
        return None
    return [segment["id"] for segment in load_object("dimension", id)["segments"]]


def unknown_segments(
    scope: Mapping[str, Any], path: str, segments_of: Callable[[str], list[str] | None] = find_segments
) -> Iterator[str]:
    """Yield a problem for each dimension or segment of a scope that does not exist, naming it by the path of the scope."""
    for dimension, segment in scope.items():
        if (segments := segments_of(dimension)) is None:
            yield f"{path}: dimension {format_value(dimension)} does not exist{hint_at_id('dimension', dimension)}"
        elif segment not in segments:
            got = f"{format_value(segment)}{what_there_is(segment, segments)}"
            yield f"{path}.{dimension}: expected the id of a segment of '{dimension}', got {got}"


class ScopeMatrixBody(Body):
    """The dimensions whose scopes are combined."""

    dimensionIds = Items(
        Reference("dimension"),
        "Combined in this order",
        required=True,
        most=20,
        validate=unique_items(),
        example=["dim-language", "dim-market"],
    )


@blueprint.post("/dimensions/scope-matrix")
@requires("read")
@blueprint.arguments(ScopeMatrixBody())
@blueprint.ready_response(200, {"type": "array", "items": {"$ref": "#/components/schemas/Scope"}})
def compute_scope_matrix(body: dict[str, Any]) -> Response:
    """Return every combination of the dimensions' segments, in the order given; at most 10,000."""
    ids = body["dimensionIds"]
    with snapshot():
        require_existing(references(ScopeMatrixBody(), body))
        segments = [[segment["id"] for segment in load_object("dimension", id)["segments"]] for id in ids]
    if math.prod(map(len, segments)) > 10_000:
        raise ApiError(400, "dimensionIds: expected at most 10000 combinations, got more")
    return json_response(to_json([dict(zip(ids, scope, strict=True)) for scope in itertools.product(*segments)]))
