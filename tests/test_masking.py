"""Masking: what is secret in a body, a query or a path is unreadable, wherever and however it is written; all else stays."""

import json
import re
import time
from urllib.parse import quote

from cases import each

from sigma.http import masking

KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VySWQiOiJ1c2VyLWFkbWluIn0.ZCdGQHXvX5jD0YdpgMtUr3bqBa5zPXgi1RTOIsvvt7o"
HIDDEN = "••••••••"
MOST = 10_000


def mask_body(text, encoding="utf-8"):
    return masking.mask_body(text.encode(encoding, "surrogatepass"), MOST)


def percent(text):
    return "".join(f"%{byte:02x}" for byte in text.encode())


def escaped(text):
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


@each(
    ("body", "masked"),
    [
        ('{"email": "a@b.io",  "password": "hunter2"}', f'{{"email": "a@b.io",  "password": "{HIDDEN}"}}'),
        ('{"password":""}', f'{{"password":"{HIDDEN}"}}'),
        ('{"token":12345678,"a":1}', f'{{"token":"{HIDDEN}","a":1}}'),
        ('{"token":true}', f'{{"token":"{HIDDEN}"}}'),
        ('{"password":null}', '{"password":null}'),
        ('{"secret":{"a":["hunter2",{"b":1}]},"c":[1]}', f'{{"secret":"{HIDDEN}","c":[1]}}'),
        ('[{"a":{"rawKey":"hunter2"}},"x"]', f'[{{"a":{{"rawKey":"{HIDDEN}"}}}},"x"]'),
        ('{"\\u0070assword":"hunter2"}', f'{{"\\u0070assword":"{HIDDEN}"}}'),
        ('{"password":"hun\\"ter2\\\\","a":"b"}', f'{{"password":"{HIDDEN}","a":"b"}}'),
        ('{"password":"a","password":"b"}', f'{{"password":"{HIDDEN}","password":"{HIDDEN}"}}'),
        (
            '{"Password":"a","raw_key":"b","newPassword":"c"}',
            f'{{"Password":"{HIDDEN}","raw_key":"{HIDDEN}","newPassword":"{HIDDEN}"}}',
        ),
        (
            '{"clientSecret":"a","access-token":"b","apiKey":"c"}',
            f'{{"clientSecret":"{HIDDEN}","access-token":"{HIDDEN}","apiKey":"{HIDDEN}"}}',
        ),
        ('{"inner":"{\\"password\\":\\"hunter2\\"}"}', f'{{"inner":"{{\\"password\\":\\"{HIDDEN}\\"}}"}}'),
        ('{"link":"https://x.io/?token=hunter2&a=1"}', f'{{"link":"https://x.io/?token={HIDDEN}&a=1"}}'),
        (f'{{"note":"see {KEY}, or {KEY.upper()}."}}', '{"note":"see sigma_sk_live_…, or sigma_sk_live_…."}'),
        (f'{{"{KEY}":"{JWT}"}}', '{"sigma_sk_live_…":"eyJ…"}'),
        (f'["{escaped(KEY)}"]', '["sigma_sk_live_…"]'),
        (f'["{percent(JWT)}"]', '["eyJ…"]'),
    ],
)
def test_in_json_exactly_what_is_secret_is_replaced(body, masked):
    assert mask_body(body) == masked
    json.loads(masked)


@each(
    "body",
    [
        '{"error":"UNAUTHORIZED","message":"Invalid session token"}',
        '{"message":"password: Expected a value, but it is missing"}',
        '{"message":"send X-Sigma-ApiKey: <key>, or Authorization: Bearer <token>"}',
        '{"keys":1,"tokenCount":5,"monkey":"b","description":"100 % wool \\\\ \\u00e6"}',
        '{"host":"product-information.example-company.internal"}',
        "not JSON at all, 100 %",
        "",
        "null",
    ],
)
def test_what_is_not_secret_stays_as_it_was_written(body):
    assert mask_body(body) == body


@each(
    ("body", "masked"),
    [
        ('{"email": "a", "password": "hunter2"', f'{{"email": "a", "password{HIDDEN}'),
        ('{"password": "hunt"er2"}', f'{{"password{HIDDEN}'),
        ("{'password': 'hunter2'}", f"{{'password{HIDDEN}"),
        ('{password: "hunter2"}', f"{{password{HIDDEN}"),
        ("email=a%40b.io&password=hunter2", f"email=a@b.io&password{HIDDEN}"),
        (f"{percent('password')}=hunter2", f"password{HIDDEN}"),
        (f"{percent(percent('password'))}=hunter2", f"password{HIDDEN}"),
        (f'{{"{escaped("password")}": "hunter2"', f'{{"password{HIDDEN}'),
        ("<login><password>hunter2</password></login>", f"<login><password{HIDDEN}"),
        (
            '--x\r\ncontent-disposition: form-data; name="token"\r\n\r\nhunter2',
            f'--x\r\ncontent-disposition: form-data; name="token{HIDDEN}',
        ),
        ('{"a": 1}\n{"secret": "hunter2"}', f'{{"a": 1}}\n{{"secret{HIDDEN}'),
        (f'{{"x": "{KEY}', '{"x": "sigma_sk_live_…'),
        (f'{{"x": "{KEY[:30]}', '{"x": "sigma_sk_live_…'),
        (f'{{"x": "{JWT[:20]}', '{"x": "eyJ…'),
        (f'{{"x": "{escaped(KEY)}', '{"x": "sigma_sk_live_…'),
    ],
)
def test_of_a_malformed_body_nothing_is_left_after_the_name_of_a_secret(body, masked):
    assert mask_body(body) == masked


