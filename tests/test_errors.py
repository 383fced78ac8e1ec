"""What is refused is refused in one shape: unknown addresses, wrong methods, unreadable bodies, and failures of our own."""

import io
import itertools
import json
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from conftest import replace_everywhere
from werkzeug.exceptions import MethodNotAllowed

from sigma import database as database_module
from sigma.http import responses
from sigma.resources import history

MIB = 1024 * 1024
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

# Every operation with a body. No path names anything that exists: a malformed request is refused before that is noticed.
BODIES = [
    "POST /auth/login",
    "POST /api-keys",
    *(
        operation
        for noun in ("schemas", "attributes", "dimensions", "option-lists", "workflows", "roles", "catalogs")
        for operation in (f"POST /{noun}", f"PUT /{noun}/none")
    ),
    "POST /dimensions/scope-matrix",
    "POST /option-lists/none/values",
    "PUT /option-lists/none/values/none",
    "POST /roles/none/resolve",
    "POST /catalogs/none/categories",
    "PUT /categories/none",
    "POST /categories/none/assign",
    "POST /categories/none/unassign",
    "POST /records",
    "PUT /records/none",
    "PATCH /records/none/values/none",
    "POST /records/none/transition",
    "POST /records/none/variants",
    "PUT /records/none/variants/none",
    "PATCH /records/none/variants/none/values/none",
]

LISTS = (
    "api-keys",
    "schemas",
    "attributes",
    "dimensions",
    "option-lists",
    "workflows",
    "roles",
    "catalogs",
    "records",
    "variants",
)
PAGED = ("/records", "/variants", "/categories/cat-men/entities", "/records/ent-coastal-wb/audit-log")

each_body = pytest.mark.parametrize("operation", BODIES)


def nested(levels, opening="[", closing="]"):
    """JSON text this many levels deep."""
    return opening * levels + "1" + closing * levels


def nested_objects(levels):
    return nested(levels, '{"a":', "}")


UNREADABLE = {
    "empty": "",
    "blank": " \n",
    "cut off": '{"name":',
    "trailing comma": '{"name":"a",}',
    "two values": "{}{}",
    "single quotes": "{'name':'a'}",
    "comment": '{"name":"a"/**/}',
    "leading zero": '{"name":01}',
    "raw newline in a string": '{"name":"a\nb"}',
    "array": "[]",
    "null": "null",
    "number": "3",
    "string": '"text"',
    "true": "true",
    "NaN": '{"name":NaN}',
    "Infinity": '{"name":Infinity}',
    "-Infinity": '{"name":[-Infinity]}',
    "beyond a double": '{"name":1e999}',
    "below a double": '{"name":{"a":-1e999}}',
    "member twice": '{"name":"a","name":"a"}',
    "member twice, written differently": '{"name":"a","n\\u0061me":"b"}',
    "member twice, inside": '{"name":[{"a":1,"b":2,"a":3}]}',
    "high surrogate alone": '{"name":"\\ud800"}',
    "low surrogate alone": '{"name":"a\\udc00b"}',
    "surrogate in a name": '{"\\udfff":1}',
    "surrogates the wrong way round": '{"name":"\\udc00\\ud800"}',
    "invalid UTF-8": b'{"name":"\xff"}',
    "overlong UTF-8": b'{"name":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"name":"\xed\xa0\x80"}',
    "Latin-1": '{"name":"é"}'.encode("latin-1"),
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"name":"a"}'.encode("utf-16"),
    "UTF-16 without BOM": '{"name":"a"}'.encode("utf-16-le"),
    "UTF-32": '{"name":"a"}'.encode("utf-32"),
    "5,000 arrays": nested(5_000),
    "5,000 objects": nested_objects(5_000),
    "200,000 arrays": nested(200_000),
    "100,000 objects": nested_objects(100_000),
    "200,000 arrays never closed": "[" * 200_000,
    "200,000 arrays in a member": f'{{"name":{nested(200_000)}}}',
}

