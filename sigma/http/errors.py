"""Errors: one shape, from one place."""

import json
import re
import sqlite3
from typing import Any

import marshmallow as ma
from flask import Response, current_app, g, request
from flask_smorest import Api
from marshmallow import fields, validate
from werkzeug.exceptions import HTTPException

from sigma.database import close_db, fetch_one
from sigma.http.responses import ReadyResponse
from sigma.http.strict_json import format_value, to_json

MAX_BODY = 1024 * 1024  # bytes

CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "PERMISSION_DENIED",  # or LIMIT_EXCEEDED
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "TRANSITION_ERROR",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    503: "UNAVAILABLE",
}


class ApiError(HTTPException):
    """A refusal: its status, and what to tell the caller."""

    code: int

    def __init__(self, status: int, message: str, error: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.code, self.message, self.error, self.headers = status, message, error, headers


def not_found_error(kind: str, id: str) -> ApiError:
    """Return the 404 that names the type and the id."""
    return ApiError(404, f"{kind.replace('-', ' ').capitalize()} '{id}' not found")


def get_or_404(row: Any, kind: str, id: str) -> Any:
    """Return the row that a query found. Raises ApiError 404 if it found none."""
    if row is None:
        raise not_found_error(kind, id)
    return row


def database_unavailable(reason: object) -> ApiError:
    """Return the 503, and log why."""
    current_app.logger.error("The database does not answer: %s", reason)
    return ApiError(503, "The database does not answer; try again", headers={"Retry-After": "1"})


def conflict_message(error: Exception, body: dict[str, Any]) -> str:
    """Say which member of a body a UNIQUE constraint refused: every key ends in the field it guards.

    "UNIQUE constraint failed: model_objects.tenant, model_objects.kind, model_objects.alias" is about alias.
    """
    field = str(error).rpartition(".")[2]
    return f"{field}: {format_value(body.get(field))} is already taken"


def is_damage(error: Exception) -> bool:
    """Return whether an error says that what was read from the database is not what was written to it."""
    name = getattr(error, "sqlite_errorname", "")
    return not name or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or str(error) == "malformed JSON"


def translate_database_error(error: sqlite3.Error | json.JSONDecodeError) -> ApiError:
    """Return what a client is told of a database error; what is a fault of ours is raised again, and a 500."""
    name = getattr(error, "sqlite_errorname", "")
    if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return ApiError(409, f"{conflict_message(error, g.get('body', {}))} in this workspace")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY" and not fetch_one("SELECT 1 FROM workspaces WHERE id = ?", g.get("tenant")):
        return not_found_error("workspace", g.tenant)  # removed since the caller was let in
    if not isinstance(error, sqlite3.OperationalError | json.JSONDecodeError) and type(error) is not sqlite3.DatabaseError:
        raise error
    if is_damage(error):
        close_db()  # its connection would remember the damage when the file has been mended
    elif name == "SQLITE_ERROR":
        raise error
    return database_unavailable(error)  # locked, full, damaged, gone


class ErrorBody(ma.Schema):
    """The one shape of every error."""

    error = fields.String(
        required=True,
        validate=validate.OneOf([*CODES.values(), "LIMIT_EXCEEDED"]),
        metadata={"description": "A stable constant", "title": "ErrorCode"},
    )
    message = fields.String(required=True, metadata={"description": "What went wrong, for people; it may change"})


def redact_keys(text: str) -> str:
    """Return a text for a client or the log with the raw keys in it made unreadable, wherever in a request they stood."""
    if "sigma_sk_live_" not in text.lower():
        return text
    return re.sub("sigma_sk_live_[a-z0-9]+", "sigma_sk_live_…", text, flags=re.IGNORECASE)


def error_response(error: ApiError) -> Response:
    """Return a refusal in the one shape."""
    body = to_json({"error": error.error or CODES[error.code], "message": redact_keys(error.message)})
    return ReadyResponse.of(body.encode(), error.code, error.headers)


class Smorest(Api):
    """flask-smorest, with the service's own error shape and component names."""

    DEFAULT_ERROR_RESPONSE_NAME = None  # openapi_document() documents each error by its own status
    ERROR_SCHEMA = ErrorBody

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Give every error, also the framework's own, the service's shape."""
        if isinstance(error, ApiError):
            return error_response(error)
        status, message = error.code or 500, error.description or ""
        if status == 404:
            message = f"There is no {request.path} here; /docs lists every path"
        if status == 413:
            message = f"The body is larger than {MAX_BODY} bytes"
        if status == 500:
            message = "The service failed; its log says how, under the id in X-Request-Id"
        headers = {name: value for name, value in error.get_headers(request.environ) if name != "Content-Type"}
        return error_response(ApiError(status, message, CODES.get(status) or error.name.upper().replace(" ", "_"), headers))


MAX_PROBLEMS = 20  # that one answer names
