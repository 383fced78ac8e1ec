"""Errors: one shape, whatever is wrong; what is missing is named, and a failure of ours tells nothing of its cause."""

import sqlite3
from urllib.parse import quote

import pytest
from cases import each
from conftest import replace_everywhere
from werkzeug.exceptions import MethodNotAllowed

from sigma import database as database_module
from sigma.http import errors, responses

# Addresses


def test_an_unknown_address_is_named_in_the_message(app, error):
    assert "/api/v1/nothing" in error(app.test_client().get("/api/v1/nothing"), 404)


def test_a_path_with_two_slashes_in_front_is_told_what_is_wrong_with_it(app, key, error):
    answer = app.test_client().get("/", environ_overrides={"PATH_INFO": "//api/v1/records"}, headers=key.headers)
    assert error(answer, 404) == "No path here begins with two slashes; /docs lists every path"


def test_head_answers_like_get_without_a_body(app, anonymous, admin):
    for caller, path, status in ((admin, "/records", 200), (anonymous, "/records", 401), (admin, "/nothing", 404)):
        answer = caller.request("HEAD", path)
        assert (answer.status_code, answer.content_type, answer.data) == (status, "application/json", b"")


@each("id", ["'\"\\<b>", "\0", "\U0001f600", "x" * 500], ids=ascii)
def test_a_missing_resource_is_named_whatever_its_id(admin, error, id):
    """That every route names what is missing is in test_tenants.py."""
    shown = id if len(id) <= 200 else f"{id[:200]}…"
    assert error(admin.get(f"/schemas/{quote(id)}"), 404) == f"Schema '{shown}' not found"


# Our own failures


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


# What errors are made of


@each(
    ("text", "redacted"),
    [
        ("nothing secret", "nothing secret"),
        ("sigma_sk_live_abc123", "sigma_sk_live_…"),
        ("a 'sigma_sk_live_abc123' and sigma_sk_live_0", "a 'sigma_sk_live_…' and sigma_sk_live_…"),
        ("SIGMA_SK_LIVE_ABC123/x", "sigma_sk_live_…/x"),
        ("sigma_sk_live_", "sigma_sk_live_"),
        ("sigma_sk_live_abc-123", "sigma_sk_live_…-123"),
        ("sigma_sk_test_abc123", "sigma_sk_test_abc123"),
        ("line\nsigma_sk_live_abc\nline", "line\nsigma_sk_live_…\nline"),
    ],
)
def test_raw_keys_are_made_unreadable(text, redacted):
    assert errors.redact_keys(text) == redacted


@each(
    ("constraint", "body", "message"),
    [
        ("model_objects.tenant, model_objects.kind, model_objects.alias", {"alias": "a"}, "alias: 'a' is already taken"),
        ("categories.tenant, categories.id", {"id": "c", "alias": "a"}, "id: 'c' is already taken"),
        ("users.email", {}, "email: null is already taken"),
    ],
)
def test_the_last_column_of_a_constraint_is_the_member_that_conflicts(constraint, body, message):
    assert errors.conflict_message(sqlite3.IntegrityError(f"UNIQUE constraint failed: {constraint}"), body) == message


@each(
    ("count", "message"),
    [(1, "0"), (20, "; ".join(map(str, range(20)))), (21, "; ".join([*map(str, range(20)), "and more"]))],
)
def test_the_first_twenty_problems_are_named(count, message):
    with pytest.raises(errors.ApiError) as refusal:
        errors.raise_for_problems(map(str, range(count)))
    assert (refusal.value.code, refusal.value.message) == (400, message)


def test_no_problems_are_no_error():
    assert errors.raise_for_problems(iter(())) is None