NOT_A_VALUE = {  # readable JSON that no operation takes
    "100 levels": nested(100),
    "900 levels": nested(900),
    "400 digits": "9" * 400,
    "5,000 digits": "-" + "9" * 5_000,
    "NUL": '"\\u0000"',
    "half a mebibyte": json.dumps("x" * (MIB // 2)),
}


def send(caller, operation, data, content_type="application/json", **options):
    """Send exactly these bytes."""
    method, path = operation.split(" ")
    data = data.encode() if isinstance(data, str) else data
    return caller.request(method, path, data=data, content_type=content_type, **options)


def everything(caller):
    """All that a workspace lists."""
    return {name: caller.get(f"/{name}").json for name in LISTS}


# -- Addresses


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/nothing",
            "/api",
            "/api/v1",
            "/api/v1/",
            "/api/v1/nothing",
            "/api/v2/records",
            "/API/v1/records",
            "/api/v1/Records",
        ),
        *("/api/v1/records/", "/api/v1//records", "/api/v1/records/a/b/c", "/records", "/api/v1/records%2F", "/api/v1/%00"),
        *(
            "/%ff",
            "/healthz/",
            "/openapi.json/",
            "/docs/",
            "/docs/nothing.js",
            "/docs/oauth2-redirect.html",
            "/docs/../app.py",
            "/docs/..%2f..%2fapp.py",
            "/é",
        ),
        *("/static/app.py", "/app.py", "/sigma.db", "/docs/.", "/docs/__init__.py"),
    ],
)
def test_an_unknown_address_is_404_with_every_method(app, error, path):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = app.test_client().open(path, method=method)
        assert error(answer, 404)


def test_an_unknown_address_is_named_in_the_message(app, error):
    assert "/api/v1/nothing" in error(app.test_client().get("/api/v1/nothing"), 404)


def test_an_unknown_address_is_404_before_any_credential_is_looked_at(app, error):
    error(app.test_client().get("/api/v1/nothing", headers={"X-Sigma-ApiKey": "wrong"}), 404)


def test_a_wrong_method_is_405_and_told_the_right_ones_whoever_asks(app, anonymous, error):
    allowed = {}
    for rule in app.url_map.iter_rules():
        path = re.sub("<[^>]+>", "x", re.sub("<any.+>", "index.css", rule.rule))
        allowed[path] = allowed.get(path, set()) | (rule.methods - {"OPTIONS"})
    allowed["/api/v1/dimensions/scope-matrix"] |= allowed["/api/v1/dimensions/x"]
    client = app.test_client()
    for path, methods in allowed.items():
        for method in {*METHODS, "NONSENSE"} - methods:
            answer = client.open(path, method=method)
            error(answer, 405)
            assert set(answer.headers["Allow"].split(", ")) == methods, (method, path)


def test_head_answers_like_get_without_a_body(app, anonymous, admin):
    for caller, path, status in ((admin, "/records", 200), (anonymous, "/records", 401), (admin, "/nothing", 404)):
        answer = caller.request("HEAD", path)
        assert (answer.status_code, answer.content_type, answer.data) == (status, "application/json", b"")


@pytest.mark.parametrize(
    ("operation", "kind", "id"),
    [
        ("GET /records/r-none", "record", "r-none"),
        ("GET /records/ent-coastal-wb/variants/v-none", "variant", "v-none"),
        ("GET /schemas/s-none", "schema", "s-none"),
        ("DELETE /attributes/a-none", "attribute", "a-none"),
        ("GET /dimensions/d-none", "dimension", "d-none"),
        ("GET /option-lists/o-none", "option list", "o-none"),
        ("DELETE /option-lists/ol-colors/values/v-none", "value", "v-none"),
        ("GET /workflows/w-none", "workflow", "w-none"),
        ("DELETE /roles/r-none", "role", "r-none"),
        ("GET /catalogs/c-none/tree", "catalog", "c-none"),
        ("GET /categories/c-none/entities", "category", "c-none"),
        ("POST /api-keys/k-none/deactivate", "key", "k-none"),
        ("DELETE /api-keys/k-none", "key", "k-none"),
        ("GET /schemas/%27%22%5C%3Cb%3E", "schema", "'\"\\<b>"),
        ("GET /schemas/%00", "schema", "\0"),
        ("GET /schemas/%F0%9F%98%80", "schema", "\U0001f600"),
    ],
)
def test_a_missing_resource_is_404_and_named_with_its_type(admin, error, operation, kind, id):
    message = error(admin.request(*operation.split(" ")), 404)
    assert kind in message.lower()
    assert id in message


