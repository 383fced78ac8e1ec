"""Errors: every code with its text, one shape, one place where exceptions become responses."""

import itertools
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, NamedTuple

import marshmallow as ma
from flask import Flask, Response, current_app, g, request
from marshmallow import fields, validate
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from sigma.database import close_db, fetch_one
from sigma.files import unwritable_reason
from sigma.http.ready_response import ReadyResponse
from sigma.http.strict_json import format_value, to_json
from sigma.upgrades import SCHEMA_VERSION

MAX_BODY = 1024 * 1024  # bytes
MAX_PUBLIC_BODY = 16 * 1024  # where no credential is needed: reading a mebibyte costs half a second of the processor
MAX_PROBLEMS = 20  # in one message
MAX_REPEATED = 200  # characters of a path or id that a message repeats


class ErrorCode(NamedTuple):
    """What one error code means."""

    status: int
    meaning: str
    header: str | None = None  # sent with it


ERRORS = {
    "VALIDATION_ERROR": ErrorCode(400, "The request is malformed, or its body names what does not exist."),
    "UNAUTHORIZED": ErrorCode(401, "There is no credential, or it is not accepted.", "WWW-Authenticate"),
    "PERMISSION_DENIED": ErrorCode(403, "The caller may not do this."),
    "LIMIT_EXCEEDED": ErrorCode(403, "The workspace is full; other causes have the code PERMISSION_DENIED."),
    "NOT_FOUND": ErrorCode(404, "The workspace has nothing with an id that the path names."),
    "METHOD_NOT_ALLOWED": ErrorCode(405, "The path does not have this method; the header `Allow` lists those it has.", "Allow"),
    "CONFLICT": ErrorCode(409, "The request conflicts with what is stored."),
    "PAYLOAD_TOO_LARGE": ErrorCode(
        413,
        f"The body has more than {MAX_BODY} bytes, or for a login {MAX_PUBLIC_BODY}; or the contents are too large for a seed.",
    ),
    "UNSUPPORTED_MEDIA_TYPE": ErrorCode(415, "The body is not JSON in UTF-8, or its headers say so."),
    "TRANSITION_ERROR": ErrorCode(422, "The workflow does not allow the transition."),
    "RATE_LIMITED": ErrorCode(429, "There were too many failed logins, or too many at a time.", "Retry-After"),
    "INTERNAL_ERROR": ErrorCode(500, "The service failed."),
    "NOT_IMPLEMENTED": ErrorCode(501, "Sigma PIM documents it, and this stand-in does not have it."),
    "UNAVAILABLE": ErrorCode(503, "The database does not answer, or too many slow calls or large answers wait.", "Retry-After"),
}
CODES = {error.status: code for code, error in reversed(ERRORS.items())}  # of two codes with the same status, the first


