"""Finding the route of a request: in a table of the forms that paths have, and by Werkzeug where that does not suffice."""

import re
from collections.abc import Mapping
from typing import Any

from flask import Request
from werkzeug.routing import Map, Rule

PLACE = re.compile("<([a-z_]+)>")  # a part of a path that may be any text, and is passed to the view by this name
NO_METHOD = "-"  # in place of one such as get, which Werkzeug takes for GET
Form = tuple[str | None, ...]  # a path's parts; None for what may be any text


class RouteTable:
    """The routes by method and form, such as GET /api/v1/records/<id>: its view's arguments are parts of the path.

    A part that is a word in the rule of any route stands for itself here. So a path has one form, and those that need a
    decision, such as a record whose id is "search", are not in the table. Werkzeug routes these, and finds the errors; it
    takes five times as long, a quarter of a GET.
    """

    def __init__(self, url_map: Map):
        self.slow = url_map.bind("", subdomain="")
        self.words: set[str] = set()
        self.routes: dict[tuple[str, Form], tuple[Rule, list[tuple[str, int]]]] = {}
        for route in url_map.iter_rules():
            self._add(route)

    def _add(self, route: Rule) -> None:
        parts = route.rule.split("/")
        names = [(match[1], index) for index, part in enumerate(parts) if (match := PLACE.fullmatch(part))]
        places = {index for _, index in names}
        self.words.update(part for index, part in enumerate(parts) if index not in places)
        if route.arguments == {name for name, _ in names}:  # else only Werkzeug knows what it takes, as with <path:rest>
            form = tuple(None if index in places else part for index, part in enumerate(parts))
            for method in route.methods or ():
                self.routes.setdefault((method, form), (route, names))

    def find(self, path: str, method: str) -> tuple[Rule, Mapping[str, Any]]:
        """Return the route, and the arguments of its view. Raises NotFound or MethodNotAllowed."""
        parts = path.split("/")
        form = tuple([part if part in self.words else None for part in parts])
        if (found := self.routes.get((method, form))) is None:
            return self.slow.match(path, method if method.isupper() else NO_METHOD, return_rule=True)
        route, names = found
        return route, {name: parts[index] for name, index in names}


class Adapter:
    """Routes one request for Flask, which calls this in place of Werkzeug's MapAdapter."""

    def __init__(self, table: RouteTable, asked: Request):
        self.table, self.asked = table, asked

    def match(self, method: str | None = None, return_rule: bool = True) -> tuple[Rule, Mapping[str, Any]]:
        """Return the route, and the arguments of its view. Raises NotFound or MethodNotAllowed."""
        return self.table.find(self.asked.path, method or self.asked.method)

    def build(self, *arguments: Any, **options: Any) -> str:
        """Return the URL of a route, for url_for()."""
        return self.table.slow.build(*arguments, **options)
