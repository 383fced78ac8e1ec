"""`flask schema create`: make the schemas of a seed in a workspace, with all that they refer to."""

import json
from collections import Counter
from typing import Any

import click
from flask import g
from flask.cli import with_appcontext

from sigma.cli.console import Output, prints_output, workspace_option
from sigma.cli.seeds import PARTS, mistakes_named, read_seed_file
from sigma.cli.terminal import Command
from sigma.database import fetch_one, transaction
from sigma.http.errors import counted, name_of, noun, raise_for_problems
from sigma.http.strict_json import format_value
from sigma.resources.model import MODEL
from sigma.standin.seeding import insert_model
from sigma.standin.seeds import read_seed


def _read_model(given: Any) -> list[list[Any]]:
    """Return the model objects of a seed. Raises ApiError 400.

    They are checked with the whole seed, and without the administrator's role, which a seed without users gets.
    """
    model: list[list[Any]] = read_seed(given)["model"]
    return model[: len(given.get("model", ()))]


def _fetch_object(kind: str, id: str) -> Any:
    row = fetch_one("SELECT body FROM model_objects WHERE tenant = ? AND kind = ? AND id = ?", g.tenant, kind, id)
    return json.loads(row[0]) if row else None


def _conflict(kind: str, body: dict[str, Any], stored: Any) -> str | None:
    """Return what keeps a model object from being created: another one has its id, where `stored` is that one, or its alias."""
    if stored is not None:
        names = [name for name in {**body, **stored} if body.get(name) != stored.get(name)]
        return f"id: {name_of(kind, body['id'])} exists already, with another {', '.join(names)}"
    sql = "SELECT id FROM model_objects WHERE tenant = ? AND kind = ? AND alias = ?"
    if "alias" in body and (row := fetch_one(sql, g.tenant, kind, body["alias"])):
        return f"alias: {format_value(body['alias'])} is already taken by {name_of(kind, row[0])}"
    return None


def _find_missing(model: list[list[Any]]) -> list[list[Any]]:
    """Return those of the model objects that the workspace does not have. Raises ApiError 400 for what gets in their way."""
    missing, problems = [], []
    for index, (kind, body) in enumerate(model):
        stored = _fetch_object(kind, body["id"])
        if stored == body or (stored and kind == "role"):  # what a role of the workspace allows is not for a seed to say
            continue
        if conflict := _conflict(kind, body, stored):
            problems.append(f"model[{index}][1].{conflict}")
        missing.append([kind, body])
    raise_for_problems(problems)
    return missing


def create_objects(model: list[list[Any]]) -> list[list[Any]]:
    """Create those of the model objects that the workspace does not have yet, all of them or none; return them.

    Raises ApiError 400 or 409.
    """
    with transaction():
        missing = _find_missing(model)
        insert_model(missing)
        for kind, body in missing:
            MODEL[kind].check_change(None, body)
    return missing


def _describe(created: list[list[Any]], unchanged: int, left_out: list[str]) -> str:
    kinds = Counter(noun(kind) for kind, _ in created)
    made = ", ".join(counted(count, kind) for kind, count in kinds.items()) or "nothing"
    text = f"Created {made} in workspace '{g.tenant}'."
    if unchanged:
        text += f" {counted(unchanged, 'object was', 'objects were')} there already."
    return text + (f" Left out: {', '.join(left_out)}." if left_out else "")


@click.command("create", cls=Command)
@with_appcontext
@click.argument("seed")
@prints_output
@workspace_option
def create_schemas(seed: str) -> Output:
    """Create the schemas of SEED in a workspace, with the attributes, option lists and all else of the seed's model.

    What the workspace has already stays. If anything but a role differs from what is there, nothing is created. Records and
    users of the seed are left out.

    Example: flask schema create products.seed.json
    """
    given = read_seed_file(seed)
    with mistakes_named(seed):
        model = _read_model(given)
        created = create_objects(model)
    left_out = [counted(len(given[part]), *nouns) for part, nouns in PARTS.items() if part != "model" and given.get(part)]
    data = {"workspace": g.tenant, "created": [{"kind": kind, "id": body["id"]} for kind, body in created]}
    unchanged = len(model) - len(created)
    return Output({**data, "unchanged": unchanged}, _describe(created, unchanged, left_out))
