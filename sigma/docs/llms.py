"""`/llms.txt`: what a coding assistant needs to know about this service, as plain text from the same sources as the docs."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, current_app
from flask_smorest import Blueprint

from sigma.database import fetch_one, snapshot
from sigma.docs.addresses import service_url
from sigma.http.access import Kind, list_built_routes, public
from sigma.http.credentials import hash_key
from sigma.http.errors import ERRORS
from sigma.http.ignored_query import HEADER
from sigma.http.loopback import holds_demo
from sigma.http.responses import NO_STORE
from sigma.permissions import PERMISSIONS, ROLE_FLAGS
from sigma.resources.not_built import NOT_BUILT
from sigma.settings import SETTINGS

PAGES = "Pages"
UNKNOWN_ADDRESS = "<where you read this, without /llms.txt>"  # for where a proxy in front does not say it

START = """\
# Sigma PIM, embedded

> A local stand-in for the REST API of Sigma PIM (product information): same paths, same bodies, same refusals, real state.

- Address of the API: {url}/api/v1
- Requests, responses and examples in full: {url}/openapi.json (OpenAPI 3.0); for people: {url}/docs
- Bodies are JSON in UTF-8. A list that has pages takes `offset` and `limit` and returns `items`, `total`, `offset`, `limit`.
- `{header}` names the query parameters of a GET that the route does not know; they change nothing.
- An unknown id in the path is 404; in a body it is 400, and the message names the field.

## Credentials
- Integrations send an API key: `X-Sigma-ApiKey: <raw key>`. People POST {{"email", "password"}} to {url}/api/v1/auth/login and
  send the `token` of the response: `Authorization: Bearer <token>`. When both are sent, the key alone decides.
- People make keys: POST {url}/api/v1/api-keys {{"name": "My sync", "permissions": ["read"]}}; only this response has `rawKey`.
- A deactivated or deleted key is refused (401) by the very next call.
"""

DEMO = """
## For tests (only while the database holds the demo; from this machine, without a credential)
- A workspace for one test, with tokens and keys of its own, so that tests do not disturb each other; the response has its `id`:
  POST {url}/standin/workspaces {{"content": "demo", "keys": [["read", "update-data"], ["read"]]}}
  `content`: "demo", "empty", the id of a workspace, or a seed. DELETE {url}/standin/workspaces/<id> removes it.
- Reset: puts the demo workspace back as it was at first, with its documented keys; sessions stay valid:
  POST {url}/standin/reset {{}}
- Faults of one key, to see how a client handles them; the first rule whose route matches decides, and `hits` counts its use:
  PUT {url}/standin/keys/{key}/faults [{{"on": "POST /records", "status": 429, "retryAfter": 2, "times": 2}}]
  A rule has `status` or `delayMs`, and any of `on`, `retryAfter`, `after`, `times`, `probability`. DELETE removes them.
- Journal: the requests to the API, newest first, with bodies, caller, permission needed and held, and the step that refused:
  GET {url}/standin/requests?status=4xx&limit=20
- Deliveries of webhooks: this sends at once all that wait; `?workspace=<id>` replaces the credential:
  POST {url}/standin/deliveries/run?workspace={workspace}