class ApiError(HTTPException):
    """A refusal: its status, and the message for the caller."""

    code: int

    def __init__(self, status: int, message: str, error: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.code, self.message, self.error, self.headers = status, message, error, headers


def raise_for_problems(problems: Iterable[str], opening: str = "") -> None:
    """Raise ApiError 400 if there are any problems. Its message is the opening and the first few of them."""
    first = list(itertools.islice(problems, MAX_PROBLEMS + 1))
    if first:
        raise ApiError(400, opening + "; ".join(first[:MAX_PROBLEMS]) + ("; and more" if len(first) > MAX_PROBLEMS else ""))


def shortened(text: str) -> str:
    """Return a client's text for use in a message, cut off if it is very long."""
    return text if len(text) <= MAX_REPEATED else f"{text[:MAX_REPEATED]}…"


def noun(kind: str) -> str:
    """Return a kind of thing in words: option list, API key."""
    return kind.replace("-", " ").replace("api ", "API ")


def counted(count: int, one: str, more: str | None = None) -> str:
    """Return a number of things in words, such as "1 record"; without the word for more things, it is the one with an s."""
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def not_found_error(kind: str, id: str, hint: str = "") -> ApiError:
    """Return the 404 that names the type and the id, with a hint at its end."""
    name = noun(kind)
    return ApiError(404, f"{name[0].upper()}{name[1:]} '{shortened(id)}' not found{hint}")


def get_or_404(row: Any, kind: str, id: str) -> Any:
    """Return the row that a query found. Raises ApiError 404 if it found none."""
    if row is None:
        raise not_found_error(kind, id)
    return row


def retry_error(status: int, message: str, seconds: int) -> ApiError:
    """Return a refusal that asks the client to try again after some seconds, in its message and in Retry-After."""
    advice = f"try again in {counted(seconds, 'second')}"
    return ApiError(status, f"{message}; {advice}", headers={"Retry-After": str(seconds)})


def database_unavailable(reason: object) -> ApiError:
    """Log why the database does not answer, and return the 503."""
    current_app.logger.error("The database does not answer: %s", reason)
    message = "The database does not answer; try again. Its operator finds why in the log, and with `flask doctor`"
    return ApiError(503, message, headers={"Retry-After": "1"})


CONFLICTS = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")


def _refused_field(error: Exception) -> str:
    return str(error).rpartition(".")[2]


def conflict_message(error: Exception, body: dict[str, Any]) -> str:
    """Return the message about the member of a body that a UNIQUE constraint refused.

    That is the last column of the constraint: "UNIQUE constraint failed: model_objects.tenant, model_objects.kind,
    model_objects.alias" is about alias.
    """
    field = _refused_field(error)
    return f"{field}: {format_value(body.get(field))} is already taken"


@contextmanager
def holder_named(find: Callable[[str], str | None]) -> Iterator[None]:
    """Run the block. If a UNIQUE constraint fails in it, the message of the 409 ends with what already has the value.

    find() takes the name of the field and returns that holder, or None if the caller may not see it.
    """
    try:
        yield
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorname in CONFLICTS and (holder := find(_refused_field(error))):
            error.add_note(f" by {holder}")
        raise


def name_of(kind: str, id: str) -> str:
    """Return how a message names a thing: schema 'schema-apparel'."""
    return f"{noun(kind)} {format_value(id)}"


def _is_damage(error: Exception) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return not name or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or str(error) == "malformed JSON"


def translate_database_error(error: sqlite3.Error | JSONDecodeError) -> ApiError:
    """Return the ApiError for a database error. An error that is a bug of this service is raised again, and becomes a 500."""
    name = getattr(error, "sqlite_errorname", "")
    if name in CONFLICTS:
        holder = "".join(getattr(error, "__notes__", ()))
        return ApiError(409, f"{conflict_message(error, g.get('body', {}))} in this workspace{holder}")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY" and not fetch_one("SELECT 1 FROM workspaces WHERE id = ?", g.get("tenant")):
        return not_found_error("workspace", g.tenant)  # removed since the caller was admitted
    if not isinstance(error, sqlite3.OperationalError | JSONDecodeError) and type(error) is not sqlite3.DatabaseError:
        raise error
    if _is_damage(error):
        close_db()  # an open connection would still see the damage after the file has been repaired
    elif name == "SQLITE_ERROR" and fetch_one("PRAGMA user_version") == (SCHEMA_VERSION,):  # else the file is not of our schema
        raise error
    is_denied = name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
    reason = unwritable_reason(current_app.config["DATABASE"]) if is_denied else None
    return database_unavailable(f"{error}{f': {reason}' if reason else ''}")  # locked, full, damaged, gone


class ErrorResponseBody(ma.Schema):
    """The one shape of every error."""

    error = fields.String(
        required=True,
        validate=validate.OneOf(list(ERRORS)),
        metadata={"description": "A stable constant", "title": "ErrorCode"},
    )
    message = fields.String(required=True, metadata={"description": "What went wrong, for people; it may change"})


def redact_keys(text: str) -> str:
    """Return a text for a client or the log with any raw API keys in it masked."""
    if "sigma_sk_live_" not in text.lower():
        return text
    return re.sub("sigma_sk_live_[a-z0-9]+", "sigma_sk_live_…", text, flags=re.IGNORECASE)


def error_response(error: ApiError) -> Response:
    """Return the response to a refused request, in the one shape."""
    g.refusal = code, message = error.error or CODES[error.code], redact_keys(error.message)  # for the log and the journal
    text = to_json({"error": code, "message": message}).encode()
    return ReadyResponse.of(text, status=error.code, headers=error.headers)


def body_too_large(limit: int) -> RequestEntityTooLarge:
    """Return the refusal of a body of more than so many bytes."""
    return RequestEntityTooLarge(f"The body is larger than {limit} bytes")


MESSAGES = {  # in place of the framework's own
    500: "The service failed; its log says how, under the id in X-Request-Id",
}


def handle_http_exception(error: HTTPException) -> Response:
    """Return the response to any HTTP error, including the framework's own, in the one shape."""
    if isinstance(error, ApiError):
        return error_response(error)
    status = error.code or 500
    message = MESSAGES.get(status, error.description or "")
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        message = f"This path has no such method; it has {', '.join(sorted(error.valid_methods))}"
    headers = {name: value for name, value in error.get_headers(request.environ) if name != "Content-Type"}
    return error_response(ApiError(status, message, CODES.get(status) or error.name.upper().replace(" ", "_"), headers))


def register_error_handlers(app: Flask) -> None:
    """Register the handlers of HTTP errors and of database errors. Damaged JSON text in the database counts as one."""
    app.register_error_handler(HTTPException, handle_http_exception)
    for failure in (sqlite3.Error, JSONDecodeError):  # bodies are parsed by parse_json(), which raises ApiError
        app.register_error_handler(failure, lambda error: handle_http_exception(translate_database_error(error)))
