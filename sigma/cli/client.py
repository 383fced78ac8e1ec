"""One request to a running service, from another process."""

import http.client
import json
from contextlib import closing
from typing import Any, NamedTuple

from sigma.http.strict_json import to_json


class Answer(NamedTuple):
    """The response to a request; the status is 0 if there was none."""

    status: int = 0
    body: Any = None
    retry_after: int = 0  # seconds


def send_request(url: str, method: str, path: str, headers: dict[str, str], body: Any = None) -> Answer:
    """Send a request to a path of the service, and return the response."""
    data = None if body is None else to_json(body).encode()
    try:
        with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
            connection.request(method, path, data, {**headers, "Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or "null"), int(response.headers.get("Retry-After", 0)))
    except (OSError, http.client.HTTPException):
        return Answer()
