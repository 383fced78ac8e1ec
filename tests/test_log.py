"""The log: one line about each request, and of a failure its stack trace; never a secret, a query or a body."""

import io
import logging
import re
import sys
import time
from contextlib import suppress

import pytest
from cases import each
from conftest import EXAMPLE_KEY, Caller, replace_everywhere
from flask import Flask
from flask.logging import default_handler

import app as service
from sigma.http import responses

LINE = re.compile(
    r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<method>\S+) (?P<route>\S+) (?P<status>\d{3}) \d+\.\dms"
    r" request=(?P<request>\S+) workspace=(?P<workspace>\S+) caller=(?P<caller>\S+)(?: code=(?P<code>[A-Z_]+))?"
)
UTC = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
RECORD = "/api/v1/records/<id>"


@pytest.fixture
def log(app, capfd):
    """Read what was logged since it was last read, which is the fields of each request's line, and every other line."""

    def read():
        lines = capfd.readouterr().err.splitlines()
        matches = [(line, LINE.fullmatch(line)) for line in lines]
        return [match.groupdict() for _, match in matches if match], [line for line, match in matches if not match]

    return read


def line(method, route, status, answer, workspace="-", caller="-", code=None):
    return {
        **{"method": method, "route": route, "status": str(status), "request": answer.headers["X-Request-Id"]},
        **{"workspace": workspace, "caller": caller, "code": code},
    }


def test_each_request_is_one_line_with_its_route_status_and_caller(admin, make_key, anonymous, log):
    key = make_key("read")
    log()
    answers = [
        key.get("/records/ent-coastal-wb"),
        admin.get("/records/ent-none?secret=question"),
        anonymous.post("/records", {"secret": "body"}),
        key.delete("/records/ent-coastal-wb"),
        anonymous.get("/healthz"),
        anonymous.get("/no/such/place"),
        anonymous.request("PATCH", "/roles"),
    ]
    assert log() == (
        [
            line("GET", RECORD, 200, answers[0], "ws-demo", key.id),
            line("GET", RECORD, 404, answers[1], "ws-demo", "user-admin", "NOT_FOUND"),
            line("POST", "/api/v1/records", 401, answers[2], code="UNAUTHORIZED"),
            line("DELETE", RECORD, 403, answers[3], "ws-demo", key.id, "PERMISSION_DENIED"),
            line("GET", "/api/v1/healthz", 200, answers[4]),
            line("GET", "/api/v1/no/such/place", 404, answers[5], code="NOT_FOUND"),
            line("PATCH", "/api/v1/roles", 405, answers[6], code="METHOD_NOT_ALLOWED"),
        ],
        [],
    )


def test_who_still_uses_a_deactivated_key_is_named(admin, make_key, log):
    key = make_key("read")
    admin.post(f"/api-keys/{key.id}/deactivate")
    log()
    answer = key.get("/records/ent-coastal-wb")
    assert log() == ([line("GET", RECORD, 401, answer, "ws-demo", key.id, "UNAUTHORIZED")], [])


def test_a_failure_of_ours_is_logged_with_its_trace_under_the_id_that_the_client_got(admin, make_key, log, error, monkeypatch):
    key = make_key("read")

    def fail(*_):
        raise RuntimeError(f"something to do with {key.raw_key}")

    replace_everywhere(monkeypatch, responses, "json_response", fail)
    log()
    answer = admin.get("/records/ent-coastal-wb%0Ainjected")
    assert error(answer, 404)
    assert log() == ([line("GET", RECORD, 404, answer, "ws-demo", "user-admin", "NOT_FOUND")], [])
    answer = admin.get("/records/ent-coastal-wb")
    message = error(answer, 500)
    assert "X-Request-Id" in message
    assert "something" not in message
    lines, trace = log()
    assert lines == [line("GET", RECORD, 500, answer, "ws-demo", "user-admin", "INTERNAL_ERROR")]
    assert re.fullmatch(rf"{UTC} ERROR request={answer.headers['X-Request-Id']} GET {re.escape(RECORD)} failed", trace[0])
    assert trace[1] == "Traceback (most recent call last):"
    assert trace[-1] == "RuntimeError: something to do with sigma_sk_live_…"
    assert key.raw_key not in "".join(trace)


@each(
    ("sent", "is_kept"),
    [("from-the-proxy_1.2", True), ("x" * 64, True), ("x" * 65, False), ("", False), ("two words", False), ("æ", False)],
)
def test_the_id_of_a_proxy_is_kept_when_it_is_one(anonymous, log, sent, is_kept):
    log()
    answer = anonymous.get("/healthz", headers={"X-Request-Id": sent})
    ((logged,), _) = log()
    assert logged["request"] == answer.headers["X-Request-Id"]
    assert (answer.headers["X-Request-Id"] == sent) is is_kept
    assert is_kept or re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])


