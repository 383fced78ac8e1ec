"""What an attacker would try by the thousand: telling emails apart by time, guessing keys, and SQL in every string."""

import json
import secrets
import sqlite3
import statistics
import string
import time
from contextlib import closing

import pytest
from conftest import replace_everywhere

from sigma.resources import sessions


def rows(app, statement):
    with closing(sqlite3.connect(app.config["DATABASE"])) as db:
        return db.execute(statement).fetchall()


def test_how_long_a_login_takes_does_not_tell_whether_an_email_exists(app, anonymous, monkeypatch):
    replace_everywhere(monkeypatch, sessions, "FAILURES_OF_EMAIL", 1000)
    replace_everywhere(monkeypatch, sessions, "FAILURES_OF_ADDRESS", 1000)
    taken = {"admin@sigma.io": [], "nobody@sigma.io": []}
    for _ in range(40):
        for email, times in taken.items():
            started = time.thread_time()  # of the processor, so that what else runs does not count
            assert anonymous.post("/auth/login", {"email": email, "password": "wrong"}).status_code == 401
            times.append(time.thread_time() - started)
    known, unknown = map(statistics.median, taken.values())
    spread = max(statistics.quantiles(times, n=4)[2] - min(times) for times in taken.values())
    assert abs(known - unknown) <= max(spread, 0.02 * known), (known, unknown, spread)


def test_no_key_is_found_by_guessing_near_one(app, make_key, anonymous):
    key = make_key("read")
    alphabet = string.ascii_lowercase + string.digits
    guesses = {key.raw_key[:place] + other + key.raw_key[place + 1 :] for place in range(14, 50) for other in alphabet}
    guesses |= {key.raw_key[:length] for length in range(50)} | {key.raw_key + other for other in alphabet}
    guesses |= {"sigma_sk_live_" + "".join(secrets.choice(alphabet) for _ in range(36)) for _ in range(500)}
    guesses -= {key.raw_key}
    messages = set()
    for guess in guesses:
        answer = anonymous.get("/records", headers={"X-Sigma-ApiKey": guess})
        assert answer.status_code == 401
        messages.add(answer.json["message"])
    assert len(messages) == 2, messages  # of the wrong shape, and with check characters that are wrong
    assert key.get("/records").status_code == 200


HOSTILE = [
    "'; DROP TABLE records; --",
    "' OR '1'='1",
    '" OR ""="',
    "1); DELETE FROM entities; --",
    "x' UNION SELECT hash FROM api_keys --",
    "%' ESCAPE '!",
    "$.values",
    "'||(SELECT value FROM settings)||'",
    "../../etc/passwd",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "\x7f\u202e\u0000",
]