# -- Bodies


@each_body
def test_an_unreadable_body_is_400_and_changes_nothing(admin, error, operation):
    before = everything(admin)
    for name, data in UNREADABLE.items():
        message = error(send(admin, operation, data), 400)
        assert message.startswith("body: "), (name, message)
        assert "xpected" in message, (name, message)
    assert everything(admin) == before


@each_body
def test_json_that_fits_nothing_is_400_however_large_or_deep(admin, error, operation):
    before = everything(admin)
    for value in NOT_A_VALUE.values():
        for data in (value, f"[{value}]", f'{{"surprise":{value}}}', f'{{"name":{{"deep":{value}}}}}'):
            message = error(send(admin, operation, data), 400)
            assert len(message) < 1_000
    assert everything(admin) == before


@each_body
def test_an_unknown_member_is_named(admin, error, operation):
    assert "surprise: " in error(send(admin, operation, '{"surprise":1}'), 400)


@each_body
def test_another_content_type_is_415_and_is_told_which_one_is_right(admin, error, operation):
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/json",
        None,
    ):
        message = error(send(admin, operation, '{"name":"a"}', content_type), 415)
        assert "application/json" in message
        assert (content_type or "nothing").partition(";")[0] in message


@each_body
def test_a_body_over_one_mebibyte_is_413_however_it_is_sent(admin, error, operation):
    error(send(admin, operation, b" " * (MIB + 1)), 413)
    error(send(admin, operation, b" " * (MIB + 1), "text/plain"), 413)
    stream = io.BytesIO(b" " * (MIB + 1))  # and as a server says that it ends a body of no declared length
    chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    error(send(admin, operation, None, environ_overrides=chunked), 413)


class CountedStream(io.BytesIO):
    """A stream that knows how much was read from it."""

    count = 0

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self.count += count
        return count


def test_of_a_body_without_an_end_no_more_is_read_than_it_takes_to_refuse_it(admin, error):
    stream = CountedStream(b" " * 10 * MIB)
    chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    error(send(admin, "POST /catalogs", None, environ_overrides=chunked), 413)
    assert MIB < stream.count < 2 * MIB


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"]
)
def test_a_charset_parameter_and_capitals_are_fine(admin, content_type):
    body = {"id": "cat-new", "alias": "new", "name": "Nyt katalog på dansk"}
    answer = send(admin, "POST /catalogs", json.dumps(body, ensure_ascii=False), content_type)
    assert (answer.status_code, answer.json) == (201, body)
    assert admin.get("/catalogs/cat-new").json == body


def test_a_body_of_exactly_one_mebibyte_is_read(admin):
    body = {"id": "cat-new", "alias": "new", "name": "New"}
    answer = send(admin, "POST /catalogs", json.dumps(body).ljust(MIB))
    assert (answer.status_code, answer.json) == (201, body)


def test_a_body_without_a_declared_length_is_read(admin):
    body = {"id": "cat-new", "alias": "new", "name": "New"}
    stream = io.BytesIO(json.dumps(body).encode())
    chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    answer = send(admin, "POST /catalogs", None, environ_overrides=chunked)
    assert (answer.status_code, answer.json) == (201, body)


def test_who_may_not_call_learns_nothing_about_the_body(anonymous, make_key, error):
    reader = make_key("read")
    for data, content_type in ((b" " * (MIB + 1), "application/json"), (b"{", "application/json"), (b"{}", "text/plain")):
        error(send(anonymous, "POST /records", data, content_type), 401)
        error(send(reader, "POST /records", data, content_type), 403)


def test_the_type_of_a_body_is_looked_at_before_its_content_and_its_size_before_both(admin, error):
    error(send(admin, "POST /records", "{", "text/plain"), 415)
    error(send(admin, "POST /records", "{" * (MIB + 1), "text/plain"), 413)


