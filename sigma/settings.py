"""Every setting: where it comes from, how it is read, and what it means."""

import difflib
import ipaddress
import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from flask import Flask

ROOT = Path(__file__).resolve().parent.parent
HOST_NAME = r"([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
ANY_ORIGIN = "*"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# SIGMA_ variables that the recipes use, and those that Kubernetes sets for a Service named sigma.
NOT_SETTINGS = r"SIGMA_(API_URL|API_KEY|STANDIN|SITE|UPSTREAM|TOKEN)|SIGMA_(PORT_.*|(.*_)?SERVICE_(HOST|PORT).*)"
QUOTES, TYPOGRAPHIC_QUOTES = "\"'`", "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
CONTROLS = {"\t": "tab", "\n": "line feed", "\r": "carriage return", " ": "space"}


class StartError(click.ClickException):
    """Why the service cannot start, and what to do about it."""


class Setting(NamedTuple):
    """One setting: its environment variables (the first one set wins), the reader of its text, its default, its meaning."""

    variables: tuple[str, ...]
    read: Callable[[str], Any]
    default: Any
    meaning: str
    is_for_serving: bool = False  # read only when serving: a shell may have a HOST of its own, as conda's does


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,15}", text) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, got '{text[:60]}'")
        return int(text)

    return read


def yes_or_no(text: str) -> bool:
    """Read a switch: 0 or 1."""
    if text not in ("0", "1"):
        raise ValueError(f"expected 0 or 1, got '{text}'")
    return text == "1"


def host_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of host names or addresses, without ports."""
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if not re.fullmatch(HOST_NAME, name):
            raise ValueError(f"expected host names without ports, separated by commas, got '{name[:60]}'")
    return names


def web_origin(text: str) -> str:
    """Read an origin, and return it as browsers send it: scheme, host, and the port unless it is the scheme's default."""
    origin = re.fullmatch(rf"([a-z][a-z0-9+.-]*)://{HOST_NAME}(:[0-9]{{1,5}})?", text.strip().lower())
    if not origin:
        raise ValueError(
            "expected origins without a path, such as http://localhost:5173, separated by commas,"
            f" or {ANY_ORIGIN} alone, got '{text.strip()[:60]}'"
        )
    return origin[0].removesuffix(DEFAULT_PORTS.get(origin[1], "no port"))


