"""Calling a WSGI application without a server, and the records to call the service with."""

import io
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import app as service
from sigma import database, settings
from sigma.http import credentials
from sigma.standin import demo

__all__ = ["credentials", "database", "service", "settings"]  # for the other files, which are found beside this one

KEY = json.loads(demo.DEMO_FILE.read_text(encoding="utf-8"))["apiKeys"][0]["rawKey"]
RECORD_SIZE = range(1000, 1050)  # bytes that are 1 kB here
_numbers = itertools.count()


def make_service(path: Path) -> Any:
    """Make the service's application as it is served, on a new database with the demo workspace."""
    app = service.create_app({"DATABASE": str(path)})
    done = app.test_cli_runner().invoke(args=["demo"])
    if done.exit_code:
        raise RuntimeError(done.output)
    return app


def make_deployment(path: Path) -> Any:
    """Make the service's application on a new database as a deployment has it: no workspace is the demo.

    So it keeps no journal of its requests, as no peer does. The content is the demo's, and so is the key.
    """
    app = make_service(path)
    with app.app_context():
        database.get_db().execute("UPDATE workspaces SET is_demo = 0")
    return app


def request(
    app: Any, path: str, status: int = 200, method: str = "GET", key: str | None = KEY, body: bytes | None = None
) -> Callable[[], bytes]:
    """Prepare a request: a call that sends it and answers the body. Raises RuntimeError for any other status."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8080",
        "HTTP_USER_AGENT": "bench",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if key is not None:
        environ["HTTP_X_SIGMA_APIKEY"] = key
    if body is not None:
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    expected, data = str(status), body or b""

    def send() -> bytes:
        started: list[str] = []
        parts = app({**environ, "wsgi.input": io.BytesIO(data)}, lambda status, headers, error=None: started.append(status))
        try:
            answer = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        if not started[0].startswith(expected):
            raise RuntimeError(f"{method} {path} was answered {started[0]}, not {expected}: {answer[:300]!r}")
        return answer

    return send


def scoped(value: Any, **scope: str) -> dict[str, Any]:
    """Write a value of a record, in the segments of these dimensions."""
    return {"scope": {f"dim-{name}": segment for name, segment in scope.items()}, "value": value}


def new_record(with_ean: bool = True) -> dict[str, Any]:
    """Return the body of a new record of the demo's schema, such that the stored record has 1 kB."""
    number = next(_numbers)
    values = {
        "product-name": [scoped("Rain Hat", language="seg-en"), scoped("Regnhat", language="seg-da")],
        "description": [scoped("Keeps the rain out. " * 9), scoped("Holder regnen ude. " * 7, language="seg-da")],
        "price": [scoped(349, market="seg-dk"), scoped(499.5, market="seg-se")],
        "tags": [scoped(["outdoor", "packable"])],
        "waterproof": [scoped(True)],
        "ean": [scoped(f"{number:013}")],
    }
    if not with_ean:  # the one attribute whose values must differ from record to record
        del values["ean"]
    return {"id": f"ent-{number:08}", "schemaId": "schema-apparel", "values": values}


def post_record(app: Any, record: dict[str, Any]) -> Callable[[], bytes]:
    """Prepare the request that makes a record."""
    return request(app, "/api/v1/records", 201, "POST", body=json.dumps(record).encode())


def make_record(app: Any, with_ean: bool = True) -> bytes:
    """Make a record, and return its text as it is served."""
    text = post_record(app, new_record(with_ean))()
    if with_ean and len(text) not in RECORD_SIZE:
        raise RuntimeError(f"A record was meant to have 1 kB, and has {len(text)} bytes")
    return text
