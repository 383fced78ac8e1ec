"""The application's and its requests' classes, and the log."""

import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, has_request_context, request
from flask.ctx import AppContext
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from sigma.database import DatabaseContext
from sigma.http.access import Route
from sigma.http.credentials import Caller
from sigma.http.errors import MAX_BODY, ApiError, redact_keys
from sigma.http.responses import ReadyResponse
from sigma.http.stamps import utc_now

NOBODY = Caller("-", "-")


class ApiRequest(Request):
    """A request with what the log says of it: when it came, its id, which a proxy in front may have chosen, and its caller."""

    caller = NOBODY

    # A body without a length is cut off at the limit, without a word; one byte more shows that there was more.
    max_content_length = MAX_BODY + 1
    url_rule: Route | None

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any):
        super().__init__(environ, *args, **options)
        given = environ.get("HTTP_X_REQUEST_ID")
        is_id = given is not None and re.fullmatch("[A-Za-z0-9._-]{1,64}", given) and given == redact_keys(given)
        self.id: str = given if given is not None and is_id else secrets.token_hex(8)
        self.came_at, self.began = time.time(), time.perf_counter()  # the time of day, and one that never goes back


class LogFormatter(logging.Formatter):
    """Names the request in every line of the log, and keeps raw keys out of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or with a stack trace the lines."""
        record.request = getattr(request, "id", "-") if has_request_context() else "-"  # Flask's handler serves other apps, too
        return redact_keys(super().format(record))


def route_template(asked: Request) -> str:
    """Return the path that a request was routed by; its own may hold anything, also a secret or a line's end."""
    return asked.url_rule.rule if asked.url_rule else "-"


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def method_name(asked: Request) -> str:
    """Return a request's method; what is none could be anything, as with the path."""
    return asked.method if asked.method in METHODS else "-"


class NoSessions(SessionInterface):
    """Flask's cookie sessions, of which the service has none."""

    none = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        """Return that there is none."""
        return self.none


class Service(Flask):
    """Flask without what no request here needs, and with what every answer carries."""

    url_rule_class = Route
    request_class = ApiRequest
    response_class = ReadyResponse
    session_interface = NoSessions()

    def app_context(self) -> AppContext:
        """Make a context, in which statements go to this application's database."""
        return DatabaseContext(self)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Let a request be routed by its path; Flask would look three times for a host, by which nothing is routed here.

        Raises NotFound for a path with two slashes in front: the router would pass over that, a proxy that looks at
        prefixes does not.
        """
        if request is None:
            return None
        if request.environ.get("PATH_INFO", "").startswith("//"):
            raise ApiError(404, "There is no path with two slashes in front here; /docs lists every path")
        if self.config["TRUSTED_HOSTS"] is not None:
            return super().create_url_adapter(request)
        return self.url_map.bind("", subdomain="", default_method=request.method, path_info=request.path)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: none is a coroutine, and asking takes time, several times a request."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Log a failure of ours with its stack trace."""
        self.logger.error("%s %s failed", method_name(request), route_template(request), exc_info=exc_info)

    def process_response(self, response: Response) -> Response:
        """Add what every answer carries, and write the request's line into the log."""
        response, asked = super().process_response(response), request._get_current_object()  # type: ignore[attr-defined]
        headers, rule = response.headers, asked.url_rule
        headers.add("X-Request-Id", asked.id)
        headers.add("X-Content-Type-Options", "nosniff")
        if rule is not None and rule.access is not None and rule.access.is_named:
            headers.add("X-Sigma-Required-Permission", rule.access.permission)
        if self.config["REQUEST_LOG"]:
            log_request(asked, response.status_code)
        return response


def log_request(asked: ApiRequest, status: int) -> None:
    """Write a request's line into the log: never a body, a query or a credential."""
    took, caller = 1000 * (time.perf_counter() - asked.began), asked.caller
    line = (
        f"{utc_now()} {method_name(asked)} {route_template(asked)} {status} {took:.1f}ms"
        f" request={asked.id} workspace={caller.tenant} caller={caller.id}\n"
    )
    # Python's logging would cost more than looking up the key. A log that is full or gone must not stop the service.
    try:  # noqa: SIM105 (suppress() would cost as much as writing the line)
        sys.stderr.write(line)
    except (OSError, ValueError, AttributeError):
        pass
