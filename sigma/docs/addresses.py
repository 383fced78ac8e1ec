"""The service's own address, as the client sees it: a proxy in front may have another host name, and add a path prefix."""

import re

from flask import current_app, request

HOST = r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"
PREFIX = r"(/(?!\.\.?(/|\Z))[A-Za-z0-9._~-]+)*"
PROXY_HEADERS = ("For", "Host", "Prefix", "Proto")  # in X-Forwarded-…


def _forwarded(name: str) -> str | None:
    """Return what the outermost proxy says, or None. Where there is no proxy, the header is the client's, and is ignored."""
    header, proxies = request.headers.get(f"X-Forwarded-{name}"), current_app.config["PROXIES"]
    if header is None or not proxies:
        return None
    values = [value.strip() for value in header.split(",")]
    return values[-min(proxies, len(values))]


def _is_proxied() -> bool:
    names = ("Forwarded", "Via", *(f"X-Forwarded-{name}" for name in PROXY_HEADERS))
    return any(name in request.headers for name in names)


def path_prefix() -> str | None:
    """Return the path prefix of the whole service, or None where a proxy does not say whether it has removed one."""
    forwarded = _forwarded("Prefix")
    if forwarded is None and _is_proxied():
        return None
    prefix = (forwarded or "").rstrip("/") + request.script_root
    return prefix if re.fullmatch(PREFIX, prefix) else None


def service_url() -> str | None:
    """Return the address at which the client called the service, without a slash at its end, or None if it is uncertain."""
    scheme, host = _forwarded("Proto") or request.scheme, _forwarded("Host") or request.environ.get("HTTP_HOST", "")
    prefix = path_prefix()
    if prefix is None or scheme not in ("http", "https") or not re.fullmatch(HOST, host):
        return None
    return f"{scheme}://{host}{prefix}"
