"""Web pages of other origins: which may call the API from a browser, and what their browsers are told (CORS)."""

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
EXPOSED = (  # a page may read these of a response; a few others, such as Content-Type, it always may
    *("X-Request-Id", "X-Sigma-Required-Permission", "X-Sigma-Fault", IGNORED_QUERY),
    *("Allow", "Content-Disposition", "Retry-After", "WWW-Authenticate"),
)
MAX_AGE = 600  # seconds that a browser may remember what a preflight was answered


def allow_origins(app: Flask) -> None:
    """Let pages of the origins in CORS_ORIGINS call the API. Without any, a request costs what it cost before."""
    origins = app.config["CORS_ORIGINS"]
    if not origins:
        return
    allows_any = ANY_ORIGIN in origins
    CORS(
        app,
        resources=re.compile(re.escape(PATHS)),
        # As patterns: it takes the brackets of an IPv6 address for one, which other hosts would match, too.
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
    """Tell caches that another origin gets another response; Flask-CORS says so only to those that are allowed."""
    if request.path.startswith(PATHS):
        response.headers.add("Vary", "Origin")
    return response


def require_listed_origins() -> None:
    """Raise StartError before a database without the demo is served to web pages of every origin."""
    if ANY_ORIGIN in current_app.config["CORS_ORIGINS"] and not holds_demo():
        raise StartError(
            "SIGMA_CORS_ORIGINS=* is for the demo: here it would let any page that somebody opens try keys and passwords"
            " from that person's network. List the origins of your pages, such as https://pim.example.com."
        )


def answer_preflight(asked: Any) -> Response | None:
    """Return 204 to a browser that asks whether a page may send a request, if it may. Log what would allow it, if not.

    No credential comes with such a question, and whether the path exists is said in the response to the request itself.
    What is no such question is None, like what is refused: to these, OPTIONS is a method as any other.
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
    except ValueError:  # "null", for one: a file, or a frame that is kept apart
        return f"A web page of the origin {one_line(origin)} was refused: no setting allows it; serve it from http(s)://host"
    setting = ",".join((*origins, wanted))
    return f"A web page of another origin, {wanted}, was refused: SIGMA_CORS_ORIGINS={setting} would allow it"