BODIES = [  # of every operation that takes one
    ("POST", "/schemas", {"id": "s-1", "alias": "s-1", "name": "S", "variantEnabled": True, "description": "D", "icon": "i"}),
    ("POST", "/attributes", {"id": "a-1", "alias": "a-1", "name": "A", "type": "text", "validation": {"pattern": "x"}}),
    ("PUT", "/attributes/attr-size", {"alias": "size", "name": "Size", "type": "text", "dimensionIds": ["dim-language"]}),
    (
        *("POST", "/dimensions"),
        {"id": "d", "alias": "d", "name": "D", "defaultSegmentId": "s", "segments": [{"id": "s", "alias": "s", "name": "S"}]},
    ),
    ("POST", "/dimensions/scope-matrix", {"dimensionIds": ["dim-language"]}),
    ("POST", "/option-lists", {"id": "o", "alias": "o", "name": "O", "values": [{"id": "v", "alias": "v", "label": "V"}]}),
    ("POST", "/option-lists/ol-colors/values", {"id": "v-1", "alias": "v-1", "label": "V", "color": "#fff"}),
    (
        *("POST", "/workflows"),
        {
            "id": "w",
            "alias": "w",
            "name": "W",
            "defaultStateId": "s",
            "states": [{"id": "s", "name": "S", "required": ["size"]}],
        },
    ),
    ("POST", "/roles", {"id": "r", "name": "R", "schemaPermissions": [{"schemaId": "schema-apparel"}]}),
    ("POST", "/roles/role-editor/resolve", {"schemaId": "schema-apparel", "attributeIds": ["attr-size"]}),
    ("POST", "/catalogs", {"id": "c", "alias": "c", "name": "C", "description": "D"}),
    ("POST", "/catalogs/cat-webshop/categories", {"id": "k", "alias": "k", "name": "K", "parentId": None, "description": "D"}),
    ("POST", "/records", {"id": "e", "schemaId": "schema-apparel", "values": {"size": [{"scope": {}, "value": "M"}]}}),
    ("PUT", "/records/ent-coastal-wb", {"values": {"product-name": [{"scope": {"dim-language": "seg-en"}, "value": "N"}]}}),
    ("PATCH", "/records/ent-coastal-wb/values/product-name", {"value": "N", "scope": {"dim-language": "seg-en"}}),
    ("POST", "/records/ent-coastal-wb/transition", {"toStateId": "state-review"}),
    ("POST", "/records/ent-coastal-wb/variants", {"id": "v", "parentId": "var-cw-s", "values": {}}),
    (
        *("POST", "/search"),
        {"criteria": [{"attribute": "size", "operator": "contains", "value": "M", "scope": {"dim-language": "seg-en"}}]},
    ),
    ("POST", "/search/full-text", {"query": "M", "schemaId": "schema-apparel"}),
    (
        *("POST", "/saved-queries"),
        {"id": "q", "name": "Q", "query": {"criteria": [{"attribute": "sku", "operator": "equals", "value": "M"}]}},
    ),
    ("POST", "/api-keys", {"name": "K", "permissions": ["read"]}),
    ("POST", "/auth/login", {"email": "admin@sigma.io", "password": "admin"}),
]
PATHS = ["/schemas/{}", "/option-lists/ol-colors/values/{}", "/records/{}/variants", "/records/ent-coastal-wb/values/{}"]
PATHS += ["/saved-queries/{}"]
QUERIES = ["/records?schemaId={}", "/records?lifecycleStateId={}", "/variants?schemaId={}", "/records?limit={}"]
QUERIES += ["/search/text?q={}", "/search/text?q=a&schemaId={}"]


def spoiled(value, text):
    """Yield a body with each of its strings, and of its members' names, in turn replaced."""
    if isinstance(value, str):
        yield text
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in spoiled(item, text))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from ({**value, name: other} for other in spoiled(item, text))
            yield {**{key: item for key, item in value.items() if key != name}, text: item}


def shape_of(app):
    return rows(app, "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_anywhere_is_text(app, admin, stranger, text):
    shape, others = shape_of(app), [stranger.get(path).json for path in ("/roles", "/records", "/schemas", "/api-keys")]
    secret = rows(app, "SELECT value FROM settings")[0][0]
    for method, path, body in BODIES:
        for bad in spoiled(body, text):
            answer = admin.request(method, path, json=bad)
            assert answer.status_code in (200, 201, 204, 400, 401, 403, 404, 409, 422, 429), (path, bad, answer.data)
            assert secret not in answer.get_data(as_text=True)
            if answer.status_code in (200, 201) and answer.content_type == "application/json":
                json.loads(answer.data)
    quoted = "".join(f"%{byte:02X}" for byte in text.encode())
    for template in PATHS + QUERIES:
        answer = admin.get(template.format(quoted))
        assert answer.status_code in (200, 400, 404, 405), (template, answer.data)
        assert secret not in answer.get_data(as_text=True)
    assert shape_of(app) == shape
    assert [stranger.get(path).json for path in ("/roles", "/records", "/schemas", "/api-keys")] == others
    assert rows(app, "PRAGMA integrity_check") == [("ok",)]
    assert rows(app, "PRAGMA foreign_key_check") == []
