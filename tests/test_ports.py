"""Ports of this machine: who has one, and which one is free."""

import os
import socket
from contextlib import ExitStack

import pytest
from cases import each

from sigma.cli import ports
from sigma.cli.running import registered
from sigma.settings import StartError


@each("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_told_with_who_has_it_and_with_a_free_one(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as held:
        port = held.getsockname()[1]
        assert ports.is_held(port, host)
        assert ports.find_holder(port) == (describe(), None)
        with pytest.raises(StartError) as refused, ports.reserve_port(host, port):
            pass
    free = ports.find_free_port(host, port)
    assert free > port
    assert refused.value.message == (
        f"Port {port} of {host} is taken by {describe()}: end that, or choose another, SIGMA_PORT={free}."
    )
    assert not ports.is_held(port, host)
    assert ports.find_holder(port) is None


def describe():
    with open("/proc/self/cmdline", encoding="utf-8") as file:
        return f"process {os.getpid()} ({file.read().replace(chr(0), ' ').strip()[:80]})"


def reserve(host, port):
    """Return why a port cannot be had."""
    with pytest.raises(StartError) as refused, ports.reserve_port(host, port):
        pass
    return refused.value.message


def test_who_has_a_port_may_be_anothers_secret(monkeypatch):
    monkeypatch.setattr(ports, "find_holder", lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert reserve("127.0.0.1", port).startswith(f"Port {port} of 127.0.0.1 is taken by another program: end that, ")


@each("number", [1, 2])
def test_of_a_service_that_has_the_port_its_database_is_told_and_how_to_stop_it(tmp_path, number):
    database = tmp_path / "my demo.db"
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as held:
        for _ in range(number):
            stack.enter_context(registered(str(database), "http://127.0.0.1:1"))
        if number == 2:
            (tmp_path / "my demo.db.service").unlink()
        port = held.getsockname()[1]
        told = reserve("127.0.0.1", port)
    expected = f", which serves {database}: stop it with `SIGMA_DATABASE='{database}' flask stop`, or choose another, "
    assert told.startswith(f"Port {port} of 127.0.0.1 is taken by {describe()}{expected}")


def test_an_address_of_another_machine_is_told():
    told = reserve("192.0.2.1", 8080)
    assert told.startswith("Cannot serve on 192.0.2.1, port 8080: ")
    assert told.endswith(" Choose others with SIGMA_HOST and SIGMA_PORT.")


def test_the_last_port_has_none_after_it():
    assert ports.find_free_port("127.0.0.1", 65535) is None