def test_a_body_that_no_operation_reads_does_no_harm(admin, error):
    assert send(admin, "GET /catalogs/cat-webshop", "{").status_code == 200
    error(send(admin, "DELETE /catalogs/none", "{"), 404)
    error(send(admin, "POST /api-keys/none/deactivate", "{"), 404)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(text, id=id)
        for id, text in {
            "100 levels": nested_objects(100),
            "900 levels": nested_objects(900),
            "970 levels": nested_objects(970),
            "995 levels": nested_objects(995),
            "100 levels of arrays": f'{{"a":{nested(100)}}}',
            "5,000 levels": nested_objects(5_000),
            "15 digits": '{"a":123456789012345}',
            "40 digits": '{"a":1234567890123456789012345678901234567890}',
            "400 digits": f'{{"a":{"9" * 400}}}',
            "5,000 digits": f'{{"a":-{"9" * 5_000}}}',
            "smallest double": '{"a":5e-324}',
            "largest double": '{"a":1.7976931348623157e308}',
            "NUL": '{"a":"x\\u0000y","\\u0000":1}',
            "every plane": '{"a":"\\u00e6 \\u2028 \\ud83d\\ude00 \\uffff \\"\\\\"}',
            "long string": json.dumps({"a": "x" * 400_000}),
            "many members": json.dumps({f"m{n}": n for n in range(20_000)}),
            "empty name": '{"":null}',
        }.items()
    ],
)
def test_a_value_is_stored_as_it_was_sent_or_refused(key, error, value):
    before = key.get("/records/ent-coastal-wb").json
    answer = send(key, "PATCH /records/ent-coastal-wb/values/care", f'{{"value":{value}}}')
    if answer.status_code == 400:
        assert error(answer, 400)
        assert key.get("/records/ent-coastal-wb").json == before
    else:
        assert answer.status_code == 200
        stored = key.get("/records/ent-coastal-wb").json["values"]["care"]
        assert stored == [{"scope": {}, "value": json.loads(value)}]
        assert key.get("/records/ent-coastal-wb/variants/var-cw-s/resolved").json["effectiveValues"]["care"] == stored
        assert key.get("/records/ent-coastal-wb/audit-log").json["items"][0]["changes"][0]["newValue"] == stored[0]["value"]
    assert key.delete("/records/ent-coastal-wb").status_code == 204


@pytest.mark.parametrize("levels", [100, 100_000])
def test_depth_that_is_fine_is_kept_and_depth_that_is_not_is_400(key, error, levels):
    answer = send(key, "PATCH /records/ent-coastal-wb/values/care", f'{{"value":{nested_objects(levels)}}}')
    if levels == 100:
        assert answer.json["values"]["care"] == [{"scope": {}, "value": json.loads(nested_objects(levels))}]
    else:
        error(answer, 400)


NAMED = {
    "/api-keys": {"permissions": ["read"]},
    "/catalogs": {"id": "new", "alias": "new"},
    "/schemas": {"id": "new", "alias": "new", "variantEnabled": False},
    "/attributes": {"id": "new", "alias": "new", "type": "text"},
    "/dimensions": {
        "id": "new",
        "alias": "new",
        "defaultSegmentId": "a",
        "segments": [{"id": "a", "alias": "a", "name": "A"}],
    },
    "/option-lists": {"id": "new", "alias": "new"},
    "/workflows": {
        "id": "new",
        "alias": "new",
        "defaultStateId": "a",
        "states": [{"id": "a", "name": "A"}],
        "transitions": [],
    },
    "/roles": {"id": "new"},
    "/catalogs/cat-webshop/categories": {"id": "new", "alias": "new"},
}


@pytest.mark.parametrize(
    "name", ["\0", "a\0b", "\0a", " \0 ", "\u2028", "\ufeff", "\u200b", "\U0001f600", "é" * 200, "'\"\\</script>"], ids=ascii
)
def test_an_odd_name_is_kept_as_it_is_or_refused(admin, error, name):
    for path, body in NAMED.items():
        answer = admin.post(path, {**body, "name": name})
        if answer.status_code == 400:
            assert "name: " in error(answer, 400)
        else:
            assert (answer.status_code, answer.json.get("name")) == (201, name), path


@pytest.mark.parametrize("path", NAMED)
def test_a_name_too_long_is_refused_and_not_repeated(admin, error, path):
    for name in ("x" * 500_000, "x" * 300, "é" * 201):
        message = error(admin.post(path, {**NAMED[path], "name": name}), 400)
        assert message.startswith("name: ")
        assert len(message) < 300


# -- Messages


