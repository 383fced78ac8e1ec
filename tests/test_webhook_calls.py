"""Calls of webhooks: receivers that do not behave, what has no part in a call, and certificates. Five seconds are less here."""

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cases import each
from receivers import read_request, receiving

from sigma.resources import webhook_calls

SECONDS = 0.3
CERTIFICATE = Path(__file__).parent / "receiver.test.pem"


@pytest.fixture
def call(app, monkeypatch):
    """Return a function that calls a URL once, and returns what came of it."""
    monkeypatch.setattr(webhook_calls, "TIMEOUT", SECONDS)

    def send(url, body=b"{}"):
        receiver = webhook_calls.Receiver(url)
        with app.app_context():
            began = time.monotonic()
            outcome = receiver.post(webhook_calls.make_headers("entity.created", "dlv-1", None, body), body)
            assert time.monotonic() - began < SECONDS + 1
        receiver.close()
        return outcome

    return send


def endless(beginning, part, pause=0.0):
    """Return an answer that begins somehow, and then goes on with the same part for ever."""

    def answer(connection):
        connection.sendall(beginning)
        while True:
            connection.sendall(part)
            time.sleep(pause)

    return answer


def wait(connection):
    threading.Event().wait(3)


OK = b"HTTP/1.1 200 OK\r\n"
LATE, NO_HTTP = f"No answer within {SECONDS} seconds", "The answer could not be read as HTTP"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LONG = "The status and headers of the answer have more than 64 kB"
MANY = "There were more than 10 answers with the status 100 before the answer"
CLOSED = "The receiver closed the connection without an answer"
HOSTILE = {
    "never answers": (wait, (None, LATE)),
    "a status byte by byte": (endless(b"HTTP/1.1 ", b"2", 0.02), (None, LATE)),
    "headers byte by byte": (endless(OK + b"X: ", b"x", 0.02), (None, LATE)),
    "endless headers": (endless(OK, b"X: y\r\n"), (None, NO_HTTP)),
    "an endless header": (endless(OK + b"X: ", b"y" * 1000), (None, LONG)),
    "long headers": (endless(OK, b"X: %s\r\n" % (b"y" * 10_000)), (None, LONG)),
    "endless answers that are none": (endless(b"", CONTINUE), (None, MANY)),
    "long answers that are none": (endless(b"", b"HTTP/1.1 100 Continue\r\nX: %s\r\n\r\n" % (b"y" * 10_000)), (None, LONG)),
    "answers that are none, and one": (lambda c: c.sendall(CONTINUE * 10 + OK + b"Content-Length: 0\r\n\r\n"), (200, None)),
    "too many that are none, and one": (lambda c: c.sendall(CONTINUE * 11 + OK + b"Content-Length: 0\r\n\r\n"), (None, MANY)),
    "closes at once": (lambda connection: None, (None, CLOSED)),
    "closes within the headers": (lambda connection: connection.sendall(b"HTTP/1."), (None, NO_HTTP)),
    "something else": (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"), (None, NO_HTTP)),
    "another version": (lambda connection: connection.sendall(b"HTTP/4.5 200 OK\r\n\r\n"), (None, NO_HTTP)),
    # Once the status is there, the receiver has it; what else it says is read for a while, and thrown away.
    "100 MB": (endless(OK + b"Content-Length: 100000000\r\n\r\n", b"x" * 10000), (200, None)),
    "an endless body": (endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nxxxxx\r\n"), (200, None)),
    "a body byte by byte": (endless(OK + b"Content-Length: 100000\r\n\r\n", b"x", 0.02), (200, None)),
    "endless trailers": (endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.02), (200, None)),
    "a body cut short": (lambda connection: connection.sendall(OK + b"Content-Length: 9\r\n\r\nx"), (200, None)),
    "no gzip": (lambda c: c.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"), (200, None)),
}


@each(("answer", "outcome"), HOSTILE.values(), ids=HOSTILE)
def test_a_receiver_that_does_not_behave_costs_five_seconds_at_most(call, answer, outcome):
    with receiving(answer) as receiver:
        assert call(receiver.url)[:2] == outcome
    assert len(receiver.requests) == 1


def test_after_an_answer_before_the_answer_the_connection_is_not_used_again(app):
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    with receiving(lambda connection: connection.sendall(hints)) as receiver, app.app_context():
        kept = webhook_calls.Receiver(receiver.url)
        assert [kept.post({}, b"{}").status for _ in range(2)] == [103, 103]  # not the 200 of the first call
        assert (kept.connection, receiver.connections) == (None, 2)


def test_a_receiver_that_reads_nothing_costs_no_more(call):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert call(f"http://127.0.0.1:{listener.getsockname()[1]}", b"x" * 30_000_000).error == LATE


def test_of_a_large_answer_little_is_read(call):
    sent = []

    def answer(connection):
        connection.sendall(OK + b"Content-Length: 100000000\r\n\r\n")
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 100_000)
                sent.append(100_000)
        except OSError:
            pass

    with receiving(answer) as receiver:
        assert call(receiver.url).status == 200
    assert sum(sent) < 20_000_000  # what the system's buffers take


FLOODS = {
    "endless headers": (OK, b"X: y\r\n", None),
    "endless answers that are none": (b"", CONTINUE, None),
    "endless trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 200),
}


@each(("beginning", "part", "status"), FLOODS.values(), ids=FLOODS)
def test_who_answers_without_end_is_cut_off_long_before_the_time_is_up(app, monkeypatch, beginning, part, status):
    too_late, cut = [], webhook_calls._cutter._cut
    monkeypatch.setattr(webhook_calls._cutter, "_cut", lambda sock: too_late.append(sock) or cut(sock))
    with receiving(endless(beginning, part * 1000)) as endpoint, app.app_context():
        receiver = webhook_calls.Receiver(endpoint.url)
        assert receiver.post({}, b"{}").status == status
        assert receiver.connection is None
    assert (endpoint.connections, too_late) == (1, [])


def test_a_connection_is_kept_after_an_answer_that_was_announced_or_comes_in_chunks(app):
    answer = CONTINUE + OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"

    def answer_each(connection):
        connection.sendall(answer)
        while read_request(connection.makefile("rb")):
            connection.sendall(answer)

    with receiving(answer_each) as endpoint, app.app_context():
        receiver = webhook_calls.Receiver(endpoint.url)
        assert [receiver.post({}, b"{}").status for _ in range(12)] == [200] * 12
        receiver.close()
    assert endpoint.connections == 1


def test_redirects_are_not_followed(call):
    with receiving() as aim:
        location = f"Location: {aim.url}\r\nContent-Length: 0\r\n\r\n".encode()
        for status in (301, 302, 303, 307, 308):
            answer = b"HTTP/1.1 %d Elsewhere\r\n" % status + location
            with receiving(lambda connection, answer=answer: connection.sendall(answer)) as receiver:
                outcome = call(receiver.url)
            assert outcome.status == status
            assert outcome.error.endswith("redirects are not followed")
        assert aim.connections == 0


def test_proxies_and_netrc_of_the_environment_are_not_used(call, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("default login me password mine\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert call(receiver.url).status == 200
        assert proxy.connections == 0
    assert "authorization" not in receiver.requests[0].headers


def test_who_does_not_listen_is_said_to_refuse(call):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert call(f"http://127.0.0.1:{port}/") == (None, "The connection was refused", False)


def test_a_host_without_an_address_is_said_to_have_none(call):
    assert call("http://nowhere.invalid/") == (None, "The host 'nowhere.invalid' has no address", False)


def test_of_several_addresses_those_that_do_not_answer_are_passed_over(call):
    with receiving() as receiver:  # on IPv4 alone
        assert call(receiver.url.replace("127.0.0.1", "localhost")).status == 200
    assert receiver.requests[0].headers["host"].startswith("localhost:")


@each("host", ["::1", "::ffff:127.0.0.1"])
def test_an_ipv6_address_is_called(call, host):
    with receiving(host=host, family=socket.AF_INET6) as receiver:
        port = receiver.listener.getsockname()[1]
        assert call(f"http://[{host}]:{port}/").status == 200
    assert receiver.requests[0].headers["host"] == f"[{host}]:{port}"


def test_a_connection_that_was_kept_and_is_closed_meanwhile_is_made_anew(app):
    def once(connection):
        connection.sendall(OK + b"Content-Length: 0\r\n\r\n")

    with receiving(once) as endpoint, app.app_context():
        receiver = webhook_calls.Receiver(endpoint.url)
        for _ in range(3):
            assert receiver.post({}, b"{}").status == 200
        receiver.close()
    assert len(endpoint.requests) == 3


def test_what_a_receiver_sends_unasked_is_no_answer_to_the_next_call(app):
    def unasked(connection):
        connection.sendall(OK + b"Content-Length: 0\r\n\r\n")
        time.sleep(SECONDS / 4)
        connection.sendall(b"HTTP/1.1 500 Unasked\r\nContent-Length: 0\r\n\r\n")
        wait(connection)

    with receiving(unasked) as endpoint, app.app_context():
        receiver = webhook_calls.Receiver(endpoint.url)
        for _ in range(2):
            assert receiver.post({}, b"{}") == (200, None, False)
            time.sleep(SECONDS)
        receiver.close()
    assert endpoint.connections == 2


def test_a_network_that_cannot_be_reached_is_said_to_be_the_reason(call, monkeypatch):
    monkeypatch.setattr(webhook_calls, "find_addresses", lambda target, seconds: ["255.255.255.255"])
    outcome = call("http://everybody.test/")
    assert outcome.status is None
    assert outcome.error.startswith("The connection failed: ")


# TLS, with a certificate of receiver.test that is good for a hundred years, and the key that belongs to it


@each(
    ("host", "expected"),
    [
        ("receiver.test", (200, None)),
        ("other.test", (None, "The receiver's certificate was not accepted: Hostname mismatch")),
    ],
)
def test_the_certificate_must_be_that_of_the_name_whatever_the_address(call, monkeypatch, host, expected):
    names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.sni_callback = lambda _, name, __: names.append(name)
    monkeypatch.setattr(webhook_calls, "TIMEOUT", 5)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    webhook_calls._tls_context.cache_clear()
    monkeypatch.setattr(webhook_calls, "find_addresses", lambda target, seconds: ["127.0.0.1"])
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            try:
                with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                    read_request(connection.makefile("rb"))
                    connection.sendall(OK + b"Content-Length: 0\r\n\r\n")
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        outcome = call(f"https://{host}:{listener.getsockname()[1]}/")
    webhook_calls._tls_context.cache_clear()
    assert names == [host]
    assert outcome.status == expected[0]
    assert outcome.error == expected[1] or outcome.error.startswith(expected[1])


def test_a_receiver_that_never_finishes_the_handshake_costs_no_more(call):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert call(f"https://127.0.0.1:{listener.getsockname()[1]}/").error == LATE
