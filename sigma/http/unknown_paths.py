"""Paths that do not exist: the 404 names the nearest one that does, and a browser is sent to the page that it means."""

import functools
import re
import sqlite3
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from flask import current_app, redirect, request
from werkzeug.exceptions import NotFound

from sigma.http.access import Kind, Route
from sigma.http.errors import ApiError, error_response, shortened, translate_database_error
from sigma.http.loopback import holds_demo
from sigma.http.responses import NO_STORE

MAX_PATH, MAX_PARTS = 300, 10  # characters and parts of a path that is looked at
FILE = "<file>"  # at the end of a route: what a page loads, which nobody types
SAFE_ID = re.compile("[A-Za-z0-9_-]{1,64}")  # what a message repeats of a path


def _known_routes(path: str) -> list[list[str]]:
    """Return the parts of each route that may be named: of those beside the demo alone, only where it is."""
    hidden = {Kind.NOT_BUILT} if path.startswith("/standin") and holds_demo() else {Kind.NOT_BUILT, Kind.DEMO}
    routes: Iterator[Route] = current_app.url_map.iter_rules()  # type: ignore[assignment]
    shown = [route.rule for route in routes if route.access.kind not in hidden]
    return sorted(rule.split("/")[1:] for rule in shown if ":" not in rule and not rule.endswith(FILE))


def _readings(path: str) -> Iterator[list[str]]:
    """Yield the parts of a path as it is and as one of the API: with empty ones, where an id may be missing, and without."""
    whole = path.split("/")[1:]
    if len(whole) > MAX_PARTS:
        return
    for parts in (whole, path.strip("/").split("/"), list(filter(None, whole))):
        yield parts
        rest = list(parts)
        while rest and re.fullmatch("api|v[0-9]+", rest[0], re.IGNORECASE):
            del rest[0]
        yield ["api", "v1", *rest]


def _tail_readings(rest: list[str], routes: list[list[str]]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield routes that end in a word, each with the parts of a path put behind what it lacks, where that is no id."""
    for route in routes if rest else []:
        lacking = route[: -len(rest)]
        if not any(word.startswith("<") for word in [*lacking, route[-1]]):
            yield route, [*lacking, *rest]


def _distance(route: list[str], parts: list[str], near: Callable[[str], list[str]]) -> float | None:
    """Return how far the parts of a path are from a route; None: too far. An id may be anything, a word is one that is near."""
    if len(route) != len(parts):
        return None
    distance = 0.0
    for word, part in zip(route, parts, strict=True):
        if word.startswith("<"):
            distance += 0.1
        elif word != part:
            if word not in near(part):
                return None
            distance += near(part).index(word) + 1
    return distance


def _filled_in(route: list[str], parts: list[str]) -> str:
    """Return a route with the ids of a path in it, as far as they are such as people give."""
    pairs = zip(route, parts, strict=True)
    filled = (
        word if not word.startswith("<") else part if SAFE_ID.fullmatch(part) else f"{{{word[1:-1]}}}" for word, part in pairs
    )
    return "/" + "/".join(filled)


def nearest_path(path: str) -> str | None:
    """Return the path that exists and is most like one that does not; None if none is like it."""
    routes, readings = _known_routes(path), list(_readings(path[:MAX_PATH]))
    words = sorted({word for route in routes for word in route if not word.startswith("<")})
    near = functools.cache(lambda part: get_close_matches(part.lower(), words, 3, 0.7))
    pairs = [(route, parts) for parts in readings for route in routes]
    pairs += [pair for parts in readings[-1:] for pair in _tail_readings(parts[2:], routes)]
    distances = ((_distance(route, parts, near), place) for place, (route, parts) in enumerate(pairs))
    found = [(distance, place) for distance, place in distances if distance is not None]
    if not found:
        return None
    return _filled_in(*pairs[min(found)[1]])


def _path_below(path: str) -> str | None:
    """Return a path that begins with one that is none, as /api/v1: the one with most others below it. None: none does."""
    start, routes = [part for part in path.split("/") if part], _known_routes(path)
    below = [
        route
        for route in routes
        if start and len(route) > len(start) and all(word in ("<id>", part) for word, part in zip(route, start, strict=False))
    ]
    found = max(below, key=lambda route: sum(other[: len(route)] == route for other in below), default=None)
    return _filled_in(found, [*start, *found[len(start) :]]) if found else None


def asks_for_page() -> bool:
    """Return whether it is a browser that asks, for a person."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _page_meant(path: str) -> str | None:
    """Return where a browser finds the public page that has a path but for the slash at its end, whatever a proxy takes off."""
    routes: Iterator[Route] = current_app.url_map.iter_rules()  # type: ignore[assignment]
    pages = {f"{route.rule}/" for route in routes if route.access.kind is Kind.PUBLIC and "GET" in (route.methods or ())}
    return f"../{path.split('/')[-2]}" if path in pages and request.method in ("GET", "HEAD") and asks_for_page() else None


def refuse_unknown_path(_: NotFound) -> Any:
    """Return the 404 of a path that does not exist, or the 503 if the database does not say which ones do."""
    if page := _page_meant(request.path):
        response = redirect(page)
        response.headers.update({"Vary": "Accept", **NO_STORE})
        return response
    try:
        nearest = nearest_path(request.path)
        below = None if nearest else _path_below(request.path[:MAX_PATH])
    except sqlite3.Error as error:  # Flask does not look for a handler of what another one raises
        return error_response(translate_database_error(error))
    hint = f"; the nearest path is {nearest}" if nearest else f"; paths begin with it, such as {below}" if below else ""
    return error_response(ApiError(404, f"There is no {shortened(request.path)} here{hint}; /docs lists every path"))
