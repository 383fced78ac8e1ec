"""Masks secrets in what is shown of a request, wherever they are: also escaped, cut off, or in a malformed body.

Which function for what:

- redact_keys() in errors.py: our own messages to clients. It masks raw API keys only, which it knows by their prefix.
- redact(): our own text that may quote a client: a line of the log, a whole entry of the journal. It masks keys and tokens.
- one_line(): a client's text as a single word in a line of the log.
- mask_body(), mask_query(), mask_text(): what a client sent or received, shown to people: a body, a query string, other text.
  They mask passwords as well, which they know by the names in front of them.
"""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote, unquote_plus

from sigma.http.errors import redact_keys
from sigma.http.strict_json import to_json

MASK = "••••••••"
MAX_LAYERS = 5  # of nested encodings that are searched

_NAME = re.compile("password|raw[^a-z0-9]?key|token|secret|api[^a-z0-9]?key", re.IGNORECASE)
_ASSIGNED = re.compile(rf"((?:{_NAME.pattern})s?[\"']?\s*=)\s*[^&\r\n]*", re.IGNORECASE)
_TOKEN = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}|(?<![\w-])[\w-]{16,}\.[\w-]{16,}\.[\w-]{16,}", re.ASCII)
_USERINFO = re.compile(r"(://[^/\s:@\"]*):[^/\s@\"]*@")  # of a URL: its user and password
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SUSPECT = re.compile(  # a text without a match has no secrets
    rf"{_NAME.pattern}|sigma_sk|\\|%|\0|{_USERINFO.pattern}|{_TOKEN.pattern}", re.IGNORECASE
)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)


def is_secret(name: str) -> bool:
    """Return whether the value of a member or parameter with this name must not be shown."""
    letters = re.sub("[^a-z0-9]", "", name.lower())
    return re.search("password|rawkey|secret|(?:token|apikey)s?$", letters) is not None


def redact(text: str) -> str:
    """Return a text with the API keys and session tokens in it masked."""
    return _TOKEN.sub("eyJ…", redact_keys(text))


def _unescape(text: str) -> str:
    """Return a text without one layer of JSON and URL escapes, and without the NULs that UTF-16 puts between letters."""
    text = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)) if match[1] or match[2] else match[3], text)
    return unquote(text, errors="replace").replace("\0", "")


def mask_text(text: str, is_loose: bool = False, layers: int = MAX_LAYERS) -> str:
    """Return a text with keys, tokens, and the values assigned to the names of secrets (as in a URL or a form) masked.

    In a loose text, whose structure is unknown, everything after such a name is masked.
    """
    if not _SUSPECT.search(text):
        return text
    plain = _unescape(text)
    if plain != text and layers:
        inner = mask_text(plain, is_loose, layers - 1)
        if inner != plain:  # a secret was found, perhaps one that only this layer hid: so show the text without the layer
            return inner
    if is_loose and (name := _NAME.search(text)):
        return redact(text[: name.end()]) + MASK
    return redact(_USERINFO.sub(rf"\1:{MASK}@", _ASSIGNED.sub(rf"\1{MASK}", text)))


def _end_of_value(tokens: list[re.Match[str]], start: int) -> int:
    depth = 0
    for place in range(start, len(tokens)):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(tokens[place][0], 0)
        if not depth:
            break
    return place


def _mask_tokens(text: str) -> Iterator[str]:
    """Yield the parts of a JSON text, with secrets masked and everything else as it was written."""
    tokens, place, written = list(_JSON_TOKEN.finditer(text)), 0, 0
    while place < len(tokens):
        last, masked = place, None
        if tokens[place][0][0] == '"':
            string = json.loads(tokens[place][0])
            masked = _mask_json(string) if string.lstrip()[:1] in ("{", "[") else mask_text(string)
            masked = to_json(masked) if masked != string else None
            is_name = place + 1 < len(tokens) and tokens[place + 1][0] == ":"
            if is_name and is_secret(string) and tokens[place + 2][0] != "null":
                place, last, masked = place + 2, _end_of_value(tokens, place + 2), f'"{MASK}"'
        if masked is not None:
            yield text[written : tokens[place].start()] + masked
            written = tokens[last].end()
        place = last + 1
    yield text[written:]


def _mask_json(text: str) -> str:
    """Return a text that should be JSON with its secrets masked; if it is not JSON, all after the first secret's name is."""
    if not _SUSPECT.search(text):
        return text
    try:
        json.loads(text)
        return "".join(_mask_tokens(text))
    except (ValueError, RecursionError):
        return mask_text(text, is_loose=True)


def _close(text: str) -> str:
    """Return a cut-off JSON text up to its last comma, with the arrays and objects open there closed; "" without a comma."""
    comma, closers_at_comma, closers, end = 0, "", "", 0
    for token in _JSON_TOKEN.finditer(text):
        if '"' in text[end : token.start()]:  # begins a string that is cut off
            break
        end = token.end()
        if (closer := {"{": "}", "[": "]"}.get(token[0])) is not None:
            closers = closer + closers
        elif token[0] in ("}", "]"):
            closers = closers[1:]
        elif token[0] == ",":
            comma, closers_at_comma = token.start(), closers
    return text[:comma] + closers_at_comma


def _mask_beginning(text: str) -> str:
    """Return the beginning of a body with its secrets masked, read as JSON if that shows more than reading it as loose text."""
    loose = mask_text(text, is_loose=True)
    return loose if len(loose) >= len(text) else max(loose, _mask_json(_close(text)), key=len)


def mask_body(data: bytes, most: int) -> str:
    """Return the text of a body with its secrets masked; a body of more than `most` bytes is cut off, and ends in `…`."""
    if len(data) <= most:
        return _mask_json(data.decode("utf-8", "replace"))
    return _mask_beginning(data[:most].decode("utf-8", "replace"))[: most - 1] + "…"


def _mask_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    bare = name
    for _ in range(MAX_LAYERS):
        bare = _unescape(bare)
    if equals and is_secret(bare):
        return f"{bare}={MASK}"
    plain, shown = unquote_plus(value, errors="replace"), mask_text(name)
    masked = _mask_json(plain) if plain.lstrip()[:1] in ("{", "[") else mask_text(plain)
    return shown + equals + (value if masked == plain else quote(masked).replace(quote(MASK), MASK).replace(quote("…"), "…"))


def mask_query(query: str) -> str:
    """Return a query string with its secrets masked, and everything else as it was sent."""
    return "&".join(map(_mask_parameter, query.split("&")))


def one_line(text: str, most: int = 200) -> str:
    """Return a text as one word of a line: secrets masked, shortened, and percent-encoded except for visible ASCII."""
    masked = mask_text(text)
    shortened = masked[:most] + "…" * (len(masked) > most)
    return re.sub("[^!-$&-~…]", lambda match: quote(match[0], errors="replace"), shortened)
