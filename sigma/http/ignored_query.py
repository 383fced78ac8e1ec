"""What a query string has that its route does not know: it changes nothing, and the answer says so."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from sigma.http.errors import redact_keys

HEADER = "X-Sigma-Ignored-Query"
MAX_NAMES, LONGEST = 20, 40  # names that the header lists, and characters of each


def query_names(view: Callable[..., Any]) -> frozenset[str]:
    """Return the names of the parameters that a view reads from the query string: those that its documentation has."""
    described = getattr(view, "_apidoc", {}).get("manual_doc", {}).get("parameters", [])  # by flask-smorest's @doc
    return frozenset(parameter["name"] for parameter in described if parameter["in"] == "query")


def ignored_names(route: Any, names: Iterable[str]) -> list[str]:
    """Return those of a query string's names that a route does not know, each once, in their order."""
    known = route.query_names
    return [] if known is None else [name for name in dict.fromkeys(names) if name and name not in known]


def ignored_query(asked: Any) -> str | None:
    """Return what the header says of the query string of a GET, and of HEAD; None if there is nothing to say.

    Names may be anything. So they come percent-encoded, shortened and few, and an API key in one is made unreadable.
    """
    names = ignored_names(asked.url_rule, asked.args) if asked.method in ("GET", "HEAD") else []
    shown = [quote(redact_keys(name)[:LONGEST], safe="[]$:@") for name in names[:MAX_NAMES]]
    return ", ".join(shown + ["..."] * (len(names) > MAX_NAMES)) or None
