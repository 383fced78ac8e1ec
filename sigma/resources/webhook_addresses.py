"""Where a webhook may call: how its URL is read, and which addresses its host may have in a deployment."""

import ipaddress
import queue
import re
import socket
import threading
from typing import NamedTuple

from flask import current_app

from sigma.http.errors import ApiError
from sigma.http.loopback import holds_demo
from sigma.http.strict_json import format_value
from sigma.http.waiting import leave_worker

RESOLVE_TIMEOUT = 2  # seconds that saving a webhook waits for the addresses of its host

# Nothing that two URL parsers could read as different hosts: no user, no backslash, no blank, only ASCII.
_HOST = r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|\[[0-9A-Fa-f:.]+\]"
_PATH = r"([/?][!$-\[\]-~]*)?"
URL_PATTERN = rf"^[Hh][Tt][Tt][Pp][Ss]?://({_HOST})(:[0-9]{{1,5}})?{_PATH}$"
_URL = re.compile(rf"(?i:(?P<scheme>https?))://(?P<host>{_HOST})(:(?P<port>[0-9]{{1,5}}))?(?P<path>{_PATH})")

# The addresses that are not public, by the registries of special addresses (https://www.iana.org/numbers).
FORBIDDEN = {
    "a loopback address": ("127.0.0.0/8", "::1/128"),
    "an unspecified address": ("0.0.0.0/8", "::/128"),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),  # metadata of most clouds among them
    "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10"),
    "an internal address of a cloud": ("168.63.129.16/32",),  # Azure's; those of others are link-local or private
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "a reserved address": (
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # Teredo and 6to4 lead to IPv4 addresses
    ),
}
_NETWORKS = [(ipaddress.ip_network(text), kind) for kind, texts in FORBIDDEN.items() for text in texts]
_GLOBAL = ipaddress.ip_network("2000::/3")  # the public addresses of IPv6
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses, as a network without IPv4 reaches them


class Target(NamedTuple):
    """The parts of a URL: where to connect, and what to ask for there."""

    is_secure: bool
    host: str  # in lower case; an IPv6 address without its brackets
    port: int
    authority: str  # host and port as in the URL, for the Host header
    path: str  # with the query


class ForbiddenHostError(Exception):
    """A host may not be called; the message says why."""


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.IPv6Address(host.strip("[]")) is not None
    except ValueError:
        return False


def read_url(text: str) -> Target:
    """Return the parts of a webhook's URL. Raises ValueError, which says what was expected."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("Expected an http or https URL with a host, in ASCII, without user and fragment")
    is_secure, host, path = len(match["scheme"]) == len("https"), match["host"].lower().removesuffix("."), match["path"]
    port = int(match["port"] or (443 if is_secure else 80))
    if not 1 <= port <= 65535 or len(host) > 253 or (host.startswith("[") and not _is_ipv6(host)):
        raise ValueError("Expected a URL with the name or IP address of a host, and a port from 1 to 65535")
    authority = f"{host}:{match['port']}" if match["port"] else host
    return Target(is_secure, host.strip("[]"), port, authority, path if path.startswith("/") else f"/{path}")


def url_problem(text: str) -> str | None:
    """Return what is wrong with the form of a webhook's URL, or None."""
    try:
        read_url(text)
    except ValueError as error:
        return f"{error}" if "@" in text else f"{error}, got {format_value(text)}"  # passwords are not repeated
    return None


def forbidden_kind(address: str) -> str | None:
    """Return the kind of an address that a deployment may not call; None for a public address."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return forbidden_kind(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return forbidden_kind(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    for network, kind in _NETWORKS:
        if ip.version == network.version and ip in network:
            return kind
    return None if ip.version == 4 or ip in _GLOBAL else "a reserved address"


def resolve(host: str, seconds: float) -> list[str]:
    """Return the addresses of a host, the system's first choice first. Raises OSError, TimeoutError among them.

    The system may take much longer and cannot be interrupted, so the look-up runs in a thread of its own.
    """
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(info[4][0]) for info in infos)))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
    try:
        result = found.get(timeout=max(0.001, seconds))
    except queue.Empty:
        raise TimeoutError(f"The addresses of '{host}' were not found in time") from None
    if isinstance(result, list):
        return result
    raise OSError(f"The host '{host}' has no address") from result


def _may_call_anywhere(target: Target) -> bool:
    """Return whether no address of a host is forbidden: for the demo, or because the setting names the host."""
    hosts = current_app.config["WEBHOOK_HOSTS"]
    return target.host in hosts or f"[{target.host}]" in hosts or holds_demo()


def find_addresses(target: Target, seconds: float) -> list[str]:
    """Return the addresses of a URL's host, all of which may be called: a connection must go to one of these.

    In a deployment, all of them must be public. Raises ForbiddenHostError, or OSError for a host without an address.
    """
    addresses = resolve(target.host, seconds)
    if not _may_call_anywhere(target):
        for address in addresses:
            if kind := forbidden_kind(address):
                raise ForbiddenHostError(f"The host '{target.host}' has {kind}, and SIGMA_WEBHOOK_HOSTS does not name it")
    return addresses


def check_webhook_url(url: str) -> None:
    """Raise ApiError 400 for a URL that may not be called; not for use in a transaction, because it may wait for a look-up.

    A host without an address is accepted, so that webhooks can be saved offline; each delivery looks it up again.
    """
    if problem := url_problem(url):
        raise ApiError(400, f"url: {problem}")
    if _may_call_anywhere(target := read_url(url)):
        return
    leave_worker()
    try:
        find_addresses(target, RESOLVE_TIMEOUT)
    except ForbiddenHostError as error:
        raise ApiError(400, f"url: Expected a host that may be called, got {format_value(url)}: {error}") from None
    except OSError:
        return
