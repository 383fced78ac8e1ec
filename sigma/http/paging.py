"""The query strings of lists, and the pages that they answer."""

import functools
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields

from sigma.http.errors import ApiError
from sigma.http.fields import Body, Items
from sigma.settings import whole_number


def query_number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Read a whole number from the query string. Raises ApiError 400."""
    text = query.get(name)
    if text is None:
        return default
    try:
        return whole_number(least, most)(text)
    except ValueError as error:
        raise ApiError(400, f"{name}: {error}") from None


def page_bounds(query: Mapping[str, str]) -> tuple[int, int]:
    """Read `offset` and `limit` from the query string. Raises ApiError 400."""
    return query_number(query, "offset", 0, 0, 10**12), query_number(query, "limit", 50, 1, 1000)


def query_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Describe a query parameter for the OpenAPI document."""
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


PAGE_PARAMETERS = [
    query_parameter("offset", "How many to pass over", type="integer", minimum=0, maximum=10**12, default=0),
    query_parameter("limit", "How many to answer at most", type="integer", minimum=1, maximum=1000, default=50),
]


@functools.cache
def page_of(item: type[ma.Schema]) -> type[ma.Schema]:
    """Return the body of one page of a list of these items."""
    members: dict[str, Any] = {
        "items": Items(fields.Nested(item), "What is on this page", required=True),
        "total": fields.Integer(required=True, metadata={"description": "How many there are on all pages", "example": 1}),
        "offset": fields.Integer(required=True, metadata={"description": "How many were passed over", "example": 0}),
        "limit": fields.Integer(required=True, metadata={"description": "How many a page holds at most", "example": 50}),
        "__doc__": "One page of a longer list.",
    }
    return Body.from_dict(members, name=f"{item.__name__.removesuffix('Body')}PageBody")
