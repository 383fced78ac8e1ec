"""Who may call what: what views declare, and what holds them to it."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import Rule

from sigma.database import fetch_one
from sigma.http.blueprint import api, standin
from sigma.http.bodies import not_json
from sigma.http.credentials import Caller, authenticate
from sigma.http.errors import MAX_BODY, ApiError, error_response
from sigma.http.strict_json import format_value
from sigma.permissions import PERMISSIONS, ROLE_FLAGS
from sigma.settings import StartError


class Access(NamedTuple):
    """Who may call a route."""

    permission: str  # that an API key needs; "session": no key may call it; "public": everybody may
    flag: str | None = None  # that the role of a signed-in user needs

    @property
    def is_named(self) -> bool:
        """Whether answers name the permission, in X-Sigma-Required-Permission."""
        return self.permission == "session" or self.permission in PERMISSIONS


class Route(Rule):
    """A path with its methods, and who may call it: settle_access() puts that here from what the view declares."""

    access: Access | None = None


def requires(permission: str, flag: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Admit API keys that hold the permission, and users whose role has the flag (any user without one)."""

    def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
        setattr(view, "access", Access(permission, flag))  # noqa: B010 (to a type checker, functions have no such attribute)
        return view

    return decorator


def session_only(flag: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Admit users whose role has the flag (any user without one), and no API key, whatever it holds."""
    return requires("session", flag)


public = requires("public")
any_caller = requires("credential")  # of /standin: admits every good credential
demo_only = requires("demo")  # of /standin: asks for no credential, and is there only beside the demo workspace


def check_permitted(caller: Caller, access: Access) -> None:
    """Raise ApiError 403 unless the caller may call the route."""
    if caller.is_key:
        if access.permission not in caller.permissions:
            held = ", ".join(caller.permissions)
            if access.permission == "session":
                raise ApiError(
                    403, f"This route needs a signed-in user, not a key: POST /api/v1/auth/login; the key holds: {held}"
                )
            advice = "make a key that holds it, with POST /api/v1/api-keys"
            raise ApiError(403, f"This route needs permission '{access.permission}'; the key holds: {held}; {advice}")
    elif access.flag is not None and not caller.role_says(access.flag):
        raise ApiError(403, f"This route needs a role with {access.flag}; yours is '{caller.role_says('id')}'")


@api.before_request
def guard() -> Response | None:
    """Let a request through to its view only if its caller may call it: the one place where that is decided."""
    about, asked = g._get_current_object(), request._get_current_object()  # type: ignore[attr-defined]
    access, environ = asked.url_rule.access, asked.environ
    if access.permission != "public":
        try:
            about.caller = asked.caller = caller = authenticate(environ)
            about.tenant = caller.tenant
            check_permitted(caller, access)
        except ApiError as error:  # answered here, because Flask's way to its error handlers costs half a request
            return error_response(error)
    if environ.get("CONTENT_LENGTH") and (asked.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge
    return None


DECLARATIONS = {  # by the path that routes are below: the blueprint that guards them, and what they may declare
    "/api/v1": ("api", [*PERMISSIONS, "session", "public"]),
    "/standin": ("standin", ["credential", "demo"]),
}


def bind_access(app: Flask) -> None:
    """Put on each route under these paths who may call it, as its view declares; what guards them goes by that.

    Raises StartError for a route whose view does not say it, or says it in an unknown word.
    """
    for rule in app.url_map.iter_rules():
        place = next((path for path in DECLARATIONS if rule.rule.startswith(path)), None)
        if place is None:
            continue
        blueprint, words = DECLARATIONS[place]
        access = getattr(app.view_functions[rule.endpoint], "access", None)
        route = f"{'/'.join(sorted((rule.methods or set()) - {'HEAD', 'OPTIONS'}))} {rule.rule} ({rule.endpoint})"
        if access is None or not rule.endpoint.startswith(f"{blueprint}."):
            decorators = "@requires, @session_only or @public" if blueprint == "api" else "@any_caller or @demo_only"
            raise StartError(f"{route} does not declare who may call it: add {decorators} to a route of `{blueprint}`")
        if access.permission not in words:
            raise StartError(f"{route} requires '{access.permission}', which is no permission of {place}: {', '.join(words)}")
        if access.flag is not None and access.flag not in ROLE_FLAGS:
            raise StartError(f"{route} requires the role flag '{access.flag}', which does not exist: {', '.join(ROLE_FLAGS)}")
        rule.access = access  # type: ignore[attr-defined]


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_our_host(host: str) -> bool:
    """Return whether a Host header has a name that only this machine's own programs use, or that a setting allows."""
    name = re.sub(r":[0-9]{1,5}\Z", "", host.lower())
    if name in ("localhost", "[::1]", *current_app.config["STANDIN_HOSTS"]):
        return True
    return re.fullmatch(r"127(\.[0-9]{1,3}){3}", name) is not None


def require_local_caller() -> None:
    """Raise ApiError 403 for what a page of another origin can make a developer's browser send, or another machine sends.

    A page may send a request across origins, or lead its own host name to this machine (DNS rebinding). What is no
    browser may send any Host; that is let in from another machine only where the setting expects it.
    """
    forwarded = not current_app.config["PROXIES"] and any(
        name in request.environ for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA")
    )
    if not current_app.config["STANDIN_HOSTS"] and (forwarded or not is_loopback(request.remote_addr or "")):
        raise ApiError(403, "This is for programs on this machine; SIGMA_STANDIN_HOSTS opens it to others")
    host, origin = request.environ.get("HTTP_HOST", ""), request.headers.get("Origin")
    if not is_our_host(host):
        raise ApiError(
            403, f"Host: expected localhost, a loopback address or a name in SIGMA_STANDIN_HOSTS, got {format_value(host)}"
        )
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        raise ApiError(403, f"Origin: expected none, or this service's own, got {format_value(origin)}")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("none", "same-origin"):
        raise ApiError(403, f"Sec-Fetch-Site: expected none or same-origin, got {format_value(site)}")


def holds_demo() -> bool:
    """Return whether the database holds the demo workspace, which a deployment's never does."""
    return fetch_one("SELECT 1 FROM workspaces WHERE is_demo") is not None


@standin.before_request
def guard_standin() -> None:
    """Let a request through to its view only if its caller may call it: the one place where that is decided."""
    if request.url_rule.access.permission == "credential":  # type: ignore[union-attr]
        g.caller = request.caller = authenticate(request.environ)  # type: ignore[attr-defined]
        g.tenant = g.caller.tenant
    else:
        if not holds_demo():
            raise NotFound
        require_local_caller()
    if (request.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge
    if request.method == "POST" and not request.is_json:  # a form of a web page cannot send JSON
        raise not_json(request)


def is_hidden(error: MethodNotAllowed) -> bool:
    """Return whether a wrong method is one of a route that is there only beside the demo: elsewhere it has no methods."""
    if error is not request.routing_exception:
        return False
    adapter = current_app.create_url_adapter(request)
    rule: Any = adapter.match(method=next(iter(error.valid_methods or ())), return_rule=True)[0]  # type: ignore[union-attr]
    return rule.access is not None and rule.access.permission == "demo" and not holds_demo()


def may_call(caller: Caller, access: Access) -> bool:
    """Return whether the caller may call a route; it is asked of what decides when the route is called."""
    try:
        if access.permission != "public":
            check_permitted(caller, access)
    except ApiError:
        return False
    return True
