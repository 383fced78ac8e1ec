"""Who may call what: what each view declares, and the one hook that holds every request to it."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge
from werkzeug.routing import Rule

from sigma.database import fetch_one
from sigma.http.blueprint import ApiBlueprint
from sigma.http.credentials import Caller, authenticate
from sigma.http.errors import MAX_BODY, ApiError, error_response, get_or_404, not_found_error
from sigma.http.fields import reference_kinds
from sigma.http.ignored_query import query_names
from sigma.http.ledger import record_refusal, touch_key
from sigma.http.loopback import require_local_caller
from sigma.permissions import PERMISSIONS, ROLE_FLAGS
from sigma.settings import StartError

View = Callable[..., Any]


class Access(NamedTuple):
    """Who may call a route."""

    permission: str  # that an API key needs, or one of the words below
    flag: str | None = None  # that the role of a signed-in user needs
    missing: str | None = None  # what Sigma PIM documents there, of a path that this service does not have
    or_demo: bool = (
        False  # whether beside the demo nobody need be known who says which workspace of the demo or a test is meant
    )

    @property
    def needs_credential(self) -> bool:
        """Whether a caller must be known."""
        return self.permission not in ("public", "demo")

    @property
    def is_announced(self) -> bool:
        """Whether answers name the permission, in X-Sigma-Required-Permission."""
        return self.permission == "session" or self.permission in PERMISSIONS

    @property
    def in_words(self) -> str:
        """What it takes to call the route."""
        if self.permission == "public":
            return "Needs no credential."
        if self.permission == "credential":
            return "Every API key and every signed-in user may call it."
        if self.permission == "demo":
            return "Needs no credential. It is there only beside the demo workspace, and not for web pages of other origins."
        key = "No API key may call it" if self.permission == "session" else f"An API key needs `{self.permission}`"
        user = f"a signed-in user needs a role with `{self.flag}`" if self.flag else "any signed-in user may call it"
        more = " Beside the demo workspace `?workspace=` does for a credential, but not for web pages of other origins."
        return f"{key}; {user}.{more * self.or_demo}"


class Route(Rule):
    """A path with its methods, who may call it and what queries it knows; bind_access() puts that here, from its view."""

    access: Access
    query_names: frozenset[str] | None  # the parameters of its query string; None: nobody gets as far as that

    @property
    def template(self) -> str:
        """The path as the OpenAPI document writes it."""
        return re.sub("<([a-z_]+)>", r"{\1}", self.rule)


def declare(access: Access) -> Callable[[View], View]:
    """Return a decorator that declares who may call a view."""

    def decorator(view: View) -> View:
        setattr(view, "access", access)  # noqa: B010 (to a type checker, functions have no such attribute)
        return view

    return decorator


def requires(permission: str, flag: str | None = None) -> Callable[[View], View]:
    """Admit API keys that hold the permission, and users whose role has the flag (any user without one)."""
    return declare(Access(permission, flag))


def session_only(flag: str | None = None) -> Callable[[View], View]:
    """Admit users whose role has the flag (any user without one), and no API key, whatever it holds."""
    return requires("session", flag)


public = requires("public")
any_credential = requires("credential")  # only of the stand-in's own routes: admits every key and every user
demo_only = requires("demo")  # only of the stand-in's own routes: no credential, there only beside the demo workspace


def session_or_demo(flag: str) -> Callable[[View], View]:
    """Admit users whose role has the flag, and beside the demo whoever names a workspace of the demo or a test.

    Only of the stand-in's own routes.
    """
    return declare(Access("session", flag, or_demo=True))


def documented_only(feature: str) -> Callable[[View], View]:
    """Refuse everybody who is known, because Sigma PIM documents this feature and it is not built here."""
    return declare(Access("credential", missing=feature))


def _check_permitted(caller: Caller, access: Access) -> None:
    """Raise ApiError 403 unless the caller may call the route, and 501 for one that this service does not have."""
    permission, flag, missing = access[:3]
    if missing is not None:
        raise ApiError(501, f"Sigma PIM documents {missing}; this stand-in does not have it")
    if permission == "credential":
        return
    if caller.is_key:
        if permission not in caller.permissions:
            held = ", ".join(caller.permissions)
            if permission == "session":
                raise ApiError(
                    403, f"This route needs a signed-in user, not a key: POST /api/v1/auth/login; the key holds: {held}"
                )
            advice = "make a key that holds it, with POST /api/v1/api-keys"
            raise ApiError(403, f"This route needs permission '{permission}'; the key holds: {held}; {advice}")
    elif flag is not None and not caller.role_says(flag):
        raise ApiError(403, f"This route needs a role with {flag}; yours is '{caller.role_says('id')}'")


def _admit(caller: Caller, access: Access) -> None:
    """Raise ApiError 403 unless the caller may call the route; a key's ledger keeps the one and the other."""
    try:
        _check_permitted(caller, access)
    except ApiError as error:
        if caller.is_key and error.code == 403:
            record_refusal(caller, access.permission)
        elif caller.is_key:  # what is not built here is lacked by nobody
            touch_key(caller, access.permission)
        raise
    if caller.is_key:
        touch_key(caller, access.permission)


