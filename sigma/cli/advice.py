"""`flask keys advise` and `flask keys needs`: the fewest permissions that an integration needs."""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import unquote

import click
from flask import current_app, g
from flask.cli import with_appcontext
from werkzeug.exceptions import MethodNotAllowed, NotFound

from sigma.cli.console import Output, prints_output, prints_plainly, workspace_option
from sigma.cli.terminal import Command, format_table, printable
from sigma.database import execute, fetch_one
from sigma.http.access import Access, Kind
from sigma.http.errors import ApiError, get_or_404, not_found_error
from sigma.http.unknown_paths import nearest_path
from sigma.permissions import PERMISSIONS
from sigma.resources.ledger import find_ledger


def _create_command(name: str, permissions: Iterable[str], *more_arguments: str) -> str:
    options = (word for permission in permissions for word in ("--permission", permission))
    return shlex.join(["flask", "keys", "create", "--name", printable(name), *options, *more_arguments])


def _time_since(moment: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // length)) > 0:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _describe_use(key: dict[str, Any], since: str) -> Iterator[str]:
    for permission in key["permissions"]:
        if permission in key["unused"]:
            yield f"{permission} was never used in {_time_since(since)}"
        else:
            yield f"{permission} was last used {_time_since(key['permissionUse'][permission])} ago"
    for permission, refused in key["refused"].items():
        times = "once" if refused["count"] == 1 else f"{refused['count']} times"
        wanted = "a session, which no key can stand for," if permission == "session" else permission
        yield f"{wanted} was refused {times}, last {_time_since(refused['lastAt'])} ago"


def advise(key: dict[str, Any]) -> tuple[str, str | None]:
    """Return what to do about a key, and the command that does it, if there is one."""
    used = [name for name in key["permissions"] if name not in key["unused"]]
    where = ("--workspace", g.tenant)
    if not key["active"]:
        return "It is not accepted any more. When nothing needs it:", shlex.join(["flask", "keys", "delete", key["id"], *where])
    if not used:
        return "If nothing is to use it any more:", shlex.join(["flask", "keys", "deactivate", key["id"], *where])
    if not key["unused"]:
        return "It used every permission that it holds; a smaller key would not do.", None
    return "A key that holds only what this one used:", _create_command(key["name"], used, *where)


def require_key(id: str) -> None:
    """Raise ApiError 404 for an id that no key has, with the ids of keys of which it is the name."""
    if fetch_one("SELECT 1 FROM api_keys WHERE tenant = ? AND id = ?", g.tenant, id):
        return
    rows = execute("SELECT id FROM api_keys WHERE tenant = ? AND name = ? ORDER BY seq LIMIT 5", g.tenant, id)
    named = " or ".join(f"'{key}'" for (key,) in rows)
    raise ApiError(404, not_found_error("api-key", id).message + (f": expected its id, {named}" if named else ""))


@click.command("advise", cls=Command)
@with_appcontext
@click.argument("id")
@prints_output
@workspace_option
def advise_key(id: str) -> Output:
    """Say which permissions an API key used, never used and lacked, and how to make a key with fewer.

    Example: flask keys advise apikey-0123456789abcdef
    """
    require_key(id)
    key = get_or_404(find_ledger(id), "api-key", id)
    sql = "SELECT ledger_from, ifnull(ledger_from, created_at) FROM api_keys WHERE tenant = ? AND id = ?"
    ledger_from, since = fetch_one(sql, g.tenant, id)
    findings, (advice, command) = list(_describe_use(key, since)), advise(key)
    if ledger_from:
        findings.append(f"what it did before {ledger_from} is not known")
    if lacked := [name for name in key["refused"] if name in PERMISSIONS]:
        findings.append(f"if the refused calls are needed, make a key that also holds {', '.join(lacked)}")
    lines = [
        f"Key '{id}' ({printable(key['name'])}):",
        *(f"- {finding}" for finding in findings),
        advice,
        *([command] if command else []),
    ]
    return Output({**key, "since": since, "findings": findings, "advice": advice, "command": command}, "\n".join(lines))


def _find_access(method: str, path: str) -> Access:
    """Return who may call the route of a path, which may hold ids or placeholders. Raises ApiError 404 or 405."""
    urls = current_app.url_map.bind("")
    for root in ("/api/v1", ""):
        try:
            rule, _ = urls.match(root + path, method, return_rule=True)
        except NotFound:
            continue
        except MethodNotAllowed as error:
            methods = sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
            raise ApiError(405, f"There is no {method} of this path, only {', '.join(methods)}") from None
        access: Access = rule.access  # type: ignore[attr-defined]
        return access
    nearest = nearest_path(path, shows_demo=lambda: True)  # the routes are the same whatever the database holds
    hint = f"; the nearest is {nearest.removeprefix('/api/v1')}" if nearest else ""
    raise ApiError(404, f"There is no such path{hint}; `make routes` lists every path")


def _find_need(line: str) -> dict[str, str | None]:
    """Return the permission that a key needs for the route in a line, or why no key may call it."""
    words = line.split()
    need: dict[str, str | None] = {"route": " ".join(words), "permission": None, "remark": None, "problem": None}
    if len(words) != 2:
        return need | {"problem": "Expected a method and a path, such as: GET /records"}
    path = unquote(re.sub("^https?://[^/]*|[?#].*", "", words[1]))
    try:
        access = _find_access(words[0].upper(), path)
    except ApiError as error:
        return need | {"problem": error.message}
    if access.kind is Kind.PERMISSION:
        return need | {"permission": access.permission}
    return need | {"problem" if access.is_for_sessions or access.kind is Kind.NOT_BUILT else "remark": access.in_words}


@click.command("needs", cls=Command)
@with_appcontext
@click.argument("routes", nargs=-1, metavar="[ROUTE]...")
@click.option("--file", type=click.File(encoding="utf-8"), help="A file with a route in each line, or -; # begins a comment.")
@prints_plainly
def list_needs(routes: tuple[str, ...], file: TextIO | None) -> Output:
    """Say which permissions a key needs to call these routes, each a method and a path. The exit code is 1 if no key may.

    Example: flask keys needs "POST /records" "GET /schemas/schema-apparel"
    """
    if not routes and file is None and not sys.stdin.isatty():
        file = sys.stdin
    lines = [*routes, *(line for line in file or () if line.strip() and not line.lstrip().startswith("#"))]
    if not lines:
        raise click.UsageError('Expected routes such as "GET /records", as arguments, in a --file or on standard input')
    needs = list({need["route"]: need for need in map(_find_need, lines)}.values())
    permissions = [name for name in PERMISSIONS if any(need["permission"] == name for need in needs)]
    problems = [need for need in needs if need["problem"]]
    table = format_table(
        *((str(need["route"]), str(need["problem"] or need["remark"] or need["permission"])) for need in needs)
    )
    text = f"A key for {'the others' if problems else 'these'} needs: {', '.join(permissions)}"
    lines = [table, "", text, _create_command("NAME", permissions)] if permissions else [table]
    return Output({"permissions": permissions, "routes": needs}, "\n".join(lines), int(bool(problems)))
