"""The stand-in's own routes: programs that may call them, and what the OpenAPI document says of them."""

import re
import shutil
import sqlite3

import pytest
from cases import each
from conftest import replace_everywhere, store_delivery
from test_access import DEMO, OUTSIDE_THE_API
from test_openapi import operations, problems, responses, success
from test_workspaces import everything

import app as service
from sigma import database
from sigma.http import errors

HIDDEN = [(operation.method, operation.url) for operation in OUTSIDE_THE_API if operation.key == DEMO]


# Who may call what is there only while the database holds the demo


def test_a_deployment_has_none_of_it(deployment):
    before, client = everything(deployment), deployment.test_client()
    paths = {path for _, path in HIDDEN}
    assert len(paths) > 5
    there = {path for path in paths for operation in OUTSIDE_THE_API if operation.url == path and operation.key != DEMO}
    for method, path in [*HIDDEN, *(("PATCH", path) for path in sorted(paths - there))]:
        for options in ({}, {"json": {}}, {"data": "x"}, {"headers": {"Host": "evil.example", "Origin": "null"}}):
            answer = client.open(path, method=method, **options)
            unknown = client.open("/standin/unknown", method=method, **options)
            assert answer.text == unknown.text.replace("/standin/unknown", path)
            assert answer.status_code == 404
            assert {
                name: value for name, value in answer.headers.items() if name not in ("X-Request-Id", "Content-Length")
            } == {name: value for name, value in unknown.headers.items() if name not in ("X-Request-Id", "Content-Length")}
    assert everything(deployment) == before


