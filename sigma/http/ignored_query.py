"""Query parameters that a route does not know: they change nothing, and the response names them."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from sigma.http.errors import redact_keys

HEADER = "X-Sigma-Ignored-Query"
MAX_NAMES, LONGEST = 20, 40  # names that the header lists, and characters of each


def query_names(view: Callable[..., Any]) -> frozenset[str]:
    """Return the names of the query parameters of a view: those that it documents."""
    described = getattr(view, "_apidoc", {}).get("manual_doc", {}).get("parameters", [])  # by flask-smorest's @doc
    return frozenset(parameter["name"] for parameter in described if parameter["in"] == "query")


def ignored_names(route: Any, names: Iterable[str]) -> list[str]:
    """Return the names of query parameters that a route does not know, each once, in the order sent."""
    known = route.query_names
    return [] if known is None else [name for name in dict.fromkeys(names) if name and name not in known]


def ignored_query(asked: Any) -> str | None:
    """Return the header's value for a GET or HEAD: the query parameters that are ignored; None if there are none.

    Clients choose these names. So they are percent-encoded and shortened, only the first few are listed, and an API key in
    one is masked.
    """
    names = ignored_names(asked.url_rule, asked.args) if asked.method in ("GET", "HEAD") else []
    shown = [quote(redact_keys(name)[:LONGEST], safe="[]$:@") for name in names[:MAX_NAMES]]
    return ", ".join(shown + ["..."] * (len(names) > MAX_NAMES)) or None
