"""The classes of the application and of its requests, and the log."""

import logging
import os
import re
import string
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from flask import Flask, Request, Response, g, has_request_context, request
from flask.logging import default_handler
from werkzeug.routing import MapAdapter

from sigma.http.access import Route
from sigma.http.credentials import Caller
from sigma.http.errors import MAX_BODY, ApiError, redact_keys
from sigma.http.ignored_query import HEADER, ignored_query
from sigma.http.responses import ReadyResponse
from sigma.http.stamps import utc_now

NOBODY = Caller("-", "-")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ApiRequest(Request):
    """A request with its id, which a proxy in front may have chosen, and the time when it came."""

    # A body without a length is cut off at the limit, without a word; one byte more shows that there was more.
    max_content_length = MAX_BODY + 1
    url_rule: Route | None

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any):
        super().__init__(environ, *args, **options)
        if not self.query_string.isascii():  # Werkzeug fails at bytes that are no UTF-8, unless they are percent-encoded
            self.query_string = quote(self.query_string, safe=string.punctuation).encode()
        given = environ.get("HTTP_X_REQUEST_ID")
        is_id = given is not None and re.fullmatch("[A-Za-z0-9._-]{1,64}", given) and given == redact_keys(given)
        self.id: str = given if given is not None and is_id else os.urandom(8).hex()
        self.came_at, self.began = time.time(), time.perf_counter()  # the time of day, and one that never goes back

    @property
    def route(self) -> str:
        """The path that the request was routed by; its own may hold anything, also a secret or a line's end."""
        return self.url_rule.rule if self.url_rule else "-"

    @property
    def known_method(self) -> str:
        """The method; one that is none could be anything."""
        return self.method if self.method in METHODS else "-"


class Service(Flask):
    """Flask with the service's classes, and with a shorter way to a request's route."""

    url_rule_class = Route
    request_class = ApiRequest
    response_class = ReadyResponse

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what routes a request by its path alone.

        Flask's own looks three times for a host, by which nothing is routed here: 12 % of a GET. Raises ApiError 404 for a
        path with two slashes in front: the router passes over that, a proxy that looks at prefixes does not.
        """
        if request is None:
            return None
        if request.environ.get("PATH_INFO", "").startswith("//"):
            raise ApiError(404, "There is no path with two slashes in front here; /docs lists every path")
        if self.config["TRUSTED_HOSTS"] is not None:
            return super().create_url_adapter(request)
        return self.url_map.bind("", subdomain="", default_method=request.method, path_info=request.path)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: none is a coroutine, and Flask asks four times a request, 4 % of a GET."""
        return func

    def process_response(self, response: Response) -> Response:
        """Add the headers that every answer carries, and write the request's line into the log."""
        response, asked = super().process_response(response), request._get_current_object()  # type: ignore[attr-defined]
        headers, rule = response.headers, asked.url_rule
        headers.add("X-Request-Id", asked.id)
        headers.add("X-Content-Type-Options", "nosniff")
        if rule is not None and rule.access.is_announced:
            headers.add("X-Sigma-Required-Permission", rule.access.permission)
        if rule is not None and asked.environ.get("QUERY_STRING") and (ignored := ignored_query(asked)):
            headers.add(HEADER, ignored)
        if self.config["REQUEST_LOG"]:
            log_request(asked, response.status_code)
        return response

    def log_exception(self, exc_info: Any) -> None:
        """Log a failure of ours with its stack trace, but without the path, which may hold a secret."""
        asked: ApiRequest = request._get_current_object()  # type: ignore[attr-defined]
        self.logger.error("%s %s failed", asked.known_method, asked.route, exc_info=exc_info)


def log_request(asked: ApiRequest, status: int) -> None:
    """Write a request's line into the log: never a body, a query or a credential."""
    took = 1000 * (time.perf_counter() - asked.began)
    caller = g._get_current_object().get("caller", NOBODY)
    line = (
        f"{utc_now()} {asked.known_method} {asked.route} {status} {took:.1f}ms"
        f" request={asked.id} workspace={caller.tenant} caller={caller.id}\n"
    )
    # Python's logging would cost a third of a GET. A log that is full or gone must not stop the service.
    try:  # noqa: SIM105 (suppress() would cost as much as writing the line)
        sys.stderr.write(line)
    except (OSError, ValueError, AttributeError):
        pass


class LogFormatter(logging.Formatter):
    """Names the request in every line of the log, and keeps raw keys out of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or with a stack trace the lines."""
        record.request = getattr(request, "id", "-") if has_request_context() else "-"  # Flask's handler serves other apps, too
        return redact_keys(super().format(record))


def set_up_log(app: Flask) -> None:
    """Let the app's log go to standard error in the service's format, and nowhere else, where a key could show."""
    default_handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s request=%(request)s %(message)s"))
    app.logger.addHandler(default_handler)
    app.logger.propagate = False
