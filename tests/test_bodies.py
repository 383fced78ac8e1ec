"""Bodies: strict JSON, its size and its type, and messages that name the field, what was expected and what came."""

import base64
import codecs
import gzip
import hashlib
import io
import json
import time

import pytest
from cases import each
from test_access import ALL, call

from sigma.http import bodies

MIB = 1024 * 1024
MAX_PUBLIC = 16 * 1024  # bytes where no credential is needed

# Every operation with a body. No path names anything that exists: a malformed request is refused before that is noticed.
each_body = each(
    "operation",
    [operation for operation in ALL if operation.takes_body],
    ids=lambda operation: f"{operation.method} {operation.path}",
)


def nested(levels, opening="[", closing="]"):
    """Return JSON text that is this many levels deep."""
    return opening * levels + "1" + closing * levels


def nested_objects(levels):
    return nested(levels, '{"a":', "}")


TAKES_ARRAY = ("/standin/keys/:id/faults",)

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
    "BOM twice": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "BOM within": b"{\xef\xbb\xbf}",
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
    """Send exactly these bytes for an operation: one of the table's, or a method and a path below /api/v1."""
    options |= {"data": data.encode() if isinstance(data, str) else data, "content_type": content_type}
    if isinstance(operation, str):
        method, path = operation.split(" ")
        return caller.request(method, path, **options)
    return call(caller, operation, **options)


def is_too_large(operation, data):
    """Return whether a body of less than a mebibyte is too large for an operation: where no credential is needed."""
    return operation.key == "public" and len(data) > MAX_PUBLIC


@pytest.fixture
def everything(stored, admin):
    """Return a function that returns all that the database holds; of API keys what is listed."""
    return lambda: (stored(), admin.get("/api-keys").json)


@each_body
def test_an_unreadable_body_is_400_and_changes_nothing(admin, everything, error, operation):
    before = everything()
    for name, data in UNREADABLE.items():
        if name == "array" and operation.path in TAKES_ARRAY:
            continue
        if is_too_large(operation, data):
            error(send(admin, operation, data), 413)
            continue
        message = error(send(admin, operation, data), 400)
        assert message.startswith("body: "), (name, message)
        assert "xpected" in message, (name, message)
    assert everything() == before


@each_body
def test_a_number_that_would_become_another_is_400_and_told_by_its_place(admin, everything, error, operation):
    before = everything()
    for text, expected in (
        ("1e999", "a number within the range of a double"),
        ("0.1000000000000000055511151231257827", "a number of which all digits can be kept"),
    ):
        for data, path in ((f'{{"name":{text}}}', "name"), (f'[0,{{"a":[{text}]}}]', "[1].a[0]"), (text, "body")):
            assert error(send(admin, operation, data), 400) == f"{path}: expected {expected}, got {text}"
    assert everything() == before


@each_body
def test_json_that_fits_nothing_is_400_however_large_or_deep(admin, everything, error, operation):
    before = everything()
    for value in NOT_A_VALUE.values():
        for data in (value, f"[{value}]", f'{{"surprise":{value}}}', f'{{"name":{{"deep":{value}}}}}'):
            message = error(send(admin, operation, data), 413 if is_too_large(operation, data) else 400)
            assert len(message) < 1_000
    assert everything() == before


@each_body
def test_an_unknown_member_is_named(admin, error, operation):
    body = '[{"surprise":1}]' if operation.path in TAKES_ARRAY else '{"surprise":1}'
    assert "surprise: " in error(send(admin, operation, body), 400)


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


@each(
    ("sent", "connection"),
    [
        ({"data": b"x" * 10_000}, None),
        ({"data": b"x" * 10_001}, "close"),
        ({"environ_overrides": {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}}, "close"),
        ({}, None),
    ],
    ids=["short", "long", "chunked", "none"],
)
def test_who_is_refused_before_a_long_body_is_read_is_told_that_the_connection_ends(make_key, sent, connection):
    answer = make_key("read").post("/schemas", **sent)
    assert (answer.status_code, answer.headers.get("Connection")) == (403, connection)