def test_a_failure_is_logged_once_and_only_where_keys_are_made_unreadable(admin, make_key, log, monkeypatch):
    key = make_key("read")

    def fail(*_):
        raise RuntimeError(f"something to do with {key.raw_key}")

    replace_everywhere(monkeypatch, responses, "json_response", fail)
    elsewhere = logging.StreamHandler(io.StringIO())
    logging.getLogger().addHandler(elsewhere)  # as a program does that has this service in it
    try:
        assert admin.get("/records/ent-coastal-wb").status_code == 500
    finally:
        logging.getLogger().removeHandler(elsewhere)
    assert elsewhere.stream.getvalue() == ""
    _, others = log()
    assert sum(" failed" in line for line in others) == 1


class Broken:
    """A stream whose other end is gone."""

    def write(self, text):
        raise BrokenPipeError("nobody reads")


@each("stream", [None, Broken()], ids=["no stream", "a stream that nobody reads"])
def test_a_log_that_cannot_be_written_stops_nothing(admin, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    record = {"id": "ent-unlogged", "schemaId": "schema-apparel", "values": {}}
    assert admin.post("/records", record).status_code == 201
    assert admin.get("/records/ent-unlogged").status_code == 200


def test_a_full_log_stops_nothing(admin, monkeypatch):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert admin.get("/records/ent-coastal-wb").status_code == 200
        with suppress(OSError):
            full.close()


def test_another_application_in_the_process_may_use_the_handler(app, capfd):
    """It is Flask's own, which every Flask application of a process has."""
    another = Flask("another")
    another.logger.addHandler(default_handler)
    another.add_url_rule("/", view_func=lambda: another.logger.warning("Hello") or "fine")
    assert another.test_client().get("/").text == "fine"
    log = capfd.readouterr().err
    assert "WARNING request=- Hello" in log
    assert "Logging error" not in log


@each(
    ("method", "logged"),
    [
        ("BREW", "BREW"),
        ("X" * 5000, "X" * 20 + "…"),
        ("G\x1b[2JET", "G%1B[2JET"),
        ("A B", "A%20B"),
        ("SIGMA_SK_LIVE_ABC123DEF456GHI789JKL012MNO345PQR678", "sigma_sk_live_…"),
    ],
)
def test_a_method_that_is_none_is_one_short_word_without_secrets(anonymous, log, error, method, logged):
    log()
    answer = anonymous.request(method, "/records")
    error(answer, 405)
    assert log() == ([line(logged, "/api/v1/records", 405, answer, code="METHOD_NOT_ALLOWED")], [])


@each(
    ("path", "logged"),
    [
        ("/a b\r\n2026 GET /forged 200", "/a%20b%0D%0A2026%20GET%20/forged%20200"),
        ("/\x1b[31m\x00\x7f", "/%1B[31m%00%7F"),
        ("/\u2028\u202e\x85æ", "/%E2%80%A8%E2%80%AE%C2%85%C3%A6"),
        ("/" + "x" * 5000, "/" + "x" * 199 + "…"),
        (f"/{EXAMPLE_KEY}/x", "/sigma_sk_live_…/x"),
        ("/eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ4In0.c2lnbmF0dXJl", "/eyJ…"),
        ("/x;token=hunter2", "/x;token=" + "%E2%80%A2" * 8),
        ("//api/v1/records", "//api/v1/records"),
    ],
    ids=ascii,
)
def test_a_path_that_is_none_is_one_short_word_without_secrets(app, log, error, path, logged):
    log()
    encoded = path.encode().decode("latin-1")  # as WSGI has it
    answer = app.test_client().get("/", environ_overrides={"PATH_INFO": encoded})
    error(answer, 404)
    assert log() == ([line("GET", logged, 404, answer, code="NOT_FOUND")], [])


def test_every_line_is_in_utc_wherever_the_machine_is(admin, log, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        replace_everywhere(monkeypatch, responses, "json_response", None)
        log()
        admin.get("/records/ent-coastal-wb")
        now = time.strftime("%Y-%m-%dT%H:", time.gmtime())
        (_, others), _ = log(), monkeypatch.undo()
        assert re.match(UTC, others[0])
        assert others[0].startswith(now)
    finally:
        time.tzset()


def test_no_two_requests_have_the_same_id(anonymous):
    assert len({anonymous.get("/healthz").headers["X-Request-Id"] for _ in range(50)}) == 50


def test_the_line_about_each_request_can_be_left_out(app, admin, log):
    quiet = service.create_app({"DATABASE": app.config["DATABASE"], "REQUEST_LOG": False})
    assert Caller(quiet, admin.headers).get("/records").status_code == 200
    assert log() == ([], [])


@each(
    "path",
    ["/", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/healthz", "/nothing", "/api/v1/records", "/api/v1/roles/x"],
)
def test_every_answer_has_an_id_and_is_taken_as_what_it_says_it_is(app, path):
    for method in ("GET", "HEAD", "POST"):
        answer = app.test_client().open(path, method=method)
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])
        assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
        answer.close()
