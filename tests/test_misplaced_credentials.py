"""A credential in the wrong place: 401 says where it belongs, without repeating it, and nothing is logged of it."""

import base64

from cases import each
from conftest import EXAMPLE_KEY

from sigma.http import credential_hints

SHORT_KEY = "sigma_sk_live_abc123def456ghi789"
TO_KEY, TO_TOKEN = "X-Sigma-ApiKey: <key>", "Authorization: Bearer <token>"
KEY = "has what looks like an API key, which is sent as X-Sigma-ApiKey: <key>"
TOKEN = "has what looks like a session token, which is sent as Authorization: Bearer <token>"


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


# Where a good key stands, and the end of the message.
KEYS = {
    "bearer": ({"Authorization": "Bearer {}"}, "it looks like an API key, which is sent as X-Sigma-ApiKey: <key>"),
    "bearer, in other letters": ({"Authorization": "bEARER  {}"}, "it looks like an API key, which is sent as " + TO_KEY),
    "bare": ({"Authorization": "{}"}, f"Authorization {KEY}"),
    "behind another word": ({"Authorization": "ApiKey {}"}, f"Authorization {KEY}"),
    "behind the header's name": ({"Authorization": "X-Sigma-ApiKey {}"}, f"Authorization {KEY}"),
    "as a user": ({"Authorization": "basic user"}, f"Authorization {KEY}"),
    "as a password": ({"Authorization": "basic password"}, f"Authorization {KEY}"),
    **{name: ({name: "{}"}, f"{name} {KEY}") for name in ("X-Api-Key", "Api-Key", "ApiKey", "X-ApiKey", "X-Sigma-Api-Key")},
    "in lower case": ({"x-api-key": "{}"}, f"X-Api-Key {KEY}"),
    "as another service's token": ({"X-Auth-Token": "{}"}, f"X-Auth-Token {KEY}"),
}
QUERIES = ("api_key", "apikey", "apiKey", "api-key", "key", "X-Sigma-ApiKey", "x_api_key", "token", "access_token", "anything")


def headers_with(headers, secret):
    """These headers with a secret in the place of {}."""
    users = {"basic user": basic(f"{secret}:"), "basic password": basic(f"integration:{secret}")}
    return {name: users.get(value, value.replace("{}", secret)) for name, value in headers.items()}


@each("case", KEYS)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(anonymous, make_key, error, case):
    headers, message = KEYS[case]
    for raw in (make_key("read").raw_key, EXAMPLE_KEY, SHORT_KEY, EXAMPLE_KEY.upper()):
        answer = anonymous.get("/records", headers=headers_with(headers, raw))
        assert error(answer, 401).endswith(message)
        assert raw[14:].lower() not in f"{answer.headers}{answer.text}".lower()


@each("name", QUERIES)
def test_a_key_in_the_query_is_told_where_it_belongs(anonymous, key, error, capfd, name):
    answer = anonymous.get("/records", query_string={"limit": "5", name: key.raw_key})
    assert error(answer, 401).endswith(f"The query string {KEY}")
    assert answer.headers["X-Sigma-Ignored-Query"] == name
    seen = f"{answer.headers}{answer.text}{capfd.readouterr()}"
    assert key.raw_key[14:20] not in seen
    assert "GET /api/v1/records 401" in seen


@each("value", ["", "secret", "0123456789abcdef0123456789abcdef0123"])
def test_what_only_a_name_calls_a_key_is_told_too(anonymous, error, value):
    for answer in (anonymous.get("/records", headers={"X-Api-Key": value}), anonymous.get(f"/records?api_key={value}")):
        message = error(answer, 401)
        assert message.endswith(KEY) if value else message.endswith(f": send {TO_KEY}, or {TO_TOKEN}")
        assert value == "" or value not in f"{answer.headers}{answer.text}"


# Where a good token stands.
TOKENS = {
    "as a key": ({"X-Sigma-ApiKey": "{}"}, "it looks like a session token, which is sent as Authorization: Bearer <token>"),
    "as a key, behind Bearer": ({"X-Sigma-ApiKey": "Bearer {}"}, "it looks like a session token, which is sent as " + TO_TOKEN),
    "bare": ({"Authorization": "{}"}, f"Authorization {TOKEN}"),
    "behind another word": ({"Authorization": "JWT {}"}, f"Authorization {TOKEN}"),
    "as a password": ({"Authorization": "basic password"}, f"Authorization {TOKEN}"),
    **{name: ({name: "{}"}, f"{name} {TOKEN}") for name in ("X-Auth-Token", "X-Access-Token", "Token", "X-Api-Key")},
}


@each("case", TOKENS)
def test_a_token_in_the_wrong_place_is_told_where_it_belongs(anonymous, tokens, error, case):
    headers, message = TOKENS[case]
    token = tokens["admin@sigma.io"]
    answer = anonymous.get("/records", headers=headers_with(headers, token))
    assert error(answer, 401).endswith(message)
    assert token[-20:] not in f"{answer.headers}{answer.text}"
    assert error(anonymous.get("/records", query_string={"jwt": token}), 401).endswith(f"The query string {TOKEN}")


@each("token", ["", "null", "undefined", "{{token}}", "Bearer {}", '"{}"', "{},{}", "{} x"])
def test_a_token_with_something_else_about_it_is_told_so(anonymous, tokens, error, token):
    value = f"Bearer {token}".replace("{}", tokens["admin@sigma.io"])
    message = error(anonymous.get("/records", headers={"Authorization": value}), 401)
    assert message.endswith(": expected one Authorization header with Bearer and the token of a login")


def test_what_stands_first_is_told(anonymous, key, tokens, error):
    headers = {"Authorization": tokens["admin@sigma.io"], "X-Api-Key": key.raw_key}
    assert error(anonymous.get(f"/records?key={key.raw_key}", headers=headers), 401).endswith(f"Authorization {TOKEN}")


def test_where_a_credential_stands_does_not_tell_whether_it_is_good(anonymous, make_key, admin, error):
    good, gone = make_key("read"), make_key("read")
    assert admin.delete(f"/api-keys/{gone.id}").status_code == 200
    for headers in ({"Authorization": "Bearer {}"}, {"X-Api-Key": "{}"}):
        told = {error(anonymous.get("/records", headers=headers_with(headers, one.raw_key)), 401) for one in (good, gone)}
        assert len(told) == 1
    (seen,) = [one for one in admin.get("/api-keys").json if one["id"] == good.id]
    assert seen["lastUsedAt"] is None


def test_a_good_credential_beside_a_misplaced_one_is_enough(key, admin):
    for caller in (key, admin):
        answer = caller.get("/records?api_key=x", headers={"X-Api-Key": "x"})
        assert (answer.status_code, answer.headers["X-Sigma-Ignored-Query"]) == (200, "api_key")


def test_without_any_credential_both_ways_are_told(anonymous, error):
    for options in ({}, {"query_string": "keyword=x&schemaId=y"}, {"headers": {"Authorization": "Negotiate abc"}}):
        assert error(anonymous.get("/records", **options), 401).endswith(f": send {TO_KEY}, or {TO_TOKEN}")


@each(
    ("text", "kind"),
    [
        ("sigma_sk_live_abc", "API key"),
        ("x SIGMA_SK_TEST_abc", "API key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln", "session token"),
        ("eyJhbGciOiJub25lIn0.eyJhIjoxfQ.", "session token"),
        ("eyJhbGciOiJIUzI1NiJ9", None),
        ("a.b.c", None),
        ("", None),
    ],
)
def test_a_credential_is_known_by_its_looks(text, kind):
    assert credential_hints.kind_of(text) == kind
