"""Who may call what: the words with which each view declares it."""

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
    SESSION_OR_DEMO = "session-or-demo"  # as SESSION; or as DEMO, if the query names a workspace and there is no credential
    DEMO = "demo"  # programs on this machine, without a credential; the route is there only beside the demo workspace
    NOT_BUILT = "not-built"  # nobody: Sigma PIM documents the route, and this service does not have it


_NEEDS_NO_CREDENTIAL = {Kind.PUBLIC, Kind.DEMO}
_SESSIONS = (Kind.SESSION, Kind.SESSION_OR_DEMO)


class Access(NamedTuple):
    """Who may call a route: the kind of route, and what belongs to that kind."""

    kind: Kind
    permission: str | None = None  # of PERMISSION: what an API key needs
    flag: str | None = None  # of PERMISSION and the sessions: what the role of a user needs; None: any user will do
    feature: str | None = None  # of NOT_BUILT: what Sigma PIM documents there

    @property
    def needs_credential(self) -> bool:
        """Whether a caller must be known."""
        return self.kind not in _NEEDS_NO_CREDENTIAL

    @property
    def max_body(self) -> int:
        """How many bytes a body may have."""
        return MAX_PUBLIC_BODY if self.kind is Kind.PUBLIC else MAX_BODY

    @property
    def is_for_sessions(self) -> bool:
        """Whether a credential must be a session, and no API key will do."""
        return self.kind in _SESSIONS

    @property
    def announced(self) -> str | None:
        """What answers say in X-Sigma-Required-Permission; None where they do not have it."""
        return self.permission or ("session" if self.is_for_sessions else None)

    @property
    def requirement(self) -> str:
        """What an API key needs, in one word: the permission, or the kind of a route for which no permission counts."""
        return self.announced or self.kind.value

    @property
    def in_short(self) -> str:
        """What it takes to call the route, in few words: what a key needs, and behind it the flag of a person's role."""
        if self.kind is Kind.CREDENTIAL:
            return "any key or person"
        if self.kind is Kind.DEMO:
            return "demo only"
        key = "people only" if self.is_for_sessions else self.requirement
        return f"{key}: {self.flag}" if self.flag else key

    @property
    def in_words(self) -> str:
        """What it takes to call the route."""
        if self.kind is Kind.PUBLIC:
            return "Needs no credential."
        if self.kind is Kind.CREDENTIAL:
            return "Every API key and every signed-in user may call it."
        if self.kind is Kind.DEMO:
            return "Needs no credential. It is there only beside the demo workspace, and not for web pages of other origins."
        if self.kind is Kind.NOT_BUILT:
            return f"Sigma PIM documents {self.feature}; this stand-in does not have it."
        key = f"An API key needs `{self.permission}`" if self.permission else "No API key may call it"
        user = f"a signed-in user needs a role with `{self.flag}`" if self.flag else "any signed-in user may call it"
        more = " Beside the demo workspace `?workspace=` does for a credential, but not for web pages of other origins."
        return f"{key}; {user}.{more if self.kind is Kind.SESSION_OR_DEMO else ''}"


def declare(access: Access) -> Callable[[View], View]:
    """Return a decorator that declares who may call a view."""

    def decorator(view: View) -> View:
        setattr(view, "access", access)  # noqa: B010 (to a type checker, functions have no such attribute)
        return view

    return decorator


def requires(permission: str, flag: str | None = None) -> Callable[[View], View]:
    """Admit API keys that hold the permission, and users whose role has the flag (any user without one)."""
    return declare(Access(Kind.PERMISSION, permission, flag))


def session_only(flag: str | None = None) -> Callable[[View], View]:
    """Admit users whose role has the flag (any user without one), and no API key."""
    return declare(Access(Kind.SESSION, flag=flag))


def session_or_demo(flag: str) -> Callable[[View], View]:
    """Admit users whose role has the flag, and beside the demo whoever names one of its workspaces, without a credential."""
    return declare(Access(Kind.SESSION_OR_DEMO, flag=flag))


public = declare(Access(Kind.PUBLIC))
any_credential = declare(Access(Kind.CREDENTIAL))
demo_only = declare(Access(Kind.DEMO))


def documented_only(feature: str) -> Callable[[View], View]:
    """Refuse everybody who is known with 501, and say that Sigma PIM documents this feature."""
    return declare(Access(Kind.NOT_BUILT, feature=feature))


def role_advice(role: str) -> str:
    """Return how what a role does not allow is changed, for the end of a 403."""
    return f"who manages roles changes it with PUT /api/v1/roles/{role}, or gives you another with `flask users role`"


ANY_METHOD = ("*",)


class Route(Rule):
    """A path with its methods, who may call it and what queries it knows; bind_access() puts that here, from its view."""

    access: Access
    query_names: frozenset[str] | None  # the parameters of its query string; None: nobody gets as far as that

    def __init__(self, *arguments: Any, **options: Any):
        if options.get("methods") == set(ANY_METHOD):  # Flask has no other way to ask for a rule of all methods
            options["methods"] = None
        super().__init__(*arguments, **options)

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        # Werkzeug compiles two functions for each rule that build its URL. Here nothing asks for one: made only when something
        # does, they no longer take 6 % of a start.
        compile_builder = super()._compile_builder
        return lambda rule, **values: compile_builder(append_unknown).__get__(rule, None)(**values)

    @property
    def template(self) -> str:
        """The path as the OpenAPI document writes it."""
        return re.sub("<(?:[^<>]*:)?([a-z_]+)>", r"{\1}", self.rule)


def list_built_routes(app: Flask) -> Iterator[tuple[str, Any]]:
    """Yield each method and Route that there is, by path, but for those that are not built."""
    for route in app.url_map.iter_rules():
        if route.access.kind is not Kind.NOT_BUILT:  # type: ignore[attr-defined]
            for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, route


def list_api_routes(app: Flask) -> Iterator[tuple[str, Any]]:
    """Yield each method and Route of the API, but for those that are not built."""
    return ((method, route) for method, route in list_built_routes(app) if route.rule.startswith("/api/"))
