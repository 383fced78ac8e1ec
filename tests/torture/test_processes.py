"""The service as it is run: real server processes on one database, real sockets, and the command that starts them."""

import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import replace_everywhere

import app as service
from sigma import database as database_module
from sigma.cli import serve as serve_module

ROOT = Path(service.__file__).parent
FLASK = str(Path(sys.executable).with_name("flask"))
EXAMPLE_KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
MEBIBYTE = 1024 * 1024


def environment(database, **settings):
    """Return this process's environment with these settings of the service and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_") and name != "WORKERS"}
    return {**inherited, "HOST": "127.0.0.1", "SIGMA_DATABASE": str(database), **settings}


def free_port():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class Server:
    """A running server process."""

    port: int
    log: Path
    process: Any
    authorization: dict

    def call(self, method, path, body=None, headers=None, chunked=False):
        """Send one request on a connection of its own, and answer the status, headers and body."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            return send(connection, method, path, body, headers, chunked)

    def manage(self, method, path, body=None):
        """Send one request as the demo workspace's administrator, and answer the body."""
        status, _, answer = self.call(method, path, body, self.authorization)
        assert status in (200, 201), answer
        return answer

    def make_key(self, *permissions):
        """Make a key, and return it with the header that sends it."""
        made = self.manage("POST", "/api-keys", {"name": "Feed", "permissions": list(permissions)})
        return made, {"X-Sigma-ApiKey": made["rawKey"]}

    def use(self, headers, path="/roles"):
        status, _, answer = self.call("GET", path, headers=headers)
        return status, answer

    def exchange(self, *lines):
        """Send these header lines as they are, and answer the status and the body."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=10)) as connection:
            connection.sendall("\r\n".join([*lines, "Host: localhost", "Connection: close", "", ""]).encode())
            head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


def send(connection, method, path, body=None, headers=None, chunked=False):
    """Send one request on an open connection, and answer the status, headers and body."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {**(headers or {}), **({} if data is None else {"Content-Type": "application/json"})}
    if chunked:
        data, headers["Transfer-Encoding"] = io.BytesIO(data), "chunked"
    with suppress(BrokenPipeError, ConnectionResetError):  # a server may answer, and close, before it has read a large body
        connection.request(method, f"/api/v1{path}", data, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, answer.headers, json.loads(text) if text else None


def is_up(port):
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            connection.request("GET", "/healthz")
            return json.loads(connection.getresponse().read()) == {"status": "ok"}
    except OSError:
        return False


@contextmanager
def starting(database, log, token="", **settings):
    """Start a server with these settings, and end it whatever happens."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [FLASK, "--app", "app", "serve"],
            cwd=ROOT,
            env=environment(database, PORT=str(port), **settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Server(port, log, process, {"Authorization": f"Bearer {token}"})
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_for(server, seconds=20):
    """Wait until the server answers."""
    deadline = time.monotonic() + seconds
    while not is_up(server.port):
        assert server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def servers(template, tokens, tmp_path_factory):
    """Two servers on one database that holds the demo workspace."""
    folder, token = tmp_path_factory.mktemp("servers"), tokens["admin@sigma.io"]
    database = folder / "sigma.db"
    shutil.copy(template, database)
    with (
        starting(database, folder / "one.log", token) as one,
        starting(database, folder / "two.log", token) as two,
    ):
        for server in (one, two):
            wait_for(server)
        yield one, two


# Two processes, one database


def test_a_key_made_through_one_server_works_at_once_on_the_other(servers):
    one, two = servers
    for here, there in ((one, two), (two, one)) * 3:
        _, headers = here.make_key("read")
        assert there.use(headers)[0] == 200
        assert here.use(headers)[0] == 200


def test_a_key_switched_off_through_one_server_is_refused_by_the_other_on_the_next_request(servers):
    for here, there in (servers, servers[::-1]) * 3:
        made, headers = here.make_key("read")
        with closing(http.client.HTTPConnection("127.0.0.1", there.port, timeout=10)) as connection:
            assert [send(connection, "GET", "/roles", headers=headers)[0] for _ in range(3)] == [200] * 3
            here.manage("POST", f"/api-keys/{made['id']}/deactivate")
            status, _, answer = send(connection, "GET", "/roles", headers=headers)
            assert (status, answer["error"]) == (401, "UNAUTHORIZED")
            assert "deactivated" in answer["message"]
        assert here.use(headers)[0] == 401


def test_a_key_deleted_through_one_server_is_refused_by_the_other_on_the_next_request(servers):
    for here, there in (servers, servers[::-1]) * 3:
        made, headers = here.make_key("read")
        with closing(http.client.HTTPConnection("127.0.0.1", there.port, timeout=10)) as connection:
            assert send(connection, "GET", "/roles", headers=headers)[0] == 200
            assert here.manage("DELETE", f"/api-keys/{made['id']}") == {"deleted": True}
            status, _, answer = send(connection, "GET", "/roles", headers=headers)
            assert (status, answer["error"]) == (401, "UNAUTHORIZED")
            assert "deactivated" not in answer["message"]


def test_a_use_on_either_server_is_the_last_use(servers):
    one, two = servers
    made, headers = one.make_key("read")
    assert two.use(headers)[0] == 200
    (listed,) = [item for item in one.manage("GET", "/api-keys") if item["id"] == made["id"]]
    assert listed["lastUsedAt"] >= made["createdAt"]


def test_a_changed_role_counts_on_the_other_server_at_once(servers):
    one, two = servers
    for server, flag in ((one, True), (two, False)) * 2:
        role = {"id": "role-feed", "name": "Feed", "canExport": flag}
        if server is one and one.use(one.authorization, "/roles/role-feed")[0] == 404:
            server.manage("POST", "/roles", role)
        else:
            server.manage("PUT", "/roles/role-feed", role)
        for reader in servers:
            assert reader.manage("GET", "/roles/role-feed")["canExport"] is flag


def test_failed_logins_count_across_servers(servers):
    body = {"email": "editor@sigma.io", "password": "wrong"}
    statuses = [servers[turn % 2].call("POST", "/auth/login", body)[0] for turn in range(10)]
    assert statuses == [401] * 10
    for server in servers:
        status, headers, answer = server.call("POST", "/auth/login", {**body, "password": "editor"})
        assert (status, answer["error"]) == (429, "RATE_LIMITED")
        assert 1 <= int(headers["Retry-After"]) <= 61


def test_writes_through_both_servers_at_once_are_all_kept(servers):
    _, headers = servers[0].make_key("read", "update-data")
    before = servers[0].use(headers, "/records")[1]["total"]

    def write(number):
        """Write twenty records through one server, on one connection."""
        ids = [f"ent-at-once-{number}-{turn}" for turn in range(20)]
        with closing(http.client.HTTPConnection("127.0.0.1", servers[number % 2].port, timeout=10)) as connection:
            bodies = ({"id": id, "schemaId": "schema-apparel", "values": {}} for id in ids)
            return ids, [send(connection, "POST", "/records", body, headers)[0] for body in bodies]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(write, range(4)))
    assert [status for _, statuses in results for status in statuses] == [201] * 80
    written = {id for ids, _ in results for id in ids}
    for server in servers:
        page = server.use(headers, "/records?limit=1000")[1]
        assert page["total"] == before + 80
        assert written <= {item["id"] for item in page["items"]}


# Over a real socket


def test_the_key_header_sent_twice_is_refused(servers):
    server, _ = servers
    made, _ = server.make_key("read")
    good, bad = f"X-Sigma-ApiKey: {made['rawKey']}", "X-Sigma-ApiKey: nonsense"
    assert server.exchange("GET /api/v1/roles HTTP/1.1", good)[0] == 200
    for twice in (
        (good, good),
        (good, bad),
        (bad, good),
        (good, good.lower()),
        (good, "X-Sigma-ApiKey:"),
        ("X-Sigma-ApiKey:", good),
    ):
        status, answer = server.exchange("GET /api/v1/roles HTTP/1.1", *twice)
        assert (status, answer["error"]) == (401, "UNAUTHORIZED")
        assert made["rawKey"] not in answer["message"]


def test_an_empty_key_header_is_refused_though_a_token_is_good(servers):
    server, _ = servers
    token = f"Authorization: {server.authorization['Authorization']}"
    assert server.exchange("GET /api/v1/roles HTTP/1.1", token)[0] == 200
    assert server.exchange("GET /api/v1/roles HTTP/1.1", token, "X-Sigma-ApiKey:")[0] == 401


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_beyond_one_mebibyte_is_refused_and_nothing_of_it_is_stored(servers, chunked):
    server, _ = servers
    made, headers = server.make_key("read", "update-model")
    id = f"attr-large-{made['id']}"
    body = json.dumps({"id": id, "alias": id, "name": "Large", "type": "text"}).encode()
    padded = body + b" " * (MEBIBYTE - len(body))
    status, _, answer = server.call("POST", "/attributes", padded + b" ", headers, chunked)
    assert (status, answer["error"]) == (413, "PAYLOAD_TOO_LARGE")
    assert server.use(headers, f"/attributes/{id}")[0] == 404
    assert server.call("POST", "/attributes", padded, headers, chunked)[0] == 201
    assert server.use(headers, f"/attributes/{id}")[0] == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_login_beyond_one_mebibyte_is_refused(servers, chunked):
    body = json.dumps({"email": "nobody@sigma.io", "password": "x"}).encode() + b" " * MEBIBYTE
    status, _, answer = servers[0].call("POST", "/auth/login", body, chunked=chunked)
    assert (status, answer["error"]) == (413, "PAYLOAD_TOO_LARGE")


def test_a_server_says_where_it_is_and_how_to_sign_in_and_logs_no_other_key(servers):
    server, _ = servers
    made, headers = server.make_key("read")
    raw_key = made["rawKey"]
    for path in (f"/records?key={raw_key}", f"/records/{raw_key}", f"/{raw_key}", "/records?limit=none", "/roles"):
        server.call("GET", path, headers=headers)
        server.call("GET", path)
    server.call("POST", "/auth/login", {"email": "nobody@sigma.io", "password": raw_key})
    server.exchange("GET /api/v1/roles HTTP/1.1", f"X-Sigma-ApiKey: {raw_key}", f"X-Sigma-ApiKey: {raw_key}")
    log = server.log.read_text()
    for text in (f"http://127.0.0.1:{server.port}", "/docs", "admin@sigma.io / admin", EXAMPLE_KEY):
        assert text in log
    assert raw_key not in log
    assert set(re.findall("sigma_sk_live_[a-z0-9]*", log)) == {EXAMPLE_KEY}
    assert server.authorization["Authorization"].removeprefix("Bearer ") not in log


# Starting


def test_a_demo_workspace_is_not_served_to_everyone(template):
    result = subprocess.run(
        [FLASK, "--app", "app", "serve"],
        cwd=ROOT,
        env=environment(template, HOST="0.0.0.0", PORT=str(free_port())),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode != 0
    for text in ("demo", "0.0.0.0", "SIGMA_ALLOW_PUBLIC_DEMO=1", "127.0.0.1", "SIGMA_DATABASE"):
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert EXAMPLE_KEY not in result.stdout + result.stderr


def test_a_port_that_is_taken_is_not_shared_with_another_server(servers, template):
    result = subprocess.run(
        [FLASK, "--app", "app", "serve"],
        cwd=ROOT,
        env=environment(template, PORT=str(servers[0].port)),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: Cannot serve on 127.0.0.1, port {servers[0].port}: ")
    assert "PORT" in result.stderr


@pytest.fixture
def serve(monkeypatch, template):
    """Run the command up to where it would become the server, and answer whether it got there, and what it said."""

    def run(database=template, **settings):
        started = []
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
        replace_everywhere(
            monkeypatch, serve_module, "require_free_port", lambda *_: None
        )  # the addresses are none of this machine's
        replace_everywhere(monkeypatch, serve_module, "announce_when_ready", lambda *_: None)
        result = service.create_app({"DATABASE": str(database)}).test_cli_runner().invoke(args=["serve"])
        database_module.close_db()
        return bool(started), result

    return run


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_demo_workspace_is_served_on_this_machine(serve, host):
    started, result = serve(HOST=host)
    assert started, result.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_a_demo_workspace_is_served_to_others_only_when_that_is_said(serve, host):
    for setting in ("", "0"):
        started, result = serve(HOST=host, SIGMA_ALLOW_PUBLIC_DEMO=setting)
        assert not started
        assert result.exit_code != 0
        assert "SIGMA_ALLOW_PUBLIC_DEMO=1" in result.output
    started, result = serve(HOST=host, SIGMA_ALLOW_PUBLIC_DEMO="1")
    assert started, result.output


def test_a_database_without_demo_data_is_served_to_everyone(serve, tmp_path):
    started, result = serve(tmp_path / "empty.db", HOST="0.0.0.0")
    assert started, result.output
    assert "sigma_sk_live_" not in result.output
