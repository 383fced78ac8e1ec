"""The text for coding assistants: true of this service, short, and without the demo in a deployment."""

import json
import re

import test_access
from cases import each
from conftest import sql
from test_addresses import ADDRESSES

ROUTE = re.compile(r"- `(/[^`]*)` ([A-Z]+ .*)")
DEMO_KEYS = {"sigma_sk_live_abc123def456ghi789jkl012mno345pqr678", "sigma_sk_live_abc123def456ghi789"}
PLACES = {":file": "{file}", ":valueId": "{value_id}", ":vid": "{variant_id}", ":attr": "{attribute}", ":id": "{id}"}


def read(app, **headers):
    answer = app.test_client().get("/llms.txt", headers=headers)
    assert answer.status_code == 200
    return answer.text


def listed_routes(text):
    """Return each method and path that is listed, in order, with what it needs."""
    found = [ROUTE.fullmatch(line) for line in text.splitlines()]
    return [
        (method, match[1], need)
        for match in found
        if match
        for method, _, need in (part.partition(" ") for part in match[2].split(" | "))
    ]


def expected_need(operation):
    """What the text should say of an operation of the hand-written table."""
    if operation.key in (test_access.PUBLIC, test_access.DEMO):
        return "public" if operation.key == test_access.PUBLIC else "demo only"
    if operation.key == test_access.ANY_KEY:
        return "any key or person"
    key = "people only" if operation.key == test_access.NO_KEY else operation.key
    return key if operation.flag == test_access.ANY_USER else f"{key}: {operation.flag}"


def path_of(operation):
    path = re.sub(":[A-Za-z]+", lambda match: PLACES[match[0]], operation.path)
    return operation.root + re.sub("^/docs/.*", "/docs/{file}", path)


def test_it_is_public_plain_and_short_and_no_cache_keeps_it(app):
    answer = app.test_client().get("/llms.txt")
    assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/plain; charset=utf-8", "no-store")
    assert len(answer.text.splitlines()) <= 200
    head = app.test_client().head("/llms.txt")
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", str(len(answer.data)))
    assert head.content_type == answer.content_type


def test_every_route_is_in_it_once_with_what_it_needs(app):
    expected = {(operation.method, path_of(operation), expected_need(operation)) for operation in test_access.ALL}
    assert sorted(listed_routes(read(app))) == sorted(expected)


def test_what_is_not_built_is_in_it_once(app):
    text = read(app)
    for path in ("/export-jobs", "/channels", "/change-sets"):
        assert text.count(f"`/api/v1{path}` and all below it") == 1


def test_a_deployments_has_its_routes_and_nothing_of_the_demo(deployment):
    text = read(deployment)
    expected = {(o.method, path_of(o), expected_need(o)) for o in test_access.ALL if o.key != test_access.DEMO}
    assert sorted(listed_routes(text)) == sorted(expected)
    for word in (
        "sigma_sk_live_",
        "password `",
        "admin@sigma.io",
        "ws-demo",
        "/standin/reset",
        "/standin/workspaces",
    ):
        assert word not in text


def test_it_changes_with_the_database_and_not_with_what_was_read_first(app, request):
    assert "/standin/reset" in read(app)
    request.getfixturevalue("deployment")
    assert "/standin/reset" not in read(app)


def test_the_credentials_that_it_names_are_good(app, anonymous):
    text = read(app)
    people = re.findall("Person: `(.+?)`, password `(.+?)`, role `(.+?)`", text)
    assert people == [("admin@sigma.io", "admin", "role-admin"), ("editor@sigma.io", "editor", "role-editor")]
    for email, password, _ in people:
        assert anonymous.post("/auth/login", {"email": email, "password": password}).status_code == 200
    keys = set(re.findall("- API key: `(.+?)`", text))
    assert keys == DEMO_KEYS
    for key in keys:
        assert app.test_client().get("/api/v1/records", headers={"X-Sigma-ApiKey": key}).status_code == 200


def test_a_key_that_is_deactivated_is_no_longer_named(app, admin):
    admin.post("/api-keys/apikey-export-staging/deactivate")
    assert set(re.findall("- API key: `(.+?)`", read(app))) == DEMO_KEYS - {"sigma_sk_live_abc123def456ghi789"}


def test_a_person_who_is_gone_is_no_longer_named(app):
    sql(app, "UPDATE users SET email = 'other@sigma.io' WHERE tenant = 'ws-demo' AND email = 'editor@sigma.io'")
    assert re.findall("Person: `(.+?)`", read(app)) == ["admin@sigma.io"]


def test_the_calls_that_it_shows_for_tests_work_as_they_are(app):
    calls = re.findall(r"^  (GET|POST|PUT) http://localhost(/\S+)(?: (.+))?$", read(app), re.MULTILINE)
    statuses = []
    for method, path, body in calls:
        sent = {"json": json.loads(body)} if body else {}
        statuses.append((method, path, app.test_client().open(path, method=method, **sent).status_code))
    assert statuses == [
        ("POST", "/standin/workspaces", 201),
        ("POST", "/standin/reset", 204),
        ("PUT", "/standin/keys/apikey-sync-prod/faults", 200),
        ("GET", "/standin/requests?status=4xx&limit=20", 200),
        ("POST", "/standin/deliveries/run?workspace=ws-demo", 200),
    ]


@each("case", ADDRESSES)
def test_it_names_the_address_at_which_it_is_read_and_no_other(app, monkeypatch, case):
    proxies, headers, url = ADDRESSES[case]
    monkeypatch.setitem(app.config, "PROXIES", proxies)
    text = read(app, **headers)
    named = url or "<where you read this, without /llms.txt>"
    assert f"Address of the API: {named}/api/v1\n" in text
    for word in ("evil", "script>", "javascript"):
        assert word not in text
