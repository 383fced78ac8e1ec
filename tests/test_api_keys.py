"""API keys: making, listing, deactivating and deleting them, using them, and the published page's examples."""

import hashlib
import re
import sqlite3
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from cases import each
from conftest import ALL_PERMISSIONS, EXAMPLE_KEY, shape, sql

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SYNC = {
    "id": "apikey-sync-prod",
    "name": "Shopify Sync - Production",
    "permissions": ["read", "update-data"],
    "active": True,
    "createdAt": "2026-02-15T09:00:00.000Z",
    "lastUsedAt": "2026-03-08T10:00:12.450Z",
}
EXPORT = {
    "id": "apikey-export-staging",
    "name": "Export Service - Staging",
    "permissions": ["read"],
    "active": True,
    "createdAt": "2026-03-01T14:30:00.000Z",
    "lastUsedAt": "2026-03-07T16:45:00.000Z",
}


def text_of(moment):
    """Write a time as the API does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_now(text, since=None):
    """Return whether this is a time as the API writes it, between `since` (or half a minute ago) and now."""
    assert MOMENT.fullmatch(text), text
    now = datetime.now(UTC)
    return (since or text_of(now - timedelta(seconds=30))) <= text <= text_of(now)


def create(caller, *permissions, **members):
    answer = caller.post("/api-keys", {"name": "Feed", "permissions": list(permissions) or ["read"], **members})
    assert answer.status_code == 201, answer.json
    return answer.json


def listed(admin, id):
    """Return the key as the list shows it; None when it is not listed."""
    return next((item for item in admin.get("/api-keys").json if item["id"] == id), None)


def use(anonymous, raw_key, path="/roles"):
    return anonymous.get(path, headers={"X-Sigma-ApiKey": raw_key})


def store_last_use(app, id, seconds_ago):
    """Set when a key was last used, to read, and return that time as it is stored."""
    text = text_of(datetime.now(UTC) - timedelta(seconds=seconds_ago))
    sql(app, "UPDATE api_keys SET last_used_at = ?, permission_use = json_object('read', ?) WHERE id = ?", text, text, id)
    return text


def with_right_check(stem):
    """Complete a key with its check characters, worked out bit by bit rather than by the library the service uses."""
    crc = 0xFFFFFFFF
    for byte in stem.encode():
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    characters = ""
    while len(characters) < 7:
        characters = "0123456789abcdefghijklmnopqrstuvwxyz"[crc % 36] + characters
        crc //= 36
    return stem + characters


# The published page


def test_the_published_list_is_answered_as_printed(admin):
    answer = admin.get("/api-keys")
    assert (answer.status_code, answer.json) == (200, [SYNC, EXPORT])
    assert [list(item) for item in answer.json] == [list(SYNC), list(EXPORT)]


def test_the_published_create_is_answered_as_printed(admin):
    body = {"name": "Shopify Sync - Production", "permissions": ["read", "update-data"]}
    answer = admin.post("/api-keys", body)
    made = answer.json
    assert (answer.status_code, answer.content_type) == (201, "application/json")
    assert list(made) == ["id", "name", "rawKey", "permissions", "createdAt"]
    assert made == {**body, "id": made["id"], "rawKey": made["rawKey"], "createdAt": made["createdAt"]}
    assert len(made["rawKey"]) == len(EXAMPLE_KEY)


def test_the_published_call_to_records_works_though_its_key_has_no_check_characters(anonymous):
    assert with_right_check(EXAMPLE_KEY[:-7]) != EXAMPLE_KEY
    answer = use(anonymous, EXAMPLE_KEY, "/records")
    assert answer.status_code == 200
    assert [item["id"] for item in answer.json["items"]][:2] == ["ent-coastal-wb", "ent-trail-cap"]
    assert [answer.json[member] for member in ("total", "offset", "limit")] == [47, 0, 50]


def test_the_published_deactivate_is_answered_as_printed(admin):
    answer = admin.post("/api-keys/apikey-sync-prod/deactivate")
    members = ["id", "name", "permissions", "active", "createdAt", "deactivatedAt"]
    assert (answer.status_code, list(answer.json)) == (200, members)
    assert is_now(answer.json["deactivatedAt"])
    assert answer.json == {
        "id": "apikey-sync-prod",
        "name": "Shopify Sync - Production",
        "permissions": ["read", "update-data"],
        "active": False,
        "createdAt": "2026-02-15T09:00:00.000Z",
        "deactivatedAt": answer.json["deactivatedAt"],
    }


def test_the_published_delete_is_answered_as_printed(admin):
    answer = admin.delete("/api-keys/apikey-sync-prod")
    assert (answer.status_code, answer.json) == (200, {"deleted": True})
    assert admin.get("/api-keys").json == [EXPORT]


def test_the_published_rotation_never_leaves_an_integration_without_a_key(admin, anonymous, error):
    old = create(admin, "read", "update-data", name="ERP 2025")
    assert use(anonymous, old["rawKey"]).status_code == 200
    new = create(admin, "read", "update-data", name="ERP 2026")
    for raw_key in (old["rawKey"], new["rawKey"]):
        assert use(anonymous, raw_key).status_code == 200

    deactivated = admin.post(f"/api-keys/{old['id']}/deactivate").json
    assert "deactivated" in error(use(anonymous, old["rawKey"]), 401)
    assert use(anonymous, new["rawKey"]).status_code == 200
    both = admin.get("/api-keys").json[2:]
    assert [(item["id"], item["active"], item.get("deactivatedAt")) for item in both] == [
        (old["id"], False, deactivated["deactivatedAt"]),
        (new["id"], True, None),
    ]

    assert admin.delete(f"/api-keys/{old['id']}").json == {"deleted": True}
    assert "deactivated" not in error(use(anonymous, old["rawKey"]), 401)
    assert use(anonymous, new["rawKey"]).status_code == 200
    assert [item["id"] for item in admin.get("/api-keys").json[2:]] == [new["id"]]


# Create


def test_a_new_key_has_a_random_id_and_the_time_it_was_made(admin):
    first, second = create(admin), create(admin)
    assert all(re.fullmatch("apikey-[0-9a-z]{8,}", made["id"]) for made in (first, second))
    assert first["id"] != second["id"]
    assert is_now(first["createdAt"])


def test_no_cache_may_keep_the_answer_with_the_raw_key(admin):
    answer = admin.post("/api-keys", {"name": "Feed", "permissions": ["read"]})
    assert answer.headers.getlist("Cache-Control") == ["private, no-store"]


def test_raw_keys_are_random_and_end_in_their_check_characters(admin):
    raw_keys = {create(admin)["rawKey"] for _ in range(40)}
    assert len(raw_keys) == 40
    for raw_key in raw_keys:
        assert re.fullmatch("sigma_sk_live_[a-z0-9]{36}", raw_key)
        assert raw_key == with_right_check(raw_key[:-7])
        assert int(raw_key[-7:], 36) == zlib.crc32(raw_key[:-7].encode())
    assert len(set("".join(raw_key[14:43] for raw_key in raw_keys))) == 36


@each(
    ("sent", "held"),
    [
        (["read"], ["read"]),
        (["delete-model", "read"], ["read", "delete-model"]),
        (["read", "read", "update-model", "read"], ["read", "update-model"]),
        ([*ALL_PERMISSIONS[::-1]] * 3, [*ALL_PERMISSIONS]),
        (["update-data"], ["update-data"]),
    ],
    ids=["one", "other-order", "duplicates", "all-backwards-thrice", "without-read"],
)
def test_permissions_are_folded_and_come_in_the_published_order(admin, sent, held):
    made = create(admin, *sent)
    assert made["permissions"] == held
    assert listed(admin, made["id"])["permissions"] == held
    assert admin.post(f"/api-keys/{made['id']}/deactivate").json["permissions"] == held


@each(
    "name",
    [
        "x",
        "x" * 200,
        "\N{GRINNING FACE}" * 200,
        "F\u00f8tex \u2013 \u65e5\u672c",
        "a\"b\\c</script>'; --",
    ],
    ids=["one", "200", "200-beyond-the-bmp", "unicode", "quotes"],
)
def test_a_name_comes_back_as_it_was_given(admin, name):
    made = create(admin, name=name)
    assert made["name"] == name
    assert listed(admin, made["id"])["name"] == name


@each("name", ["\0", "\0Feed", "Fe\0ed"], ids=["alone", "in-front", "inside"])
def test_a_name_with_a_nul_is_either_kept_whole_or_refused(admin, error, name):
    answer = admin.post("/api-keys", {"name": name, "permissions": ["read"]})
    if answer.status_code == 201:
        assert listed(admin, answer.json["id"])["name"] == answer.json["name"] == name
    else:
        assert error(answer, 400).startswith("name: ")
        assert admin.get("/api-keys").json == [SYNC, EXPORT]


def test_two_keys_may_have_the_same_name(admin):
    assert create(admin, name="Feed")["id"] != create(admin, name="Feed")["id"]


GOOD = {"name": "Feed", "permissions": ["read"]}


@each(
    ("body", "says"),
    [
        ({}, r"name: .*permissions: "),
        ({"permissions": ["read"]}, "name: "),
        ({**GOOD, "name": ""}, "name: .*''"),
        ({**GOOD, "name": " \t\n"}, "name: "),
        ({**GOOD, "name": "\u00a0\u2003"}, "name: "),
        ({**GOOD, "name": "x" * 201}, "name: .*200"),
        ({**GOOD, "name": None}, "name: .*null"),
        ({**GOOD, "name": 7}, "name: .*string.*7"),
        ({**GOOD, "name": True}, "name: .*string.*true"),
        ({**GOOD, "name": ["Feed"]}, "name: .*string.*array"),
        ({**GOOD, "name": {}}, "name: .*string.*object"),
        ({"name": "Feed"}, "permissions: "),
        ({**GOOD, "permissions": []}, "permissions: "),
        ({**GOOD, "permissions": None}, "permissions: .*null"),
        ({**GOOD, "permissions": "read"}, "permissions: .*'read'"),
        ({**GOOD, "permissions": {"read": True}}, "permissions: .*object"),
        ({**GOOD, "permissions": ["read", "write"]}, r"permissions\[1\]: .*read, update-data, .*'write'"),
        ({**GOOD, "permissions": ["READ"]}, r"permissions\[0\]: .*'READ'"),
        ({**GOOD, "permissions": [" read"]}, r"permissions\[0\]: .*' read'"),
        ({**GOOD, "permissions": ["session"]}, r"permissions\[0\]: .*'session'"),
        ({**GOOD, "permissions": ["public"]}, r"permissions\[0\]: .*'public'"),
        ({**GOOD, "permissions": ["*"]}, r"permissions\[0\]: .*'\*'"),
        ({**GOOD, "permissions": ["read", None]}, r"permissions\[1\]: .*null"),
        ({**GOOD, "permissions": [1]}, r"permissions\[0\]: .*1"),
        ({**GOOD, "permissions": [["read"]]}, r"permissions\[0\]: .*array"),
        ({**GOOD, "permissions": [{}]}, r"permissions\[0\]: .*object"),
        ({**GOOD, "id": "apikey-mine"}, "id: "),
        ({**GOOD, "rawKey": EXAMPLE_KEY}, "rawKey: "),
        ({**GOOD, "active": True}, "active: "),
        ({**GOOD, "noSuchMember": None}, "noSuchMember: "),
    ],
    ids=[
        *("empty", "no-name", "name-empty", "name-blank", "name-blank-unicode", "name-201", "name-null", "name-number"),
        *("name-boolean", "name-array", "name-object", "no-permissions", "permissions-empty", "permissions-null"),
        *("permissions-string", "permissions-object", "permission-unknown", "permission-upper-case", "permission-padded"),
        *("permission-session", "permission-public", "permission-star", "permission-null", "permission-number"),
        *("permission-array", "permission-object", "own-id", "own-raw-key", "own-active", "unknown-field"),
    ],
)
def test_a_bad_body_is_refused_naming_the_field_and_makes_no_key(admin, error, body, says):
    message = error(admin.post("/api-keys", body), 400)
    assert re.match(says, message), message
    assert admin.get("/api-keys").json == [SYNC, EXPORT]


@each("name", ["  Shop sync", "Shop sync\n", "\t\u00a0Shop sync\u2003 "])
def test_a_name_is_stored_without_the_blanks_around_it(admin, name):
    made = create(admin, "read", name=name)
    assert made["name"] == "Shop sync"
    assert admin.get("/api-keys").json[-1]["name"] == "Shop sync"
    longest = create(admin, "read", name=f" {'x' * 99} {'y' * 100} ")["name"]
    assert longest == f"{'x' * 99} {'y' * 100}"


# List


def test_keys_are_listed_oldest_first_with_all_their_members(admin, anonymous):
    first, second, third = (create(admin, "read", name=name) for name in ("C", "A", "B"))
    use(anonymous, second["rawKey"])
    deactivated = admin.post(f"/api-keys/{third['id']}/deactivate").json["deactivatedAt"]
    answer = admin.get("/api-keys")
    last_used = answer.json[3]["lastUsedAt"]
    assert answer.status_code == 200
    assert is_now(last_used)
    assert answer.json == [
        SYNC,
        EXPORT,
        *(
            {"id": made["id"], "name": made["name"], "permissions": ["read"], "createdAt": made["createdAt"], **more}
            for made, more in (
                (first, {"active": True, "lastUsedAt": None}),
                (second, {"active": True, "lastUsedAt": last_used}),
                (third, {"active": False, "lastUsedAt": None, "deactivatedAt": deactivated}),
            )
        ),
    ]
    members = ["id", "name", "permissions", "active", "createdAt", "lastUsedAt"]
    assert [list(item) for item in answer.json] == [members] * 4 + [[*members, "deactivatedAt"]]


def test_the_list_shows_neither_a_raw_key_nor_a_hash(admin):
    raw_key = create(admin)["rawKey"]
    text = admin.get("/api-keys").get_data(as_text=True)
    for secret in (raw_key, EXAMPLE_KEY):
        assert secret not in text
        assert hashlib.sha256(secret.encode()).hexdigest() not in text


# Deactivate and delete


def test_deactivating_twice_changes_nothing(admin, app):
    made = create(admin)
    first = admin.post(f"/api-keys/{made['id']}/deactivate")
    before = sql(app, "SELECT * FROM api_keys WHERE id = ?", made["id"])
    while text_of(datetime.now(UTC)) == first.json["deactivatedAt"]:
        pass
    second = admin.post(f"/api-keys/{made['id']}/deactivate")
    assert shape(second) == shape(first)
    assert sql(app, "SELECT * FROM api_keys WHERE id = ?", made["id"]) == before


def test_deactivating_one_key_leaves_the_others_alone(admin, anonymous):
    one, other = create(admin), create(admin)
    admin.post(f"/api-keys/{one['id']}/deactivate")
    assert use(anonymous, one["rawKey"]).status_code == 401
    assert use(anonymous, other["rawKey"]).status_code == 200
    assert [item["active"] for item in admin.get("/api-keys").json] == [True, True, False, True]


def test_a_key_can_be_deleted_only_once(admin, anonymous, error):
    made = create(admin)
    assert use(anonymous, made["rawKey"]).status_code == 200
    assert admin.delete(f"/api-keys/{made['id']}").json == {"deleted": True}
    assert listed(admin, made["id"]) is None
    error(use(anonymous, made["rawKey"]), 401)
    for answer in (admin.delete(f"/api-keys/{made['id']}"), admin.post(f"/api-keys/{made['id']}/deactivate")):
        assert made["id"] in error(answer, 404)


def test_a_deactivated_key_can_be_deleted(admin):
    made = create(admin)
    admin.post(f"/api-keys/{made['id']}/deactivate")
    assert admin.delete(f"/api-keys/{made['id']}").json == {"deleted": True}
    assert admin.get("/api-keys").json == [SYNC, EXPORT]


@each("method_and_end", [("POST", "/deactivate"), ("DELETE", "")], ids=["deactivate", "delete"])
@each("id", ["apikey-nobody", "APIKEY-SYNC-PROD", "apikey-sync", "%00", "%FF", "'", "*", EXPORT["name"]])
def test_an_unknown_id_is_not_found_and_changes_no_key(admin, error, method_and_end, id):
    method, end = method_and_end
    error(admin.request(method, f"/api-keys/{id}{end}"), 404)
    assert admin.get("/api-keys").json == [SYNC, EXPORT]


# Who may manage keys

MANAGEMENT = [
    ("GET", "/api-keys", None),
    ("POST", "/api-keys", GOOD),
    ("POST", "/api-keys/apikey-export-staging/deactivate", None),
    ("DELETE", "/api-keys/apikey-export-staging", None),
]


@each("call", MANAGEMENT, ids=["list", "create", "deactivate", "delete"])
def test_no_key_may_manage_keys_whatever_it_holds(admin, key, error, call):
    before = [item["id"] for item in admin.get("/api-keys").json]
    answer = key.request(*call)
    message = error(answer, 403)
    assert all(permission in message for permission in ALL_PERMISSIONS)
    assert answer.headers["X-Sigma-Required-Permission"] == "session"
    assert [item["id"] for item in admin.get("/api-keys").json] == before
    assert listed(admin, "apikey-export-staging") == EXPORT


# Using a key


def test_a_new_key_works_at_once_and_acts_in_its_own_workspace(admin, stranger, anonymous):
    ours, theirs = create(admin), create(stranger)
    assert use(anonymous, ours["rawKey"], "/schemas").json == admin.get("/schemas").json
    assert use(anonymous, theirs["rawKey"], "/schemas").json == stranger.get("/schemas").json == []


@each(
    "spoil",
    [
        lambda raw_key: raw_key[:14] + chr(ord("a") + (raw_key[14] == "a")) + raw_key[15:],
        lambda raw_key: raw_key[:30] + chr(ord("a") + (raw_key[30] == "a")) + raw_key[31:],
        lambda raw_key: raw_key[:-1] + chr(ord("a") + (raw_key[-1] == "a")),
        lambda raw_key: "sigma_sk_live_" + "a" * 36,
        lambda raw_key: "sigma_sk_live_abc123def456ghi789jkl012mno345pqr679",
    ],
    ids=["first-character", "middle-character", "check-character", "all-a", "documented-key-mistyped"],
)
def test_a_mistyped_or_foreign_key_is_warned_about(anonymous, key, error, spoil):
    answer = use(anonymous, spoil(key.raw_key))
    message = error(answer, 401)
    assert "not made here" in message
    assert "production" in message
    assert "deactivated" not in message
    assert answer.headers["WWW-Authenticate"]
    assert answer.headers["X-Sigma-Required-Permission"] == "read"


@each(
    "spoil",
    [
        lambda raw_key: with_right_check("sigma_sk_live_" + "0" * 29),
        lambda raw_key: with_right_check("sigma_sk_test_" + raw_key[14:-7]),
        lambda raw_key: raw_key[:-1],
        lambda raw_key: raw_key + "a",
        lambda raw_key: raw_key.upper(),
        lambda raw_key: raw_key[:14] + raw_key[14:].upper(),
        lambda raw_key: raw_key[14:],
        lambda raw_key: raw_key.replace("_", "-"),
        lambda raw_key: f'"{raw_key}"',
        lambda raw_key: f"Bearer {raw_key}",
        lambda raw_key: f"{raw_key},{raw_key}",
        lambda raw_key: f"{raw_key}, {raw_key}",
        lambda raw_key: hashlib.sha256(raw_key.encode()).hexdigest(),
        lambda raw_key: "apikey-sync-prod",
        lambda raw_key: raw_key[:32],
        lambda raw_key: "sigma_sk_live_",
        lambda raw_key: "",
        lambda raw_key: "%",
        lambda raw_key: "null",
        lambda raw_key: "' OR 1=1 --",
        lambda raw_key: "\u00e6\u00f8\u00e5",
        lambda raw_key: "x" * 100_000,
    ],
    ids=[
        *("unknown-but-whole", "other-prefix", "one-short", "one-long", "upper-case", "upper-case-tail", "no-prefix"),
        *("hyphens", "quoted", "as-bearer", "twice", "twice-with-space", "its-hash", "its-id", "as-short-as-the-documented"),
        *("prefix-alone", "empty", "percent", "null", "sql", "beyond-ascii", "endless"),
    ],
)
def test_a_key_that_never_was_one_is_refused_without_a_warning(anonymous, key, error, spoil):
    answer = use(anonymous, spoil(key.raw_key))
    message = error(answer, 401)
    assert not re.search("not made here|production|deactivated|deleted", message)
    assert answer.headers["WWW-Authenticate"]


def test_a_deleted_key_is_answered_like_one_that_never_existed(admin, anonymous):
    active, deactivated = create(admin), create(admin)
    admin.post(f"/api-keys/{deactivated['id']}/deactivate")
    for made in (active, deactivated):
        admin.delete(f"/api-keys/{made['id']}")
    never = with_right_check("sigma_sk_live_" + "7" * 29)
    answers = [use(anonymous, raw_key) for raw_key in (active["rawKey"], deactivated["rawKey"], never)]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert len({str(shape(answer)) for answer in answers}) == 1


def test_a_deactivated_key_says_so_only_to_who_holds_it(admin, anonymous, error):
    made = create(admin)
    admin.post(f"/api-keys/{made['id']}/deactivate")
    assert "deactivated" in error(use(anonymous, made["rawKey"]), 401)
    for almost in (made["rawKey"][:-1] + "*", made["id"], made["rawKey"].upper()):
        assert "deactivated" not in error(use(anonymous, almost), 401)


# Last use


@each(
    ("call", "status"),
    [
        (("GET", "/roles"), 200),
        (("POST", "/roles", {}), 403),
        (("GET", "/api-keys"), 403),
        (("GET", "/roles/role-nobody"), 404),
        (("GET", "/records?limit=none"), 400),
    ],
    ids=["answered", "not-permitted", "session-only", "not-found", "malformed"],
)
def test_the_last_use_is_recorded_whatever_the_answer(admin, make_key, call, status):
    reader = make_key("read")
    assert listed(admin, reader.id)["lastUsedAt"] is None
    before = text_of(datetime.now(UTC))
    assert reader.request(*call).status_code == status
    assert is_now(listed(admin, reader.id)["lastUsedAt"], before)


@each("path", ["/healthz", "/auth/tenants", "/nowhere"])
def test_where_nobody_looks_at_credentials_no_use_is_recorded(admin, key, path):
    key.get(path)
    assert listed(admin, key.id)["lastUsedAt"] is None


def test_a_use_of_a_deactivated_key_is_not_recorded(admin, app, key):
    stored = store_last_use(app, key.id, 3600)
    admin.post(f"/api-keys/{key.id}/deactivate")
    assert key.get("/roles").status_code == 401
    assert listed(admin, key.id)["lastUsedAt"] == stored


def test_the_last_use_is_recorded_of_the_key_that_was_used(admin, make_key):
    used, unused = make_key("read"), make_key("read")
    used.get("/roles")
    assert is_now(listed(admin, used.id)["lastUsedAt"])
    assert [item["lastUsedAt"] for item in admin.get("/api-keys").json if item["id"] != used.id] == [
        SYNC["lastUsedAt"],
        EXPORT["lastUsedAt"],
        None,
    ]
    assert unused.get("/roles").status_code == 200


def test_a_later_use_replaces_an_earlier_one(admin, app, key):
    store_last_use(app, key.id, 1.2)
    before = text_of(datetime.now(UTC))
    key.get("/roles")
    assert is_now(listed(admin, key.id)["lastUsedAt"], before)


def test_a_key_in_constant_use_is_not_written_more_than_once_a_second(admin, app, key):
    stored = store_last_use(app, key.id, 0)
    for _ in range(3):
        key.get("/roles")
    assert listed(admin, key.id)["lastUsedAt"] == stored


def test_the_last_use_goes_back_for_no_process_whose_clock_is_a_little_behind(admin, app, key):
    stored = store_last_use(app, key.id, -0.9)
    assert key.get("/roles").status_code == 200
    assert listed(admin, key.id)["lastUsedAt"] == stored


# At rest


def test_only_the_sha_256_of_a_key_is_stored(admin, app):
    made = create(admin)
    ((digest,),) = sql(app, "SELECT hash FROM api_keys WHERE id = ?", made["id"])
    assert digest == hashlib.sha256(made["rawKey"].encode()).digest()
    assert len(digest) == 32
    (row,) = sql(app, "SELECT * FROM api_keys WHERE id = ?", made["id"])
    rest = " ".join(str(value) for value in row if not isinstance(value, bytes))
    assert not any(made["rawKey"][start : start + 6] in rest for start in range(8, 45))


def test_the_database_itself_refuses_anything_but_a_digest_for_a_key(app, key):
    with pytest.raises(sqlite3.IntegrityError):
        sql(app, "UPDATE api_keys SET hash = ? WHERE id = ?", key.raw_key.encode(), key.id)