def test_who_is_refused_because_of_a_body_goes_on(key):
    answer = key.post("/schemas", data=b"x" * 10_001, content_type="application/json")
    assert (answer.status_code, answer.headers.get("Connection")) == (400, None)


@each_body
def test_a_body_over_one_mebibyte_is_413_however_it_is_sent(admin, error, operation):
    error(send(admin, operation, b" " * (MIB + 1)), 413)
    error(send(admin, operation, b" " * (MIB + 1), "text/plain"), 413)
    stream = io.BytesIO(b" " * (MIB + 1))  # and as a server says that it ends a body of no declared length
    chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    error(send(admin, operation, None, environ_overrides=chunked), 413)


def test_a_body_over_16_kibibytes_is_413_where_no_credential_is_needed_however_it_is_sent(admin, anonymous, error):
    wrong, told = json.dumps({"email": "nobody@sigma.io", "password": "wrong"}), "The body is larger than 16384 bytes"
    for caller in (anonymous, admin):
        error(send(caller, "POST /auth/login", wrong.ljust(MAX_PUBLIC)), 401)
        assert error(send(caller, "POST /auth/login", wrong.ljust(MAX_PUBLIC + 1)), 413) == told
        stream = io.BytesIO(wrong.ljust(MAX_PUBLIC + 1).encode())
        chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        error(send(caller, "POST /auth/login", None, environ_overrides=chunked), 413)


def test_whoever_is_not_known_costs_little_with_any_body(anonymous, error):
    members = ",".join(f'"m{number}":1' for number in range(50_000))
    took = []
    for data in (f"{{{members}}}", json.dumps({"email": [1] * 300_000}), "{" + ",".join(['"a":1'] * 150_000) + "}"):
        assert len(data) < MIB
        begun = time.process_time()
        error(send(anonymous, "POST /auth/login", data), 413)
        took.append(time.process_time() - begun)
    assert max(took) < 0.02


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


