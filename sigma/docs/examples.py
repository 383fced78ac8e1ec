"""Examples of bodies and paths: taken from the demo, else from the field itself, else made to fit the field's type."""

from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from sigma.http.fields import Reference

TIME = "2026-03-08T10:00:12.450Z"


class Examples:
    """Finds an example for each body.

    A member's value comes from the demo's example of the operation, else from the field's own `example`, else from the demo's
    object of that class or of a base class, else from the field's type. So no field needs an example.
    """

    def __init__(self, ids: Mapping[str, str], objects: Mapping[str, Mapping[str, Any]]):
        self.ids = ids  # by kind
        self.objects = objects  # by the name of the class that describes them

    def body(self, body: ma.Schema, given: Mapping[str, Any]) -> Any:
        """Return an example of a body, some of whose members may be given."""
        known = ChainMap(*(dict(self.objects.get(cls.__name__, {})) for cls in type(body).__mro__))
        example = {}
        for name, field in body.fields.items():
            if name in given:
                example[name] = given[name]
            elif name in known and "example" not in field.metadata:
                example[name] = known[name]
            elif "example" in field.metadata or field.required or field.load_default is not ma.missing:
                example[name] = self.member(name, field)
        return [example] if body.many else example

    def member(self, name: str, field: ma.fields.Field) -> Any:
        """Return an example of a member."""
        if "example" in field.metadata:
            return field.metadata["example"]
        if field.load_default is not ma.missing:
            return field.load_default() if callable(field.load_default) else field.load_default
        if isinstance(field, fields.Nested):
            return self.body(field.schema, {})
        if isinstance(field, fields.List):
            return [self.member(name, field.inner)]
        return self.value(name, field)

    def value(self, name: str, field: ma.fields.Field) -> Any:
        """Return a value that fits the type of a field."""
        if isinstance(field, Reference):
            return self.id(field.kind)
        for rule in field.validators:
            if isinstance(rule, validate.OneOf):
                return next(iter(rule.choices))
        if field.metadata.get("format") == "date-time":
            return TIME
        of_type = {fields.Boolean: True, fields.Number: 1, fields.Mapping: {}}
        return next((value for type, value in of_type.items() if isinstance(field, type)), _kebab(name))

    def id(self, kind: str) -> str:
        """Return the id of an object of a kind: the demo's, if it has one."""
        return self.ids.get(kind, f"{kind}-1")


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
