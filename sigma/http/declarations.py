"""What views declare: checked when the service starts, and put on their routes, where the guard looks for it."""

import inspect
from collections.abc import Collection, Iterator
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from sigma.http.access import Access, Kind, View
from sigma.http.blueprint import ApiBlueprint
from sigma.http.ignored_query import query_names
from sigma.http.references import reference_kinds
from sigma.permissions import PERMISSIONS, ROLE_FLAGS
from sigma.settings import StartError

BESIDE_THE_API = (Kind.CREDENTIAL, Kind.SESSION_OR_DEMO, Kind.DEMO)  # kinds that a route below /api/ cannot have


def _describe_rule(rule: Rule, view: View) -> str:
    code = inspect.unwrap(view).__code__
    methods = "/".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
    return f"{methods} {rule.rule} ({code.co_filename}:{code.co_firstlineno})"


def _declaration_problems(app: Flask, rule: Rule, view: View, kinds: Collection[str]) -> Iterator[str]:
    access: Access | None = getattr(view, "access", None)
    if access is None:
        yield "does not declare who may call it: add @requires, @session_only or @public"
        return
    blueprint = app.blueprints.get(rule.endpoint.rpartition(".")[0])
    if rule.rule.startswith(("/api/", "/standin/")) and not isinstance(blueprint, ApiBlueprint):
        yield "belongs to no ApiBlueprint, which declares its tag in the OpenAPI document"
    if rule.rule.startswith("/api/") and access.kind in BESIDE_THE_API:
        yield f"is of the kind '{access.kind}', which is only for routes beside the API"
    if access.kind is Kind.PERMISSION and access.permission not in PERMISSIONS:
        yield f"requires '{access.permission}', which is not a permission: there are {', '.join(PERMISSIONS)}"
    if access.flag is not None and access.flag not in ROLE_FLAGS:
        yield f"requires the role flag '{access.flag}', which does not exist: there are {', '.join(ROLE_FLAGS)}"
    if (body := getattr(view, "body", None)) is not None:
        for kind in sorted(reference_kinds(body) - set(kinds)):
            yield f"takes the id of a '{kind}', which is not a kind of model object: there are {', '.join(kinds)}"


def bind_access(app: Flask, kinds: Collection[str]) -> None:
    """Put on each route of the app what its view declares, for the guard: who may call it, and its query parameters.

    Takes the kinds of model objects that bodies may refer to. Raises StartError for a view that does not declare who may
    call it, or declares an unknown permission, flag or kind.
    """
    for rule in app.url_map.iter_rules():
        view: Any = app.view_functions[rule.endpoint]
        for problem in _declaration_problems(app, rule, view, kinds):
            raise StartError(f"{_describe_rule(rule, view)} {problem}")
        rule.access, rule.headers = view.access, view.access.headers  # type: ignore[attr-defined]
        rule.query_names = None if view.access.kind is Kind.NOT_BUILT else query_names(view)  # type: ignore[attr-defined]


def require_no_other_hooks(app: Flask) -> None:
    """Raise StartError for a hook of a blueprint or a URL value preprocessor, because the service does not call these."""
    blueprint_hooks = {
        f"{name} of {scope}": functions
        for name in ("before_request_funcs", "after_request_funcs", "teardown_request_funcs")
        for scope, functions in getattr(app, name).items()
        if scope is not None
    }
    for name, functions in {**blueprint_hooks, "url_value_preprocessors": app.url_value_preprocessors}.items():
        if functions:
            raise StartError(f"{name}: only the app's own before_request, after_request and teardown hooks are called here")