@each("content_type", ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"])
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
    answer = send(admin, "POST /catalogs", None, environ_overrides=chunked, headers={"Transfer-Encoding": "chunked"})
    assert (answer.status_code, answer.json) == (201, body)


def test_the_type_of_a_body_is_looked_at_before_its_content_and_its_size_before_both(admin, error):
    error(send(admin, "POST /records", "{", "text/plain"), 415)
    error(send(admin, "POST /records", "{" * (MIB + 1), "text/plain"), 413)


def test_a_body_of_another_type_is_415_though_it_is_empty(admin, error):
    error(admin.post("/schemas", data=b"", content_type="text/plain"), 415)
    assert error(admin.post("/schemas"), 400) == "body: expected a JSON object, got nothing"


def test_a_body_that_no_operation_reads_does_no_harm(admin, error):
    assert send(admin, "GET /catalogs/cat-webshop", "{").status_code == 200
    error(send(admin, "DELETE /catalogs/none", "{"), 404)
    error(send(admin, "POST /api-keys/none/deactivate", "{"), 404)


@each(
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


@each("levels", [100, 100_000])
def test_depth_that_is_fine_is_kept_and_depth_that_is_not_is_400(key, error, levels):
    answer = send(key, "PATCH /records/ent-coastal-wb/values/care", f'{{"value":{nested_objects(levels)}}}')
    if levels == 100:
        assert answer.json["values"]["care"] == [{"scope": {}, "value": json.loads(nested_objects(levels))}]
    else:
        error(answer, 400)


@each(
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


# What encodings there are beside UTF-8


DANISH = json.dumps({"name": "Æble & hørfrø"}, ensure_ascii=False)
OTHER_ENCODINGS = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32",
    "latin-1": "byte 0xC6 at position 11, which is not UTF-8",
    "cp1252": "byte 0xC6 at position 11, which is not UTF-8",
}


@each("encoding", OTHER_ENCODINGS)
def test_a_body_in_another_encoding_is_told_so(admin, error, encoding):
    message = error(send(admin, "POST /catalogs", DANISH.encode(encoding)), 400)
    assert message == f"body: expected JSON in UTF-8, got {OTHER_ENCODINGS[encoding]}"


def test_a_compressed_body_is_told_so_also_when_no_header_says_it(admin, error):
    data = gzip.compress(DANISH.encode())
    assert error(send(admin, "POST /catalogs", data), 400) == "body: expected JSON in UTF-8, got gzip"


def test_a_byte_order_mark_is_passed_over(admin, error):
    good, bad = b'{"id": "cat-bom", "alias": "bom", "name": "B"}', b"{}"
    assert send(admin, "POST /catalogs", codecs.BOM_UTF8 + good).status_code == 201
    assert admin.get("/catalogs/cat-bom").json == json.loads(good)
    told = [error(send(admin, "POST /catalogs", mark + bad), 400) for mark in (codecs.BOM_UTF8, b"")]
    assert told[0] == told[1]


@each(
    ("data", "message"),
    [
        (b"", "body: expected a JSON object, got nothing"),
        (codecs.BOM_UTF8, "body: expected a JSON object, got nothing"),
        (b" \r\n\t", "body: expected JSON, got only blanks"),
        (b"name=Cap&price=5", "body: expected JSON, got text that begins with 'n'"),
        (b'\'{"name":"Cap"}\'', "body: expected JSON, got text that begins with '''"),
        (b"<xml/>", "body: expected JSON, got text that begins with '<'"),
        (b'{"name":', "body: expected JSON, got text that ends too early"),
        (b'{"name":"a"', "body: expected JSON, got text that ends too early"),
        (b"{'a':1}", "body: expected JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"a":"b\x00"}', "body: expected JSON: Invalid control character at: line 1 column 8 (char 7)"),
    ],
)
def test_what_is_no_json_is_told_without_a_riddle(admin, error, data, message):
    assert error(send(admin, "POST /catalogs", data), 400) == message


# What headers say of a body


NEW = {"id": "cat-new", "alias": "new", "name": "Nyt"}
BODY = json.dumps(NEW).encode()


def digest(algorithm, data=BODY):
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


@each(
    "headers",
    [
        {"Content-Encoding": "identity"},
        {"Content-Encoding": ""},
        {"Content-Encoding": "identity, Identity"},
        {"Content-Transfer-Encoding": "8bit"},
        {"Expect": "100-continue"},
        {"Content-Type": 'application/json; charset="UTF-8"'},
        {"Content-Type": "application/json; charset=utf8; version=1"},
        {"Content-Type": "application/vnd.api+json"},
        {"Content-MD5": digest("md5")},
        {"Digest": f"SHA-256={digest('sha256')},unixsum=30637"},
        {"Digest": f"sha={digest('sha1')}, md5={digest('md5')}"},
        {"Content-Digest": f"sha-512=:{digest('sha512')}:, sha-256=:{digest('sha256')}:"},
        {"Repr-Digest": f"sha-256=:{digest('sha256')}:"},
        {
            "Content-Language": "da",
            "Content-Location": "/elsewhere",
            "Content-Disposition": "inline",
            "Accept-Encoding": "gzip",
        },
    ],
    ids=str,
)
def test_what_a_header_says_rightly_of_a_body_is_fine(admin, headers):
    answer = admin.post("/catalogs", data=BODY, headers={"Content-Type": "application/json", **headers})
    assert (answer.status_code, answer.json) == (201, NEW)


@each(
    ("headers", "status", "message"),
    [
        ({"Content-Encoding": "gzip"}, 415, "Content-Encoding: expected the body as it is, not compressed, got 'gzip'"),
        ({"Content-Encoding": "BR"}, 415, "Content-Encoding: expected the body as it is, not compressed, got 'BR'"),
        ({"Content-Encoding": "identity, zstd"}, 415, "Content-Encoding: expected the body as it is, not compressed, got "),
        ({"Transfer-Encoding": "gzip, chunked"}, 415, "Transfer-Encoding: expected only chunked, got 'gzip, chunked'"),
        ({"Content-Transfer-Encoding": "base64"}, 415, "Content-Transfer-Encoding: expected the body as it is, got 'base64'"),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "Content-Type: expected the charset utf-8, got 'utf-16'"),
        ({"Content-Type": "application/json;charset=ISO-8859-1"}, 415, "Content-Type: expected the charset utf-8, got 'ISO-"),
        (
            {"Content-Range": "bytes 0-9/10"},
            400,
            "Content-Range: expected none, because a body is always sent whole, got 'bytes ",
        ),
        ({"Expect": "200-ok"}, 400, "Expect: expected only 100-continue, got '200-ok'"),
        ({"Content-MD5": digest("md5", b"")}, 400, "Content-MD5: expected the MD5 of the body, in Base64, got '1B2M2Y8Asg"),
        ({"Content-MD5": "no Base64"}, 400, "Content-MD5: expected the MD5 of the body, in Base64, got 'no Base64'"),
        ({"Digest": f"sha-256={digest('sha256', b'')}"}, 400, "Digest: expected digests of the body, in Base64, by md5, "),
        ({"Digest": f"md5={digest('md5')},sha-256=AA=="}, 400, "Digest: expected digests of the body, in Base64, by md5, "),
        ({"Content-Digest": "crc32c=:AAAAAA==:"}, 400, "Content-Digest: expected digests of the body, in Base64, by md5, "),
        (
            {"Repr-Digest": "nonsense"},
            400,
            "Repr-Digest: expected digests of the body, in Base64, by md5, sha, sha-256 or sha-",
        ),
    ],
    ids=str,
)
def test_what_a_header_says_wrongly_of_a_body_is_refused_by_its_name(admin, error, stored, headers, status, message):
    before = stored()
    answer = admin.post("/catalogs", data=BODY, headers={"Content-Type": "application/json", **headers})
    assert error(answer, status).startswith(message)
    assert ("Accept-Encoding" in answer.headers) == ("Content-Encoding" in headers)
    assert stored() == before


@each_body
def test_a_compressed_body_is_415_everywhere(admin, error, operation):
    headers = {"Content-Encoding": "gzip"}
    assert "Content-Encoding" in error(send(admin, operation, gzip.compress(b"{}"), headers=headers), 415)


@each("operation", ["GET /catalogs", "DELETE /catalogs/cat-new", "POST /auth/refresh"])
def test_where_no_body_is_read_nobody_asks_what_headers_say_of_it(admin, operation):
    assert admin.post("/catalogs", NEW).status_code == 201
    headers = {"Content-Encoding": "gzip", "Content-Range": "bytes 0-1/2", "Content-MD5": "x", "Content-Type": "text/plain"}
    method, path = operation.split(" ")
    assert admin.request(method, path, data=b"\x1f\x8b", headers=headers).status_code in (200, 204)


# Messages


def test_a_wrong_type_of_value_is_told_in_the_published_words(key, error):
    body = {"schemaId": "schema-apparel", "values": {"price": [{"scope": {}, "value": "free"}]}}
    message = "values.price[0].value: Attribute 'price' expects type 'number', got 'string'"
    message += " (send a number without quotes, such as 129.99)"
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


def test_the_name_of_a_member_is_not_repeated_at_any_length(admin, error):
    assert error(admin.post("/catalogs", {"id": "c", "alias": "c", "name": "C", "x" * 100_000: 1}), 400) == (
        f"{'x' * 100}: Unknown field (there are 'alias', 'description', 'id', 'name')"
    )


def test_unknown_members_are_named_in_the_order_in_which_they_came(admin, error):
    names = [f"member-{number}" for number in range(15)]
    message = error(admin.post("/dimensions", dict.fromkeys(names, 1)), 400)
    assert [problem.partition(":")[0] for problem in message.split("; ")][-15:] == names


@each(
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


# What messages are made of


@each(
    ("value", "message", "actual"),
    [
        (5, "Expected a string", "5"),
        ("a" * 201, "Expected at most 200 characters", "201"),
        ("", "Expected at least 1 characters", "0"),
        ("text", "Expected at most 5 items", "'text'"),
        ("text", "Expected a number", "'text'"),
        (["a", "b"], "Expected at most 1 items", "2"),
        ([], "Expected at least one permission", "0"),
        (["a"], "Expected a string", "'array'"),
        ({"a": 1}, "Expected at most 1 items", "'object'"),
        (7, "Expected at most 5", "7"),
        (None, "Expected a value", "null"),
    ],
)
def test_a_message_says_what_came_or_how_much(value, message, actual):
    assert bodies.describe_actual(value, message) == actual


@each(
    ("messages", "body", "lines"),
    [
        ({}, {}, []),
        ({"name": ["Wrong"]}, {"name": 5}, ["name: Wrong, got 5"]),
        ({"name": ["One", "Two"]}, {"name": 5}, ["name: One, got 5", "name: Two, got 5"]),
        (
            {"name": ["Missing data for required field."]},
            {},
            ["name: Expected a value, but it is missing"],
        ),
        ({"name": ["Field may not be null."]}, {"name": None}, ["name: Expected a value, got null"]),
        ({"name": ["Not a valid string."]}, {"name": ["a"]}, ["name: Expected a string, got 'array'"]),
        ({"many": ["Not a valid list."]}, {"many": 1}, ["many: Expected an array, got 1"]),
        (
            {"whole": ["Not a valid integer."]},
            {"whole": "1"},
            ["whole: Expected a whole number, got '1' (send 1 without quotes)"],
        ),
        ({"map": ["Not a valid mapping type."]}, {"map": []}, ["map: Expected an object, got 'array'"]),
        ({"extra": ["Unknown field"]}, {"extra": 5}, ["extra: Unknown field"]),
        ({"_schema": ["Expected an object"]}, ["a"], ["body: Expected an object, got 'array'"]),
        ({"group": {"_schema": ["Wrong"]}}, {"group": 7}, ["group: Wrong, got 7"]),
        ({"_schema": ["Unknown field"]}, {"_schema": 1}, ["_schema: Unknown field"]),
        ({"items": {1: {"id": ["Wrong"]}}}, {"items": [{"id": "a"}, {"id": 5}]}, ["items[1].id: Wrong, got 5"]),
        ({"items": {0: ["Wrong"]}}, {"items": [None]}, ["items[0]: Wrong, got null"]),
        (
            {"items": [{1: ["Twice"]}, "Wrong"]},
            {"items": ["a", "b"]},
            ["items[1]: Twice, got 'b'", "items: Wrong, got 'array'"],
        ),
        ({"map": {"key": {"value": ["Wrong"]}}}, {"map": {"key": 5}}, ["map.key: Wrong, got 5"]),
        ({"b": ["Wrong"], "a": ["Wrong"]}, {"a": 1, "b": 2}, ["a: Wrong, got 1", "b: Wrong, got 2"]),
        ({"a": ["Wrong"], "z": ["Unknown field"]}, {"z": 1, "a": 2}, ["z: Unknown field", "a: Wrong, got 2"]),
        (
            {"a": ["Wrong"], "b": ["Missing data for required field."]},
            {"a": 1},
            ["b: Expected a value, but it is missing", "a: Wrong, got 1"],
        ),
        ({"x" * 150: ["Unknown field"]}, {"x" * 150: 1}, [f"{'x' * 100}: Unknown field"]),
        ({"a": {"x" * 150: ["Unknown field"]}}, {"a": {"x" * 150: 1}}, [f"a.{'x' * 100}: Unknown field"]),
    ],
)
def test_nested_messages_become_lines_in_the_order_of_the_body(messages, body, lines):
    assert list(bodies.flatten_messages(messages, body)) == lines