def web_origins(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of origins, or `*` for every origin."""
    return (ANY_ORIGIN,) if text.strip() == ANY_ORIGIN else tuple(dict.fromkeys(map(web_origin, text.split(","))))


def database_path(text: str) -> str:
    """Read a file's path, and make it absolute, so that a later change of folder does not matter."""
    if not text.isprintable():
        raise ValueError(f"expected the path of a file, got {text[:60]!r}")
    if text == ":memory:":
        return text
    return os.path.abspath(text) + os.sep * text.endswith(os.sep)  # abspath() drops the slash that marks a folder


def host_address(text: str) -> str:
    """Read an IP address to serve on. The only name accepted is localhost: others may lead to several addresses."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]")))
    except ValueError:
        raise ValueError(f"expected an IP address or localhost, got '{text[:60]}'") from None


def signing_secret(text: str) -> str:
    """Read a secret long enough for HS256 (RFC 7518, section 3.2: at least as long as the hash)."""
    if len(text.encode()) < 32:
        raise ValueError("expected 32 bytes or more, for example from: openssl rand -hex 32")
    return text


SETTINGS = {
    "DATABASE": Setting(("SIGMA_DATABASE",), database_path, str(ROOT / "sigma.db"), "The SQLite file, made when missing"),
    "JWT_SECRET": Setting(
        ("SIGMA_JWT_SECRET",), signing_secret, None, "Signs session tokens; unset, a random one in the database"
    ),
    "RECORD_LIMIT": Setting(
        ("SIGMA_RECORD_LIMIT",), whole_number(0, 10**9), None, "Most records a workspace may hold; unset, no limit"
    ),
    "ALLOW_PUBLIC_DEMO": Setting(("SIGMA_ALLOW_PUBLIC_DEMO",), yes_or_no, False, "1 serves demo data beyond loopback"),
    "PROXIES": Setting(
        ("SIGMA_PROXIES",), whole_number(0, 10), 0, "How many proxies stand in front, each adding to X-Forwarded-For"
    ),
    "REQUEST_LOG": Setting(("SIGMA_REQUEST_LOG",), yes_or_no, True, "0 leaves out of the log the line about each request"),
    "CONSOLE": Setting(("SIGMA_CONSOLE",), yes_or_no, True, "0 leaves out the console, the page at /console"),
    "STANDIN_HOSTS": Setting(
        ("SIGMA_STANDIN_HOSTS",), host_names, (), "More names of this host, by which test suites may call /standin"
    ),
    "CORS_ORIGINS": Setting(
        ("SIGMA_CORS_ORIGINS",), web_origins, (), "Origins whose web pages may call /api/v1; * allows all, for the demo only"
    ),
    "WEBHOOK_HOSTS": Setting(
        ("SIGMA_WEBHOOK_HOSTS",), host_names, (), "Hosts that webhooks of a deployment may call although they are private"
    ),
    "HOST": Setting(("SIGMA_HOST", "HOST"), host_address, "127.0.0.1", "Address to serve on", is_for_serving=True),
    "PORT": Setting(
        ("SIGMA_PORT", "PORT"), whole_number(0, 65535), 8080, "Port to serve on; 0 takes a free one", is_for_serving=True
    ),
    "WORKERS": Setting(("SIGMA_WORKERS", "WORKERS"), whole_number(1, 64), 1, "Worker processes", is_for_serving=True),
}


def setting_text(value: Any) -> str:
    """Return a value that a program gives as it would be written in the environment.

    Raises ValueError for a value of another type than text, number, path or a list of these.
    """
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ",".join(setting_text(item) or "''" for item in value)
    if isinstance(value, str | int | os.PathLike):
        return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    raise ValueError(f"expected text or a number, got {type(value).__name__}")


def _describe_character(letter: str) -> str:
    name = CONTROLS.get(letter) or unicodedata.name(letter, "unnamed").lower()
    return f"U+{ord(letter):04X} ({'a byte that is not UTF-8' if 0xDC80 <= ord(letter) <= 0xDCFF else name})"


def require_plain(text: str) -> None:
    """Raise ValueError for invisible characters in a value, and for a space or quotation mark at either end.

    Editors and env files leave these behind, where nobody sees them.
    """
    for position, letter in enumerate(text, 1):
        if not letter.isprintable():
            raise ValueError(f"expected visible characters, got {_describe_character(letter)} as character {position}")
    is_quoted = len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES
    for end, letter in (("beginning", text[0]), ("end", text[-1])):
        if letter == " " or letter in TYPOGRAPHIC_QUOTES or is_quoted:
            kind = "space" if letter == " " else "quotation mark"
            raise ValueError(f"expected no {kind} at the {end}, got {_describe_character(letter)}")


def _hint(variable: str, text: str) -> str:
    if text.startswith("tcp://"):
        return f"; Kubernetes sets {variable} for a Service: set enableServiceLinks: false, or give the Service another name"
    if not variable.startswith("SIGMA_"):
        return f"; if {variable} belongs to another program, set SIGMA_{variable}, which takes precedence"
    return ""


def unknown_variables() -> list[str]:
    """Return a sentence for each SIGMA_ variable that is not a setting, with the setting that its name is most like."""
    known = [setting.variables[0] for setting in SETTINGS.values()]
    likely = sorted(name for name in os.environ if name.upper().startswith("SIGMA_") and name not in known)
    unknown = [name for name in likely if not re.fullmatch(NOT_SETTINGS, name)]
    near = {name: difflib.get_close_matches(name.upper().removeprefix("SIGMA_"), SETTINGS, 1) for name in unknown}
    return [f"{name} is not a setting" + (f"; did you mean SIGMA_{near[name][0]}?" if near[name] else "") for name in unknown]


def read_setting(name: str, given: Mapping[str, Any]) -> Any:
    """Return a setting's value: the one that a program gives, else that of the environment, else the default.

    None and an empty text count as not set. Raises StartError for a value that cannot be read.
    """
    setting, value = SETTINGS[name], given.get(name)
    sources = [(name, int(value) if setting.read is yes_or_no and isinstance(value, bool) else value, False)]
    sources += [(variable, os.environ.get(variable), True) for variable in setting.variables]
    for source, raw, is_variable in sources:
        try:
            if text := setting_text(raw):
                require_plain(text)
                return setting.read(text)
        except ValueError as error:
            raise StartError(f"{source}: {error}{_hint(source, str(raw)) if is_variable else ''}") from None
    return setting.default


def is_set(name: str, given: Mapping[str, Any]) -> bool:
    """Return whether a program or the environment sets a setting."""
    return bool(setting_text(given.get(name)) or any(map(os.environ.get, SETTINGS[name].variables)))


def read_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a program gives, and the value of every setting. Those for serving are left out unless they are given.

    Raises StartError for a value that cannot be read, and for a name that is a setting of neither the service nor Flask.
    """
    if unknown := given.keys() - SETTINGS.keys() - Flask.default_config.keys():
        raise StartError(
            f"{', '.join(sorted(map(str, unknown)))}: no such setting; there are {', '.join(SETTINGS)}, and those of Flask"
        )
    wanted = (name for name, setting in SETTINGS.items() if name in given or not setting.is_for_serving)
    return {**given, **{name: read_setting(name, given) for name in wanted}}