@pytest.mark.parametrize(
    ("operation", "body", "parts"),
    [
        pytest.param(operation, body, parts, id=id)
        for id, operation, body, parts in [
            ("missing", "POST /catalogs", {"id": "c", "alias": "c"}, ["name: "]),
            ("null", "POST /catalogs", {"id": "c", "alias": "c", "name": None}, ["name: ", "null"]),
            ("number for text", "POST /catalogs", {"id": "c", "alias": "c", "name": 5}, ["name: ", "string", "5"]),
            ("array for text", "POST /catalogs", {"id": "c", "alias": "c", "name": ["a"]}, ["name: ", "string", "array"]),
            ("object for text", "POST /catalogs", {"id": "c", "alias": "c", "name": {}}, ["name: ", "string", "object"]),
            ("blank", "POST /catalogs", {"id": "c", "alias": "c", "name": " "}, ["name: ", "blank"]),
            ("id", "POST /catalogs", {"id": "a/b", "alias": "c", "name": "C"}, ["id: ", "letters", "a/b"]),
            (
                "other id than the path's",
                "PUT /catalogs/cat-webshop",
                {"id": "x", "alias": "c", "name": "C"},
                ["id: ", "cat-webshop", "'x'"],
            ),
            (
                "text for flag",
                "POST /roles",
                {"id": "r", "name": "R", "canExport": "yes"},
                ["canExport: ", "true or false", "yes"],
            ),
            ("number for flag", "POST /roles", {"id": "r", "name": "R", "canExport": 1}, ["canExport: ", "true or false", "1"]),
            ("no array", "POST /api-keys", {"name": "K", "permissions": "read"}, ["permissions: ", "'read'"]),
            (
                "choice",
                "POST /api-keys",
                {"name": "K", "permissions": ["read", "own"]},
                ["permissions[1]: ", "delete-model", "'own'"],
            ),
            (
                "unknown inside",
                "POST /schemas",
                {
                    "id": "s",
                    "alias": "s",
                    "name": "S",
                    "variantEnabled": True,
                    "attributeGroups": [{"id": "g", "name": "G", "tint": 1}],
                },
                ["attributeGroups[0].tint: "],
            ),
            (
                "unknown id inside",
                "POST /schemas",
                {
                    **{"id": "s", "alias": "s", "name": "S", "variantEnabled": True},
                    "attributeGroups": [{"id": "g", "name": "G", "attributeIds": ["attr-sku", "attr-none"]}],
                },
                ["attributeGroups[0].attributeIds[1]: ", "attribute", "'attr-none'"],
            ),
            (
                "negative number",
                "POST /attributes",
                {"id": "a", "alias": "a", "name": "A", "type": "text", "validation": {"maxLength": -1}},
                ["validation.maxLength: ", "-1"],
            ),
            (
                "dimension twice",
                "POST /dimensions/scope-matrix",
                {"dimensionIds": ["dim-market", "dim-market"]},
                ["dimensionIds[1]: ", "dim-market"],
            ),
            (
                "unknown dimension",
                "POST /dimensions/scope-matrix",
                {"dimensionIds": ["dim-none"]},
                ["dimensionIds[0]: ", "'dim-none'"],
            ),
            (
                "unknown record",
                "POST /categories/cat-men/assign",
                {"entityId": "ent-none"},
                ["entityId: ", "record", "'ent-none'"],
            ),
            (
                "unknown schema",
                "POST /records",
                {"schemaId": "schema-none", "values": {}},
                ["schemaId: ", "schema", "'schema-none'"],
            ),
        ]
    ],
)
def test_a_message_names_the_field_what_was_expected_and_what_came(admin, error, operation, body, parts):
    method, path = operation.split(" ")
    message = error(admin.request(method, path, body), 400)
    assert message.startswith(parts[0])
    assert [part for part in parts if part not in message] == [], message


def test_a_wrong_type_of_value_is_told_in_the_published_words(key, error):
    body = {"schemaId": "schema-apparel", "values": {"price": [{"scope": {}, "value": "free"}]}}
    message = "values.price[0].value: Attribute 'price' expects type 'number', got 'string'"
    assert error(key.post("/records", body), 400) == message


