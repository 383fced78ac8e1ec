"""Who may call what: the decorators with which views declare it, and the routes that carry the declaration."""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.routing import Rule

from sigma.http.errors import MAX_BODY, MAX_PUBLIC_BODY

View = Callable[..., Any]


class Kind(StrEnum):
    """Whom a route admits."""

    PUBLIC = "public"  # everybody, without a credential
    PERMISSION = "permission"  # API keys that hold the permission, and users whose role has the flag
    SESSION = "session"  # users whose role has the flag, and no API key, whatever it holds
    CREDENTIAL = "credential"  # every API key and every user
    SESSION_OR_DEMO = "session-or-demo"  # as SESSION; as DEMO if the query names a workspace and there is no credential
    DEMO = "demo"  # programs on this machine, without a credential; the route exists only while the database holds the demo
    NOT_BUILT = "not-built"  # nobody: Sigma PIM documents the route, and this service does not have it


_WHILE_DEMO = "while the database holds the demo workspace"
_NEEDS_NO_CREDENTIAL = {Kind.PUBLIC, Kind.DEMO}
PRIVATE = "Cache-Control", "private, no-store"
_SESSIONS = (Kind.SESSION, Kind.SESSION_OR_DEMO)


class Access(NamedTuple):
    """Who may call a route: its kind, and the details of that kind."""

    kind: Kind
    permission: str | None = None  # that an API key needs, for PERMISSION
    flag: str | None = None  # that a user's role needs, for PERMISSION and sessions; None: any user may call
    feature: str | None = None  # that Sigma PIM documents at the path, for NOT_BUILT

    @property
    def needs_credential(self) -> bool:
        """Whether the route needs a credential."""
        return self.kind not in _NEEDS_NO_CREDENTIAL

    @property
    def max_body(self) -> int:
        """How many bytes a body may have."""
        return MAX_PUBLIC_BODY if self.kind is Kind.PUBLIC else MAX_BODY

    @property
    def is_for_sessions(self) -> bool:
        """Whether the credential must be a session token, so that no API key is admitted."""
        return self.kind in _SESSIONS

    @property
    def announced(self) -> str | None:
        """The value of X-Sigma-Required-Permission in responses; None: they do not have the header."""
        return self.permission or ("session" if self.is_for_sessions else None)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of every response of the route, refusals included: a cache must not show one caller's to another."""
        named = (("X-Sigma-Required-Permission", self.announced),) if self.announced else ()
        return (*named, PRIVATE) if self.needs_credential else named

    @property
    def requirement(self) -> str:
        """What an API key needs, in one word: a permission, or the route's kind where permissions do not matter."""
        return self.announced or self.kind.value

    @property
    def in_short(self) -> str:
        """Who may call the route, in a few words: the permission that a key needs, then the flag that a role needs."""
        if self.kind is Kind.CREDENTIAL:
            return "any key or person"
        if self.kind is Kind.DEMO:
            return "demo only"
        key = "people only" if self.is_for_sessions else self.requirement
        return f"{key}: {self.flag}" if self.flag else key

    @property
    def in_words(self) -> str:
        """Who may call the route, in sentences."""
        if self.kind is Kind.PUBLIC:
            return "Needs no credential."
        if self.kind is Kind.CREDENTIAL:
            return "Every API key and every signed-in user may call it."
        if self.kind is Kind.DEMO:
            return f"Needs no credential. It exists only {_WHILE_DEMO}, and not for web pages of other origins."
        if self.kind is Kind.NOT_BUILT:
            return f"Sigma PIM documents {self.feature}; this stand-in does not have it."
        key = f"An API key needs `{self.permission}`" if self.permission else "No API key may call it"
        user = f"a signed-in user needs a role with `{self.flag}`" if self.flag else "any signed-in user may call it"
        more = f" But {_WHILE_DEMO}, `?workspace=` replaces the credential, except for web pages of other origins."
        return f"{key}; {user}.{more if self.kind is Kind.SESSION_OR_DEMO else ''}"


def declare(access: Access) -> Callable[[View], View]:
    """Return a decorator that declares who may call a view."""

    def decorator(view: View) -> View:
        setattr(view, "access", access)  # noqa: B010 (to a type checker, functions have no such attribute)
        return view

    return decorator


def requires(permission: str, flag: str | None = None) -> Callable[[View], View]:
    """Admit API keys that hold the permission, and users whose role has the flag (any user if no flag is given)."""
    return declare(Access(Kind.PERMISSION, permission, flag))


def session_only(flag: str | None = None) -> Callable[[View], View]:
    """Admit users whose role has the flag (any user if no flag is given), and no API key."""
    return declare(Access(Kind.SESSION, flag=flag))


def session_or_demo(flag: str) -> Callable[[View], View]:
    """Admit users whose role has the flag; for the demo, also callers without a credential that name a workspace."""
    return declare(Access(Kind.SESSION_OR_DEMO, flag=flag))


public = declare(Access(Kind.PUBLIC))
any_credential = declare(Access(Kind.CREDENTIAL))
demo_only = declare(Access(Kind.DEMO))


def documented_only(feature: str) -> Callable[[View], View]:
    """Refuse every authenticated caller with 501, and say that Sigma PIM documents this feature."""
    return declare(Access(Kind.NOT_BUILT, feature=feature))


def role_advice(role: str) -> str:
    """Return the end of a 403 that is due to a caller's role: how that changes, even if nobody manages roles any more."""
    return (
        f"someone who manages roles can change it with PUT /api/v1/roles/{role},"
        " or whoever runs the service can give you another with `flask users role`"
    )


ANY_METHOD = ("*",)


class Route(Rule):
    """A path with its methods. bind_access() adds what the view declares: who may call it, and its query parameters."""

    access: Access
    headers: tuple[tuple[str, str], ...]  # of every response
    query_names: frozenset[str] | None  # the query parameters that it knows; None: no request gets that far

    def __init__(self, *arguments: Any, **options: Any):
        if options.get("methods") == set(ANY_METHOD):  # Flask has no other way to ask for a rule of all methods
            options["methods"] = None
        super().__init__(*arguments, **options)

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        # For each rule, Werkzeug compiles two functions that build its URL. Nothing here builds URLs, so they are compiled only
        # when called, which saves 6 % of a start.
        compile_builder = super()._compile_builder
        return lambda rule, **values: compile_builder(append_unknown).__get__(rule, None)(**values)

    @property
    def template(self) -> str:
        """The path as the OpenAPI document writes it."""
        return re.sub("<(?:[^<>]*:)?([a-z_]+)>", r"{\1}", self.rule)


def list_built_routes(app: Flask) -> Iterator[tuple[str, Any]]:
    """Yield each method with its Route, without the routes that are documented only."""
    for route in app.url_map.iter_rules():
        if route.access.kind is not Kind.NOT_BUILT:  # type: ignore[attr-defined]
            for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, route


def list_api_routes(app: Flask) -> Iterator[tuple[str, Any]]:
    """Yield each method with its Route for the API's own paths, without the routes that are documented only."""
    return ((method, route) for method, route in list_built_routes(app) if route.rule.startswith("/api/"))
