"""The application's class, the class of its requests, and the log."""

import functools
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
from flask.json.provider import DefaultJSONProvider
from flask.logging import default_handler
from flask.sessions import NullSession, SessionInterface, SessionMixin

from sigma.http.access import Route
from sigma.http.bodies import leaves_body_unread
from sigma.http.credentials import Caller
from sigma.http.errors import MAX_BODY, ApiError, redact_keys
from sigma.http.ignored_query import HEADER, ignored_query
from sigma.http.masking import one_line, redact
from sigma.http.ready_response import ReadyResponse
from sigma.http.responses import json_response
from sigma.http.routing import Adapter, RouteTable
from sigma.http.stamps import format_time, utc_now

NOBODY = Caller("-", "-")
OWN_REQUEST = os.urandom(8).hex()  # the id of requests by which the service checks that it answers; all its processes share it
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ApiRequest(Request):
    """A request with its id, which a proxy in front may have chosen, and the time when it came."""

    # Werkzeug silently cuts off a body of unknown length at this limit; one byte more shows that the body was too large.
    max_content_length = MAX_BODY + 1
    url_rule: Route | None
    body: bytes | None = None  # once it has been read

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any):
        super().__init__(environ, *args, **options)
        self.method = environ["REQUEST_METHOD"]  # Werkzeug takes get for GET, and Flask's response to head has a body
        if not self.query_string.isascii():  # Werkzeug fails at bytes that are not UTF-8, unless they are percent-encoded
            self.query_string = quote(self.query_string, safe=string.punctuation).encode()
        if environ.get("PATH_INFO", "").startswith("//"):  # Werkzeug keeps only one of the slashes
            self.path = "/" + self.path
        given = environ.get("HTTP_X_REQUEST_ID")
        is_id = given is not None and re.fullmatch("[A-Za-z0-9._-]{1,64}", given) and given == redact_keys(given)
        self.id: str = given if given is not None and is_id else os.urandom(8).hex()
        self.came_at, self.began = time.time(), time.perf_counter()  # the time of day, and a clock that never goes back
        self.took = 0.0  # milliseconds until the response was ready

    def close(self) -> None:
        """Do nothing: Werkzeug's closes uploaded files, of which there are none, and looking for them takes 2 % of a GET."""

    @property
    def in_words(self) -> str:
        """The method, and the rule of the request's route or else its path, for a line of the log.

        An unknown method and a path without a route are the client's own text, which may hold anything, such as a secret or a
        line break; one_line() makes them safe.
        """
        method = self.method if self.method in METHODS else one_line(self.method, most=20)
        return f"{method} {self.url_rule.rule if self.url_rule else one_line(self.path)}"


class NoCookies(SessionInterface):
    """Leaves out Flask's sessions: they are cookies, which this service does not use, and cost 4 % of a GET."""

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        """Return the same empty session for every request; writing to it is an error."""
        return NO_SESSION

    def is_null_session(self, obj: object) -> bool:
        """Return True: there is nothing to save."""
        return True


NO_SESSION = NullSession()


class Json(DefaultJSONProvider):
    """The JSON of what views return that is not text yet."""

    sort_keys, ensure_ascii = False, False

    def response(self, *values: Any, **_: Any) -> ReadyResponse:
        """Return the response of the one value that flask-smorest has dumped."""
        (value,) = values
        response = json_response(self.dumps(value, separators=(",", ":")))
        response.is_ready = response.is_ready and value is not None  # None is what is answered 204 in the end
        return response


