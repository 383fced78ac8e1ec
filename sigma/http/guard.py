"""The guard: the one hook that checks every request against what its view declares."""

import functools
from collections.abc import Callable
from typing import Any

from flask import Response, current_app, request
from werkzeug.exceptions import NotFound

from sigma.context import context
from sigma.database import fetch_one
from sigma.http.access import Access, Kind, role_advice
from sigma.http.cors import answer_preflight
from sigma.http.credential_hints import BOTH_WAYS, SIGN_IN
from sigma.http.credentials import AGAIN, Caller, authenticate
from sigma.http.errors import ApiError, body_too_large, error_response, not_found_error
from sigma.http.key_use import record_refusal, touch_key
from sigma.http.loopback import holds_demo, require_local_caller

ACTIVE_KEY = "SELECT 1 FROM known_keys WHERE tenant = ? AND id = ? AND is_active"


def _for_people(error: ApiError) -> ApiError:
    """Return the 401 of a route that only people may call, with advice on how to sign in."""
    if error.message.endswith(BOTH_WAYS):  # only one of the two ways is open here
        error.message = error.message.removesuffix(BOTH_WAYS) + SIGN_IN
    elif AGAIN not in error.message:
        error.message += f"; {SIGN_IN}"
    return error


def _check_permitted(caller: Caller, access: Access) -> None:
    """Raise ApiError 403 unless the caller may call the route, and 501 for one that is not built."""
    if access.kind is Kind.NOT_BUILT:
        raise ApiError(501, access.in_words.removesuffix("."))
    if access.kind is Kind.CREDENTIAL:
        return
    if not caller.is_key:
        if access.flag is not None and not caller.role_says(access.flag):
            role = caller.role_says("id")
            raise ApiError(403, f"This route needs a role with {access.flag}; yours is '{role}'; {role_advice(role)}")
    elif access.permission not in caller.permissions:
        held = ", ".join(caller.permissions)
        if access.permission is None:
            needed = "a signed-in user, not a key, whatever it holds: sign in with POST /api/v1/auth/login"
            raise ApiError(403, f"This route needs {needed}; the key holds: {held}")
        advice = "make a key that holds it, with POST /api/v1/api-keys"
        raise ApiError(403, f"This route needs permission '{access.permission}'; the key holds: {held}; {advice}")


def may_call(caller: Caller, access: Access) -> bool:
    """Return whether the caller may call a route, by the same check as when it is called."""
    try:
        if access.needs_credential:
            _check_permitted(caller, access)
    except ApiError:
        return False
    return True


def _check_key(caller: Caller, access: Access) -> None:
    """Raise ApiError as _check_permitted() does, and record in the key's ledger what the key used or lacked."""
    try:
        _check_permitted(caller, access)
    except ApiError as error:
        if error.code == 403:
            record_refusal(caller, access.requirement)
        else:  # 501: the key lacks nothing
            touch_key(caller, access.requirement)
        raise
    touch_key(caller, access.requirement)


def _confirm_known(access: Access, asked: Any) -> None:
    """Check the caller again: rights may have changed while the body was sent, other writes went first, or a read went on.

    Raises ApiError for a credential that has ended since, and for a role that may no longer call the route. For a key it is
    enough to check that it is still active: nothing else about a key can change.
    """
    known = context()
    caller = known.caller
    if caller.is_key and fetch_one(ACTIVE_KEY, caller.tenant, caller.id):
        return
    known.caller = caller = authenticate(asked.environ)
    _check_permitted(caller, access)


def _admit_known(access: Access, asked: Any) -> None:
    """Identify the caller and its workspace. Raises ApiError for a caller that is unknown or may not call the route."""
    known = context()
    try:
        known.caller = caller = authenticate(asked.environ)
    except ApiError as error:
        raise _for_people(error) if access.is_for_sessions else error from None
    known.tenant = caller.tenant
    if caller.is_key:
        _check_key(caller, access)
    else:
        _check_permitted(caller, access)
    if caller.has_faults and asked.url_rule.rule.startswith("/api/"):
        current_app.inject_fault(caller)  # type: ignore[attr-defined]
    known.confirm = functools.partial(_confirm_known, access, asked)  # for transaction()


def _admit_known_or_named(access: Access, asked: Any) -> None:
    """Admit a request by its credential; for the demo, one without a credential to the workspace that its query names.

    Raises ApiError for a workspace that is not the caller's; without a credential, for one that is neither the demo's nor
    made for tests.
    """
    named = asked.args.get("workspace")
    has_credential = "HTTP_X_SIGMA_APIKEY" in asked.environ or "HTTP_AUTHORIZATION" in asked.environ
    if has_credential or named is None or not holds_demo():
        _admit_known(access, asked)
        if named not in (None, context().tenant):
            raise not_found_error("workspace", named)
        return
    require_local_caller()
    if not fetch_one("SELECT 1 FROM standin_workspaces WHERE id = ?", named):
        raise not_found_error("workspace", named)
    context().tenant = named


def _admit_beside_demo(access: Access, asked: Any) -> None:
    if not holds_demo():
        raise NotFound
    require_local_caller()


ADMISSIONS: dict[Kind, Callable[[Access, Any], None]] = {  # each raises ApiError or NotFound unless it admits the caller
    Kind.PUBLIC: lambda access, asked: None,
    Kind.PERMISSION: _admit_known,
    Kind.SESSION: _admit_known,
    Kind.SESSION_OR_DEMO: _admit_known_or_named,
    Kind.CREDENTIAL: _admit_known,
    Kind.DEMO: _admit_beside_demo,
    Kind.NOT_BUILT: _admit_known,
}


def guard() -> Response | None:
    """Let a request through to its view only if its caller may call the route: the one place where that is decided.

    This is the app's only before_request hook, and runs for every route.
    """
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]
    if asked.method == "OPTIONS" and (preflight := answer_preflight(asked)) is not None:
        return preflight
    if asked.url_rule is None:  # no such path or method; Flask answers 404 or 405
        return None
    access = asked.url_rule.access
    try:
        ADMISSIONS[access.kind](access, asked)
    except ApiError as error:  # the way through Flask's error handlers costs half of a bare request
        return error_response(error)
    if "CONTENT_LENGTH" in asked.environ and (asked.content_length or 0) > access.max_body:
        raise body_too_large(access.max_body)
    return None
