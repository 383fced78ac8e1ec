"""The query strings of lists, and the pages that they answer."""

import itertools
import json
import random

import pytest
from cases import each
from conftest import sql

from sigma import database
from sigma.http import errors, paging, responses
from sigma.http.date_times import is_date_time
from sigma.resources import entities, records

PAGED = ("/records", "/variants", "/categories/cat-men/entities", "/records/ent-coastal-wb/audit-log")


@each(
    "text",
    [
        *(
            "",
            " ",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "1.5",
            "1e3",
            "0x10",
            "1_000",
            "1,000",
            "abc",
            "null",
            "NaN",
            "Infinity",
            "true",
        ),
        *(
            "\u00b2",
            "\u0661",
            "\uff11",
            "\u2167",
            "1\u0661",
            "\0",
            "1\0",
            "1\n",
            "9" * 20,
            "9" * 400,
            "9" * 5_000,
            "--1",
            "'1'",
        ),
    ],
)
def test_a_page_is_bounded_by_plain_whole_numbers(key, error, text):
    for path, name in itertools.product(PAGED, ("limit", "offset")):
        message = error(key.get(path, query_string={name: text}), 400)
        assert message.startswith(f"{name}: expected ")
        assert len(message) < 200
        assert len(text) > 60 or not text.isprintable() or text in message


@each(
    ("query", "status"),
    [
        pytest.param({"limit": "1"}, 200, id="least limit"),
        pytest.param({"limit": "1000"}, 200, id="greatest limit"),
        pytest.param({"limit": "0"}, 400, id="limit 0"),
        pytest.param({"limit": "1001"}, 400, id="limit 1001"),
        pytest.param({"offset": "0"}, 200, id="offset 0"),
        pytest.param({"offset": "1000000"}, 200, id="offset far beyond the end"),
    ],
)
def test_the_bounds_of_a_page(key, query, status):
    for path in PAGED:
        answer = key.get(path, query_string=query)
        assert answer.status_code == status
        if status == 200:
            expected = {"offset": 0, "limit": 50, **{name: int(text) for name, text in query.items()}}
            assert {name: answer.json[name] for name in expected} == expected


@each("text", ["none", "\0", "\ufffd", "x" * 5_000, "%", "' OR 1=1 --"])
def test_a_filter_that_matches_nothing_gives_an_empty_list(key, text):
    for path, name in (("/records", "schemaId"), ("/records", "lifecycleStateId"), ("/variants", "schemaId")):
        answer = key.get(path, query_string={name: text})
        assert (answer.status_code, answer.json) == (200, {"items": [], "total": 0, "offset": 0, "limit": 50})


# Deep in a list


def multiply(app, schema, count, state=None):
    """Store as many records of a schema as an import would take long for; they get their numbers in one go."""
    body = {"lifecycleStateId": state, "schemaId": schema} if state else {"schemaId": schema}
    statement = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO entities (tenant, schema_id, body)"
        " SELECT 'ws-demo', ?, json_set(?, '$.id', 'ent-' || ? || '-' || i, '$.values', json('{}')) FROM n"
    )
    sql(app, statement, count, schema, json.dumps(body), f"{schema}{state or ''}")


@pytest.fixture
def crowd(app, admin):
    """Store 12,000 records of two schemas and three states; some are taken out again, and some change their state."""
    assert admin.post("/schemas", {"id": "schema-b", "alias": "b", "name": "B", "variantEnabled": False}).status_code == 201
    multiply(app, "schema-apparel", 5000, "state-draft")
    multiply(app, "schema-b", 3000)
    multiply(app, "schema-apparel", 4000, "state-review")
    sql(app, "DELETE FROM entities WHERE seq BETWEEN 4000 AND 4200 OR seq BETWEEN 8192 AND 8300")
    sql(app, "DELETE FROM entities WHERE seq % 7 = 0 AND id LIKE 'ent-schema-apparel%'")
    moved = "UPDATE entities SET body = json_set(body, '$.lifecycleStateId', 'state-published') WHERE seq % 5 = 0"
    sql(app, f"{moved} AND id LIKE 'ent-schema-apparel%'")


@each(
    ("query", "condition"),
    [
        ({}, "1"),
        ({"schemaId": "schema-apparel"}, "schema_id = 'schema-apparel'"),
        ({"schemaId": "schema-b"}, "schema_id = 'schema-b'"),
        ({"lifecycleStateId": "state-published"}, "state_id = 'state-published'"),
        ({"schemaId": "schema-apparel", "lifecycleStateId": "state-review"}, "state_id = 'state-review'"),
    ],
)
def test_a_page_holds_the_same_however_deep_it_begins(query, condition, app, key, crowd):
    ids = [
        id
        for (id,) in sql(
            app, f"SELECT id FROM entities WHERE tenant = 'ws-demo' AND is_variant = 0 AND {condition} ORDER BY seq"
        )
    ]
    assert len(ids) > 1000
    assert key.get("/records").status_code == 200  # opens the connection
    database._thread.connection.execute("PRAGMA reverse_unordered_selects = ON")  # what has no order comes in another one
    for offset in (0, 1, 4094, 4095, *range(4096, len(ids), 499), 8191, 8192, len(ids) - 3, len(ids), len(ids) + 5000):
        page = key.get("/records", query_string={**query, "offset": offset, "limit": 7}).json
        assert (page["total"], [record["id"] for record in page["items"]]) == (len(ids), ids[offset : offset + 7]), offset


