"""What exists only while the database holds the demo: whether it does, and that only programs on this machine may call."""

import ipaddress
import re
import socket
from contextlib import suppress

from flask import current_app, request

from sigma.database import fetch_one
from sigma.http.errors import ApiError
from sigma.http.strict_json import format_value


def holds_demo() -> bool:
    """Return whether the database holds the demo workspace, which a deployment's never does."""
    return fetch_one("SELECT 1 FROM workspaces WHERE is_demo") is not None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address, however it is written.

    A server that listens on all IPv6 addresses sees a client at 127.0.0.1 as ::ffff:127.0.0.1.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _address_of(name: str) -> str:
    """Return the address that a host name is, in its usual form; a name that is none as it is, and "" for a malformed one.

    Clients send what they connect to as it was typed: 127.1, 0x7f000001 and 2130706433 are 127.0.0.1. DNS knows no such names.
    """
    if literal := re.fullmatch(r"\[([0-9a-f:.]+)\]", name):
        return literal[1] if ":" in literal[1] else ""
    if re.fullmatch("[0-9][0-9a-fx.]*", name):
        with suppress(OSError):
            return socket.inet_ntoa(socket.inet_aton(name))
    return "" if ":" in name else name


def _is_our_host(host: str) -> bool:
    """Return whether a Host header names this machine's loopback interface, or a host that STANDIN_HOSTS lists.

    To a client, 0.0.0.0 and :: are this machine, too; and a name may end with the dot that makes it complete.
    """
    name = re.sub(r":[0-9]{1,5}\Z", "", host.lower()).removesuffix(".")
    address = _address_of(name)
    return name in current_app.config["STANDIN_HOSTS"] or is_loopback(address) or address in ("0.0.0.0", "::")  # noqa: S104


def require_local_caller() -> None:
    """Raise ApiError 403 for a request of another machine, or one that a foreign web page made the developer's browser send.

    A page can send a request across origins, or point its own host name at this machine (DNS rebinding). Other clients can
    send any Host header; so another machine is admitted only where STANDIN_HOSTS is set.
    """
    is_forwarded = not current_app.config["PROXIES"] and any(
        name in request.environ for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA")
    )
    if not current_app.config["STANDIN_HOSTS"] and (is_forwarded or not is_loopback(request.remote_addr or "")):
        raise ApiError(403, "This is for programs on this machine; SIGMA_STANDIN_HOSTS opens it to others")
    host, origin = request.environ.get("HTTP_HOST", ""), request.headers.get("Origin")
    if not _is_our_host(host):
        raise ApiError(
            403, f"Host: expected localhost, a loopback address or a name in SIGMA_STANDIN_HOSTS, got {format_value(host)}"
        )
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        raise ApiError(403, f"Origin: expected none, or this service's own, got {format_value(origin)}")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("none", "same-origin"):
        raise ApiError(403, f"Sec-Fetch-Site: expected none or same-origin, got {format_value(site)}")