@each("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_a_body_in_another_encoding_hides_nothing_from_it(encoding):
    for secret in ('{"password":"hunter2"}', f'["{KEY}"]'):
        masked = mask_body(secret, encoding).replace("\0", "")
        assert "hunter2" not in masked
        assert KEY[20:] not in masked


@each("cut", range(MOST - 70, MOST + 10))
def test_wherever_a_body_is_cut_off_no_part_of_a_secret_is_left(cut):
    for begin, secret in (('"password":"', "correct horse battery"), ('"x":"', KEY), ('"x":"', JWT)):
        text = '{"a":"' + "x" * (cut - len(begin) - 8) + '",' + begin + secret + '","rest":"' + "y" * 100 + '"}'
        masked = mask_body(text)
        assert len(masked) <= MOST
        assert not any(secret[start : start + 12] in masked for start in range(14, len(secret) - 12))
        assert masked.endswith("…") or len(text) <= MOST


def test_what_comes_after_a_secret_in_a_long_body_is_shown_as_far_as_it_goes():
    items = [{"id": f"webhook-{number}", "name": "API key, token, secret", "secret": "hunter2"} for number in range(400)]
    text = json.dumps(items)
    masked = mask_body(text)
    assert 9_000 < len(masked) <= MOST
    assert masked.endswith("…")
    shown = json.dumps({**items[100], "secret": HIDDEN}, ensure_ascii=False)
    assert f", {shown}, " in masked
    assert "hunter2" not in masked
    # Cut off within a secret, or no JSON at all: as ever nothing is left after its name.
    for body in ('{"x": 1, "secret": {"a": ["' + "hunter2, " * 2000, '[{"secret": "hunt"er2"}, 5' + ", 5" * 5000):
        assert re.search("hunt|er2", mask_body(body)) is None


@each(
    ("text", "masked"),
    [
        ("password=two words\nnext line", f"password={HIDDEN}\nnext line"),
        ("A_TOKEN =\n hunter2\r\nB=1", f"A_TOKEN ={HIDDEN}\r\nB=1"),
        ("secret=a&b=c\nd", f"secret={HIDDEN}&b=c\nd"),
    ],
)
def test_of_a_text_of_several_lines_the_other_lines_are_shown(text, masked):
    assert masking.mask_text(text) == masked
    assert json.loads(mask_body(json.dumps({"note": text}))) == {"note": masked}


def test_a_long_body_is_shortened_and_says_so():
    assert mask_body("æ" * 5000) == "æ" * 5000
    assert mask_body("x" * 10_001) == "x" * 9_999 + "…"


@each(
    ("query", "masked"),
    [
        ("", ""),
        ("limit=5&q=a+b%20c&&x", "limit=5&q=a+b%20c&&x"),
        ("limit=5&token=hunter2&a=1", f"limit=5&token={HIDDEN}&a=1"),
        (f"{percent('token')}=hunter2", f"token={HIDDEN}"),
        (f"{percent(percent('password'))}=hunter2", f"password={HIDDEN}"),
        ("apiKey=hunter2&X-Sigma-ApiKey=hunter3", f"apiKey={HIDDEN}&X-Sigma-ApiKey={HIDDEN}"),
        (f"id={KEY}", "id=sigma_sk_live_…"),
        (f"id={percent(KEY)}&a=1", "id=sigma_sk_live_…&a=1"),
        (f"{KEY}", "sigma_sk_live_…"),
        (f"{JWT}=1", "eyJ…=1"),
        ("scope=" + quote('{"password":"hunter2"}'), f"scope=%7B%22password%22%3A%22{HIDDEN}%22%7D"),
        ("a=1;password=hunter2", f"a=1%3Bpassword%3D{HIDDEN}"),
    ],
)
def test_a_query_string_keeps_all_but_its_secrets(query, masked):
    assert masking.mask_query(query) == masked


@each(
    ("text", "line"),
    [
        ("/api/v1/records", "/api/v1/records"),
        ("/api/v1/tokens/a:b@c~d", "/api/v1/tokens/a:b@c~d"),
        (f"/api/v1/records/{KEY}", "/api/v1/records/sigma_sk_live_…"),
        (f"/api/v1/{percent(KEY)}", "/api/v1/sigma_sk_live_…"),
        (f"/{JWT}", "/eyJ…"),
        ("/x;password=hunter2", f"/x;password={quote(HIDDEN)}"),
        ("/a b\r\n\x00\x1b[2J\x85\u2028\u202e/æ%", "/a%20b%0D%0A%00%1B[2J%C2%85%E2%80%A8%E2%80%AE/%C3%A6%25"),
        ("/" + "x" * 500, "/" + "x" * 199 + "…"),
    ],
)
def test_in_a_line_of_the_log_a_path_is_one_visible_word_without_secrets(text, line):
    assert masking.one_line(text) == line


@each(
    "text",
    [
        *("x" * MOST, "a-" * 5000, "eyJ" * 3333, '"' * MOST, "[" * MOST, "{}" * 5000, "password" * 1250, "=" * MOST),
        *("\\" * MOST, "%25" * 3333, ("x" * 20 + ".") * 476, '{"a":' * 2000, "sigma_sk_live_" * 714, "token=&" * 1428),
        '[{"password":[1,{"b":"c"}]}' + ',{"password":[1,{"b":"c"}]}' * 350 + "]",
    ],
    ids=lambda text: text[:6],
)
def test_no_text_takes_long(text):
    begun = time.thread_time()
    mask_body(text)
    masking.mask_query(text)
    masking.one_line(text)
    assert time.thread_time() - begun < 0.5
