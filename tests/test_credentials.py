"""API keys: how a raw key is made, and what it tells about itself; over HTTP they are tried in test_api_keys.py."""

import hashlib
import re

from cases import each
from conftest import EXAMPLE_KEY
from test_api_keys import with_right_check

from sigma.http import credentials

PREFIX = "sigma_sk_live_"
GOOD = with_right_check(PREFIX + "0a9z" * 7 + "m")
EXPECTED = "expected one X-Sigma-ApiKey header with sigma_sk_live_ and 36 characters of a-z and 0-9"
MISTYPED = "it was mistyped, or not made here; it may be a key of the production service"
UNKNOWN = "it is not known here; make one with POST /api/v1/api-keys"


@each(
    ("stem", "characters"),
    [
        ("", "0000000"),
        ("123456789", "1kl8mjq"),  # 0xCBF43926, the check value that CRC-32 is published with
        ("62", "000qfpm"),
        (PREFIX + "0" * 29, "0ym3wp7"),
    ],
)
def test_check_characters_are_the_crc_32_in_base_36(stem, characters):
    assert credentials.check_characters(stem) == characters
    assert int(characters, 36) == int(with_right_check(stem)[len(stem) :], 36)


def test_a_new_key_is_random_and_ends_in_its_check_characters():
    keys = [credentials.make_raw_key() for _ in range(200)]
    assert len(set(keys)) == 200
    for key in keys:
        assert re.fullmatch(f"{PREFIX}[a-z0-9]{{36}}", key)
        assert key == with_right_check(key[:-7])
    assert {character for key in keys for character in key[14:43]} == set("0123456789abcdefghijklmnopqrstuvwxyz")


def test_a_key_is_stored_as_its_sha_256():
    assert credentials.hash_key(GOOD) == hashlib.sha256(GOOD.encode()).digest()


@each(
    ("raw_key", "diagnosis"),
    [
        *((key, EXPECTED) for key in ("", PREFIX, "null", GOOD[1:], GOOD[:-1], GOOD + "0", GOOD.upper(), GOOD[14:])),
        *((key, EXPECTED) for key in (f" {GOOD}", f"{GOOD}\n", f"{GOOD},{GOOD}", GOOD.replace("_", "-"), GOOD[:-1] + "é")),
        (PREFIX + "abc123def456ghi789", EXPECTED),  # the short form that is documented
        (with_right_check("sigma_sk_test_" + "0" * 29), EXPECTED),
        (GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"), MISTYPED),
        (GOOD[:14] + "1" + GOOD[15:], MISTYPED),
        (EXAMPLE_KEY, MISTYPED),
        (PREFIX + "a" * 36, MISTYPED),
        (GOOD, UNKNOWN),
        (with_right_check(PREFIX + "0" * 29), UNKNOWN),
    ],
)
def test_a_key_that_is_not_in_the_database_tells_what_may_be_wrong_with_it(raw_key, diagnosis):
    assert credentials.diagnose_key(raw_key) == diagnosis
