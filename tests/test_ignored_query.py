"""Query strings: a GET says which parameters it does not know, and is answered as it is without them."""

import re

from cases import each
from conftest import EXAMPLE_KEY, store_delivery
from nouns import DEMO_IDS
from test_access import OPERATIONS, OUTSIDE_THE_API, each_operation

HEADER = "X-Sigma-Ignored-Query"
PAGE = {"offset": "0", "limit": "5"}
# What each GET reads from its query string, with values that it takes; all the others read nothing.
KNOWN = {
    "/records": {"schemaId": "schema-apparel", "lifecycleStateId": "state-draft", **PAGE},
    "/records/:id/audit-log": PAGE,
    "/variants": {"schemaId": "schema-apparel", **PAGE},
    "/categories/:id/entities": PAGE,
    "/search/text": {"q": "cap", "query": "cap", "schemaId": "schema-apparel", **PAGE},
    "/standin/requests": {
        **{"workspace": "ws-demo", "key": "apikey-sync-prod", "status": "4xx", "method": "GET", "path": "records"},
        **{"after": "request-1", "limit": "5"},
    },
    "/standin/deliveries": {
        **{"workspace": "ws-demo", "webhookId": "wh-sync-notify", "state": "pending", "event": "entity.created", **PAGE},
    },
    "/standin/deliveries/:id": {"workspace": "ws-demo"},
    "/standin/webhooks": {"workspace": "ws-demo"},
    "/export": {"format": "json", "schemaId": "schema-apparel", "catalogId": "cat-webshop", "scope": "{}"},
}
GETS = [operation for operation in OPERATIONS + OUTSIDE_THE_API if operation.method == "GET"]
EXISTING = {
    **DEMO_IDS,
    **{"records": "ent-coastal-wb", "categories": "cat-men", "variants": "var-cw-s", "saved-queries": "sq-cheap-caps"},
    **{"keys": "apikey-sync-prod", "requests": "request-1", "console": "style.css", "workspaces": "ws-demo"},
    **{"deliveries": "dlv-1", "webhooks": "wh-sync-notify"},
}


def url_of(operation, exists=True):
    """The path of an operation with ids that exist, or with those that do not."""
    if not exists:
        return operation.url
    return operation.root + re.sub(r"([a-z-]+)/:\w+", lambda match: f"{match[1]}/{EXISTING[match[1]]}", operation.path)


@each_operation(GETS)
def test_each_parameter_that_a_get_reads_is_known_and_no_other_is(operation, app, admin):
    known, client = KNOWN.get(operation.path, {}), app.test_client()
    admin.get("/roles", headers={"X-Request-Id": EXISTING["requests"]})
    store_delivery(app, EXISTING["deliveries"])
    for query, told in [
        ({}, None),
        (known, None),
        *(({name: value}, None) for name, value in known.items()),
        ({**known, "no-such-order": "name"}, "no-such-order"),
        ({"no-such-filter": "2026-01-01", **known, "no-such-order": "name"}, "no-such-filter, no-such-order"),
    ]:
        for method in ("GET", "HEAD"):
            with client.open(url_of(operation), method=method, query_string=query, headers=admin.headers) as answer:
                assert answer.status_code in (200, 302) or query.keys() < known.keys(), (query, answer.text)
                assert answer.headers.getlist(HEADER) == ([told] if told else []), query


@each_operation(GETS)
def test_a_refusal_says_it_too(operation, app):
    answer = app.test_client().get(url_of(operation, exists=False), query_string="no-such-page=2")
    assert answer.headers.getlist(HEADER) == ["no-such-page"]
    answer.close()


@each_operation([operation for operation in GETS if operation.key == "read"])
def test_what_is_not_known_changes_nothing(operation, admin):
    path = url_of(operation).removeprefix("/api/v1")
    plain, asked = (
        admin.get(path, query_string={**KNOWN.get(operation.path, {}), **more}) for more in ({}, {"no-such-order": "-id"})
    )
    assert (plain.status_code, plain.data) == (asked.status_code, asked.data)


