"""What a search costs: beside one bare scan, with json_each(), of a table that holds the same bodies and nothing else."""

import itertools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from measuring import Figure, alternate, ratio, seconds_each
from wsgi import database, make_record, make_service, request

RECORDS, TENANT = 10_000, "ws-demo"
NAMES = [
    f"{kind} {thing}"
    for kind, thing in itertools.product(
        ("Coastal", "Trail", "Storm", "Summit", "Harbour", "Meadow", "Night", "River", "Forest", "City"),
        ("Rain Hat", "Windbreaker", "Parka", "Cap", "Scarf"),
    )
]
SEARCHES = {
    # One name in ten has the word, and one price in two is as high.
    "search": [("product-name", "contains", "coastal"), ("price", "gt", "500")],
    "numbers": [("price", "gt", "100"), ("price", "lt", 900)],
}


def record_rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield rows for the table of records: copies of one that the service has made, each with a name and prices of its own."""
    record, choices = json.loads(text), random.Random(RECORDS)
    for number in range(RECORDS):
        name, danish = record["values"]["product-name"]
        price = [{**entry, "value": choices.randrange(1000)} for entry in record["values"]["price"]]
        values = {"product-name": [{**name, "value": choices.choice(NAMES)}, danish], "price": price}
        body = {**record, "id": f"ent-f{number}", "values": {**record["values"], **values}}
        yield TENANT, record["schemaId"], json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def fill(path: Path, text: str) -> None:
    """Add the records to a database that nobody uses, and the bare table."""
    with closing(database.connect(str(path))) as db:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO entities (tenant, schema_id, body) VALUES (?, ?, ?)", record_rows(text))
        db.execute("CREATE TABLE bare (body TEXT)")
        db.execute("INSERT INTO bare SELECT body FROM entities WHERE is_variant = 0 ORDER BY seq")
        db.execute("COMMIT")


def search_batch(app: Any, criteria: list[tuple[str, str, Any]]) -> Callable[[], float]:
    """Prepare a search."""
    members = [dict(zip(("attribute", "operator", "value"), criterion, strict=True)) for criterion in criteria]
    send = request(app, "/api/v1/search", method="POST", body=json.dumps({"criteria": members}).encode())
    return lambda: seconds_each([send])


def measure(folder: Path, rounds: int) -> dict[str, Figure]:
    """Return this part's figures: each search ÷ the scan."""
    app = make_service(folder / "searched.db")
    text = make_record(app, with_ean=False).decode()
    database.close_db()
    fill(folder / "searched.db", text)
    with closing(database.connect(str(folder / "searched.db"))) as db:
        scan = "SELECT count(*) FROM bare, json_each(bare.body, '$.values')"
        batches = {name: search_batch(app, criteria) for name, criteria in SEARCHES.items()}
        seconds = alternate(batches | {"scan": lambda: seconds_each([lambda: db.execute(scan).fetchone()])}, rounds)
    database.close_db()
    return {name: ratio(seconds[name], seconds["scan"]) for name in SEARCHES}