class Service(Flask):
    """Flask with this service's classes, with shorter paths through the framework, and with hooks for the stand-in."""

    url_rule_class = Route
    request_class = ApiRequest
    response_class = ReadyResponse
    json_provider_class = Json
    session_interface = NoCookies()
    record: Callable[[ApiRequest, ReadyResponse, dict[str, Any]], None]  # called with each response, and the contents of `g`
    inject_fault: Callable[[Caller], None]  # called when a caller with faults has been admitted to a route; may raise ApiError

    @functools.cached_property
    def route_table(self) -> RouteTable:
        """The routes; it is made when the first request comes, and all routes have been added."""
        return RouteTable(self.url_map)

    def create_url_adapter(self, request: Request | None) -> Any:
        """Return what routes a request, by its path alone.

        Flask's own way, which also looks up the host three times, takes another third of a GET. Raises ApiError 404 for a path
        that begins with two slashes: the router would ignore one of them, while a proxy that checks prefixes does not.
        """
        if request is None:
            return None
        if request.path.startswith("//"):
            raise ApiError(404, "No path here begins with two slashes; /docs lists every path")
        if self.config["TRUSTED_HOSTS"] is not None:
            super().create_url_adapter(request)  # checks the host
        return Adapter(self.route_table, request)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: none is a coroutine, and Flask asks four times per request, 4 % of a GET."""
        return func

    # Flask's versions of the next three methods also look for hooks of blueprints. require_no_other_hooks() makes sure that
    # there are none; skipping the search saves 12 % of a GET, and 13 % of a refusal. after_this_request() is not supported
    # either: what a response needs is passed in `g`.

    def preprocess_request(self) -> Any:
        """Call the hooks that come before the view, and return the first response that one of them gives."""
        for hook in self.before_request_funcs[None]:
            response = hook()
            if response is not None:
                return response
        return None

    def do_teardown_request(self, exc: Any = None) -> None:
        """Call the teardown hooks, if there are any."""
        if self.teardown_request_funcs:
            super().do_teardown_request(exc)

    def process_response(self, response: Response) -> Response:
        """Call the hooks that come after the view, add the headers of every response, and record it in log and journal."""
        for hook in reversed(self.after_request_funcs[None]):
            response = hook(response)
        asked: ApiRequest = request._get_current_object()  # type: ignore[attr-defined]
        headers, rule, context = response.headers, asked.url_rule, g._get_current_object().__dict__
        if "fault_delay" in context:
            headers.add("X-Sigma-Fault", "1")
            time.sleep(context["fault_delay"])
        asked.took = 1000 * (time.perf_counter() - asked.began)
        if "refusal" in context and leaves_body_unread(asked):
            headers.add("Connection", "close")
        headers.add("X-Request-Id", asked.id)
        headers.add("X-Content-Type-Options", "nosniff")
        for name, value in rule.headers if rule is not None else ():
            headers.add(name, value)
        if rule is not None and asked.environ.get("QUERY_STRING") and (ignored := ignored_query(asked)):
            headers.add(HEADER, ignored)
        if self.config["REQUEST_LOG"] and asked.id != OWN_REQUEST:
            log_request(asked, response.status_code, context)
        self.record(asked, response, context)  # type: ignore[arg-type]  # all responses are of response_class
        return response

    def log_exception(self, exc_info: Any) -> None:
        """Log an unexpected exception with its stack trace, but without the path, which may hold a secret."""
        asked: ApiRequest = request._get_current_object()  # type: ignore[attr-defined]
        self.logger.error("%s failed", asked.in_words, exc_info=exc_info)


def log_request(asked: ApiRequest, status: int, context: dict[str, Any]) -> None:
    """Write a request's line to the log: never a body, a query or a credential. `context` is what `g` holds."""
    caller = context.get("caller", NOBODY)
    code = f" code={context['refusal'][0]}" if "refusal" in context else ""
    line = (
        f"{utc_now()} {asked.in_words} {status} {asked.took:.1f}ms"
        f" request={asked.id} workspace={caller.tenant} caller={caller.id}{code}\n"
    )
    # Python's logging would cost a third of a GET. A log that is full or gone must not stop the service.
    try:  # noqa: SIM105 (suppress() would cost as much as writing the line)
        sys.stderr.write(line)
    except (OSError, ValueError, AttributeError):
        pass


class LogFormatter(logging.Formatter):
    """Names the request in every line of the log, writes times as the API does, and masks secrets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s request=%(request)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (logging's name)
        """Return the time of a log record."""
        return format_time(record.created)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a log record, followed by its stack trace if it has one."""
        # Other apps in the process share the handler, and their requests have no id.
        record.request = getattr(request, "id", "-") if has_request_context() else "-"
        return redact(super().format(record))


def set_up_log(app: Flask) -> None:
    """Send the app's log to standard error in the service's format, and nowhere else, where a key could appear unmasked."""
    default_handler.setFormatter(LogFormatter())
    app.logger.addHandler(default_handler)
    app.logger.propagate = False
