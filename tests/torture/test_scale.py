"""With many records and keys in one file, what is asked most often costs what it costs with few."""

import json
import sqlite3
import statistics
import time
from contextlib import closing

import pytest

MANY = 200_000
PLACES = ["/records/ent-many-7", "/records?limit=50", "/records?limit=50&schemaId=schema-apparel"]
PLACES += [
    "/records?limit=50&lifecycleStateId=state-draft",
    "/records?limit=50&schemaId=schema-apparel&lifecycleStateId=state-draft",
]
PLACES += ["/variants?limit=50", "/categories/cat-men/entities?limit=50"]


def fill(path, first, last):
    """Put records, variants, assignments and keys into the demo workspace, as the service stores them."""
    moment = "2026-01-01T00:00:00.000Z"
    author = {"createdAt": moment, "updatedAt": moment, "createdBy": "user-admin", "updatedBy": "user-admin"}
    values = {"description": [{"scope": {}, "value": "x" * 300}]}

    def record(number):
        head = {"id": f"ent-many-{number}", "schemaId": "schema-apparel", "lifecycleStateId": "state-draft"}
        return json.dumps({**head, **author, "values": values})

    def variant(number):
        head = {"id": f"var-many-{number}", "entityId": f"ent-many-{number}", "parentId": f"ent-many-{number}", "level": 1}
        return json.dumps({**head, **author, "values": {}})

    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        insert = "INSERT INTO entities (tenant, schema_id, body) VALUES ('ws-demo', 'schema-apparel', ?)"
        db.executemany(insert, ((record(number),) for number in range(first, last)))
        db.executemany(insert, ((variant(number),) for number in range(first, last, 4)))
        assign = "INSERT INTO category_assignments (tenant, category_id, record_id) VALUES ('ws-demo', 'cat-men', ?)"
        db.executemany(assign, ((f"ent-many-{number}",) for number in range(first, last, 2)))
        key = (
            "INSERT INTO api_keys (tenant, id, name, hash, permissions, created_at)"
            " VALUES ('ws-demo', ?, 'Many', randomblob(32), '[\"read\"]', ?)"
        )
        db.executemany(key, ((f"apikey-many-{number}", moment) for number in range(first, last)))


def cost(caller, path):
    """How much of the processor's time a request takes, at best of many."""
    times = []
    for _ in range(60):
        started = time.thread_time()
        answer = caller.get(path)
        times.append(time.thread_time() - started)
        assert answer.status_code == 200
    return statistics.quantiles(times, n=10)[0]


def test_reads_cost_the_same_with_few_and_with_many(app, key):
    fill(app.config["DATABASE"], 0, 1000)
    few = {path: cost(key, path) for path in PLACES}
    fill(app.config["DATABASE"], 1000, MANY)
    assert key.get("/records?limit=1").json["total"] >= MANY
    many = {path: cost(key, path) for path in PLACES}
    ratios = {path: round(many[path] / few[path], 2) for path in PLACES}
    assert max(ratios.values()) < 2.5, ratios


@pytest.mark.parametrize("query", ["", "&schemaId=schema-apparel", "&lifecycleStateId=state-draft"])
def test_a_deep_page_reads_an_index_and_not_the_bodies(app, key, query):
    fill(app.config["DATABASE"], 0, 60_000)
    ids = [item["id"] for item in key.get(f"/records?limit=3&offset=59000{query}").json["items"]]
    numbers = [int(id.rpartition("-")[2]) for id in ids]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    first, deep = cost(key, f"/records?limit=3{query}"), cost(key, f"/records?limit=3&offset=59000{query}")
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        started = time.thread_time()
        db.execute("SELECT sum(length(CAST(body AS BLOB))) FROM entities WHERE is_variant = 0").fetchone()
        reading_bodies = time.thread_time() - started
    assert deep - first < reading_bodies / 3, (first, deep, reading_bodies)
