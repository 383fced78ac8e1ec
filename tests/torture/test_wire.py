"""What a client may write on the wire in more than one way: framing of bodies, pipelines, hosts, paths; over raw sockets."""

import json
import shutil
import socket

import pytest
from conftest import EXAMPLE_KEY
from processes import serving

KEY = f"X-Sigma-ApiKey: {EXAMPLE_KEY}\r\n".encode()


@pytest.fixture(scope="module")
def port(template, tokens, tmp_path_factory):
    database = shutil.copy(template, tmp_path_factory.mktemp("wire") / "sigma.db")
    with serving(database, token=tokens["admin@sigma.io"]) as server:
        yield server.port


def exchange(port, data):
    """Send bytes, and return each answer's status and body, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    parts = [part.partition(b"\r\n\r\n") for part in received.split(b"HTTP/1.1 ")[1:]]
    return [(int(head[:3]), body) for head, _, body in parts]


def get(path, more=b"", host=b"localhost", last=True):
    end = b"Connection: close\r\n" if last else b""
    return b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + more + end + b"\r\n"


def post(id, headers, framed, last=True):
    """Return a request that makes a record; `framed` is what stands for its body."""
    body = json.dumps({"id": id, "schemaId": "schema-apparel", "values": {}}).encode()
    end = b"Connection: close\r\n" if last else b""
    start = b"POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return start + headers.replace(b"LENGTH", b"%d" % len(body)) + end + b"\r\n" + framed(body)


def whole(body):
    return body


def chunked(body):
    return b"%x;name=value\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def byte_by_byte(body):
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def with_trailer(body):
    return chunked(body).removesuffix(b"\r\n") + KEY + b"\r\n"


TE, CL = b"Transfer-Encoding: chunked\r\n", b"Content-Length: LENGTH\r\n"


@pytest.mark.parametrize(
    ("id", "headers", "framed", "statuses"),
    [
        ("whole", KEY + CL, whole, [201]),
        ("chunks-of-one", KEY + TE, byte_by_byte, [201]),
        ("extension", KEY + TE, chunked, [201]),
        ("key-in-trailer", TE, with_trailer, [401]),
        ("same-length-twice", KEY + CL + CL, whole, [201]),
        ("two-lengths", KEY + CL + b"Content-Length: 3\r\n", whole, [400]),
        ("negative-length", KEY + b"Content-Length: -1\r\n", whole, [400]),
        ("unknown-coding", KEY + b"Transfer-Encoding: gzip, chunked\r\n", chunked, [415]),
        ("expected", KEY + CL + b"Expect: 100-continue\r\n", whole, [100, 201]),
        ("expected-for-nothing", CL + b"Expect: 100-continue\r\n", lambda body: b"", [401]),
        ("no-colon-there", KEY + CL + b"X-A : b\r\n", whole, [400]),
        ("folded-header", KEY + CL + b"X-A: b\r\n c\r\n", whole, [400]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_is_taken_as_it_is_framed_or_refused(port, id, headers, framed, statuses):
    assert [status for status, _ in exchange(port, post(id, headers, framed))] == statuses
    (found,) = exchange(port, get(b"/api/v1/records/" + id.encode(), KEY))
    assert found[0] == (200 if statuses[-1] == 201 else 404)


def test_after_a_body_with_a_length_and_chunks_nothing_more_is_read_from_the_connection(port):
    """A proxy that believes the length would take the second request for a part of the first one."""
    both = post("ent-both", KEY + TE + b"Content-Length: 3\r\n", chunked, last=False)
    assert [status for status, _ in exchange(port, both + get(b"/api/v1/records", KEY))] == [201]


def test_requests_of_a_pipeline_are_answered_in_their_order(port):
    many = b"".join(get(b"/api/v1/nowhere-%d" % n, last=False) for n in range(50))
    answers = exchange(port, many + post("ent-piped", KEY + CL, whole, last=False) + get(b"/api/v1/records/ent-piped", KEY))
    assert [status for status, _ in answers] == [404] * 50 + [201, 200]
    assert all(b"/nowhere-%d " % n in body for n, (_, body) in enumerate(answers[:50]))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/standin/workspaces", 200),
        (b"/%73tandin/workspaces", 200),
        *((path, 404) for path in (b"//standin/workspaces", b"/./standin/workspaces", b"/x/../standin/workspaces")),
        *((path, 404) for path in (b"/%2fstandin/workspaces", b"/%2e/standin/workspaces", b"/standin//workspaces")),
        *((path, 404) for path in (b"/api/v1/%2e%2e/%2e%2e/standin/workspaces", b"/%5cstandin/workspaces", b"/*")),
        *((path, 404) for path in (b"/STANDIN/workspaces", b"/standin;x/workspaces", b"/standin/workspaces%00")),
        (b"standin/workspaces", 400),
    ],
    ids=ascii,
)
def test_a_path_is_routed_as_it_is_written(port, path, status):
    assert [status for status, _ in exchange(port, get(path))] == [status]


REFUSED_AT_ONCE = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01" + bytes(500), 400),
    "no version": (b"GET /api/v1/roles\r\n\r\n", 400),
    "version 2": (get(b"/api/v1/roles", KEY).replace(b"HTTP/1.1", b"HTTP/2.0"), 400),
    "no character": (get(b"/api/v1/roles", KEY + b"X-A: a\0b\r\n"), 400),
    "long path": (get(b"/api/v1/roles?x=" + b"a" * 65_535, KEY), 414),
    "long header": (get(b"/api/v1/roles", KEY + b"X-A: " + b"a" * 1_000_000 + b"\r\n"), 431),
    "many headers": (get(b"/api/v1/roles", KEY + b"".join(b"X-%d: a\r\n" % n for n in range(101))), 431),
}


@pytest.mark.parametrize("what", REFUSED_AT_ONCE)
def test_what_the_server_program_refuses_has_an_empty_body_and_nothing_else_does(port, what):
    data, status = REFUSED_AT_ONCE[what]
    assert exchange(port, data) == [(status, b"")]


@pytest.mark.parametrize(
    "more", [b"X-A: " + b"a" * 60_000 + b"\r\n", b"".join(b"X-%d: a\r\n" % n for n in range(97))], ids=["long", "many"]
)
def test_what_is_within_the_limits_of_headers_is_answered(port, more):
    assert [status for status, _ in exchange(port, get(b"/api/v1/roles", KEY + more))] == [200]


@pytest.mark.parametrize("hosts", [b"localhost\r\nHost: evil.example", b"evil.example\r\nHost: localhost"], ids=ascii)
def test_of_two_hosts_neither_is_believed(port, hosts):
    assert [status for status, _ in exchange(port, get(b"/standin/workspaces", host=hosts))] == [403]