- Helpers for pytest and Node to copy: `docs/testing/sigma_standin.py` and `sigma_standin.mjs` in the repository.
"""

DIFFERENCES = """
## Differences from the real service
- Users, passwords and workspaces have no API; commands manage them (`flask users`, `flask workspace`).
- What the public documentation leaves open, such as the status of a create (201), has been decided here; openapi.json says how.
- There is no limit of 500 records unless SIGMA_RECORD_LIMIT sets one.
- Searches go through all records, without an index; they ignore case in text, but not accents.
- An import writes the value that applies everywhere (scope {}); an export has one value for each attribute.
- Web pages of other origins may call the API only if SIGMA_CORS_ORIGINS lists them.
"""


def _describe_demo(url: str, examples: dict[str, Any]) -> Iterator[str]:
    demo, name = fetch_one("SELECT id, name FROM workspaces WHERE is_demo ORDER BY rowid LIMIT 1")
    yield f"\nThe demo workspace is `{demo}` ({name}):\n"
    for login in examples["logins"]:
        user = fetch_one("SELECT role_id FROM users WHERE tenant = ? AND email = ?", demo, login["email"])
        if user is not None:
            yield f"- Person: `{login['email']}`, password `{login['password']}`, role `{user[0]}`\n"
    key_id = examples["ids"]["key"]
    for key in examples["keys"]:
        sql = "SELECT id FROM known_keys WHERE tenant = ? AND hash = ? AND is_active"
        if fetch_one(sql, demo, hash_key(key["rawKey"])) is not None:
            yield f"- API key: `{key['rawKey']}` ({', '.join(key['permissions'])})\n"
    yield DEMO.format(url=url, key=key_id, workspace=demo)


def _describe_names(title: str, names: dict[str, str]) -> str:
    return f"\n## {title}\n" + "".join(f"- {name}: {meaning}\n" for name, meaning in names.items())


def _collect_routes(with_demo: bool) -> dict[str, dict[str, list[str]]]:
    """Return what each method needs, by the name of the route's blueprint and by its path."""
    collected: dict[str, dict[str, list[str]]] = {}
    for method, route in list_built_routes(current_app):
        if with_demo or route.access.kind is not Kind.DEMO:
            paths = collected.setdefault(route.endpoint.rpartition(".")[0], {})
            paths.setdefault(route.template, []).append(f"{method} {route.access.in_short}")
    return collected


def _describe_routes(sections: dict[str, str], with_demo: bool) -> str:
    collected = _collect_routes(with_demo)
    pages = {path: needs for name, paths in collected.items() if name not in sections for path, needs in paths.items()}
    text = "\n## Routes\nA key needs the permission; a person's role needs the flag behind it, if there is one.\n"
    for name, description in {**sections, PAGES: "The pages for people, and what describes the service."}.items():
        paths = pages if name == PAGES else collected.get(name, {})
        text += f"### {name}: {description}\n" + "".join(f"- `{path}` {' | '.join(paths[path])}\n" for path in paths)
    return text


def _describe_limits() -> str:
    """Return the sections about paths that are not built, errors, settings, and differences from the real service."""
    parts = (
        "\nDocumented for Sigma PIM, and answered here with 501, whatever the method:\n",
        "".join(f"- `/api/v1{path}` and all below it: {feature}\n" for path, feature in NOT_BUILT.items()),
        _describe_names(
            'Errors, each as {"error": CODE, "message": text}', {f"{e.status} {c}": e.meaning for c, e in ERRORS.items()}
        ),
        _describe_names("Settings", {setting.variables[0]: setting.meaning for setting in SETTINGS.values()}),
        DIFFERENCES,
    )
    return "".join(parts)


def llms_view(blueprints: list[Blueprint], read_examples: Callable[[], dict[str, Any]]) -> Callable[[], Response]:
    """Return the view of `/llms.txt` for the service that has these blueprints."""
    sections = {blueprint.name: blueprint.description for blueprint in blueprints}
    examples, routes = functools.cache(read_examples), functools.cache(functools.partial(_describe_routes, sections))

    @public
    def show_llms_text() -> Response:
        """Return the text. No cache may keep it, because it has the address that this client used."""
        url = service_url() or UNKNOWN_ADDRESS
        with snapshot():
            demo = "".join(_describe_demo(url, examples())) if holds_demo() else ""
        permissions = _describe_names("Permissions of keys", PERMISSIONS) + f"- Flags of roles: {', '.join(ROLE_FLAGS)}\n"
        text = START.format(url=url, header=HEADER) + demo + permissions + routes(bool(demo)) + _describe_limits()
        response = current_app.response_class(text, mimetype="text/plain")
        response.headers.update(NO_STORE)
        return response

    return show_llms_text
