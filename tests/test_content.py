"""What a workspace's content is stored from: a description like demo.json's, which is checked, or another one's rows."""

import copy
import json

import pytest
from conftest import sql

from sigma.database import close_db, execute, transaction
from sigma.http.credentials import acting_as
from sigma.http.errors import ApiError
from sigma.standin import content
from sigma.standin.demo import read_demo


@pytest.fixture
def description():
    """What demo.json says, to be changed at will."""
    return copy.deepcopy(read_demo())


@pytest.fixture
def store(app):
    """Return a function that stores what a description says in a workspace of its own, `ws-new`."""

    def insert(description):
        with app.app_context(), transaction():
            execute("INSERT INTO workspaces (id, name) VALUES ('ws-new', 'New')")
            with acting_as("ws-new", "user-admin"):
                content.insert_content(description)
                return content.fetch_rows()

    yield insert
    with app.app_context():
        close_db()


def bodies(app, table):
    return [json.loads(body) for (body,) in sql(app, f"SELECT body FROM {table} WHERE tenant = 'ws-new' ORDER BY seq")]


def test_what_is_stored_is_what_is_described_whatever_its_age(app, store, description):
    store(description)
    assert bodies(app, "entities") == description["records"] + description["variants"]
    history = bodies(app, "audit_log")
    assert [{name: entry[name] for name in entry if name != "id"} for entry in history][-70:] == description["history"]
    created = {entry["entityId"]: entry for entry in history if entry["action"] == "create"}
    for entity in description["records"] + description["variants"]:
        entry = created[entity["id"]]
        assert (entry["timestamp"], entry["userId"]) == (entity["createdAt"], entity["createdBy"])


def test_a_record_may_be_related_to_one_that_comes_later(app, store, description):
    first, last = description["records"][0], description["records"][-1]
    first["values"]["goes-with"] = [{"scope": {}, "value": [last["id"]]}]
    store(description)
    assert bodies(app, "entities")[0] == first


@pytest.mark.parametrize(
    ("alias", "value", "said"),
    [
        ("price", "cheap", "values.price[0].value: Attribute 'price' expects type 'number', got 'string'"),
        ("sku", "cw-1", r"values.sku[0].value: Value for 'sku' does not match pattern '^[A-Z]{2}-\d{3}$', got 'cw-1'"),
        (
            "goes-with",
            ["ent-lost"],
            "values.goes-with[0].value: Attribute 'goes-with' expects the id of a record, got 'ent-lost'",
        ),
        ("ean", "9520000010072", "values.ean[0].value: '9520000010072' is already the value of 'ent-coastal-wb'"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_nothing_of_it_is_stored(app, store, description, alias, value, said):
    description["records"][5]["values"][alias] = [{"scope": {}, "value": value}]
    with pytest.raises(ApiError) as refusal:
        store(description)
    assert refusal.value.message == said
    assert sql(app, "SELECT count(*) FROM workspaces WHERE id = 'ws-new'") == [(0,)]
    assert bodies(app, "entities") == []


def test_rows_make_the_same_again(app, store, description):
    rows = store(description)
    with app.app_context(), transaction():
        execute("INSERT INTO workspaces (id, name) VALUES ('ws-copy', 'Copy')")
        with acting_as("ws-copy", "user-admin"):
            content.insert_rows(rows)
            assert content.fetch_rows() == rows
    with app.app_context():
        close_db()
    for table in ("entity_counts", "model_references", "unique_values", "category_assignments"):
        columns = [row[1] for row in sql(app, f"PRAGMA table_info({table})") if row[1] not in ("seq", "tenant")]
        counted = f"SELECT {', '.join(columns)} FROM {table} WHERE tenant = ? ORDER BY {', '.join(columns)}"
        assert sql(app, counted, "ws-copy") == sql(app, counted, "ws-new") != [], table
