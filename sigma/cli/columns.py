"""Which column of a file goes to which attribute: as the command says, or as their names tell."""

import json
import re
from collections.abc import Iterable
from typing import Any

import click
from flask import g

from sigma.cli.terminal import printable
from sigma.database import execute, fetch_one
from sigma.http.nearest import some_of
from sigma.http.strict_json import format_value
from sigma.resources.model import fetch_attribute_texts, load_object
from sigma.resources.transfer import ID

SHOWN = 10  # names that a message lists


def list_names(names: Iterable[str]) -> str:
    """Return the first few names as a text for a message."""
    names = [f"'{printable(name)[:100]}'" for name in names]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def find_schema_id(name: str) -> str:
    """Return the id of the schema with this id or alias. Raises click.ClickException that lists the schemas there are."""
    sql = (
        "SELECT id FROM model_objects WHERE tenant = ? AND kind = 'schema' AND (id = ? OR alias = ?)"
        " ORDER BY id = ? DESC LIMIT 1"
    )
    if row := fetch_one(sql, g.tenant, name, name, name):
        return str(row[0])
    ids = [id for (id,) in execute("SELECT id FROM model_objects WHERE tenant = ? AND kind = 'schema' ORDER BY seq", g.tenant)]
    exist = (
        f"there {'is' if len(ids) == 1 else 'are'} {some_of(name, ids)}"
        if ids
        else "there is none yet: `flask schema guess FILE --output SEED` and `flask schema create SEED` make one for a file"
    )
    raise click.ClickException(f"--schema: workspace '{g.tenant}' has no schema {format_value(name)}; {exist}")


def read_mappings(texts: Iterable[str]) -> dict[str, str]:
    """Return aliases by column from the --map options; "" for a column to be left out. Raises click.UsageError."""
    mapping: dict[str, str] = {}
    for text in texts:
        column, sign, alias = text.rpartition("=")
        if not sign or not column or column in mapping:
            raise click.UsageError(f"--map: expected COLUMN=ALIAS, once for each column, got {format_value(text)}")
        mapping[column] = alias
    return mapping


def plain_name(name: str) -> str:
    """Return the form of a name in which names of columns and of attributes are compared."""
    return re.sub(r"[\s_-]+", "-", name.strip().casefold())


class Columns:
    """The mapping of columns to the attributes of a schema, and to the ids of records."""

    def __init__(self, schema_id: str, given: dict[str, str]):
        self.given = given
        attributes: list[dict[str, Any]] = list(map(json.loads, fetch_attribute_texts(load_object("schema", schema_id))))
        self.aliases = [attribute["alias"] for attribute in attributes]
        self.tiers = [  # the first that knows a column decides
            {ID: [ID], **{alias: [alias] for alias in self.aliases}},
            self._group((alias, alias) for alias in self.aliases),
            self._group((attribute["name"], attribute["alias"]) for attribute in attributes),
        ]

    @staticmethod
    def _group(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """Return lists of aliases by plain name; several attributes may have the same plain name."""
        groups: dict[str, list[str]] = {}
        for name, alias in pairs:
            groups.setdefault(plain_name(name), []).append(alias)
        return groups

    def find(self, column: str) -> str | None:
        """Return the alias of the attribute that a column is named after, or None if no attribute fits, or several do."""
        for tier, name in zip(self.tiers, (column, plain_name(column), plain_name(column)), strict=True):
            if name in tier:
                return tier[name][0] if len(tier[name]) == 1 else None
        return None

    def map_columns(self, columns: Iterable[str]) -> dict[str, str]:
        """Return aliases by column: those that --map gives, and those of columns named after one of the other attributes."""
        mapping = {column: alias for column, alias in self.given.items() if alias}
        claimed = set(mapping.values())
        for column in columns:
            alias = None if column in self.given else self.find(column)
            if alias is not None and alias not in claimed:
                mapping[column] = alias
        return mapping

    def require_some(self, mapping: dict[str, str], columns: Iterable[str]) -> None:
        """Raise click.ClickException if no column of a file is mapped."""
        if not mapping:
            raise click.ClickException(
                f"No column is named like an attribute: the columns are {list_names(columns)}, the attributes are"
                f" {list_names(self.aliases)}; give --map COLUMN=ALIAS"
            )