def may_call(caller: Caller, access: Access) -> bool:
    """Return whether the caller may call a route; _check_permitted() decides, as it does when the route is called."""
    try:
        if access.needs_credential:
            _check_permitted(caller, access)
    except ApiError:
        return False
    return True


def holds_demo() -> bool:
    """Return whether the database holds the demo workspace, which a deployment's never does."""
    return fetch_one("SELECT 1 FROM workspaces WHERE is_demo") is not None


def _name_workspace(asked: Any) -> str | None:
    """Return the workspace that a request without a credential may act in because it names it; None if it must have one.

    Raises ApiError 403 or 404.
    """
    id = asked.args.get("workspace")
    if id is None or {"HTTP_X_SIGMA_APIKEY", "HTTP_AUTHORIZATION"} & asked.environ.keys() or not holds_demo():
        return None
    require_local_caller()
    row = fetch_one("SELECT id FROM workspaces WHERE id = ? AND (is_demo OR is_disposable)", id)
    return str(get_or_404(row, "workspace", id)[0])


def guard() -> Response | None:
    """Let a request through to its view only if its caller may call it: the one place where that is decided.

    It is the app's only before_request hook, and runs for every endpoint. Paths and methods that do not exist have none.
    """
    context, asked = g._get_current_object(), request._get_current_object()  # type: ignore[attr-defined]
    if asked.url_rule is None:
        return None
    access = asked.url_rule.access
    try:
        if access.or_demo and (tenant := _name_workspace(asked)):
            context.tenant = tenant
        elif access.needs_credential:
            context.caller = caller = authenticate(asked.environ)
            context.tenant = caller.tenant
            _admit(caller, access)
            if access.or_demo and (named := asked.args.get("workspace", caller.tenant)) != caller.tenant:
                raise not_found_error("workspace", named)
            if caller.has_faults and asked.url_rule.rule.startswith("/api/"):
                current_app.inject_fault(caller)  # type: ignore[attr-defined]
        elif access.permission == "demo":
            if not holds_demo():
                raise NotFound
            require_local_caller()
    except ApiError as error:  # Flask's own way to its error handlers costs half of a bare request
        return error_response(error)
    if "CONTENT_LENGTH" in asked.environ and (asked.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge
    return None


def _describe_rule(rule: Rule, view: View) -> str:
    code = inspect.unwrap(view).__code__
    methods = "/".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
    return f"{methods} {rule.rule} ({code.co_filename}:{code.co_firstlineno})"


def _declaration_problems(app: Flask, rule: Rule, view: View, kinds: Collection[str]) -> Iterator[str]:
    access: Access | None = getattr(view, "access", None)
    if access is None:
        yield "does not declare who may call it: add @requires, @session_only or @public"
        return
    if access.missing is not None:
        words = ["credential"]
    else:
        if access.or_demo and not rule.rule.startswith("/standin/"):
            yield "lets nobody in particular in beside the demo, which only routes of the stand-in may"
        words = [*PERMISSIONS, "session", "public"] + ([] if rule.rule.startswith("/api/") else ["credential", "demo"])
    blueprint = app.blueprints.get(rule.endpoint.rpartition(".")[0])
    if rule.rule.startswith(("/api/", "/standin/")) and not isinstance(blueprint, ApiBlueprint):
        yield "belongs to no ApiBlueprint, which declares its tag in the OpenAPI document"
    if access.permission not in words:
        yield f"requires '{access.permission}', which is no permission: there are {', '.join(words)}"
    if access.flag is not None and access.flag not in ROLE_FLAGS:
        yield f"requires the role flag '{access.flag}', which does not exist: there are {', '.join(ROLE_FLAGS)}"
    if (body := getattr(view, "body", None)) is not None:
        for kind in sorted(reference_kinds(body) - set(kinds)):
            yield f"takes the id of a '{kind}', which is no kind of the model: there are {', '.join(kinds)}"


def bind_access(app: Flask, kinds: Collection[str]) -> None:
    """Put on each route of the app who may call it, and with which queries, as its view declares; the guard goes by that.

    Takes the kinds of model objects that bodies may refer to. Raises StartError for a view that does not declare who may
    call it, or with a word that nothing knows.
    """
    for rule in app.url_map.iter_rules():
        view: Any = app.view_functions[rule.endpoint]
        for problem in _declaration_problems(app, rule, view, kinds):
            raise StartError(f"{_describe_rule(rule, view)} {problem}")
        rule.access = view.access  # type: ignore[attr-defined]
        rule.query_names = None if view.access.missing else query_names(view)  # type: ignore[attr-defined]