def test_each_status_can_come_with_it(app, admin, make_key, anonymous):
    app.config["RECORD_LIMIT"] = 0
    for caller, path, status in (
        (admin, "/records?no-such-order=a", 200),
        (admin, "/records?no-such-order=a&limit=0", 400),
        (anonymous, "/records?no-such-order=a", 401),
        (make_key("delete-data"), "/records?no-such-order=a", 403),
        (admin, "/records/nowhere?no-such-order=a", 404),
    ):
        answer = caller.get(path)
        assert (answer.status_code, answer.headers[HEADER]) == (status, "no-such-order")
    app.config["DATABASE"] = "/nowhere/sigma.db"
    answer = admin.get("/records?no-such-order=a")
    assert (answer.status_code, answer.headers[HEADER]) == (503, "no-such-order")


@each(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/channels"),
        ("DELETE", "/records"),
        ("POST", "/records"),
        ("PUT", "/records/ent-coastal-wb"),
        ("POST", "/saved-queries/sq-cheap-caps/execute"),
    ],
)
def test_nothing_but_a_get_says_it(method, path, admin):
    assert HEADER not in admin.request(method, f"{path}?no-such-order=a").headers


@each(
    ("query", "told"),
    [
        ("no-such-order=a&no-such-order=b&no-such-order", "no-such-order"),
        ("Limit=5&limit=5&LIMIT=5", "Limit, limit, LIMIT"),
        ("no-such-order", "no-such-order"),
        ("=5&&&", None),
        ("limit=5;no-such-order=a", "limit"),
        ("no-such[name]=cap&$no-such=5&a:b=1&x@y=2", "no-such[name], $no-such, a:b, x@y"),
        ("a,b=1&c d=2&e%2Cf=3", "a%2Cb, c%20d, e%2Cf"),
        ("a%0D%0ASet-Cookie:%20x=1", "a%0D%0ASet-Cookie:%20x"),
        ("%00=1&%7F=2&%1b[2J=3", "%00, %7F, %1B[2J"),
        ("%C3%A6=1&%F0%9F%A7%A2=2", "%C3%A6, %F0%9F%A7%A2"),
        ("\u202e=1", "%E2%80%AE"),
        ('"<script>=1', "%22%3Cscript%3E"),
        ("x" * 50_000 + "=1", "x" * 40),
        ("&".join(f"p{number}=1" for number in range(1000)), ", ".join([*(f"p{number}" for number in range(20)), "..."])),
        ("&".join(f"p{number}=1" for number in range(20)), ", ".join(f"p{number}" for number in range(20))),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_names_are_told_so_that_no_header_breaks(query, told, admin):
    assert admin.get("/roles", query_string=query).headers.get(HEADER) == told


@each(
    ("raw", "told"),
    [
        (b"\xff\xfe=1&no-such-order=2", "%25FF%25FE, no-such-order"),
        ("æ=1&limit=0&no-such-order=%41".encode(), "%C3%A6, limit, no-such-order"),
        (b"\xff", "%25FF"),
    ],
)
def test_bytes_that_are_not_percent_encoded_are_told_as_if_they_were(raw, told, admin):
    answer = admin.get("/roles", environ_overrides={"QUERY_STRING": raw.decode("latin-1")})
    assert (answer.status_code, answer.headers[HEADER]) == (200, told)


def test_a_query_string_that_is_no_utf_8_is_no_fault_of_the_service(admin):
    query = b"schemaId=\xff&lifecycleStateId=state-draft".decode("latin-1")
    assert admin.get("/records", environ_overrides={"QUERY_STRING": query}).json["items"] == []
    words = "q=Kyst&schemaId=schema-apparel&x=æ".encode().decode("latin-1")
    assert admin.get("/search/text", environ_overrides={"QUERY_STRING": words}).json["total"] == 1


@each("name", [EXAMPLE_KEY, EXAMPLE_KEY.upper(), f"key-{EXAMPLE_KEY}", "x" * 30 + EXAMPLE_KEY])
def test_a_key_in_a_name_is_not_repeated(name, admin):
    told = admin.get("/roles", query_string={name: "1", "api_key": EXAMPLE_KEY}).headers[HEADER]
    assert EXAMPLE_KEY[14:20] not in told.lower()
    assert told.endswith(", api_key")
