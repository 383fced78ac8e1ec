"""The guard: the one hook that holds every request to what its view declares."""

from flask import Response, current_app, g, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from sigma.http.access import Access
from sigma.http.credentials import Caller, authenticate
from sigma.http.errors import MAX_BODY, ApiError, error_response
from sigma.http.ledger import record_refusal, touch_key
from sigma.http.loopback import holds_demo, require_local_caller


def _check_permitted(caller: Caller, access: Access) -> None:
    """Raise ApiError 403 unless the caller may call the route, and 501 for one that this service does not have."""
    permission, flag, missing = access
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


def guard() -> Response | None:
    """Let a request through to its view only if its caller may call it: the one place where that is decided.

    It is the app's only before_request hook, and runs for every endpoint. Paths and methods that do not exist have none.
    """
    context, asked = g._get_current_object(), request._get_current_object()  # type: ignore[attr-defined]
    if asked.url_rule is None:
        return None
    access = asked.url_rule.access
    try:
        if access.needs_credential:
            context.caller = caller = authenticate(asked.environ)
            context.tenant = caller.tenant
            _admit(caller, access)
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
