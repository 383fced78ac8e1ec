"""Unknown paths and methods: the 404 names the nearest path; a slash too many after a page's path sends a browser there."""

import functools
import re
import sqlite3
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from flask import current_app, redirect, request
from flask.globals import request_ctx
from werkzeug.exceptions import MethodNotAllowed, NotFound

from sigma.http.access import Kind, Route
from sigma.http.errors import ApiError, error_response, handle_http_exception, shortened, translate_database_error
from sigma.http.loopback import holds_demo
from sigma.http.responses import NO_STORE

MAX_PATH, MAX_PARTS = 300, 10  # characters that are compared, and parts of a path that is compared at all
FILE = "<file>"  # ends the route of a file that a page loads, which nobody types
SAFE_ID = re.compile("[A-Za-z0-9_-]{1,64}")  # an id in a path that a message may repeat


def _known_routes(path: str, shows_demo: Callable[[], bool] = holds_demo) -> list[list[str]]:
    """Return the parts of each route that a message may name; the demo's own only for paths in /standin, and where shown."""
    hidden = {Kind.NOT_BUILT} if path.startswith("/standin") and shows_demo() else {Kind.NOT_BUILT, Kind.DEMO}
    routes: Iterator[Route] = current_app.url_map.iter_rules()  # type: ignore[assignment]
    shown = [route.rule for route in routes if route.access.kind not in hidden]
    return sorted(rule.split("/")[1:] for rule in shown if ":" not in rule and not rule.endswith(FILE))


def _readings(path: str) -> Iterator[list[str]]:
    """Yield the parts of a path in each way to read it: as it is and as one of the API, with and without empty parts.

    An empty part may stand for a missing id.
    """
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
    """Yield routes for which a path may lack the beginning, each with the path's parts completed by that beginning.

    The missing beginning, and the last part of the route, must be words, not ids.
    """
    for route in routes if rest else []:
        lacking = route[: -len(rest)]
        if not any(word.startswith("<") for word in [*lacking, route[-1]]):
            yield route, [*lacking, *rest]


def _distance(route: list[str], parts: list[str], near: Callable[[str], list[str]]) -> float | None:
    """Return the distance of a path's parts from a route, or None if it is too far: any id will do, but words must be near."""
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
    """Return a route as a path, with the ids of another path filled in where they are safe to repeat."""
    pairs = zip(route, parts, strict=True)
    filled = (
        word if not word.startswith("<") else part if SAFE_ID.fullmatch(part) else f"{{{word[1:-1]}}}" for word, part in pairs
    )
    return "/" + "/".join(filled)


def nearest_path(path: str, shows_demo: Callable[[], bool] = holds_demo) -> str | None:
    """Return the existing path that is most like an unknown one; None if none is like it."""
    routes, readings = _known_routes(path, shows_demo), list(_readings(path[:MAX_PATH]))
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
    """Return a path below one that does not exist itself, such as /api/v1: that with most others below it. None: no path is."""
    start, routes = [part for part in path.split("/") if part], _known_routes(path)
    below = [
        route
        for route in routes
        if start and len(route) > len(start) and all(word in ("<id>", part) for word, part in zip(route, start, strict=False))
    ]
    found = max(below, key=lambda route: sum(other[: len(route)] == route for other in below), default=None)
    return _filled_in(found, [*start, *found[len(start) :]]) if found else None


def asks_for_page() -> bool:
    """Return whether the request is a browser's, which would show a page to a person."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _page_meant(path: str) -> str | None:
    """Return the address of the public page at a path, if a browser asks for it with a slash too many at its end, or None.

    The address is relative, because a proxy may have removed a prefix of the path.
    """
    routes: Iterator[Route] = current_app.url_map.iter_rules()  # type: ignore[assignment]
    pages = {f"{route.rule}/" for route in routes if route.access.kind is Kind.PUBLIC and "GET" in (route.methods or ())}
    return f"../{path.split('/')[-2]}" if path in pages and request.method in ("GET", "HEAD") and asks_for_page() else None


def refuse_unknown_path(_: NotFound) -> Any:
    """Return the 404 of an unknown path, a redirect to the page that was meant, or the 503 if the database does not answer."""
    if page := _page_meant(request.path):
        response = redirect(page)
        response.headers.update({"Vary": "Accept", **NO_STORE})
        return response
    try:
        nearest = nearest_path(request.path)
        below = None if nearest else _path_below(request.path[:MAX_PATH])
        lacks_demo = request.path.startswith("/standin/") and not holds_demo()
    except sqlite3.Error as error:  # Flask does not handle what an error handler raises
        return error_response(translate_database_error(error))
    hint = f"; the nearest path is {nearest}" if nearest else f"; there are paths below it, such as {below}" if below else ""
    hint += "; most of /standin is there only while the database holds the demo" if lacks_demo else ""
    return error_response(ApiError(404, f"There is no {shortened(request.path)} here{hint}; /docs lists every path"))


def refuse_unknown_method(error: MethodNotAllowed) -> Any:
    """Return the 405 of a path that lacks the method, or the 404 of one that exists only while the database holds the demo."""
    adapter: Any = request_ctx.url_adapter
    kinds = {adapter.match(method=method, return_rule=True)[0].access.kind for method in error.valid_methods or ()}
    try:
        is_here = kinds != {Kind.DEMO} or holds_demo()
    except sqlite3.Error as failure:
        return error_response(translate_database_error(failure))
    return handle_http_exception(error) if is_here else refuse_unknown_path(NotFound())
