"""CORS: which web pages of other origins may call the API, and what their browsers are told."""

import re
from typing import Any

from flask import Flask, Response, current_app, request
from flask_cors import CORS

from sigma.http.ignored_query import HEADER as IGNORED_QUERY
from sigma.http.loopback import holds_demo
from sigma.http.masking import one_line
from sigma.http.ready_response import ReadyResponse
from sigma.settings import ANY_ORIGIN, StartError, web_origin

PATHS = "/api/v1/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXPOSED = (  # the response headers that a page may read, beside the few that it always may, such as Content-Type
    *("X-Request-Id", "X-Sigma-Required-Permission", "X-Sigma-Fault", IGNORED_QUERY),
    *("Allow", "Content-Disposition", "Retry-After", "WWW-Authenticate"),
)
MAX_AGE = 600  # seconds for which a browser may remember the response to a preflight


def allow_origins(app: Flask) -> None:
    """Let pages of the origins in CORS_ORIGINS call the API. If it lists none, requests cost nothing more."""
    origins = app.config["CORS_ORIGINS"]
    if not origins:
        return
    allows_any = ANY_ORIGIN in origins
    CORS(
        app,
        resources=re.compile(re.escape(PATHS)),
        # As patterns: Flask-CORS would take the brackets of an IPv6 address for a pattern, which other hosts match, too.
        origins="*" if allows_any else [re.compile(rf"{re.escape(origin)}\Z") for origin in origins],
        methods=METHODS,
        expose_headers=EXPOSED,
        max_age=MAX_AGE,
        send_wildcard=True,
        always_send=False,
        vary_header=False,
        intercept_exceptions=False,  # the hook sees responses to errors as well
    )
    if not allows_any:
        app.after_request(_vary_by_origin)


def _vary_by_origin(response: Response) -> Response:
    """Tell caches that the response depends on the origin; Flask-CORS says so only to origins that are allowed."""
    if request.path.startswith(PATHS):
        response.headers.add("Vary", "Origin")
    return response


def require_listed_origins() -> None:
    """Raise StartError if every origin is allowed, and the database does not hold the demo."""
    if ANY_ORIGIN in current_app.config["CORS_ORIGINS"] and not holds_demo():
        raise StartError(
            "SIGMA_CORS_ORIGINS=* is for the demo: here it would let any web page that a person visits try keys and passwords"
            " from that person's network. List the origins of your pages, such as https://pim.example.com."
        )


def answer_preflight(asked: Any) -> Response | None:
    """Return the 204 of a preflight from an allowed origin. For another origin, log the setting that would allow it.

    Return None for everything else, which is handled like any request with the method OPTIONS. A preflight carries no
    credential, and its response does not say whether the path exists: that of the request itself does.
    """
    headers = asked.headers
    if "Origin" not in headers or "Access-Control-Request-Method" not in headers or not asked.path.startswith(PATHS):
        return None
    origins, origin = current_app.config["CORS_ORIGINS"], headers["Origin"]
    if ANY_ORIGIN in origins or origin in origins:
        return ReadyResponse(status=204)
    current_app.logger.warning("%s", _describe_refusal(origin, origins))
    return None


def _describe_refusal(origin: str, origins: tuple[str, ...]) -> str:
    try:
        wanted = web_origin(origin)
    except ValueError:  # such as "null", the origin of a file or of a sandboxed frame
        return f"A web page of the origin {one_line(origin)} was refused: no setting allows it; serve it from http(s)://host"
    setting = ",".join((*origins, wanted))
    return f"A web page of another origin, {wanted}, was refused: SIGMA_CORS_ORIGINS={setting} would allow it"
