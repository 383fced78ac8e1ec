"""Where secrets must never be found: in logs, in answers, in the database's files."""

import base64
import hashlib
import logging
from pathlib import Path

import jwt
import pytest
from cases import each
from conftest import EXAMPLE_KEY, PASSWORD, sql

from sigma.resources import sessions

WRONG_PASSWORD = "not the password, but nobody's business either"
UNKNOWN_EMAIL = "somebody.private@sigma.io"
FILES = ("", "-wal", "-shm")


def database_bytes(app):
    """Return every byte of the database's files; the write-ahead log must be among them."""
    files = [Path(app.config["DATABASE"] + suffix) for suffix in FILES]
    assert files[1].stat().st_size > 0
    return b"".join(file.read_bytes() for file in files)


def pieces(secret, length=12):
    """Return every piece of a secret of this many characters: keeping a part of it is keeping too much."""
    return {secret[start : start + length] for start in range(len(secret) - length + 1)}


def text_of(answer):
    """Return all of an answer as text: its headers and its body."""
    return f"{answer.status}\n{answer.headers}\n{answer.get_data(as_text=True)}"


@pytest.fixture
def output(caplog, capfd):
    """Return all that was logged, at every level, or printed so far."""
    caplog.set_level(logging.DEBUG)
    printed = []

    def read():
        printed.extend(capfd.readouterr())
        logged = [f"{record.getMessage()} {record.args} {record.exc_info} {record.exc_text}" for record in caplog.records]
        return "\n".join([*logged, *printed, caplog.text])

    return read


@pytest.fixture
def secrets(stranger):
    """Return what a person and an integration keep to themselves."""
    made = stranger.post("/api-keys", {"name": "Feed", "permissions": ["read", "update-model"]})
    token = stranger.headers["Authorization"].removeprefix("Bearer ")
    return {"token": token, "key": made.json["rawKey"], "key id": made.json["id"], "password": PASSWORD}


def calls(secrets):
    """Yield a call of every kind of outcome for each credential: method, path, body, headers."""
    key, bearer = {"X-Sigma-ApiKey": secrets["key"]}, {"Authorization": f"Bearer {secrets['token']}"}
    attribute = {"id": "attr-feed", "alias": "feed", "name": "Feed", "type": "text"}
    yield "POST", "/attributes", attribute, key
    for headers in (key, bearer, {**bearer, **key}):
        yield "GET", "/roles", None, headers
        yield "GET", "/api-keys", None, headers
        yield "GET", "/records", None, headers
        yield "GET", "/attributes/attr-nobody", None, headers
        yield "POST", "/attributes", attribute, headers
        yield "POST", "/attributes", {"id": "attr-bad"}, headers
        yield "POST", "/records", {}, headers
        yield "PATCH", "/api-keys", None, headers
        yield "GET", "/nowhere", None, headers
        yield "POST", "/auth/refresh", None, headers
    yield "POST", "/auth/login", {"email": "admin@other.example", "password": PASSWORD}, {}
    yield "POST", "/auth/login", {"email": "admin@other.example", "password": WRONG_PASSWORD}, {}
    yield "POST", "/auth/login", {"email": UNKNOWN_EMAIL, "password": WRONG_PASSWORD}, {}
    yield "GET", "/roles", None, {"X-Sigma-ApiKey": secrets["key"][:-1] + "*"}
    yield "GET", "/roles", None, {"Authorization": f"Bearer {secrets['token'][:-3]}"}
    yield "POST", f"/api-keys/{secrets['key id']}/deactivate", None, bearer
    yield "GET", "/api-keys", None, bearer
    yield "GET", "/roles", None, key
    yield "DELETE", f"/api-keys/{secrets['key id']}", None, bearer
    yield "GET", "/roles", None, key


def test_no_answer_repeats_a_secret_or_shows_the_hash_of_a_key(anonymous, secrets):
    digest, statuses = hashlib.sha256(secrets["key"].encode()).digest(), set()
    hashes = [digest.hex(), digest.hex().upper(), base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()]
    for method, path, body, headers in calls(secrets):
        answer = anonymous.request(method, path, body, headers=headers)
        statuses.add(answer.status_code)
        text = text_of(answer)
        if answer.status_code == 200 and path.startswith("/auth/"):
            text = text.replace(answer.json["token"], "")
        for secret in (secrets["key"], secrets["token"].rpartition(".")[2], PASSWORD, WRONG_PASSWORD, UNKNOWN_EMAIL):
            assert not any(piece in text for piece in pieces(secret, 20))
        assert not any(form.rstrip("=") in text for form in hashes)
        assert digest not in answer.data
        assert '"hash"' not in text
    assert statuses == {200, 201, 400, 401, 403, 404, 405, 409}


def test_nothing_secret_is_logged_or_printed(anonymous, secrets, output):
    for method, path, body, headers in calls(secrets):
        anonymous.request(method, path, body, headers=headers)
    text = output()
    for secret in (secrets["key"], secrets["token"], PASSWORD, WRONG_PASSWORD, UNKNOWN_EMAIL):
        assert not any(piece in text for piece in pieces(secret, 20))


def calls_with_each_secret(anonymous, secrets):
    """Return what comes of a call with each of the secrets."""
    bearer = {"Authorization": f"Bearer {secrets['token']}"}
    return [
        anonymous.get("/roles", headers={"X-Sigma-ApiKey": secrets["key"]}),
        anonymous.get("/roles", headers=bearer),
        anonymous.post("/auth/login", {"email": "admin@other.example", "password": PASSWORD}),
        anonymous.post("/auth/refresh", headers=bearer),
        anonymous.post("/api-keys", {"name": "Feed", "permissions": ["read"]}, headers=bearer),
    ]