def random_counts(chance):
    """Return how many rows there are in each of up to 400 buckets: evenly, in a few heaps, ever more, or anyhow."""
    buckets = chance.randint(1, 400)
    density = chance.choice(
        [
            lambda _: entities.BUCKET_SIZE,
            lambda _: entities.BUCKET_SIZE // 3,
            lambda bucket: entities.BUCKET_SIZE if bucket % 97 == 5 else 0,
            lambda bucket: (entities.BUCKET_SIZE * bucket**4) // buckets**4,
            lambda _: chance.choice([0, 0, 1, 100, entities.BUCKET_SIZE]),
        ]
    )
    return [*map(density, range(buckets)), chance.randint(1, entities.BUCKET_SIZE)]


def test_where_a_page_begins_is_found_after_a_few_counts():
    chance, asked = random.Random(1), []
    for _ in range(500):
        numbers = random_counts(chance)
        numbers[0] = min(numbers[0], entities.BUCKET_SIZE - 1)  # there is no seq 0
        total, most = sum(numbers), []

        def counts_at(bucket, numbers=numbers, total=total, most=most):
            most.append(bucket)
            inside = numbers[bucket] if bucket < len(numbers) else 0
            return entities._Counts(len(numbers) * entities.BUCKET_SIZE - 1, total, sum(numbers[:bucket]), inside)

        offset = chance.choice([0, total - 1, chance.randrange(total), chance.randrange(total), total, total + 10_000])
        start = entities._find_start(offset, counts_at)
        asked.append(len(most))
        assert start.total == total
        if offset >= total:
            assert start == (total, entities.MAX_SEQ, 0, False)
            continue
        below, bucket = 0, 0
        while below + numbers[bucket] <= offset:
            below, bucket = below + numbers[bucket], bucket + 1
        first, skipped, inside = bucket * entities.BUCKET_SIZE, offset - below, numbers[bucket]
        if inside == entities.BUCKET_SIZE:
            assert start == (total, first + skipped, 0, False)
        elif skipped < inside / 2:
            assert start == (total, first, skipped, False)
        else:
            assert start == (total, first + entities.BUCKET_SIZE, inside - skipped - 1, True)
    assert max(asked) <= 20
    assert sum(asked) / len(asked) < 4


CHANGED_SINCE = entities.ListFilter(
    paging.Parameter("changedSince", "Only those changed then or later", "a date and time with a zone", is_date_time),
    "julianday(upper(json_extract(body, '$.updatedAt'))) >= julianday(upper(?))",
)
MADE_BY = entities.ListFilter(paging.Parameter("createdBy", "Only what they made"), "json_extract(body, '$.createdBy') = ?")


def test_a_place_in_the_lists_that_holds_nothing_any_more_is_forgotten(app, admin):
    places = "SELECT state_id, total FROM entity_counts WHERE schema_id = 'schema-apparel' AND bucket = 200 ORDER BY is_variant"
    sql(app, "UPDATE entities SET seq = 4096 * 200 - 1 WHERE id = 'ent-coastal-wb'")
    values = {"product-name": [{"scope": {}, "value": "A thing"}], "sku": [{"scope": {}, "value": "AA-001"}]}
    for path, body in (
        ("/records", {"id": "ent-new", "schemaId": "schema-apparel", "values": values}),
        ("/records/ent-new/variants", {"id": "ent-new-v"}),
    ):
        assert admin.post(path, body).status_code == 201
    assert sql(app, places) == [("state-draft", 1), ("", 1)]
    sql(app, "UPDATE entities SET body = json_set(body, '$.lifecycleStateId', 'state-review') WHERE id = 'ent-new'")
    assert sql(app, places) == [("state-review", 1), ("", 1)]
    assert admin.delete("/records/ent-new").status_code == 204
    assert sql(app, places) == []


@pytest.fixture
def more_filters(monkeypatch):
    """Give the list of records two filters by what entity_counts does not have, as one may be added."""
    monkeypatch.setattr(records, "FILTERS", (*records.FILTERS, CHANGED_SINCE, MADE_BY))


