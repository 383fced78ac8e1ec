"""The query strings of lists, and the pages that they answer."""

import itertools

import pytest

from sigma.http import errors, paging

PAGED = ("/records", "/variants", "/categories/cat-men/entities", "/records/ent-coastal-wb/audit-log")


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("text", ["none", "\0", "\ufffd", "x" * 5_000, "%", "' OR 1=1 --"])
def test_a_filter_that_matches_nothing_gives_an_empty_list(key, text):
    for path, name in (("/records", "schemaId"), ("/records", "lifecycleStateId"), ("/variants", "schemaId")):
        answer = key.get(path, query_string={name: text})
        assert (answer.status_code, answer.json) == (200, {"items": [], "total": 0, "offset": 0, "limit": 50})


# The reader


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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