def test_several_problems_are_told_at_once(admin, error):
    body = {"id": "a b", "alias": 5, "colour": "red", "segments": [{"id": "s", "alias": "s"}], "defaultSegmentId": "s"}
    message = error(admin.post("/dimensions", body), 400)
    for field in ("id: ", "alias: ", "name: ", "colour: ", "segments[0].name: "):
        assert f"; {field}" in f"; {message}"


def test_very_many_problems_make_no_very_long_message(admin, error):
    message = error(admin.post("/catalogs", {f"unknown{number}": number for number in range(10_000)}), 400)
    assert "unknown" in message
    assert len(message) < 1_000


# -- Query parameters


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


def test_a_bad_page_of_a_missing_thing_is_400_because_the_request_comes_first(key, error):
    for path in ("/categories/none/entities", "/records/none/audit-log"):
        error(key.get(path, query_string={"limit": "x"}), 400)


@pytest.mark.parametrize("text", ["none", "\0", "\ufffd", "x" * 5_000, "%", "' OR 1=1 --"])
def test_a_filter_that_matches_nothing_gives_an_empty_list(key, text):
    for path, name in (("/records", "schemaId"), ("/records", "lifecycleStateId"), ("/variants", "schemaId")):
        answer = key.get(path, query_string={name: text})
        assert (answer.status_code, answer.json) == (200, {"items": [], "total": 0, "offset": 0, "limit": 50})


# -- Our own failures


def fail(*_args, **_kwargs):
    raise RuntimeError("the secret of /var/lib/sigma")


def test_a_failure_is_500_without_detail_and_the_log_has_the_trace(admin, error, monkeypatch, caplog):
    replace_everywhere(monkeypatch, responses, "json_list", fail)
    answer = admin.get("/schemas")
    message = error(answer, 500)
    assert answer.headers["X-Sigma-Required-Permission"] == "read"
    for inside in ("secret", "/var", "RuntimeError", "Traceback", "app.py", "schemas"):
        assert inside not in message
    assert "Traceback (most recent call last)" in caplog.text
    assert "RuntimeError: the secret of /var/lib/sigma" in caplog.text
    monkeypatch.undo()
    assert admin.get("/schemas").status_code == 200


def test_a_failure_outside_the_api_has_the_same_shape(app, error, monkeypatch, caplog):
    replace_everywhere(monkeypatch, database_module, "fetch_one", fail)
    assert "secret" not in error(app.test_client().get("/healthz"), 500)
    assert "RuntimeError: the secret of /var/lib/sigma" in caplog.text


def test_a_wrong_method_that_a_view_finds_is_405(admin, error, monkeypatch):
    def refuse(_):
        raise MethodNotAllowed

    replace_everywhere(monkeypatch, responses, "json_list", refuse)
    error(admin.get("/schemas"), 405)


def test_a_database_error_that_nobody_foresaw_is_500_without_detail(admin, error, monkeypatch, caplog):
    def misspelled(*_):
        return database_module.execute("SELECT secret_column FROM model_objects")

    replace_everywhere(monkeypatch, responses, "json_list", misspelled)
    assert "secret_column" not in error(admin.get("/schemas"), 500)
    assert "no such column: secret_column" in caplog.text


def test_a_failure_in_the_middle_of_a_write_leaves_nothing_behind(admin, key, error, monkeypatch):
    before = everything(admin)
    replace_everywhere(monkeypatch, history, "log_change", fail)
    error(key.post("/records", {"id": "ent-half", "schemaId": "schema-apparel", "values": {}}), 500)
    error(key.delete("/records/ent-coastal-wb"), 500)
    monkeypatch.undo()
    after = everything(admin)
    assert {**after, "api-keys": None} == {**before, "api-keys": None}  # the key's use is recorded all the same
    assert key.post("/records", {"id": "ent-half", "schemaId": "schema-apparel", "values": {}}).status_code == 201


@pytest.fixture
def impatient(app):
    """The app, waiting for a lock for no more than a moment."""
    with app.app_context():
        database_module.execute("PRAGMA busy_timeout = 5")
    return app


