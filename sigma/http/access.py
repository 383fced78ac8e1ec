"""Who may call what: the words with which each view declares it."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from werkzeug.routing import Rule

from sigma.permissions import PERMISSIONS

View = Callable[..., Any]


class Access(NamedTuple):
    """Who may call a route."""

    permission: str  # that an API key needs, or one of the words below
    flag: str | None = None  # that the role of a signed-in user needs
    missing: str | None = None  # what Sigma PIM documents there, of a path that this service does not have

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
        return f"{key}; {user}."


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


def documented_only(feature: str) -> Callable[[View], View]:
    """Refuse everybody who is known, because Sigma PIM documents this feature and it is not built here."""
    return declare(Access("credential", missing=feature))
