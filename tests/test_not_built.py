"""What Sigma PIM documents and this service does not have: 501 for whoever is known, and nothing else changes."""

import json

from cases import each
from conftest import sql
from test_access import BROKEN, HEADER, LARGE, NOT_JSON

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW")
# The documented paths, with the methods that are documented of them (the reference, section 15).
DOCUMENTED = {
    "/export-jobs": {
        "/export-jobs": "GET POST",
        "/export-jobs/job-1": "GET PUT DELETE",
        "/export-jobs/job-1/pause": "POST",
        "/export-jobs/job-1/resume": "POST",
        "/export-jobs/job-1/runs": "GET POST",
    },
    "/channels": {
        "/channels": "GET POST",
        "/channels/ch-1": "GET PUT DELETE",
        "/channels/ch-1/test-connection": "POST",
        "/channels/ch-1/sync": "POST",
        "/channels/ch-1/push": "POST",
        "/channels/ch-1/pull": "POST",
        "/channels/ch-1/sync-logs": "GET",
        "/channels/ch-1/sync-mappings": "GET",
    },
    "/change-sets": {
        "/change-sets": "GET POST",
        "/change-sets/stats": "GET",
        "/change-sets/cs-1": "GET PUT DELETE",
        **{f"/change-sets/cs-1/{verb}": "POST" for verb in ("submit", "approve", "reject", "apply")},
        **{f"/change-sets/cs-1/operations/op-1/{verb}": "POST" for verb in ("approve", "reject", "rate", "annotate")},
        "/change-sets/cs-1/annotations/an-1": "DELETE",
        "/change-sets/cs-1/messages": "GET POST",
    },
}
PATHS = [(root, path) for root, paths in DOCUMENTED.items() for path in paths]


def test_the_table_has_as_many_operations_as_are_documented():
    counts = {root: sum(len(methods.split()) for methods in paths.values()) for root, paths in DOCUMENTED.items()}
    assert counts == {"/export-jobs": 9, "/channels": 5 + 6, "/change-sets": 17}


@each(("root", "path"), PATHS)
def test_whoever_is_known_is_told_that_a_documented_path_is_not_here(root, path, admin, editor, make_key, error):
    for caller in (admin, editor, make_key("delete-model")):
        for method in METHODS:
            answer = caller.request(method, path)
            if method == "HEAD":
                assert (answer.status_code, answer.data) == (501, b"")
                continue
            message = error(answer, 501)
            assert message.startswith(f"Sigma PIM documents {root}, the ")
            assert message.endswith("; this stand-in does not have it")
            assert HEADER not in answer.headers


@each(("root", "path"), PATHS)
def test_who_is_not_known_is_not_told(root, path, anonymous, error):
    for method in ("GET", "POST", "OPTIONS", "BREW"):
        for headers in ({}, {"X-Sigma-ApiKey": "wrong"}, {"Authorization": "Bearer wrong"}):
            answer = anonymous.request(method, path, headers=headers)
            error(answer, 401)
            assert answer.headers["WWW-Authenticate"]


@each("body", [LARGE, NOT_JSON, BROKEN, {"json": {"name": "Shop"}}], ids=["large", "XML", "broken", "JSON"])
def test_no_body_is_looked_at(body, admin, anonymous, error, stored):
    before = stored()
    error(admin.post("/channels", **body), 501)
    error(anonymous.post("/channels", **body), 401)
    assert stored() == before


@each(
    "path",
    ["/channel", "/channels//ch-1", "/Channels", "/channelsx", "/change-set", "/change_sets", "/export-job"],
)
def test_what_only_looks_like_a_documented_path_is_unknown(path, admin, anonymous, error):
    for caller in (admin, anonymous):
        error(caller.get(path), 404)


@each("rest", ["", "ch-1/", "ch 1", "æ/%2e%2e", "..", "a/b/c/d/e/f", "\0"])
def test_below_a_documented_path_everything_is_the_same(rest, admin, error):
    assert error(admin.get(f"/channels/{rest}"), 501) == error(admin.get("/channels"), 501)


def test_a_key_that_was_refused_so_has_been_used(admin, make_key, error):
    key = make_key("read")
    error(key.get("/export-jobs"), 501)
    (seen,) = [one for one in admin.get("/api-keys").json if one["id"] == key.id]
    assert seen["lastUsedAt"] is not None


def test_a_deactivated_key_is_refused_there_as_everywhere(app, admin, make_key, error):
    key = make_key("read")
    assert admin.post(f"/api-keys/{key.id}/deactivate").status_code == 200
    error(key.get("/export-jobs"), 401)
    assert sql(app, "SELECT last_used_at FROM api_keys WHERE id = ?", key.id) == [(None,)]


def test_the_docs_list_what_is_not_here_and_offer_no_operation_for_it(app):
    document = app.test_client().get("/openapi.json").json
    listed = [line for line in document["info"]["description"].splitlines() if "and all below it" in line]
    assert [line.split("`")[1] for line in listed] == [f"/api/v1{root}" for root in DOCUMENTED]
    assert not any(root in path for path in document["paths"] for root in DOCUMENTED)
    assert "Not built" not in json.dumps(document["tags"])
    assert "- 501 `NOT_IMPLEMENTED`: " in document["info"]["description"]


def test_a_list_of_what_a_credential_may_call_has_no_route_that_is_not_here(app, key):
    routes = app.test_client().get("/standin/whoami", headers=key.headers).json["routes"]
    assert not any(root in route["path"] for route in routes for root in DOCUMENTED)
