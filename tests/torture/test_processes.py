"""Several processes on one database, and what only a real socket shows."""

import json
import re
import shutil
import socket
from contextlib import closing

import pytest
from processes import EXAMPLE_KEY, send, serving

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def servers(template, tokens, tmp_path_factory):
    """Two services on one database, so that a test says which process answers a request."""
    folder, token = tmp_path_factory.mktemp("servers"), tokens["admin@sigma.io"]
    database = shutil.copy(template, folder / "sigma.db")
    with serving(database, folder / "one.log", token) as one, serving(database, folder / "two.log", token) as two:
        yield one, two


# -- Two processes, one database


@pytest.mark.parametrize(("method", "action"), [("POST", "/deactivate"), ("DELETE", "")], ids=["deactivated", "deleted"])
def test_a_key_works_everywhere_at_once_and_is_refused_everywhere_from_the_next_request_on(servers, method, action):
    for here, there in (servers, servers[::-1]) * 3:
        made, headers = here.make_key("read")
        with here.connect() as first, there.connect() as second:
            for connection in (first, second) * 2:
                assert send(connection, "GET", "/roles", headers=headers)[0] == 200
            here.manage(method, f"/api-keys/{made['id']}{action}")
            for connection in (second, first):
                status, _, answer = send(connection, "GET", "/roles", headers=headers)
                assert (status, answer["error"]) == (401, "UNAUTHORIZED")
                assert ("deactivated" in answer["message"]) == bool(action)


def test_a_changed_model_counts_in_the_other_process_at_once(servers):
    one, two = servers
    record = {"schemaId": "schema-apparel", "values": {"size": [{"scope": {}, "value": "a size that is long"}]}}
    size = one.manage("GET", "/attributes/attr-size")
    for longest, expected in ((5, 400), (50, 201)) * 2:
        one.manage("PUT", "/attributes/attr-size", {**size, "validation": {"maxLength": longest}})
        assert two.request("POST", "/records", two.authorization, record)[0] == expected


def test_failed_logins_count_across_processes(servers):
    body = {"email": "editor@sigma.io", "password": "wrong"}
    assert [servers[turn % 2].request("POST", "/auth/login", body=body)[0] for turn in range(10)] == [401] * 10
    for server in servers:
        status, headers, answer = server.call("POST", "/auth/login", {**body, "password": "editor"})
        assert (status, answer["error"]) == (429, "RATE_LIMITED")
        assert 1 <= int(headers["Retry-After"]) <= 61


# -- Over a real socket


def exchange(server, *headers):
    """Send these header lines as they are, and return the status and body of the response."""
    lines = ["GET /api/v1/roles HTTP/1.1", *headers, "Host: localhost", "Connection: close", "", ""]
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
        connection.sendall("\r\n".join(lines).encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_the_key_header_sent_twice_or_empty_is_refused(servers):
    server, _ = servers
    made, _ = server.make_key("read")
    good, bad, empty = f"X-Sigma-ApiKey: {made['rawKey']}", "X-Sigma-ApiKey: nonsense", "X-Sigma-ApiKey:"
    token = f"Authorization: {server.authorization['Authorization']}"
    assert [exchange(server, header)[0] for header in (good, token)] == [200, 200]
    for headers in ((good, good), (good, bad), (bad, good), (good, good.lower()), (good, empty), (empty, good), (token, empty)):
        status, answer = exchange(server, *headers)
        assert (status, answer["error"]) == (401, "UNAUTHORIZED")
        assert made["rawKey"] not in answer["message"]


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_beyond_one_mebibyte_is_refused_and_nothing_of_it_is_stored(servers, chunked):
    server, _ = servers
    made, headers = server.make_key("read", "update-model")
    id = f"attr-large-{made['id']}"
    body = json.dumps({"id": id, "alias": id, "name": "Large", "type": "text"}).encode()
    padded = body + b" " * (MEBIBYTE - len(body))
    for path in ("/attributes", "/auth/login"):
        status, _, answer = server.call("POST", path, padded + b" ", headers, chunked)
        assert (status, answer["error"]) == (413, "PAYLOAD_TOO_LARGE")
    assert server.request("GET", f"/attributes/{id}", headers)[0] == 404
    assert server.call("POST", "/attributes", padded, headers, chunked)[0] == 201


def test_a_server_says_where_it_is_and_how_to_sign_in_and_logs_no_other_key(servers):
    server, _ = servers
    made, headers = server.make_key("read")
    raw_key = made["rawKey"]
    for path in (f"/records?key={raw_key}", f"/records/{raw_key}", f"/{raw_key}", "/records?limit=none", "/roles"):
        server.call("GET", path, headers=headers)
        server.call("GET", path)
    server.call("POST", "/auth/login", {"email": "nobody@sigma.io", "password": raw_key})
    exchange(server, f"X-Sigma-ApiKey: {raw_key}", f"X-Sigma-ApiKey: {raw_key}")
    log = server.log.read_text()
    for text in (f"http://127.0.0.1:{server.port}/docs", "admin@sigma.io / admin", EXAMPLE_KEY):
        assert text in log
    assert set(re.findall("sigma_sk_live_[a-z0-9]+", log)) == {EXAMPLE_KEY}
    assert server.authorization["Authorization"].removeprefix("Bearer ") not in log