def test_while_the_database_does_not_answer_nothing_is_said_of_them(app, error, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    replace_everywhere(monkeypatch, database, "fetch_one", fail)
    for method, path in HIDDEN:
        error(app.test_client().open(path, method=method, json={}), 503)


@pytest.fixture(scope="module")
def shared_app(template, tmp_path_factory):
    """Yield the app on a database that the tests of refusals share, and with two more names of its host."""
    path = tmp_path_factory.mktemp("standin") / "shared.db"
    shutil.copy(template, path)
    app = service.create_app({"DATABASE": str(path), "STANDIN_HOSTS": ("pim.test", "[fd00::1]")})
    yield app
    database.close_db()


def reset(app, path="/standin/reset", method="POST", **environ):
    """Send a request with exactly these headers."""
    environ = {"HTTP_HOST": "localhost:8080", "CONTENT_TYPE": "application/json", **environ}
    data = environ.pop("data", b"{}")
    with app.test_client().open(path, method=method, data=data, environ_overrides=environ) as answer:
        return answer


def test_another_machine_is_let_in_only_where_a_setting_names_this_one(app, shared_app, error):
    for address in ("192.0.2.7", "2001:db8::7", "10.0.0.5"):
        for method, path in HIDDEN:
            assert "this machine" in error(reset(app, path, method, REMOTE_ADDR=address), 403)
        assert reset(shared_app, REMOTE_ADDR=address, HTTP_HOST="pim.test").status_code == 204
        error(reset(shared_app, REMOTE_ADDR=address, HTTP_HOST="another.test"), 403)
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert reset(app, REMOTE_ADDR=address).status_code == 204
        for header in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA"):
            assert "this machine" in error(reset(app, REMOTE_ADDR=address, **{header: "for=192.0.2.7"}), 403)


OURS = [
    *("localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:65535", "127.1.2.3:80", "[::1]", "[::1]:8080"),
    *("[0:0:0:0:0:0:0:1]:8080", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]:80"),
    *("127.1", "127.1:8080", "127.0.1", "2130706433:80", "0x7f000001", "0X7F.1", "017700000001", "0177.0.0.1", "0x7f.0.0.1"),
    *("localhost.", "localhost.:8080", "127.0.0.1.", "0.0.0.0:8080", "0", "[::]:8080"),
    *("pim.test", "Pim.Test:9000", "pim.test.", "[fd00::1]:80"),
]

FOREIGN = [
    *("", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost"),
    *(
        "localhost@evil.example",
        "user@localhost",
        "user:pass@localhost:8080",
        "evil.example#localhost",
        "evil.example/localhost",
    ),
    *("localhost..", ".localhost", "127.0.0.1..", "pim.test..", "sub.pim.test", "pim.test.evil.example", "localhost localhost"),
    *(
        "localhost:",
        "localhost:8080:8080",
        "localhost:http",
        "localhost:999999",
        "localhost:-1",
        "localhost:+80",
        "localhost:\xb2",
    ),
    *("::1", "[::1", "::1]", "[::1]]", "[::1]8080", "[::1%25lo]", "[::ffff:192.0.2.1]", "[localhost]", "[127.0.0.1]"),
    *("128.1", "3221225985", "0x7g.1", "0xc0a80001", "0300.0250.0.1", "x7f.1", "1127.0.0.1", "127.0.0.999", "192.168.0.1"),
    *("127.0.0.1 evil.example", "127.1.evil.example", "127.0.0.1x", "0x", "127.0.0.0.1", "0.0.0.1", "[::2]", "[0x7f.1]"),
    *("localhost, evil.example", "localhost\n"),
]


@each("host", OURS)
def test_a_host_of_this_machine_is_let_in(shared_app, host):
    assert reset(shared_app, HTTP_HOST=host).status_code == 204
    assert reset(shared_app, HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}", HTTP_SEC_FETCH_SITE="same-origin").status_code == 204


@each("host", FOREIGN)
def test_a_name_that_may_have_been_led_here_is_refused(shared_app, error, host):
    """A page of evil.example, whose name suddenly means 127.0.0.1, is of the same origin as what it asks for."""
    for origin in ({}, {"HTTP_ORIGIN": f"http://{host}", "HTTP_SEC_FETCH_SITE": "same-origin"}):
        for method, path in HIDDEN:
            assert error(reset(shared_app, path, method, HTTP_HOST=host, **origin), 403).startswith("Host: ")


def test_only_what_the_client_sent_as_host_counts(shared_app, error):
    headers = {"HTTP_X_FORWARDED_HOST": "localhost", "HTTP_FORWARDED": "host=localhost", "SERVER_NAME": "localhost"}
    error(reset(shared_app, HTTP_HOST="evil.example", **headers), 403)


CROSS_SITE = [
    *({"HTTP_ORIGIN": origin} for origin in ("null", "", "http://evil.example", "https://localhost.evil.example:8080")),
    *({"HTTP_ORIGIN": f"http://{host}"} for host in ("localhost", "localhost:3000", "127.0.0.1:8080", "user@localhost:8080")),
    *({"HTTP_ORIGIN": origin} for origin in ("localhost:8080", "file://", "http://localhost:8080, http://evil.example")),
    *({"HTTP_ORIGIN": origin} for origin in ("http://localhost:8080/", "chrome-extension://localhost:8080")),
    *({"HTTP_SEC_FETCH_SITE": site} for site in ("cross-site", "same-site", "", "none, cross-site", "Same-Origin")),
    {"HTTP_ORIGIN": "http://localhost:8080", "HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_ORIGIN": "http://evil.example", "HTTP_SEC_FETCH_SITE": "same-origin"},
]


@each("headers", CROSS_SITE, ids=lambda headers: " ".join(headers.values()) or "empty")
def test_a_web_page_of_another_origin_is_refused(shared_app, error, headers):
    for method, path in HIDDEN:
        message = error(reset(shared_app, path, method, **headers), 403)
        assert re.match("Origin: |Sec-Fetch-Site: ", message)


@each("type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; a=application/json"])
@each("data", [b"", b"{}"], ids=["empty", "JSON"])
def test_a_body_that_a_form_can_send_is_refused(shared_app, error, type, data):
    for path in ("/standin/reset", "/standin/workspaces"):
        error(reset(shared_app, path, CONTENT_TYPE=type, data=data), 415 if type or data else 400)


def test_no_answer_invites_a_page_of_another_origin(shared_app):
    for path, method in (("/standin/reset", "POST"), ("/standin/reset", "OPTIONS"), ("/standin/whoami", "OPTIONS")):
        answer = reset(shared_app, path, method, HTTP_ORIGIN="http://localhost:8080")
        assert "access-control" not in str(answer.headers).lower()


# The OpenAPI document


@pytest.fixture
def document(app):
    return app.test_client().get("/openapi.json").json


def test_the_document_says_how_each_of_them_is_called_and_refuses(document):
    told = {
        (method, path): (operation["security"], sorted(operation["responses"]))
        for method, path, operation in operations(document, below="/standin")
    }
    common = ["413", "500", "503"]
    assert told == {
        ("GET", "/whoami"): ([{"apiKey": []}, {"session": []}], ["200", "401", *common]),
        ("GET", "/keys"): ([{"session": []}], ["200", "401", "403", *common]),
        ("GET", "/workspaces"): ([], sorted(["200", "403", "404", *common])),
        ("POST", "/workspaces"): ([], sorted(["201", "400", "403", "404", "409", "415", *common])),
        ("GET", "/workspaces/{id}/seed"): ([], sorted(["200", "403", "404", *common])),
        ("DELETE", "/workspaces/{id}"): ([], sorted(["204", "403", "404", *common])),
        ("POST", "/reset"): ([], sorted(["204", "400", "403", "404", "415", *common])),
        ("GET", "/requests"): ([], sorted(["200", "400", "403", "404", "409", *common])),
        ("DELETE", "/requests"): ([], sorted(["204", "403", "404", "409", *common])),
        ("GET", "/keys/{id}/faults"): ([], sorted(["200", "403", "404", *common])),
        ("PUT", "/keys/{id}/faults"): ([], sorted(["200", "400", "403", "404", "409", "415", *common])),
        ("DELETE", "/keys/{id}/faults"): ([], sorted(["204", "403", "404", *common])),
        ("GET", "/requests/{id}"): ([], sorted(["200", "403", "404", "409", *common])),
        **{
            operation: ([{"session": []}, {}], sorted(["200", "400", "401", "403", "404", *common]))
            for operation in (
                *(("GET", "/webhooks"), ("GET", "/deliveries"), ("GET", "/deliveries/{id}")),
                *(("POST", "/deliveries/{id}/redeliver"), ("POST", "/deliveries/run")),
            )
        },
    }
    for method, path, operation in operations(document, below="/standin"):
        assert operation["tags"] == ["Stand-in"]
        assert ("holds the demo" in operation["description"]) == (path not in ("/whoami", "/keys")), (method, path)
        for _, response in responses(document, operation):
            assert ("X-Sigma-Required-Permission" in response["headers"]) == (
                path in ("/keys", "/webhooks") or "deliveries" in path
            )


def test_what_the_document_gives_as_examples_is_accepted_and_answered_like_that(app, document, standin, admin):
    store_delivery(app, "dlv-5f0c9d3b7a1e2468")
    for method, path, operation in operations(document, below="/standin"):
        if method != "DELETE":
            parameters = document["paths"][f"/standin{path}"].get("parameters", []) + operation.get("parameters", [])
            ids = {parameter["name"]: parameter["example"] for parameter in parameters if parameter["in"] == "path"}
            admin.get("/records", headers={"X-Request-Id": ids.get("id", "")})
            sent = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            answer = standin(method, path.format(**ids), sent, headers=admin.headers)
            status, announced = success(operation)
            assert answer.status_code == status, (method, path, answer.text)
            for body in (answer.json, announced["example"]) if announced else ():
                assert problems(document, announced["schema"], body) == []
                more = [{**item, "surprise": 1} for item in body or [{}]] if isinstance(body, list) else {**body, "surprise": 1}
                assert problems(document, announced["schema"], more) != []


def test_bodies_too_large_are_refused_by_each_of_them(document, standin, admin, error):
    for method, path, _ in operations(document, below="/standin"):
        large = {"environ_overrides": {"CONTENT_LENGTH": str(errors.MAX_BODY + 1)}, "content_type": "application/json"}
        error(standin(method, path, headers=admin.headers, **large), 413)
