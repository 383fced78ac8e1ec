"""What bodies name: the model objects that they refer to by id, and attributes by alias or id."""

from collections.abc import Iterator
from typing import Any

import marshmallow as ma
from marshmallow import fields

from sigma.http.errors import shortened
from sigma.http.fields import AttributeName, Reference


def _named_in_field(field: Any, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if isinstance(field, Reference | AttributeName):
        yield path, field, value
    elif isinstance(field, fields.Nested):
        yield from _named_in(field.schema, value, f"{path}.")
    elif isinstance(field, fields.List):
        for index, item in enumerate(value):
            yield from _named_in_field(field.inner, item, f"{path}[{index}]")
    elif isinstance(field, fields.Dict):
        for key in value:
            yield from _named_in_field(field.key_field, key, f"{path}.{shortened(key)}")


def _named_in(schema: ma.Schema, body: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield the path, field and value of everything in a body that names an object of the model."""
    for name, field in schema.fields.items():
        if name in body:
            yield from _named_in_field(field, body[name], path + name)


def references(schema: ma.Schema, body: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the path, kind and id of every Reference in a body."""
    for place, field, value in _named_in(schema, body, path):
        if isinstance(field, Reference):
            yield place, field.kind, value


def attribute_names(schema: ma.Schema, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the path and text of every AttributeName in a body."""
    return ((place, value) for place, field, value in _named_in(schema, body) if isinstance(field, AttributeName))


def reference_kinds(schema: ma.Schema) -> set[str]:
    """Return the kinds of model objects that a body may refer to."""
    kinds: set[str] = set()
    for field in schema.fields.values():
        inner: Any = field
        while isinstance(inner, fields.List):
            inner = inner.inner
        if isinstance(inner, Reference):
            kinds.add(inner.kind)
        elif isinstance(inner, fields.Nested):
            kinds |= reference_kinds(inner.schema)
    return kinds