def test_a_locked_database_is_503_and_works_again_afterwards(impatient, admin, error, caplog):
    body = {"id": "cat-new", "alias": "new", "name": "New"}
    with closing(sqlite3.connect(impatient.config["DATABASE"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = admin.post("/catalogs", body)
        error(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["X-Sigma-Required-Permission"] == "session"
        assert "locked" in caplog.text
        assert admin.get("/catalogs/cat-webshop").status_code == 200
        login = admin.post("/auth/login", {"email": "admin@sigma.io", "password": "admin"})
        error(login, 503)
        assert "Retry-After" in login.headers
        other.execute("ROLLBACK")
    error(admin.get("/catalogs/cat-new"), 404)
    assert admin.post("/catalogs", body).status_code == 201
    assert admin.get("/catalogs/cat-new").json == body


DAMAGES = {
    "folder gone": lambda path: path.parent / "gone" / "sigma.db",
    "no database": lambda path: path.write_bytes(b"not a database at all" * 1000) and path,
    "empty file": lambda path: path.write_bytes(b"") or path,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_database_that_does_not_answer_makes_health_503(app, anonymous, admin, error, tmp_path, damage):
    app.config["DATABASE"] = str(DAMAGES[damage](tmp_path / "damaged.db"))
    for answer in (anonymous.get("/healthz"), app.test_client().get("/healthz")):
        error(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
    app.config["DATABASE"] = str(tmp_path / "sigma.db")
    assert anonymous.get("/healthz").json == {"status": "ok"}


def test_nothing_is_acknowledged_while_the_database_is_gone_or_another_is_in_its_place(app, admin, error, caplog):
    """SQLite itself would go on writing to the file that it has open, and all of that would be lost with it."""
    database, body = Path(app.config["DATABASE"]), {"id": "cat-new", "alias": "new", "name": "New"}
    assert admin.get("/catalogs").status_code == 200
    aside = database.rename(database.with_name("aside.db"))
    error(admin.post("/catalogs", body), 503)
    error(app.test_client().get("/healthz"), 503)
    assert not database.exists()
    shutil.copy(aside, database)
    error(admin.post("/catalogs", body), 503)
    assert f"{database} was replaced while in use" in caplog.text
    aside.rename(database)
    assert admin.post("/catalogs", body).status_code == 201


def test_damage_is_503_until_it_is_mended_and_is_not_remembered(app, admin, error):
    database = Path(app.config["DATABASE"])
    assert admin.post("/catalogs", {"id": "cat-new", "alias": "new", "name": "New"}).status_code == 201
    with app.app_context():
        database_module.execute("PRAGMA wal_checkpoint")
        database_module.execute("PRAGMA shrink_memory")  # nothing is answered from memory
    good = database.read_bytes()
    for content in (good[:4096] + b"x" * (len(good) - 4096), good):
        with database.open("r+b") as file:
            file.write(content)
        for path in ("/catalogs", "/healthz"):
            answer = admin.get(path)
            assert answer.status_code == 200 if content == good else error(answer, 503)


def test_a_stored_text_that_is_not_utf_8_any_more_is_damage_in_a_list_too(app, admin, error):
    body = {"id": "cat-new", "alias": "new", "name": "Nyt katalog på dansk"}
    assert admin.post("/catalogs", body).status_code == 201
    mend = "UPDATE model_objects SET body = CAST(? AS TEXT) WHERE tenant = 'ws-demo' AND kind = 'catalog' AND id = 'cat-new'"
    good = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    for text in (good.replace("å".encode(), b"\xff"), good):
        with app.app_context():
            database_module.execute(mend, text)
        for path in ("/catalogs", "/catalogs/cat-new"):
            answer = admin.get(path)
            assert answer.status_code == 200 if text == good else error(answer, 503)


def test_a_stored_text_that_is_no_json_is_damage(app, make_key, error):
    key = make_key("read")
    with app.app_context():
        database_module.execute("PRAGMA ignore_check_constraints = ON")
        database_module.execute("UPDATE api_keys SET permissions = '[\"read' WHERE tenant = 'ws-demo' AND id = ?", key.id)
    error(key.get("/records"), 503)


def test_a_body_of_another_type_is_415_though_it_is_empty(admin, error):
    error(admin.post("/schemas", data=b"", content_type="text/plain"), 415)
    assert error(admin.post("/schemas"), 400) == "body: expected a JSON object, got nothing"


def test_the_name_of_a_member_is_not_repeated_at_any_length(admin, error):
    assert error(admin.post("/catalogs", {"id": "c", "alias": "c", "name": "C", "x" * 100_000: 1}), 400) == (
        f"{'x' * 100}: Unknown field"
    )


def test_a_key_reads_while_its_use_cannot_be_recorded(app, make_key, caplog):
    key = make_key("read")
    started = time.monotonic()
    with closing(sqlite3.connect(app.config["DATABASE"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert key.get("/catalogs").status_code == 200
    assert time.monotonic() - started < 3  # the wait for a write that matters is five seconds
    assert f"The use of API key {key.id} was not recorded" in caplog.text


@pytest.mark.parametrize(
    "path, member, item",
    [
        ("/option-lists", "values", {}),
        ("/workflows", "states", {}),
        ("/attributes", "guards", 1),
        ("/dimensions/scope-matrix", "dimensionIds", 1),
        ("/api-keys", "permissions", ""),
    ],
)
def test_a_long_list_of_nonsense_is_refused_without_delay(admin, error, path, member, item):
    body = {"id": "x", "alias": "x", "name": "X", member: [item] * (1_000_000 // (len(json.dumps(item)) + 1))}
    started = time.thread_time()
    assert f"{member}" in error(
        admin.post(path, data=json.dumps(body, separators=(",", ":")), content_type="application/json"), 400
    )
    assert time.thread_time() - started < 3


def test_a_read_that_the_disk_fails_is_503_and_the_next_one_works(app, admin, error, monkeypatch):
    def fail(*_):
        database_module.get_db().execute("ROLLBACK")  # as SQLite does by itself when the disk fails
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        replace_everywhere(patch, responses, "json_page", fail)
        error(admin.get("/records"), 503)
    assert admin.get("/records").status_code == 200


def test_a_write_into_a_database_that_goes_away_meanwhile_is_not_acknowledged(app, admin, error, monkeypatch):
    path, log_change = app.config["DATABASE"], history.log_change

    def log_and_lose(*arguments):
        log_change(*arguments)
        os.rename(path, f"{path}.gone")

    replace_everywhere(monkeypatch, history, "log_change", log_and_lose)
    record = {"id": "ent-lost", "schemaId": "schema-apparel", "values": {}}
    answer = admin.post("/records", record)
    error(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    os.rename(f"{path}.gone", path)
    monkeypatch.undo()
    error(admin.get("/records/ent-lost"), 404)
    assert admin.post("/records", record).status_code == 201


# -- Messages


def test_unknown_members_are_named_in_the_order_in_which_they_came(admin, error):
    names = [f"member-{number}" for number in range(15)]
    message = error(admin.post("/dimensions", dict.fromkeys(names, 1)), 400)
    assert [problem.partition(":")[0] for problem in message.split("; ")][-15:] == names


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api-keys", {"name": "Feed", "permissions": []}, "permissions: Expected at least one permission, got 0"),
        ("/api-keys", {"name": "x" * 201, "permissions": ["read"]}, "name: Expected at most 200 characters, got 201"),
        ("/api-keys", {"name": ["x"] * 201, "permissions": ["read"]}, "name: Expected a string, got 'array'"),
        (
            "/attributes",
            {"id": "a", "alias": "a", "name": "A", "type": "text", "validation": {"maxLength": -1}},
            "validation.maxLength: Expected 0 or more, got -1",
        ),
    ],
    ids=["too few", "too long", "of another type", "too small"],
)
def test_a_message_says_how_much_came_where_that_is_what_is_wrong(path, body, message, admin, error):
    before = admin.get(path).json
    assert error(admin.post(path, body), 400) == message
    assert admin.get(path).json == before


def test_a_path_with_two_slashes_in_front_is_told_what_is_wrong_with_it(app, key, error):
    answer = app.test_client().get("/", environ_overrides={"PATH_INFO": "//api/v1/records"}, headers=key.headers)
    assert error(answer, 404) == "There is no path with two slashes in front here; /docs lists every path"


def test_what_keeps_an_object_from_being_deleted_is_named_once(admin, error):
    message = error(admin.delete("/roles/role-admin"), 409)
    named = message.partition(" is in use by ")[2].split(", ")
    assert len(named) == len(set(named)) >= 2