def assert_failed_discreetly(answers, code, logged, secrets):
    """Check that some of the calls failed, and that neither their answers nor the log tell what was sent."""
    failed = [answer for answer in answers if answer.status_code >= 500]
    assert {answer.json["error"] for answer in failed} == {code}
    told = "\n".join(text_of(answer) for answer in failed)
    for secret in (secrets["key"], secrets["token"], PASSWORD):
        assert not any(piece in logged + told for piece in pieces(secret, 20))
    return told


@each("table", ["model_objects", "api_keys", "users", "login_attempts", "settings"])
def test_a_failing_database_is_logged_without_the_secrets_of_the_request(app, anonymous, secrets, output, table):
    sql(app, f"ALTER TABLE {table} RENAME TO {table}_elsewhere")
    answers, logged = calls_with_each_secret(anonymous, secrets), output()
    assert "no such table" in logged
    failed = [answer for answer in answers if answer.status_code >= 500]
    assert "no such table" not in assert_failed_discreetly(answers, failed[0].json["error"], logged, secrets)


@each(
    "fault",
    [(sessions, "check_password_hash"), (hashlib, "sha256"), (jwt, "decode"), (jwt, "encode")],
    ids=["password-check", "key-hash", "token-check", "token-making"],
)
def test_a_fault_in_the_service_is_logged_without_the_secrets_of_the_request(anonymous, secrets, output, monkeypatch, fault):
    def fail(*_, **__):
        raise RuntimeError("something nobody thought of")

    with monkeypatch.context() as patch:
        patch.setattr(*fault, fail)
        answers = calls_with_each_secret(anonymous, secrets)
    logged = output()
    assert "something nobody thought of" in logged
    assert "something nobody thought of" not in assert_failed_discreetly(answers, "INTERNAL_ERROR", logged, secrets)


@pytest.mark.parametrize(
    "call",
    [
        lambda key: ("GET", f"/records?X-Sigma-ApiKey={key}", None, {}),
        lambda key: ("GET", f"/records/{key}", None, {}),
        lambda key: ("GET", f"/{key}", None, {}),
        lambda key: ("PATCH", f"/records/{key}", None, {}),
        lambda key: ("GET", f"/records?schemaId={key}&limit={key}", None, {"X-Sigma-ApiKey": key}),
        lambda key: ("GET", f"/records/{key}", None, {"X-Sigma-ApiKey": key}),
        lambda key: ("POST", "/attributes", {"id": key, "rawKey": key}, {"X-Sigma-ApiKey": key}),
        lambda key: ("POST", "/auth/login", {"email": key, "password": key}, {}),
        lambda key: ("POST", "/auth/login", {"apiKey": key}, {}),
        lambda key: ("GET", "/records", None, {"Authorization": f"Bearer {key}"}),
        lambda key: ("GET", "/records", None, {"Authorization": f"Basic {key}"}),
        lambda key: ("GET", "/records", None, {"X-Api-Key": key, "Cookie": f"key={key}", "Referer": f"/?key={key}"}),
        lambda key: ("GET", "/records", None, {"X-Request-Id": key}),
        lambda key: ("GET", "/records", None, {"X-Request-Id": key.upper()}),
    ],
    ids=[
        *("query", "path", "unknown-path", "path-of-a-wrong-method", "query-and-header", "path-and-header"),
        *("body-and-header", "login", "login-unknown-field", "bearer", "basic", "other-headers"),
        *("request-id", "request-id-in-capitals"),
    ],
)
def test_a_key_in_a_wrong_place_is_not_logged_stored_or_repeated(app, anonymous, secrets, output, call):
    method, path, body, headers = call(secrets["key"])
    answer = anonymous.request(method, path, body, headers=headers)
    assert answer.status_code in (400, 401, 403, 404, 405)
    text, stored = (output() + text_of(answer)).lower(), database_bytes(app)
    assert "request=" in text
    for piece in pieces(secrets["key"].removeprefix("sigma_sk_live_")):
        assert piece not in text
        assert piece.encode() not in stored


def test_a_token_in_a_path_is_not_logged(anonymous, secrets, output):
    for path in (f"/records/{secrets['token']}", f"/{secrets['token']}", f"/records?token={secrets['token']}"):
        anonymous.get(path)
        anonymous.request("PATCH", path, headers={"Authorization": f"Bearer {secrets['token']}"})
    text = output()
    assert not any(piece in text for piece in pieces(secrets["token"], 20))


def test_no_byte_of_the_database_gives_a_secret_away(app, anonymous, secrets):
    for method, path, body, headers in calls(secrets):
        anonymous.request(method, path, body, headers=headers)
    stored = database_bytes(app)
    assert hashlib.sha256(secrets["key"].encode()).digest() in stored
    random_part, signature = secrets["key"].removeprefix("sigma_sk_live_"), secrets["token"].rpartition(".")[2]
    for secret in (random_part, signature, PASSWORD, WRONG_PASSWORD, UNKNOWN_EMAIL):
        assert not any(piece.encode() in stored for piece in pieces(secret, 8 if secret == random_part else 12))


def test_the_demo_keys_are_stored_as_hashes_too(app, anonymous):
    assert anonymous.get("/roles", headers={"X-Sigma-ApiKey": EXAMPLE_KEY}).status_code == 200
    stored = database_bytes(app)
    assert hashlib.sha256(EXAMPLE_KEY.encode()).digest() in stored
    assert b"sigma_sk_live" not in stored
    assert not any(piece.encode() in stored for piece in pieces(EXAMPLE_KEY.removeprefix("sigma_sk_live_"), 8))
