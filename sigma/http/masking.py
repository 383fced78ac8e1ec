"""Secrets in what is shown of a request: made unreadable wherever they stand, also escaped, cut off or in a malformed body.

Which function for what:

- redact_keys() in errors.py: our own messages to a client. It knows raw keys alone, by their prefix.
- redact(): lines of our own, which may quote a client: those of the log, and a whole entry of the journal. Keys and tokens.
- one_line(): a client's text as a word in a line of the log.
- mask_body(), mask_query(), mask_text(): what a client sent or got, for people: a body, a query string, anything else. They
  know passwords as well, by the names in front of them.
"""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote, unquote_plus

from sigma.http.errors import redact_keys
from sigma.http.strict_json import to_json

MASK = "••••••••"
MAX_LAYERS = 5  # of one encoding in another that are looked through

_NAME = re.compile("password|raw[^a-z0-9]?key|token|secret|api[^a-z0-9]?key", re.IGNORECASE)
_ASSIGNED = re.compile(rf"((?:{_NAME.pattern})s?[\"']?\s*=)\s*[^&\r\n]*", re.IGNORECASE)
_TOKEN = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}|(?<![\w-])[\w-]{16,}\.[\w-]{16,}\.[\w-]{16,}", re.ASCII)
_USERINFO = re.compile(r"(://[^/\s:@\"]*):[^/\s@\"]*@")  # of a URL: its user and password
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SUSPECT = re.compile(  # without any of these, nothing is secret
    rf"{_NAME.pattern}|sigma_sk|\\|%|\0|{_USERINFO.pattern}|{_TOKEN.pattern}", re.IGNORECASE
)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)


def is_secret(name: str) -> bool:
    """Return whether the value of a member or parameter with this name is nobody's business."""
    letters = re.sub("[^a-z0-9]", "", name.lower())
    return re.search("password|rawkey|secret|(?:token|apikey)s?$", letters) is not None


def redact(text: str) -> str:
    """Return a text without the API keys and session tokens in it."""
    return _TOKEN.sub("eyJ…", redact_keys(text))


def _unescape(text: str) -> str:
    """Return a text with one layer of escapes taken off: of JSON, of URLs, and what another encoding puts between letters."""
    text = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)) if match[1] or match[2] else match[3], text)
    return unquote(text, errors="replace").replace("\0", "")


def mask_text(text: str, is_loose: bool = False, layers: int = MAX_LAYERS) -> str:
    """Return a text without keys, tokens, and what is assigned to the name of a secret, as in a URL or a form.

    Of a loose one, whose structure is unknown, nothing is left that comes after such a name.
    """
    if not _SUSPECT.search(text):
        return text
    plain = _unescape(text)
    if plain != text and layers:
        inner = mask_text(plain, is_loose, layers - 1)
        if inner != plain:  # there was something, perhaps only under this layer: show what is below it
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
    """Yield the parts of a JSON text, the values of secrets replaced, all else as it was written."""
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
    """Return a text that should be JSON without the secrets in it; of one that is not, only what comes before the first."""
    if not _SUSPECT.search(text):
        return text
    try:
        json.loads(text)
        return "".join(_mask_tokens(text))
    except (ValueError, RecursionError):
        return mask_text(text, is_loose=True)


def _close(text: str) -> str:
    """Return the beginning of a JSON text up to its last comma, with what is open there closed; "" if it has no comma."""
    open_at_comma, is_open, end = (0, ""), "", 0
    for token in _JSON_TOKEN.finditer(text):
        if '"' in text[end : token.start()]:  # begins a string that is cut off
            break
        end = token.end()
        if (closer := {"{": "}", "[": "]"}.get(token[0])) is not None:
            is_open = closer + is_open
        elif token[0] in ("}", "]"):
            is_open = is_open[1:]
        elif token[0] == ",":
            open_at_comma = token.start(), is_open
    return text[: open_at_comma[0]] + open_at_comma[1]


def _mask_beginning(text: str) -> str:
    """Return the beginning of a body without the secrets in it: as JSON where that shows more than as any text."""
    loose = mask_text(text, is_loose=True)
    return loose if len(loose) >= len(text) else max(loose, _mask_json(_close(text)), key=len)


def mask_body(data: bytes, most: int) -> str:
    """Return the text of a body without the secrets in it; of a body of more than so many bytes only those, and `…`."""
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
    """Return a query string without the secrets in it, else as it was sent."""
    return "&".join(map(_mask_parameter, query.split("&")))


def one_line(text: str, most: int = 200) -> str:
    """Return a text without secrets, shortened, as one word of a line: what is not visible ASCII is percent-encoded."""
    masked = mask_text(text)
    shortened = masked[:most] + "…" * (len(masked) > most)
    return re.sub("[^!-$&-~…]", lambda match: quote(match[0], errors="replace"), shortened)