def test_a_filter_by_what_is_not_counted_counts_for_itself(app, key, crowd, more_filters):
    made_by = "UPDATE entities SET body = json_set(body, '$.createdBy', 'user-new') WHERE seq % 2 = 0 AND seq > 100"
    sql(app, made_by)
    for query, condition in (
        ({"createdBy": "user-new"}, "1"),
        ({"createdBy": "user-new", "schemaId": "schema-b"}, "schema_id = 'schema-b'"),
    ):
        ids = sql(
            app,
            "SELECT id FROM entities WHERE tenant = 'ws-demo' AND is_variant = 0 AND seq > 100 AND seq % 2 = 0"
            f" AND {condition} ORDER BY seq",
        )
        assert len(ids) > 1000
        for offset in (0, 1, 700, 4097, len(ids) - 3, len(ids), len(ids) + 5000):
            page = key.get("/records", query_string={**query, "offset": offset, "limit": 7}).json
            assert (page["total"], [(record["id"],) for record in page["items"]]) == (len(ids), ids[offset : offset + 7]), (
                offset
            )
    assert key.get("/records?createdBy=nobody").json == {"items": [], "total": 0, "offset": 0, "limit": 50}


@each(
    ("since", "names"),
    [
        ("2026-03-01T08:00:00.500Z", "same later"),
        ("2026-03-01t09:00:00.500+01:00", "same later"),
        ("2026-03-01T08:00:00.501Z", "later"),
        ("2026-03-01T08:00:00.499Z", "before same later"),
        ("2026-02-28T23:59:59-08:00", "before same later"),
        ("2026-03-01T08:01:00Z", ""),
    ],
)
def test_a_filter_by_time_goes_by_instants_however_they_are_written(since, names, app, key, more_filters):
    written = {
        "before": "2026-03-01T08:00:00.499Z",
        "same": "2026-03-01t10:00:00.5+02:00",
        "later": "2026-03-01T00:00:01-08:00",
    }
    sql(app, "UPDATE entities SET body = json_set(body, '$.updatedAt', '2026-02-01T00:00:00Z')")
    for (id,), time in zip(sql(app, "SELECT id FROM entities WHERE tenant = 'ws-demo' LIMIT 3"), written.values(), strict=True):
        sql(app, "UPDATE entities SET body = json_set(body, '$.updatedAt', ?) WHERE id = ?", time, id)
    page = key.get("/records", query_string={"changedSince": since}).json
    assert [record["updatedAt"] for record in page["items"]] == [written[name] for name in names.split()]
    assert page["total"] == len(page["items"])


@each("text", ["", "yesterday", "2026-03-01", "2026-02-30T00:00:00Z", "2026-03-01T08:00:00"])
def test_a_filter_says_what_it_expects(text, key, error, more_filters):
    message = error(key.get("/records", query_string={"changedSince": text}), 400)
    assert message == f"changedSince: expected a date and time with a zone, got '{text}'"


LARGE_PAGES = (
    "/records?",
    "/variants?",
    "/records/ent-coastal-wb/audit-log?",
    "/categories/cat-men/entities?",
    "/search/text?q=a&",
)


@each("path", LARGE_PAGES)
def test_a_page_with_more_text_than_an_answer_may_have_is_refused_with_what_to_do(key, error, monkeypatch, path):
    for number in range(3):
        key.put("/records/ent-coastal-wb", {"values": {"material": [{"scope": {}, "value": f"{number}" * 200}]}})
        key.post("/records/ent-coastal-wb/variants", {"values": {}})
        id = key.post("/records", {"schemaId": "schema-apparel", "values": {"material": [{"value": "a"}]}}).json["id"]
        key.post("/categories/cat-men/assign", {"entityId": id})
    whole = key.get(f"{path}limit=3").json
    size = len(json.dumps(whole["items"], separators=(",", ":"), ensure_ascii=False).encode())
    assert len(whole["items"]) == 3
    for most, is_enough in ((size - 5, False), (size, True)):  # brackets and commas do not count everywhere
        for module in (responses, entities):
            monkeypatch.setattr(module, "LARGE", 0)
        monkeypatch.setattr(responses, "MAX_PAGE", most)
        answer = key.get(f"{path}limit=3")
        if is_enough:
            assert answer.json == whole
        else:
            assert error(answer, 400) == "limit: 3 of these are too large for one response; ask for fewer"
        assert key.get(f"{path}limit=2").json["items"] == whole["items"][:2]


# The reader


@each(
    ("query", "bounds"),
    [
        ({}, (0, 50)),
        ({"offset": "7"}, (7, 50)),
        ({"limit": "1"}, (0, 1)),
        ({"offset": "1000000000000", "limit": "1000"}, (10**12, 1000)),
        ({"offset": "007", "page": "x"}, (7, 50)),
    ],
)
def test_offset_and_limit_are_read_from_a_query(query, bounds):
    assert paging.page_bounds(query) == bounds


@each(
    ("query", "message"),
    [
        ({"limit": "0"}, "limit: expected a whole number from 1 to 1000, got '0'"),
        ({"limit": "1001"}, "limit: expected a whole number from 1 to 1000, got '1001'"),
        ({"offset": "1000000000001"}, "offset: expected a whole number from 0 to 1000000000000, got '1000000000001'"),
        ({"offset": "", "limit": ""}, "offset: expected a whole number from 0 to 1000000000000, got ''"),
    ],
)
def test_an_offset_or_limit_out_of_bounds_is_named(query, message):
    with pytest.raises(errors.ApiError) as refusal:
        paging.page_bounds(query)
    assert (refusal.value.code, refusal.value.message) == (400, message)
