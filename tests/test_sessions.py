"""Sessions: signing in, what a token says and how long it counts, forged tokens, and the throttle on logins."""

import base64
import hashlib
import hmac
import json
import re
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from cases import each
from conftest import EXAMPLE_KEY, HASHING, PASSWORD, Caller, replace_everywhere, shape, sql
from werkzeug.security import generate_password_hash

import app as service
from sigma import database
from sigma.resources import sessions

DAY = 24 * 60 * 60
ADMIN = {"id": "user-admin", "email": "admin@sigma.io", "name": "Admin User", "roleId": "role-admin"}
EDITOR = {"id": "user-editor", "email": "editor@sigma.io", "name": "Editor User", "roleId": "role-editor"}


def stored_secret(app):
    """Return the secret that the database was made with."""
    return sql(app, "SELECT value FROM settings WHERE name = 'jwt_secret'")[0][0]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def sign(claims, secret, header=None, digest=hashlib.sha256):
    """Make a token by hand, so that what the service's library would refuse to make can be sent too."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    parts = [base64url(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims)]
    signature = hmac.new(secret.encode(), b".".join(parts), digest).digest()
    return b".".join([*parts, base64url(signature)]).decode()


def opened(token, secret):
    """Return a token's header and claims, after checking its signature by hand."""
    signed, _, signature = token.encode().rpartition(b".")
    assert signature == base64url(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
    return [json.loads(base64.urlsafe_b64decode(part + b"==")) for part in signed.split(b".")]


def claims_of(user, workspace="ws-demo", issued=0, lasts=DAY):
    """Return what a token of this user claims, when it is issued this many seconds from now."""
    now = int(time.time()) + issued
    return {"userId": user["id"], "workspaceId": workspace, "roleId": user["roleId"], "iat": now, "exp": now + lasts}


def bearer(app, token, scheme="Bearer"):
    return Caller(app, {"Authorization": f"{scheme} {token}"})


def login(caller, email="admin@sigma.io", password="admin", address="127.0.0.1", **options):
    body = {"email": email, "password": password}
    return caller.post("/auth/login", body, environ_base={"REMOTE_ADDR": address}, **options)


# Signing in


def test_signing_in_answers_a_token_and_the_user(anonymous, app):
    before = int(time.time())
    answer = login(anonymous)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert list(answer.json) == ["token", "user"]
    assert answer.json == {"token": answer.json["token"], "user": ADMIN}
    assert list(answer.json["user"]) == ["id", "email", "name", "roleId"]

    header, claims = opened(answer.json["token"], stored_secret(app))
    assert header["alg"] == "HS256"
    assert list(claims) == ["userId", "workspaceId", "roleId", "iat", "exp"]
    assert before <= claims["iat"] <= int(time.time())
    assert claims == claims_of(ADMIN) | {"iat": claims["iat"], "exp": claims["iat"] + DAY}
    assert bearer(app, answer.json["token"]).get("/api-keys").status_code == 200


def test_the_case_of_the_email_does_not_matter(anonymous):
    answer = login(anonymous, "Admin@SIGMA.io")
    assert (answer.status_code, answer.json["user"]) == (200, ADMIN)


def test_each_user_signs_in_to_their_own_workspace(anonymous, app):
    answer = login(anonymous, "admin@other.example", PASSWORD)
    assert answer.json["user"]["email"] == "admin@other.example"
    _, claims = opened(answer.json["token"], stored_secret(app))
    assert claims["workspaceId"] == "ws-other"
    assert bearer(app, answer.json["token"]).get("/schemas").json == []


def test_an_unknown_email_and_a_wrong_password_cost_and_answer_the_same(anonymous, error, monkeypatch):
    checked = []
    check = sessions.check_password_hash

    def counting_check(stored, password):
        checked.append((stored.split("$")[0], password))
        return check(stored, password)

    replace_everywhere(monkeypatch, sessions, "check_password_hash", counting_check)
    wrong, unknown = login(anonymous, password="wrong"), login(anonymous, "nobody@sigma.io", "wrong")
    assert shape(wrong) == shape(unknown)
    error(wrong, 401)
    assert wrong.headers["WWW-Authenticate"]
    (method, _), _ = checked
    assert method.startswith("scrypt:")
    assert checked == [(method, "wrong")] * 2


@each(
    ("email", "password"),
    [
        ("admin@sigma.io", "editor"),
        ("admin@sigma.io", "Admin"),
        ("admin@sigma.io", "admin "),
        ("admin@sigma.i_", "admin"),
        ("admin@sigma.io\0", "admin"),
    ],
    ids=["password-of-another", "other-case", "space-behind-password", "like-pattern", "nul-behind-email"],
)
def test_only_the_very_password_of_the_very_user_signs_in(anonymous, error, email, password):
    error(login(anonymous, email, password), 401)


REQUIRED = "Email and password are required: "


@each(
    ("body", "said"),
    [
        ({}, f"{REQUIRED}email: Expected a value, but it is missing; password: Expected a value, but it is missing"),
        ({"password": "admin"}, f"{REQUIRED}email: Expected a value, but it is missing"),
        ({"email": None, "password": "admin"}, f"{REQUIRED}email: Expected a value, got null"),
        ({"email": "", "password": "admin"}, f"{REQUIRED}email: Expected at least one character that is not blank, got ''"),
        ({"email": 7, "password": "admin"}, "email: Expected a string, got 7"),
        ({"email": ["admin@sigma.io"], "password": "admin"}, "email: Expected a string, got 'array'"),
        ({"email": "admin@sigma.io"}, f"{REQUIRED}password: Expected a value, but it is missing"),
        ({"email": "admin@sigma.io", "password": None}, f"{REQUIRED}password: Expected a value, got null"),
        ({"email": "admin@sigma.io", "password": ""}, f"{REQUIRED}password: Expected a value, got ''"),
        ({"email": "admin@sigma.io", "password": 7}, "password: Expected a string, got 'number'"),  # which may be a real one
        ({"email": "admin@sigma.io", "password": {"$ne": ""}}, "password: Expected a string, got 'object'"),
        ({"email": "admin@sigma.io", "password": "admin", "workspaceId": "ws-demo"}, "workspaceId: Unknown field"),
        ([], "body: "),
    ],
    ids=[
        *("neither", "no-email", "email-null", "email-empty", "email-number", "email-array", "no-password", "password-null"),
        *("password-empty", "password-number", "password-object", "unknown-field", "array"),
    ],
)
def test_a_bad_login_body_is_refused_naming_the_field(anonymous, error, body, said):
    message = error(anonymous.post("/auth/login", body), 400)
    assert message.startswith(said) if body == [] else message == said


def test_passwords_are_stored_as_scrypt_hashes_only(app):
    hashes = [row[0] for row in sql(app, "SELECT password_hash FROM users")]
    assert len(hashes) == 3
    assert all(stored.startswith("scrypt:") for stored in hashes)
    assert len({stored.split("$")[1] for stored in hashes}) == 3


def test_a_password_is_hashed_at_the_cost_of_werkzeugs_own():
    assert generate_password_hash("a password").startswith(f"{HASHING}$")
    assert sessions.NO_PASSWORD.startswith(f"{sessions.HASHING}$")


# The workspaces to sign in to


def test_only_the_demo_workspace_is_listed(anonymous):
    answer = anonymous.get("/auth/tenants")
    assert answer.status_code == 200
    assert answer.json == [{"id": "ws-demo", "name": "Sigma Demo", "users": [ADMIN, EDITOR]}]
    assert list(answer.json[0]) == ["id", "name", "users"]
    assert [list(user) for user in answer.json[0]["users"]] == [["id", "email", "name", "roleId"]] * 2


def test_without_demo_data_no_workspace_is_listed(app, anonymous):
    sql(app, "UPDATE workspaces SET is_demo = 0")
    assert anonymous.get("/auth/tenants").json == []


# Refreshing


def test_a_token_is_exchanged_for_one_that_lasts_a_day_from_now(app):
    secret = stored_secret(app)
    old = sign(claims_of(EDITOR, issued=-3600), secret)
    answer = bearer(app, old).post("/auth/refresh")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private, no-store")
    assert list(answer.json) == ["token", "user"]
    assert answer.json["user"] == EDITOR
    _, claims = opened(answer.json["token"], secret)
    assert abs(claims["iat"] - time.time()) < 30
    assert claims == claims_of(EDITOR) | {"iat": claims["iat"], "exp": claims["iat"] + DAY}
    assert bearer(app, answer.json["token"]).get("/roles").status_code == 200


def test_an_expired_token_cannot_be_refreshed(app, error):
    error(bearer(app, sign(claims_of(ADMIN, issued=-DAY - 1), stored_secret(app))).post("/auth/refresh"), 401)


# Tokens


def test_a_token_signed_with_the_databases_secret_is_good(app):
    assert bearer(app, sign(claims_of(ADMIN), stored_secret(app))).get("/api-keys").status_code == 200


@each("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_case_of_the_scheme_does_not_matter(app, tokens, scheme):
    assert bearer(app, tokens["admin@sigma.io"], scheme).get("/roles").status_code == 200


@each(
    "header",
    ["{token}", "Basic {token}", "Token {token}", "JWT {token}", "Bearer", "Bearer ", "Bearer{token}", "Bearer: {token}", ""],
    ids=["no-scheme", "basic", "token", "jwt", "no-token", "blank-token", "no-space", "colon", "empty"],
)
def test_a_token_counts_only_behind_bearer(anonymous, tokens, error, header):
    answer = anonymous.get("/roles", headers={"Authorization": header.format(token=tokens["admin@sigma.io"])})
    error(answer, 401)
    assert answer.headers["WWW-Authenticate"]
    assert answer.headers["X-Sigma-Required-Permission"] == "read"


def without(claims, name):
    return {key: value for key, value in claims.items() if key != name}


GOOD = claims_of(ADMIN)
FORGERIES = {
    "no-algorithm": lambda secret: sign(GOOD, secret, {"alg": "none", "typ": "JWT"}),
    "no-algorithm-no-signature": lambda secret: sign(GOOD, secret, {"alg": "none"}).rpartition(".")[0] + ".",
    "no-algorithm-mixed-case": lambda secret: sign(GOOD, secret, {"alg": "nOnE"}).rpartition(".")[0] + ".",
    "hs512": lambda secret: sign(GOOD, secret, {"alg": "HS512", "typ": "JWT"}, hashlib.sha512),
    "hs384": lambda secret: sign(GOOD, secret, {"alg": "HS384", "typ": "JWT"}, hashlib.sha384),
    "rs256-header": lambda secret: sign(GOOD, secret, {"alg": "RS256", "typ": "JWT"}),
    "lower-case-algorithm": lambda secret: sign(GOOD, secret, {"alg": "hs256", "typ": "JWT"}),
    "header-without-algorithm": lambda secret: sign(GOOD, secret, {"typ": "JWT"}),
    "header-is-an-array": lambda secret: sign(GOOD, secret, []),
    "unknown-critical-extension": lambda secret: sign(GOOD, secret, {"alg": "HS256", "crit": ["x"], "x": 1}),
    "other-secret": lambda secret: sign(GOOD, "0" * 64),
    "empty-secret": lambda secret: sign(GOOD, ""),
    "no-signature": lambda secret: sign(GOOD, secret).rpartition(".")[0] + ".",
    "signature-cut-off": lambda secret: sign(GOOD, secret)[:-4],
    "two-parts": lambda secret: sign(GOOD, secret).rpartition(".")[0],
    "four-parts": lambda secret: sign(GOOD, secret) + ".x",
    "other-claims": lambda secret: ".".join(
        [
            sign(claims_of(EDITOR), secret).split(".")[0],
            sign(GOOD, secret).split(".")[1],
            sign(claims_of(EDITOR), secret).split(".")[2],
        ]
    ),
    "expired": lambda secret: sign(claims_of(ADMIN, issued=-DAY - 1), secret),
    "issued-in-three-hours": lambda secret: sign(claims_of(ADMIN, issued=3 * 3600), secret),
    **{f"no-{name}": lambda secret, name=name: sign(without(GOOD, name), secret) for name in GOOD},
    **{f"{name}-null": lambda secret, name=name: sign({**GOOD, name: None}, secret) for name in GOOD},
    **{f"{name}-array": lambda secret, name=name: sign({**GOOD, name: [GOOD[name]]}, secret) for name in GOOD},
    **{f"{name}-word": lambda secret, name=name: sign({**GOOD, name: "soon"}, secret) for name in ("iat", "exp")},
    **{f"{name}-infinite": lambda secret, name=name: sign({**GOOD, name: float("inf")}, secret) for name in ("iat", "exp")},
    **{
        f"{name}-number": lambda secret, name=name: sign({**GOOD, name: 1}, secret)
        for name in ("userId", "workspaceId", "roleId")
    },
    "user-id-half-a-surrogate-pair": lambda secret: sign({**GOOD, "userId": "\ud800"}, secret),
    "unknown-user": lambda secret: sign({**GOOD, "userId": "user-nobody"}, secret),
    "unknown-workspace": lambda secret: sign({**GOOD, "workspaceId": "ws-nowhere"}, secret),
    "user-of-another-workspace": lambda secret: sign(claims_of(EDITOR, "ws-other"), secret),
    "claims-are-an-array": lambda secret: sign([], secret),
    "claims-are-no-json": lambda secret: sign(b"\xff{", secret),
    "claims-nested-deep": lambda secret: sign(b"[" * 20_000, secret),
    "words": lambda secret: "let me in",
    "three-words": lambda secret: "let.me.in",
    "dots": lambda secret: "..",
    "beyond-ascii": lambda secret: "\u00e6.\u00f8.\u00e5",
    "the-secret-itself": lambda secret: secret,
    "an-example-key": lambda secret: EXAMPLE_KEY,
}


@each("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_token_that_is_not_wholly_right_is_refused(app, error, forge):
    secret = stored_secret(app)
    answer = bearer(app, forge(secret)).get("/roles")
    message = error(answer, 401)
    assert secret not in message
    assert answer.headers["WWW-Authenticate"]
    assert answer.headers["X-Sigma-Required-Permission"] == "read"


def test_a_removed_user_is_refused_at_once(app, editor, admin, error):
    assert editor.get("/roles").status_code == 200
    sql(app, "DELETE FROM users WHERE id = 'user-editor'")
    message = "Invalid or expired token: its user does not exist here; sign in again, with POST /api/v1/auth/login"
    assert error(editor.get("/roles"), 401) == message
    assert error(editor.post("/auth/refresh"), 401) == message
    assert admin.get("/roles").status_code == 200


def test_another_role_counts_at_once(app, admin, editor, error):
    assert admin.get("/api-keys").status_code == 200
    error(editor.get("/api-keys"), 403)
    for user, role in (("user-admin", "role-editor"), ("user-editor", "role-admin")):
        sql(app, "UPDATE users SET role_id = ? WHERE tenant = 'ws-demo' AND id = ?", role, user)
    assert "role-editor" in error(admin.get("/api-keys"), 403)
    assert editor.get("/api-keys").status_code == 200
    assert admin.post("/auth/refresh").json["user"] == {**ADMIN, "roleId": "role-editor"}


def test_the_role_that_a_token_claims_gives_no_rights(app, error):
    token = sign({**claims_of(EDITOR), "roleId": "role-admin"}, stored_secret(app))
    error(bearer(app, token).get("/api-keys"), 403)
    assert bearer(app, token).post("/auth/refresh").json["user"] == EDITOR


# The signing secret


def test_every_database_gets_a_secret_of_its_own_and_keeps_it(app, tmp_path):
    paths = [tmp_path / name for name in ("one.db", "two.db", "one.db")]
    secrets = [stored_secret(service.create_app({"DATABASE": str(path)})) for path in paths]
    assert secrets[0] == secrets[2]
    assert len({*secrets, stored_secret(app)}) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in secrets)


def test_a_secret_in_the_environment_overrides_the_databases(app, monkeypatch, tokens, error):
    secret = "a secret of the operator's own, long enough"
    monkeypatch.setenv("SIGMA_JWT_SECRET", secret)
    overridden = service.create_app({"DATABASE": app.config["DATABASE"]})
    error(bearer(overridden, tokens["admin@sigma.io"]).get("/roles"), 401)
    token = login(Caller(overridden)).json["token"]
    opened(token, secret)
    assert bearer(overridden, token).get("/roles").status_code == 200
    error(bearer(app, token).get("/roles"), 401)
    assert secret.encode() not in Path(app.config["DATABASE"]).read_bytes()


# The throttle


def let_pass(app, seconds):
    """Let time pass for the failures that are stored."""
    sql(app, "UPDATE login_attempts SET at = at - ?", seconds)


def fail(app, caller, times, **login_options):
    """Fail to sign in: once for real, since a password check is slow, and the other times by repeating what was stored."""
    assert login(caller, password="wrong", **login_options).status_code == 401
    newest = sql(app, "SELECT who, at FROM login_attempts ORDER BY rowid DESC LIMIT 2")  # by email and address, and by address
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        db.executemany("INSERT INTO login_attempts (who, at) VALUES (?, ?)", newest * (times - 1))


def assert_throttled(answer, error, at_most=60):
    seconds = answer.headers["Retry-After"]
    assert error(answer, 429) == f"Too many failed logins; try again in {seconds} second{'' if seconds == '1' else 's'}"
    assert 1 <= int(answer.headers["Retry-After"]) <= at_most + 1


def test_after_ten_failures_nobody_signs_in_until_the_minute_is_over(app, anonymous, error):
    for _ in range(10):
        error(login(anonymous, password="wrong"), 401)
    assert_throttled(login(anonymous, password="wrong"), error)
    assert_throttled(login(anonymous), error)
    assert_throttled(login(anonymous, "ADMIN@sigma.io"), error)
    assert_throttled(login(anonymous, headers={"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7"}), error)
    let_pass(app, 30)
    assert_throttled(login(anonymous), error, at_most=30)
    let_pass(app, 31)
    assert login(anonymous).status_code == 200


def test_a_success_clears_the_count(app, anonymous, error):
    fail(app, anonymous, 9)
    assert login(anonymous).status_code == 200
    fail(app, anonymous, 9)
    assert login(anonymous).status_code == 200


def test_failures_count_for_one_email_from_one_address(app, anonymous, error):
    fail(app, anonymous, 10, address="203.0.113.9")
    assert_throttled(login(anonymous, address="203.0.113.9"), error)
    assert login(anonymous, address="203.0.113.10").status_code == 200
    assert login(anonymous, "editor@sigma.io", "editor", address="203.0.113.9").status_code == 200
    assert_throttled(login(anonymous, address="203.0.113.9"), error)


def test_failures_for_many_emails_keep_their_address_out_and_no_other(app, anonymous, error):
    fail(app, anonymous, 9, address="203.0.113.9")
    fail(app, anonymous, 91, email="nobody@sigma.io", address="203.0.113.9")
    assert_throttled(login(anonymous, "editor@sigma.io", "editor", address="203.0.113.9"), error)
    assert login(anonymous, "editor@sigma.io", "editor", address="203.0.113.10").status_code == 200
    let_pass(app, 61)
    assert login(anonymous, "editor@sigma.io", "editor", address="203.0.113.9").status_code == 200


def test_who_has_failed_often_and_then_signs_in_has_failed_no_less_often_for_other_emails(app, anonymous, error):
    fail(app, anonymous, 99, email="nobody@sigma.io", address="203.0.113.9")
    assert login(anonymous, address="203.0.113.9").status_code == 200
    assert login(anonymous, password="wrong", address="203.0.113.9").status_code == 401
    assert_throttled(login(anonymous, address="203.0.113.9"), error)


def test_the_addresses_of_one_ipv6_network_count_as_one(app, anonymous, error):
    fail(app, anonymous, 10, address="2001:db8:1:2::1")
    assert_throttled(login(anonymous, address="2001:db8:1:2:ffff::9"), error)
    assert login(anonymous, address="2001:db8:1:3::1").status_code == 200


@each(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("[2001:DB8::1]", "2001:db8::/64"),
        ("[2001:db8::1]:80", "2001:db8::/64"),
        ("::1", "::/64"),
        ("192.0.2.256", "192.0.2.256"),
        ("192.0.2.1:http", "192.0.2.1:http"),
        ("a:b", "a:b"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_counts_by_what_it_is_and_not_by_how_it_is_written(app, address, counted):
    with app.test_request_context(environ_overrides={"REMOTE_ADDR": address}):
        assert sessions.address_of_caller() == counted


def test_right_logins_at_the_same_time_are_no_failures(app, anonymous):
    def sign_in(_):
        try:
            return login(anonymous).status_code
        finally:
            database.close_db()

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(sign_in, range(12))) == [200] * 12


def test_tries_at_the_same_time_find_no_more_than_one_after_another(app, anonymous, monkeypatch, error):
    record = sessions.record_login_attempt

    def others_fail_meanwhile(*arguments):
        replace_everywhere(monkeypatch, sessions, "record_login_attempt", record)
        fail(app, anonymous, 10)
        return record(*arguments)

    replace_everywhere(monkeypatch, sessions, "record_login_attempt", others_fail_meanwhile)
    assert_throttled(login(anonymous), error)


def test_a_clock_that_was_set_back_keeps_nobody_out(app, anonymous):
    fail(app, anonymous, 10)
    let_pass(app, -3600)
    assert login(anonymous).status_code == 200


def test_behind_a_proxy_the_address_is_what_the_proxy_saw(template, tmp_path, error):
    path = tmp_path / "sigma.db"
    shutil.copy(template, path)
    caller = Caller(service.create_app({"DATABASE": str(path), "PROXIES": 1}))
    try:
        fail(caller.app, caller, 10, headers={"X-Forwarded-For": "198.51.100.66, 203.0.113.9"})
        assert_throttled(login(caller, headers={"X-Forwarded-For": "198.51.100.67, 203.0.113.9"}), error)
        assert login(caller, headers={"X-Forwarded-For": "203.0.113.9, 203.0.113.10"}).status_code == 200
    finally:
        database.close_db()


def test_an_email_that_nobody_has_is_throttled_like_any_other(app, anonymous, error):
    fail(app, anonymous, 10)
    fail(app, anonymous, 10, email="nobody@sigma.io")
    known, unknown = login(anonymous), login(anonymous, "nobody@sigma.io")
    for answer in (known, unknown):
        assert_throttled(answer, error)
    assert sorted(known.headers.keys()) == sorted(unknown.headers.keys())


def test_a_throttled_login_does_not_make_the_wait_longer(app, anonymous, error):
    fail(app, anonymous, 10)
    let_pass(app, 30)
    for _ in range(20):
        assert_throttled(login(anonymous), error, at_most=30)
    let_pass(app, 31)
    assert login(anonymous).status_code == 200


def test_a_throttled_user_keeps_the_session_they_have(app, anonymous, admin, error):
    fail(app, anonymous, 10)
    assert_throttled(login(anonymous), error)
    assert admin.post("/auth/refresh").status_code == 200


def test_failures_are_stored_without_the_email_and_the_address(app, anonymous):
    login(anonymous, "somebody.private@sigma.io", "wrong", address="203.0.113.77")
    assert sql(app, "SELECT count(*) FROM login_attempts") == [(2,)]
    files = [Path(app.config["DATABASE"] + suffix) for suffix in ("", "-wal")]
    stored = b"".join(file.read_bytes() for file in files)
    assert b"somebody.private" not in stored
    assert b"203.0.113.77" not in stored
