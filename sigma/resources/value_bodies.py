"""Bodies with values: an attribute that does not exist is reported before any mistake in the form of its values."""

import itertools
from typing import Any

import marshmallow as ma
from flask import g, request

from sigma.database import fetch_one
from sigma.http.bodies import flatten_messages
from sigma.http.errors import raise_for_problems
from sigma.http.fields import PlainBody
from sigma.resources.rules import schema_rules
from sigma.resources.values import Values


def _find_schema_id(body: dict[str, Any]) -> str | None:
    """Return the id of the schema that a body is for: the one that it names, else that of the record in the path."""
    path = request.view_args or {}
    if "id" in path:
        row = fetch_one("SELECT schema_id FROM entities WHERE tenant = ? AND id = ?", g.tenant, path["id"])
    else:
        sql = "SELECT id FROM model_objects WHERE tenant = ? AND kind = 'schema' AND id = ?"
        row = fetch_one(sql, g.tenant, body["schemaId"]) if isinstance(body.get("schemaId"), str) else None
    return row[0] if row else None


class BodyWithValues(PlainBody):
    """A body that holds `values`, for the record in the path or for a new one."""

    def handle_error(self, error: ma.ValidationError, data: Any, *, many: bool, **options: Any) -> None:
        """Raise ApiError 400 if some of the malformed values are of attributes that the schema does not have."""
        super().handle_error(error, data, many=many, **options)
        messages: Any = error.messages
        wrong = messages.get("values")
        schema_id = _find_schema_id(data) if isinstance(wrong, dict) else None
        if schema_id is not None:
            rules = schema_rules(schema_id)
            unknown = dict.fromkeys(alias for alias in data["values"] if alias in wrong and alias not in rules.attributes)
            rest = {**messages, "values": {alias: problem for alias, problem in wrong.items() if alias not in unknown}}
            problems = map(rules.unknown_alias, unknown)
            raise_for_problems(itertools.chain(problems, flatten_messages(rest, data)) if unknown else ())


class ValuesBody(BodyWithValues):
    """The new values of each attribute listed; others stay as they are, and an empty array clears an attribute."""

    values = Values(required=True)
