"""How long a record takes that comes by the thousand in one import, beside one that is made alone."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import Figure, alternate, ratio, seconds_each
from wsgi import database, make_service, request

ALONE, TOGETHER = 100, 1000
COLUMNS = {name: name for name in ("sku", "product-name", "description", "price", "tags", "waterproof", "ean")}
_numbers = itertools.count()


def new_values() -> dict[str, Any]:
    """Return the values of a new record of the demo's schema, by attribute."""
    number = next(_numbers)
    texts = {"product-name": f"Rain Hat {number}", "description": "Keeps the rain out. " * 30}
    return {
        "sku": f"RH-{number % 1000:03}",
        **texts,
        "ean": f"{number:013}",
        "price": 349.5,
        "tags": ["outdoor", "packable"],
        "waterproof": True,
    }


def prepare_alone(app: Any) -> list[Callable[[], bytes]]:
    """Prepare the requests that make one record each."""
    scoped = [{name: [{"scope": {}, "value": value}] for name, value in new_values().items()} for _ in range(ALONE)]
    bodies = [json.dumps({"schemaId": "schema-apparel", "values": values}).encode() for values in scoped]
    return [request(app, "/api/v1/records", 201, "POST", body=body) for body in bodies]


def prepare_together(app: Any) -> Callable[[], bytes]:
    """Prepare the request that makes a thousand of the same."""
    rows = [{**values, "tags": "|".join(values["tags"])} for values in (new_values() for _ in range(TOGETHER))]
    body = json.dumps({"schemaId": "schema-apparel", "columnMapping": COLUMNS, "rows": rows}).encode()
    return request(app, "/api/v1/import/execute", 200, "POST", body=body)


def import_all(app: Any) -> float:
    """Return how long each record takes of a thousand that come together. Raises RuntimeError unless all are made."""
    answers: list[dict[str, Any]] = []
    send = prepare_together(app)
    seconds = seconds_each([lambda: answers.append(json.loads(send()))])
    if answers != [{"created": TOGETHER, "updated": 0, "errors": []}]:
        raise RuntimeError(f"The import made something else: {str(answers)[:300]}")
    return seconds / TOGETHER


def measure(folder: Path, rounds: int) -> dict[str, Figure]:
    """Return this part's figures."""
    app = make_service(folder / "service.db")
    batches = {"alone": lambda: seconds_each(prepare_alone(app)), "together": lambda: import_all(app)}
    seconds = alternate(batches, rounds)
    database.close_db()
    return {"import": ratio(seconds["alone"], seconds["together"])}
