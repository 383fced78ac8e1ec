"""Reading and checking the body of a request."""

import codecs
import time
from collections.abc import Iterator
from typing import Any

import marshmallow as ma
from flask import request
from werkzeug.exceptions import ClientDisconnected

from sigma.context import confirm_caller, context
from sigma.http.body_headers import check_body_headers
from sigma.http.errors import MAX_BODY, ApiError, body_too_large, raise_for_problems
from sigma.http.masking import is_secret
from sigma.http.strict_json import JSON_TYPES, format_value, parse_json, without_quotes
from sigma.http.waiting import waiting_for_client

_MISSING = object()

EXPECTATIONS = {  # by marshmallow's message: what was expected
    "Missing data for required field.": "Expected a value, but it is missing",
    "Field may not be null.": "Expected a value",
    "Not a valid string.": "Expected a string",
    "Not a valid list.": "Expected an array",
    "Not a valid integer.": "Expected a whole number",
    "Not a valid mapping type.": "Expected an object",
}


def describe_actual(value: Any, message: str, is_secret: bool = False) -> str:
    """Return how a message describes what came: its length, where that was wrong; of a secret, only the type."""
    if is_secret and value not in (None, ""):
        return f"'{JSON_TYPES[type(value)]}'"
    is_about_length = message.endswith(" characters") if isinstance(value, str) else message.startswith("Expected at ")
    return str(len(value)) if is_about_length and isinstance(value, str | list) else format_value(value)


def flatten_messages(messages: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield a line for each of marshmallow's nested messages: the field's path, what was expected, and what came."""
    if isinstance(messages, list):
        for message in messages:
            if not isinstance(message, str):  # one of several validators reports an item
                yield from flatten_messages(message, value, path)
                continue
            actual = "" if value is _MISSING else describe_actual(value, message, is_secret(path.rpartition(".")[2]))
            got, expected = f", got {actual}" if actual else "", EXPECTATIONS.get(message, message)
            if expected.startswith("Unknown"):
                got = ""
            elif isinstance(value, str) and expected.startswith(("Expected a number", "Expected a whole number")):
                got += without_quotes(value)
            yield f"{path or 'body'}: {expected}{got}"
        return
    # In the order of the body: marshmallow reports unknown members in no certain order.
    places = {name: place for place, name in enumerate(value)} if isinstance(value, dict) else {}
    for key, inner in sorted(messages.items(), key=lambda item: places.get(item[0], -1)):
        if isinstance(value, list) and isinstance(key, int):
            yield from flatten_messages(inner, value[key], f"{path}[{key}]")
        elif isinstance(value, dict) and (key != "_schema" or key in value):
            yield from flatten_messages(inner, value.get(key, _MISSING), f"{path}.{key[:100]}" if path else key[:100])
        else:  # "_schema", and the "key" and "value" of a fields.Dict, are not members of the body
            yield from flatten_messages(inner, value, path)


MAX_UNREAD = 10_000  # bytes; a server reads the rest of an unwanted body up to this size


def leaves_body_unread(asked: Any) -> bool:
    """Return whether a request gets its response before its body, which may be long, has been read.

    The server closes such a connection, and a client that was not told would send its next request on it.
    """
    environ = asked.environ
    return asked.body is None and ("HTTP_TRANSFER_ENCODING" in environ or (asked.content_length or 0) > MAX_UNREAD)


def _read_data(asked: Any) -> bytes:
    """Return the bytes of the body. Raises ClientDisconnected, or RequestEntityTooLarge.

    Werkzeug's way reads every body through one or two buffers of 64 kB, which takes 6 % of a POST.
    """
    length = asked.content_length
    if not length or length > MAX_BODY:  # no number, or too large a one
        data: bytes = asked.get_data()
        return data
    try:
        data = asked.environ["wsgi.input"].read(length)
    except (OSError, ValueError):
        raise ClientDisconnected() from None
    return data


LONG_WAIT = 0.1  # seconds in which a body is sent, after which the caller is checked again; most are there at once


def read_body(schema: ma.Schema) -> Any:
    """Return the checked body of the request. Raises RequestEntityTooLarge, or ApiError 415, 400, 401 or 403."""
    asked = request._get_current_object()  # type: ignore[attr-defined]
    began = time.monotonic()
    with waiting_for_client(asked):
        asked.body = data = _read_data(asked)
    if time.monotonic() > began + LONG_WAIT:
        confirm_caller()
    if len(data) < min(asked.content_length or 0, MAX_BODY):
        raise ApiError(400, f"body: expected {asked.content_length} bytes, got {len(data)}")
    if len(data) > (limit := asked.url_rule.access.max_body):
        raise body_too_large(limit)
    check_body_headers(asked, data)
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data:
        raise ApiError(400, "body: expected a JSON object, got nothing")
    try:
        context().body = body = parse_json(data)
    except ValueError as error:
        raise ApiError(400, f"{getattr(error, 'path', '') or 'body'}: {error}") from None
    if schema.many and not isinstance(body, list):
        raise ApiError(400, f"body: Expected an array, got {format_value(body)}")
    try:
        return schema.load(body)
    except ma.ValidationError as error:
        raise_for_problems(flatten_messages(error.normalized_messages(), body))
