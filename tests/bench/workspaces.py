"""How long a test waits for a workspace of its own: in milliseconds, which mean something on a quiet machine only."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import Figure, alternate, median
from wsgi import database, make_service, request


def make_workspace(app: Any, content: Any) -> Callable[[], bytes]:
    """Prepare the request that makes a workspace with a key."""
    body = json.dumps({"content": content, "keys": [["read", "update-data"]]}).encode()
    return request(app, "/standin/workspaces", 201, "POST", key=None, body=body)


def milliseconds(app: Any, send: Callable[[], bytes]) -> float:
    """Return how long it takes to make a workspace, which is removed again."""
    begun = time.perf_counter()
    made = json.loads(send())
    taken = time.perf_counter() - begun
    request(app, f"/standin/workspaces/{made['id']}", 204, "DELETE", key=None)()
    return 1000 * taken


def measure(folder: Path, rounds: int) -> dict[str, Figure]:
    """Return this part's figures."""
    app = make_service(folder / "service.db")
    seed = json.loads(request(app, "/standin/workspaces/ws-demo/seed", key=None)())
    contents = {"workspace": "demo", "copy": "ws-demo", "seed": seed, "empty": "empty"}
    requests = {name: make_workspace(app, content) for name, content in contents.items()}
    measured = alternate({name: lambda name=name: milliseconds(app, requests[name]) for name in contents}, rounds)
    database.close_db()
    return {name: median(taken) for name, taken in measured.items()}
