"""Whether clients that write at the same time, through several processes, ever see that the database is locked."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from load import Target
from measuring import Figure
from servers import flask_serve, running
from wsgi import database, make_record, make_service, new_record, scoped

WRITERS, WORKERS = 8, 2
ON_ONE_CONNECTION = 20  # writes: each connection belongs to a worker, and all workers are to have some


def write(connection: http.client.HTTPConnection, target: Target, method: str, path: str, body: object) -> bool:
    """Write once; answer whether that failed for a reason that is the database's. Raises RuntimeError for any other reason."""
    headers = {**target.headers, "Content-Type": "application/json"}
    connection.request(method, f"/api/v1/records{path}", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in (200, 201) and answer.status < 500:
        raise RuntimeError(f"{method} {path} was answered {answer.status}: {text!r}")
    return answer.status >= 500 or b"locked" in text


def write_for(target: Target, shared: str, until: float) -> list[bool]:
    """Make records, and change one that all writers change, in turn; answer which writes failed."""
    failed: list[bool] = []
    while time.monotonic() < until:
        with closing(http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)) as connection:
            for turn in range(ON_ONE_CONNECTION // 2):
                failed.append(write(connection, target, "POST", "", new_record()))
                price = scoped(turn, market="seg-no")
                failed.append(write(connection, target, "PATCH", f"/{shared}/values/price", price))
    return failed


def measure(folder: Path, seconds: int) -> dict[str, Figure]:
    """Return this part's figure."""
    shared = json.loads(make_record(make_service(folder / "service.db")))["id"]
    database.close_db()
    with running(flask_serve(folder / "service.db", f"/api/v1/records/{shared}", WORKERS)) as target:
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(WRITERS) as writers:
            done = [writers.submit(write_for, target, shared, until) for _ in range(WRITERS)]
        failed = [failure for writer in done for failure in writer.result()]
    return {"locked": Figure(sum(failed), f"of {len(failed):,} writes")}
