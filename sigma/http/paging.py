"""The query parameters of lists, and the pages that lists return."""

import functools
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import marshmallow as ma
from marshmallow import fields

from sigma.http.errors import ApiError
from sigma.http.fields import Body, Items, bound_field, described
from sigma.http.strict_json import format_value
from sigma.settings import whole_number

MAX_OFFSET, DEFAULT_LIMIT, MAX_LIMIT = 10**12, 50, 1000


class PageRequestBody(Body):
    """Which page of a list is wanted."""

    offset = bound_field("How many items to skip; 0 when absent", 0, MAX_OFFSET, example=0)
    limit = bound_field(f"How many items to return at most; {DEFAULT_LIMIT} when absent", 1, MAX_LIMIT, example=20)


def body_bounds(body: Mapping[str, Any]) -> tuple[int, int]:
    """Return the offset and the limit that a body asks for."""
    return body.get("offset", 0), body.get("limit", DEFAULT_LIMIT)


_reader = functools.cache(whole_number)


def query_number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Read a whole number from the query string. Raises ApiError 400."""
    text = query.get(name)
    if text is None:
        return default
    try:
        return _reader(least, most)(text)
    except ValueError as error:
        raise ApiError(400, f"{name}: {error}") from None


def page_bounds(query: Mapping[str, str]) -> tuple[int, int]:
    """Read `offset` and `limit` from the query string. Raises ApiError 400."""
    return query_number(query, "offset", 0, 0, MAX_OFFSET), query_number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)


def query_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Return the description of a query parameter for the OpenAPI document."""
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", **schema}}


class Parameter(NamedTuple):
    """A query parameter that filters a list."""

    name: str
    description: str
    expected: str = "a text"
    takes: Callable[[str], Any] | None = None  # returns whether a text is as expected; None: any text is
    schema: Mapping[str, Any] = MappingProxyType({})  # for the OpenAPI document, beside the type `string`

    def read(self, query: Mapping[str, str]) -> str | None:
        """Return the parameter's text in a query string; None if absent. Raises ApiError 400."""
        text = query.get(self.name)
        if text is not None and self.takes and not self.takes(text):
            raise ApiError(400, f"{self.name}: expected {self.expected}, got {format_value(text)}")
        return text

    def describe(self) -> dict[str, Any]:
        """Return its description for the OpenAPI document."""
        return query_parameter(self.name, self.description, **self.schema)


def choice_parameter(name: str, description: str, choices: Collection[str]) -> Parameter:
    """Return a parameter that accepts one of these choices."""
    return Parameter(name, description, f"one of {', '.join(choices)}", choices.__contains__, {"enum": list(choices)})


PAGE_PARAMETERS = [
    query_parameter("offset", "How many items to skip", type="integer", minimum=0, maximum=MAX_OFFSET, default=0),
    query_parameter(
        "limit", "How many items to return at most", type="integer", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT
    ),
]


@functools.cache
def page_of(item: type[ma.Schema]) -> type[ma.Schema]:
    """Return the schema of one page of a list of such items."""
    members: dict[str, Any] = {
        "items": Items(fields.Nested(item), "The items on this page", required=True),
        "total": fields.Integer(required=True, metadata={"description": "How many items there are on all pages", "example": 1}),
        "offset": fields.Integer(required=True, metadata={"description": "How many items were skipped", "example": 0}),
        "limit": fields.Integer(required=True, metadata=described("How many items a page holds at most", DEFAULT_LIMIT)),
        "__doc__": "One page of a longer list.",
    }
    return Body.from_dict(members, name=f"{item.__name__.removesuffix('Body')}PageBody")
