"""Import: rows that come together do what they would do one by one, whatever an earlier row has done to a later one.

The same rows are imported in one body and, on a copy of the database, each in a body of its own.
"""

import itertools
import json
import random
import re
import shutil
import sqlite3
from contextlib import closing

import pytest
from cases import each
from conftest import sql
from test_import import DANISH, everywhere, execute, initial_database, make, preview, shop, things

from sigma import database

__all__ = ["initial_database", "make", "shop"]  # fixtures

TABLES = ("entities", "entity_counts", "unique_values", "audit_log", "deliveries")
NAMES = ("cap", "hat", "bag")  # of the records that there are before


@pytest.fixture
def three(shop, make):
    """Make three records, of which each has an EAN, and two webhooks, of which one hears of changes only."""
    for number, name in enumerate(NAMES):
        make(name, ean=number, price=1)
    shop.patch("/records/ent-cap/values/name", {"scope": DANISH, "value": "Kasket"})
    for name, events in (("all", ["entity.created", "entity.updated"]), ("changes", ["entity.updated"])):
        hook = {"id": f"wh-{name}", "name": name, "url": "https://receiver.example", "events": events}
        assert shop.post("/webhooks", hook).status_code == 201


@pytest.fixture
def copied(app, three, tmp_path):
    """Return a function that puts a copy of the database, as it was when the test began, in the place of the database."""
    database.close_db()
    kept, numbers = tmp_path / "kept.db", itertools.count()
    shutil.copy(app.config["DATABASE"], kept)

    def switch():
        database.close_db()
        app.config["DATABASE"] = str(shutil.copy(kept, tmp_path / f"copy-{next(numbers)}.db"))

    return switch


def stored(app):
    """Return what is stored of records, with ids and times that differ from run to run replaced by their order."""
    seen = {}
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        sql = "SELECT * FROM {} WHERE tenant = 'ws-other' ORDER BY 1, 2, 3, 4"
        rows = [(name, row) for name in TABLES for row in db.execute(sql.format(name)).fetchall()]

    def place(found):
        return f"{found[1]}-{seen.setdefault(found[0], len(seen))}"

    when = re.compile(r"\b1[78]\d{8}\.\d+\b|\b\d{4}-\d\d-\d\dT[0-9:.]+Z")
    return [re.sub(r"\b(ent|audit|dlv)-[0-9a-f]{16}\b", place, when.sub("-", f"{name}: {row}")) for name, row in rows]


def random_row(chance, number):
    """Return a row that makes or changes a record, or has something wrong with it; few values, so that many meet."""
    row = {}
    if chance.random() < 0.6:
        row["Ref"] = chance.choice([*(f"ent-{name}" for name in NAMES), "ent-cap", "ent-none"])
    if chance.random() < 0.7 or "Ref" not in row:
        row["Name"] = chance.choice([f"Thing {number}", "Cap", ""])
    if chance.random() < 0.7:
        row["Ean"] = chance.choice(["0", "1", "2", "3", "4.0", 5, "x", ""])
    if chance.random() < 0.5:
        row["Price"] = chance.choice(["1", "1.0", 2, "-1"])
    if chance.random() < 0.2:
        row["Like"] = chance.choice(["ent-hat", "ent-none"])
    return row


COLUMNS = {"Ref": "_id", "Name": "name", "Ean": "ean", "Price": "price", "Like": "like"}
ALL_COLUMNS = dict.fromkeys(COLUMNS)  # a row that gives nothing, so that every column may be mapped


@each("seed", range(6))
def test_rows_do_together_what_they_do_one_by_one(app, shop, copied, seed):
    chance = random.Random(seed)
    rows = [{**ALL_COLUMNS, **random_row(chance, number)} for number in range(60)]
    said = preview(shop, *rows, columns=COLUMNS)
    created, updated, wrong = execute(shop, *rows, columns=COLUMNS)
    assert created > 1 < updated and len(wrong) > 1
    assert {number: "; ".join(problems) for number, (_, problems) in enumerate(said) if problems} == wrong
    together = stored(app)
    copied()
    alone = [execute(shop, row, columns=COLUMNS) for row in rows]
    assert [number for number, (_, _, problems) in enumerate(alone) if problems] == list(wrong)
    assert [sum(counts) for counts in zip(*(outcome[:2] for outcome in alone), strict=True)] == [created, updated]
    assert stored(app) == together


def test_webhooks_hear_of_rows_in_their_order(app, shop, three):
    rows = [
        {"Name": "One"},
        {"Ref": "ent-cap", "Price": "2"},
        {"Name": "Two"},
        {"Ref": "ent-hat", "Price": "2"},
        {"Ref": "ent-cap", "Price": "3"},
        {"Ref": "ent-cap", "Price": "3"},
        {"Name": "Three"},
    ]
    assert execute(shop, *rows) == (3, 4, {})
    new = [record["id"] for record in things(shop)[len(NAMES) :]]
    expected = [new[0], "ent-cap", new[1], "ent-hat", "ent-cap", new[2]]
    bodies = [json.loads(body) for (body,) in sql(app, "SELECT body FROM deliveries WHERE webhook_id = 'wh-all' ORDER BY seq")]
    assert [body["entityId"] for body in bodies] == expected
    assert [body["data"]["values"]["price"] for body in bodies if body["entityId"] == "ent-cap"] == [
        everywhere(2),
        everywhere(3),
    ]
    heard = sql(app, "SELECT event FROM deliveries WHERE webhook_id = 'wh-changes' ORDER BY seq")
    assert heard == [("entity.updated",)] * 3
    histories = sql(app, "SELECT record_id FROM audit_log ORDER BY seq DESC LIMIT 6")
    assert [id for (id,) in histories] == expected[::-1]


def test_records_stand_in_the_order_of_their_rows_however_many_there_are(shop):
    names = [f"Thing {number}" for number in range(1500)]
    assert execute(shop, *({"Name": name} for name in names)) == (1500, 0, {})
    pages = [shop.get(f"/records?limit=1000&offset={offset}").json["items"] for offset in (0, 1000)]
    assert [record["values"]["name"] for page in pages for record in page] == [everywhere(name) for name in names]


def test_unique_values_may_go_round(app, shop, three):
    rows = [
        {"Ref": "ent-cap", "Ean": "10"},
        {"Ref": "ent-hat", "Ean": "0"},
        {"Ref": "ent-bag", "Ean": "1"},
        {"Ref": "ent-cap", "Ean": "2"},
        {"Name": "New", "Ean": "10"},
    ]
    assert execute(shop, *rows) == (1, 4, {})
    new = things(shop)[-1]["id"]
    claims = sql(app, "SELECT value, entity_id FROM unique_values WHERE tenant = 'ws-other' ORDER BY value")
    assert claims == [("0", "ent-hat"), ("1", "ent-bag"), ("10", new), ("2", "ent-cap")]
