"""Clocks that are set back or forward: what lasts for a time still ends, what goes on still goes on, order stays."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from cases import each
from conftest import Caller, sql, store_delivery
from nouns import NOUNS, WITH_ALIAS
from test_sessions import ADMIN, DAY, bearer, claims_of, login, opened, sign, stored_secret

from sigma import database
from sigma.http import app as http_app
from sigma.http import credentials, stamps
from sigma.resources import users

HOUR, YEAR = 3600, 366 * DAY
MODULES = (http_app, credentials, stamps, users)


@pytest.fixture
def step(monkeypatch):
    """Return a function that sets the clock of the service by so many seconds, compared with what it truly is."""

    def step(seconds):
        clock = SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("_")})
        clock.time = lambda: time.time() + seconds
        for module in MODULES:
            monkeypatch.setattr(module, "time", clock)

    return step


def read(caller):
    return caller.get("/roles").status_code


def test_a_session_survives_a_clock_that_is_set_back_by_an_hour_and_can_be_exchanged(app, anonymous, step):
    step(HOUR)
    session = bearer(app, login(anonymous).json["token"])
    step(0)
    assert read(session) == 200
    _, claims = opened(session.post("/auth/refresh").json["token"], stored_secret(app))
    assert abs(claims["iat"] - time.time()) < 30
    assert claims["exp"] == claims["iat"] + DAY


def test_a_session_from_a_clock_that_was_a_year_ahead_ends_when_that_is_mended(app, anonymous, step, error):
    step(YEAR)
    session = bearer(app, login(anonymous).json["token"])
    step(0)
    message = error(session.get("/roles"), 401)
    assert message == (
        "Invalid or expired token: it was made when the clock here was ahead; sign in again, with POST /api/v1/auth/login"
    )
    error(session.post("/auth/refresh"), 401)
    assert read(bearer(app, login(anonymous).json["token"])) == 200


def test_a_password_that_is_changed_when_the_clock_was_set_back_ends_all_sessions_for_good(app, anonymous, run, step, error):
    step(HOUR)
    session = bearer(app, login(anonymous).json["token"])
    refreshed = bearer(app, session.post("/auth/refresh").json["token"])
    step(0)
    assert run("users", "password", "admin@sigma.io", stdin="a long enough password\n").exit_code == 0
    for now in (0, HOUR - 60, HOUR + 60, 2 * HOUR):
        step(now)
        error(session.get("/roles"), 401)
        error(refreshed.get("/roles"), 401)
    step(0)
    assert read(bearer(app, login(anonymous, password="a long enough password").json["token"])) == 200


def test_a_session_that_is_stored_late_makes_no_later_one_forgotten(app, anonymous, run, step, error, monkeypatch):
    """Another process, whose clock is ahead, makes a session between what this one reads and what it stores."""
    execute, ahead = users.execute, []
    sql(app, "UPDATE settings SET value = value - 60 WHERE name = 'sessions_from'")  # or there would be nothing to store

    def sign_in():
        token = login(anonymous).json["token"]
        database.close_db()
        return token

    def store_late(statement, *parameters):
        if statement.startswith("INSERT INTO settings"):
            monkeypatch.setattr(users, "execute", execute)
            step(HOUR)
            with ThreadPoolExecutor(1) as pool:  # in a thread, because requests within each other would share Flask's `g`
                ahead.append(bearer(app, pool.submit(sign_in).result()))
            step(0)
        return execute(statement, *parameters)

    monkeypatch.setattr(users, "execute", store_late)
    assert login(anonymous).status_code == 200
    (session,) = ahead
    assert read(session) == 200
    assert run("users", "password", "admin@sigma.io", stdin="a long enough password\n").exit_code == 0
    for now in (0, HOUR + 60):
        step(now)
        error(session.get("/roles"), 401)


def test_whose_password_was_changed_by_a_clock_that_was_a_year_ahead_gets_sessions_of_a_day(app, anonymous, run, step, error):
    step(YEAR)
    assert run("users", "password", "admin@sigma.io", stdin="a long enough password\n").exit_code == 0
    step(0)
    token = login(anonymous, password="a long enough password").json["token"]
    _, claims = opened(token, stored_secret(app))
    assert claims["iat"] > time.time() + YEAR - DAY
    assert abs(claims["exp"] - (time.time() + DAY)) <= credentials.CLOCK_STEP + 30
    assert read(bearer(app, token)) == 200


def test_a_session_never_lasts_longer_than_a_day_and_what_a_clock_may_be_set_back(app, error):
    secret, now = stored_secret(app), math.floor(time.time())
    longest = now + DAY + credentials.CLOCK_STEP
    good, bad = ({**claims_of(ADMIN), "exp": exp} for exp in (longest - 5, longest + 60))
    assert read(bearer(app, sign(good, secret))) == 200
    error(bearer(app, sign(bad, secret)).get("/roles"), 401)


def test_a_session_is_remembered_once_a_second(app, anonymous):
    session = Caller(app, {"Authorization": f"Bearer {login(anonymous).json['token']}"})
    statements = []
    with app.app_context():
        database.get_db().set_trace_callback(statements.append)
    sql(app, "UPDATE settings SET value = value + 10 WHERE name = 'sessions_from'")
    assert session.post("/auth/refresh").status_code == 200
    assert not [statement for statement in statements if "INSERT" in statement]


# What has one time, or goes back in time, keeps its order


def test_records_of_one_time_are_listed_in_the_order_in_which_they_were_made_and_paging_neither_loses_nor_repeats(
    key, monkeypatch
):
    monkeypatch.setattr(stamps.time, "time", lambda: 1_900_000_000.0)
    ids = [f"ent-{letter}" for letter in "zaymbxcw"]
    for id in ids:
        assert key.post("/records", {"id": id, "schemaId": "schema-apparel", "values": {}}).status_code == 201
    monkeypatch.undo()
    total = key.get("/records?limit=1").json["total"]
    pages = [key.get(f"/records?offset={offset}&limit=3").json["items"] for offset in range(0, total + 3, 3)]
    found = [record["id"] for page in pages for record in page]
    assert len(found) == len(set(found)) == total
    assert found[-8:] == ids
    assert len({record["createdAt"] for page in pages for record in page if record["id"] in ids}) == 1


LETTERS = "zaymbxcw"  # in no order


def make_category(admin, id):
    body = {"id": id, "alias": id, "name": "Same", "sortOrder": 1}
    return admin.post("/catalogs/cat-webshop/categories", body), admin.post(
        f"/categories/{id}/assign", {"entityId": "ent-coastal-wb"}
    )


def make_in(path, **members):
    """Return a function that makes one with a certain id, which is like the others but for what must be its own."""
    return lambda admin, id: [
        admin.post(path, {key: id if value is ID else value for key, value in members.items()} | {"id": id})
    ]


ID = object()
VARIANT = "/records/ent-coastal-wb/variants"
HOOK = {"name": "Same", "url": "http://127.0.0.1:9/", "events": ["entity.created"]}
MADE = {  # by list: how one is made in it
    **{noun.path: make_in(noun.path, **{**noun.minimal, **({"alias": ID} if noun in WITH_ALIAS else {})}) for noun in NOUNS},
    "/saved-queries": make_in("/saved-queries", name="Same", query={"criteria": []}),
    "/webhooks": make_in("/webhooks", **HOOK),
    "/records?limit=1000": make_in("/records", schemaId="schema-apparel", values={}),
    "/export": make_in("/records", schemaId="schema-apparel", values={}),
    "/search/text?q=lighthouse&limit=1000": make_in(
        "/records", schemaId="schema-apparel", values={"product-name": [{"scope": {}, "value": "Lighthouse"}]}
    ),
    VARIANT: make_in(VARIANT, parentId="ent-coastal-wb", values={}),
    "/variants?limit=1000": make_in(VARIANT, parentId="ent-coastal-wb", values={}),
    "/records/ent-coastal-wb/categories": make_category,
}


@each("between", [0, -HOUR], ids=["one time", "an hour back each time"])
@each("path", MADE)
def test_every_list_is_in_the_order_in_which_things_were_made(admin, step, monkeypatch, path, between):
    ids = [f"same-{letter}" for letter in LETTERS]
    for number, id in enumerate(ids):
        step(0)
        monkeypatch.setattr(stamps.time, "time", lambda number=number: 1_900_000_000.0 + number * between)
        assert {answer.status_code for answer in MADE[path](admin, id)} <= {201, 204}
    monkeypatch.undo()
    answer = admin.get(path).json
    found = [item.get("id", item.get("_id")) for item in (answer if isinstance(answer, list) else answer["items"])]
    assert [id for id in found if id in ids] == ids


@each("between", [0, -HOUR], ids=["one time", "an hour back each time"])
def test_what_is_made_without_an_id_of_ones_own_is_listed_in_its_order_too(app, admin, standin, step, monkeypatch, between):
    made = {"keys": [], "workspaces": []}
    for number in range(8):
        step(0)
        monkeypatch.setattr(stamps.time, "time", lambda number=number: 1_900_000_000.0 + number * between)
        made["keys"].append(admin.post("/api-keys", {"name": "Same", "permissions": ["read"]}).json["id"])
        made["workspaces"].append(standin("POST", "/workspaces", {"content": "empty"}).json["id"])
        store_delivery(app, f"dlv-{LETTERS[number]}", made_at=1_900_000_000.0 + number * between)
    monkeypatch.undo()
    times = [key["createdAt"] for key in admin.get("/api-keys").json if key["id"] in made["keys"]]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == (8 if between else 1)
    lists = {
        "keys": [key["id"] for key in admin.get("/api-keys").json],
        "workspaces": [workspace["id"] for workspace in standin("GET", "/workspaces").json],
    }
    assert {name: [id for id in ids if id in made[name]] for name, ids in lists.items()} == made
    ledger = standin("GET", "/keys", headers=admin.headers).json
    assert [key["id"] for key in ledger if key["id"] in made["keys"]] == made["keys"]
    deliveries = standin("GET", "/deliveries", headers=admin.headers).json["items"]
    assert [delivery["deliveryId"] for delivery in deliveries] == [f"dlv-{letter}" for letter in reversed(LETTERS)]


def test_a_history_is_in_the_order_of_what_happened_whatever_the_clock_says(key, step):
    key.post("/records", {"id": "ent-x", "schemaId": "schema-apparel", "values": {}})
    for seconds, name in ((YEAR, "ahead"), (-HOUR, "behind"), (0, "now")):
        step(seconds)
        body = {"scope": {}, "value": name}
        assert key.patch("/records/ent-x/values/product-name", body).status_code == 200
    entries = key.get("/records/ent-x/audit-log").json["items"]
    assert [change["newValue"] for entry in entries for change in entry["changes"]][:3] == ["now", "behind", "ahead"]
    times = [entry["timestamp"] for entry in entries]
    assert times != sorted(times, reverse=True)


def test_the_journal_is_in_the_order_of_what_came_whatever_the_clock_says(key, standin, step):
    for seconds, path in ((YEAR, "/roles"), (-HOUR, "/schemas"), (0, "/catalogs")):
        step(seconds)
        assert key.get(path).status_code == 200
    entries = standin("GET", "/requests?limit=3").json
    assert [entry["path"] for entry in entries] == ["/api/v1/catalogs", "/api/v1/schemas", "/api/v1/roles"]


# Years


@each(
    ("now", "told"),
    [
        (2**31, "2038-01-19T03:14:08.000Z"),
        (2**32, "2106-02-07T06:28:16.000Z"),
        (253402300799.5, "9999-12-31T23:59:59.500Z"),
    ],
)
def test_the_years_to_9999_are_years_like_any_other(key, monkeypatch, now, told):
    monkeypatch.setattr(stamps, "time", SimpleNamespace(time=lambda: now, strftime=time.strftime, gmtime=time.gmtime))
    record = key.post("/records", {"id": "ent-late", "schemaId": "schema-apparel", "values": {}})
    assert (record.status_code, record.json["createdAt"]) == (201, told)
    assert key.get("/records/ent-late").json["createdAt"] == told
    assert [entry["timestamp"] for entry in key.get("/records/ent-late/audit-log").json["items"]] == [told]
