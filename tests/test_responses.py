"""Answers that are ready to be sent: stored texts, joined as they are."""

import json
import sqlite3

import pytest
from cases import each

from sigma.http import responses
from sigma.http.ready_response import ReadyResponse


@each(
    ("rows", "text"),
    [
        ([], b""),
        ([b'{"a":1}'], b'{"a":1}'),
        ([b"1", b'"two"', b"[3]"], b'1,"two",[3]'),
        (["æ".encode(), "日本".encode()], "æ,日本".encode()),
    ],
)
def test_texts_are_joined_with_commas(rows, text):
    assert responses.join_texts(iter(rows)) == text


@each("damaged", [b"\xff", b'"\xc3"', b'"\xed\xa0\x80"'])
def test_a_text_that_is_not_utf_8_is_damage(damaged):
    with pytest.raises(sqlite3.DatabaseError, match=r"^a stored text is damaged: "):
        responses.join_texts([b'"good"', damaged])


@pytest.fixture
def rows(app):
    """Yield a function that makes rows of JSON texts, in a request."""
    with app.test_request_context("/"):
        sql = f"SELECT {responses.TEXT_OR_SIZE} FROM (SELECT value AS body FROM json_each(?))"
        yield lambda *texts: responses.Rows(sql, (json.dumps(texts),))


def test_a_list_and_a_page_are_json_and_end_a_line(rows):
    two = rows('{"a":1}', '{"a":2}')
    answers = [responses.json_list(two), responses.json_list(rows()), responses.json_page(two, 9, 2, 50)]
    answers.append(responses.joined_page(b'{"a":3},{"a":4}', 9, 2, 50))
    assert [json.loads(answer.data) for answer in answers] == [
        [{"a": 1}, {"a": 2}],
        [],
        {"items": [{"a": 1}, {"a": 2}], "total": 9, "offset": 2, "limit": 50},
        {"items": [{"a": 3}, {"a": 4}], "total": 9, "offset": 2, "limit": 50},
    ]
    for answer in answers:
        assert answer.data.endswith(b"\n")
        assert (answer.status_code, answer.content_type) == (200, "application/json")


@each("large", [0, 1, 7, 8, 14, 15, 1000])
@each("change", [None, lambda value: value["a"]])
def test_a_list_is_the_same_whether_it_is_made_at_once_or_in_parts(rows, monkeypatch, large, change):
    texts = ['{"a":1}', '{"a":"æ"}', '{"a":[]}']
    monkeypatch.setattr(responses, "LARGE", large)
    expected = f"[{','.join(texts)}]\n" if change is None else '[1,"æ",[]]\n'
    assert responses.json_list(rows(*texts), change).data.decode() == expected


@each(
    "status, headers",
    [(200, None), (201, {}), (401, {"WWW-Authenticate": "Bearer"}), (418, {"Allow": "GET", "Vary": "Origin"})],
)
def test_a_ready_response_is_what_werkzeug_makes(status, headers):
    ready = ReadyResponse.of(b"{", b"}", status=status, headers=headers)
    assert vars(ready) == vars(ReadyResponse(b"{}\n", status, headers, content_type="application/json")) | {"is_ready": True}
    assert list(ready.headers) == [*(headers or {}).items(), ("Content-Type", "application/json"), ("Content-Length", "3")]
