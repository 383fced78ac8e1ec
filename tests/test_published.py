"""The public documentation's calls, as they are printed there: only the host and the token are others.

Each page is followed from top to bottom on a fresh demo workspace, and then once more on the same one: what can be made
twice is, what cannot says so with 409. What the documentation shows of an answer is written here by hand.
"""

import json
import re
import shlex

from cases import each
from conftest import sql

HOST = "https://api.sigma-pim.com/api/v1"
LONG_KEY, SHORT_KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678", "sigma_sk_live_abc123def456ghi789"
SESSION = '-H "Authorization: Bearer eyJhbGciOiJIUzI1NiIs..."'
JSON = '-H "Content-Type: application/json"'

MORE = "…"  # in place of further items of an array, or as a member in place of further members: they are not published
ANYTHING = re.compile(r"(?s).*")
NOW = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
MADE_ID = re.compile(r"(ent|sq|apikey|wh)-[0-9a-f]{16}")


def scoped(value, **scope):
    """Return a value in the segments of these dimensions."""
    return {"scope": {f"dim-{name}": f"seg-{segment}" for name, segment in scope.items()}, "value": value}


def differences(actual, published, path="answer"):
    """Yield where an answer is not what is published, the order of members included."""
    if isinstance(published, re.Pattern):
        if not isinstance(actual, str) or not published.fullmatch(actual):
            yield f"{path}: {actual!r} is not like {published.pattern}"
    elif isinstance(published, dict) and isinstance(actual, dict):
        named = [name for name in published if name != MORE]
        if [name for name in actual if MORE not in published or name in published] != named:
            yield f"{path}: has {list(actual)}, not {list(published)}"
        for name in set(named) & actual.keys():
            yield from differences(actual[name], published[name], f"{path}.{name}")
    elif isinstance(published, list) and isinstance(actual, list):
        named = [item for item in published if item != MORE]
        if len(actual) < len(named) or (len(actual) > len(named) and MORE not in published):
            yield f"{path}: has {len(actual)} items, not {len(named)}"
        for place, (one, other) in enumerate(zip(actual, named, strict=False)):
            yield from differences(one, other, f"{path}[{place}]")
    elif (type(actual), actual) != (type(published), published):
        yield f"{path}: {actual!r} is not {published!r}"


def curl(app, line, token):
    """Send what a curl command would."""
    words, method, headers, data = iter(shlex.split(line.replace("eyJhbGciOiJIUzI1NiIs...", token))), None, {}, None
    assert next(words) == "curl"
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            data = next(words)
        else:
            url = word
    assert url.startswith(HOST), line
    method = method or ("GET" if data is None else "POST")
    return app.test_client().open("/api/v1" + url.removeprefix(HOST), method=method, headers=headers, data=data)


NAME = [scoped("Coastal Windbreaker"), scoped("Kyst Vindjakke", language="da")]
WINDBREAKER = {
    "id": "ent-coastal-wb",
    "schemaId": "schema-apparel",
    "lifecycleStateId": "state-draft",
    "createdAt": "2024-01-15T10:30:00Z",
    "updatedAt": "2024-01-16T14:22:00Z",
    "createdBy": "user-admin",
    "updatedBy": "user-admin",
    "values": {
        "product-name": NAME,
        "sku": [scoped("CW-001")],
        "price": [scoped(129.99), scoped(969, market="dk")],
        MORE: MORE,
    },
}
NEW_WINDBREAKER = {
    "id": MADE_ID,
    "schemaId": "schema-apparel",
    "lifecycleStateId": "state-draft",
    "createdAt": NOW,
    "updatedAt": NOW,
    "createdBy": "user-admin",
    "updatedBy": "user-admin",
    "values": {"product-name": NAME, "sku": [scoped("CW-001")], "price": [scoped(129.99)]},
}
APPAREL = {
    "id": "schema-apparel",
    "alias": "apparel",
    "name": "Apparel",
    "description": "Clothing and accessories",
    "icon": "shirt",
    "variantEnabled": True,
    "workflowId": "wf-standard",
    "attributeGroups": [
        {
            "id": "grp-general",
            "name": "General",
            "sortOrder": 0,
            "attributeIds": ["attr-product-name", "attr-sku", "attr-price"],
        },
        {"id": "grp-details", "name": "Details", "sortOrder": 1, "attributeIds": ["attr-description", "attr-material"]},
        MORE,
    ],
}
USER = {"id": "user-admin", "email": "admin@sigma.io", "name": "Admin User", "roleId": "role-admin"}
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
FLAGS = {f"canManage{noun}": True for noun in ("Schemas", "Roles", "Dimensions", "OptionLists")}
ADMIN = {
    "id": "role-admin",
    "name": "Admin",
    "description": "Full access to all features and data",
    **FLAGS,
    "canExport": True,
    "canImport": True,
    MORE: MORE,
}
EDITOR = {"id": "role-editor", "name": "Editor", "description": "Can edit product content but not pricing", MORE: MORE}
WEBSHOP = {
    "id": "cat-webshop",
    "alias": "webshop",
    "name": "Webshop",
    "description": "Main e-commerce product hierarchy",
}
MARKETPLACE = {
    "id": "cat-marketplace",
    "alias": "marketplace",
    "name": "Marketplace",
    "description": "Amazon and eBay product listings",
}


def segment(id, is_default=False):
    return {"id": id, "alias": id.removeprefix("seg-"), "name": ANYTHING, "isDefault": is_default}


LANGUAGE = {
    "id": "dim-language",
    "alias": "language",
    "name": "Language",
    "defaultSegmentId": "seg-en",
    "segments": [segment("seg-en", True), segment("seg-da"), segment("seg-sv")],
}
MARKET = {
    "id": "dim-market",
    "alias": "market",
    "name": "Market",
    "defaultSegmentId": "seg-dk",
    "segments": [segment("seg-dk", True), segment("seg-se"), segment("seg-no")],
}
COLORS = {
    "id": "ol-colors",
    "alias": "colors",
    "name": "Colors",
    "hierarchical": False,
    "values": [
        {"id": "val-red", "alias": "red", "label": "Red", "sortOrder": 1, "color": "#ef4444"},
        {"id": "val-blue", "alias": "blue", "label": "Blue", "sortOrder": 2, "color": "#3b82f6"},
        {"id": "val-green", "alias": "green", "label": "Green", "sortOrder": 3, "color": "#22c55e"},
        MORE,
    ],
}
CATEGORIES = {
    "id": "ol-categories",
    "alias": "categories",
    "name": "Categories",
    "hierarchical": True,
    "values": [
        {"id": "val-clothing", "alias": "clothing", "label": "Clothing", "sortOrder": 1},
        {"id": "val-tops", "alias": "tops", "label": "Tops", "sortOrder": 1, "parentId": "val-clothing"},
        MORE,
    ],
}


def state(id, name):
    return {"id": id, "name": name, MORE: MORE}


def way(start, end):
    return {"id": ANYTHING, "name": ANYTHING, "fromStateId": f"state-{start}", "toStateId": f"state-{end}", MORE: MORE}


LIFECYCLE = {
    "id": "wf-product-lifecycle",
    "alias": "product-lifecycle",
    "name": "Product Lifecycle",
    "description": "Standard product review and publishing flow",
    "defaultStateId": "state-draft",
    "states": [state("state-draft", "Draft"), state("state-review", "Review"), state("state-published", "Published")],
    "transitions": [way("draft", "review"), way("review", "published"), MORE],
}
SMALL = {
    "id": "var-cw-s",
    "entityId": "ent-coastal-wb",
    "parentId": "ent-coastal-wb",
    "level": 1,
    MORE: MORE,
}
ROWS = [
    {"Name": "Coastal Windbreaker", "SKU": "CW-001", "Price": "129.99"},
    {"Name": "Summit Parka", "SKU": "SP-002", "Price": "249.50"},
    {"Name": "", "SKU": "XX-003", "Price": "not-a-number"},
]
IMPORT = {
    "rows": ROWS,
    "schemaId": "schema-apparel",
    "columnMapping": {"Name": "product-name", "SKU": "sku", "Price": "price"},
}
WRONG_ROW = [
    "Name: Attribute 'product-name' expects a value, got ''",
    "Price: Attribute 'price' expects type 'number', got 'not-a-number'",
]
IMPORTED = {"created": 2, "updated": 0, "errors": [{"row": 2, "message": "; ".join(WRONG_ROW)}]}


def page(items, total, offset=0, limit=50):
    return {"items": items, "total": total, "offset": offset, "limit": limit}


def found(count):
    """The windbreakers that a search finds: the demo's, and those that the quickstart has made."""
    return page([WINDBREAKER] + [NEW_WINDBREAKER] * (count - 1), count)


def get(path, by=SESSION):
    return f'curl "{HOST}{path}" {by}'


def send(path, body, by=SESSION, method="POST"):
    return f"curl -X {method} {HOST}{path} {by} {JSON} -d {shlex.quote(json.dumps(body))}"


def refusal(code, begins=""):
    return {"error": code, "message": re.compile(re.escape(begins) + r"[\s\S]*")}


TAKEN = 409, {"error": "CONFLICT", "message": re.compile("(id|alias): .* is already taken in .*")}
NOT_FOUND = 404, refusal("NOT_FOUND")
LOGIN = send("/auth/login", {"email": "admin@sigma.io", "password": "admin"}, by="")
QUICKSTART_RECORD = {
    "schemaId": "schema-apparel",
    "values": {"product-name": NAME, "sku": [scoped("CW-001")], "price": [scoped(129.99)]},
}
QUICKSTART_SEARCH = {
    "criteriaOperator": "and",
    "criteria": [
        {"attribute": "product-name", "operator": "contains", "value": "Coastal"},
        {"attribute": "price", "operator": "gt", "value": "100"},
    ],
}
ROLE = {"id": "role-translator", "name": "Translator"}
NOTIFY = {
    "id": "wh-sync-notify",
    "name": ANYTHING,
    MORE: MORE,
    "events": ["entity.created", "entity.updated", "entity.deleted"],
    "secret": "••••••••",
    "active": False,  # so that nothing leaves the machine
}
SLACK = {"id": "wh-lifecycle-slack", MORE: MORE}
NEW_WEBHOOK = {
    "id": "wh-orders",
    "name": "Orders",
    "url": "https://orders.example/sigma",
    "events": ["entity.transition", "variant.created"],
    "secret": "whsec-orders",
    "active": True,
}

# By page, its calls: the command, what is answered the first time, and the second, where that differs.
PAGES = {
    "quickstart": [
        (LOGIN, (200, {"token": TOKEN, "user": USER})),
        (get("/schemas"), (200, [APPAREL])),
        (send("/records", QUICKSTART_RECORD), (201, NEW_WINDBREAKER)),
        (send("/search", QUICKSTART_SEARCH), (200, found(2)), (200, found(3))),
    ],
    "authentication": [
        (LOGIN, (200, {"token": TOKEN, "user": USER})),
        (f"curl -X POST {HOST}/auth/refresh {SESSION}", (200, {"token": TOKEN, "user": USER})),
        (f"curl {HOST}/auth/tenants", (200, [{"id": "ws-demo", "name": ANYTHING, "users": [USER, MORE]}])),
        (f'curl {HOST}/records -H "X-Sigma-ApiKey: {SHORT_KEY}"', (200, page([WINDBREAKER, MORE], 47))),
    ],
    "api keys": [
        (f"curl {HOST}/api-keys {SESSION}", (200, [SYNC, EXPORT]), (200, [EXPORT, MORE])),
        (
            f"curl -X POST {HOST}/api-keys {SESSION} {JSON}"
            """ -d '{ "name": "Shopify Sync - Production", "permissions": ["read", "update-data"] }'""",
            (
                201,
                {
                    "id": MADE_ID,
                    "name": "Shopify Sync - Production",
                    "rawKey": re.compile("sigma_sk_live_[a-z0-9]{36}"),
                    "permissions": ["read", "update-data"],
                    "createdAt": NOW,
                },
            ),
        ),
        (
            f'curl {HOST}/records -H "X-Sigma-ApiKey: {LONG_KEY}"',
            (200, page([WINDBREAKER, MORE], 47)),
            (401, refusal("UNAUTHORIZED", "Invalid API key")),
        ),
        (
            f"curl -X POST {HOST}/api-keys/apikey-sync-prod/deactivate {SESSION}",
            (
                200,
                {
                    "id": "apikey-sync-prod",
                    "name": "Shopify Sync - Production",
                    "permissions": ["read", "update-data"],
                    "active": False,
                    "createdAt": "2026-02-15T09:00:00.000Z",
                    "deactivatedAt": NOW,
                },
            ),
            NOT_FOUND,
        ),
        (f"curl -X DELETE {HOST}/api-keys/apikey-sync-prod {SESSION}", (200, {"deleted": True}), NOT_FOUND),
    ],
    "schemas and attributes": [
        (get("/schemas"), (200, [APPAREL])),
        (get("/schemas/schema-apparel"), (200, APPAREL)),
        (
            send("/schemas", {"id": "schema-apparel", "alias": "apparel", "name": "Apparel", "variantEnabled": True}),
            TAKEN,
        ),
        (
            get("/attributes/attr-sku"),
            (
                200,
                {
                    "id": "attr-sku",
                    "alias": "sku",
                    "name": "SKU",
                    "type": "text",
                    "dimensionIds": [],
                    "inheritable": False,
                    "validation": {"required": True, "pattern": r"^[A-Z]{2}-\d{3}$"},
                    MORE: MORE,
                },
            ),
        ),
        (get("/schemas/schema-apparel/attributes"), (200, [{"id": "attr-product-name", MORE: MORE}, MORE])),
        (f"curl -X DELETE {HOST}/schemas/schema-apparel {SESSION}", (409, refusal("CONFLICT"))),
    ],
    "records": [
        (
            get("/records?schemaId=schema-apparel&limit=10"),
            (200, page([WINDBREAKER, MORE], 47, 0, 10)),
            (200, page([WINDBREAKER, MORE], 46, 0, 10)),
        ),
        (get("/records/ent-coastal-wb"), (200, WINDBREAKER)),
        (get("/records?lifecycleStateId=state-published&limit=1"), (200, page([MORE], 30, 0, 1))),
        (
            get("/records/ent-coastal-wb/completeness"),
            (200, {"entityId": "ent-coastal-wb", "stateId": "state-draft", "score": 66, MORE: MORE}),
        ),
        (
            get("/records/ent-coastal-wb/audit-log"),
            (200, page([{"id": ANYTHING, "entityId": "ent-coastal-wb", "action": "update", MORE: MORE}, MORE], 4)),
        ),
        (
            send("/records/ent-coastal-wb/transition", {"toStateId": "state-review"}),
            (422, refusal("TRANSITION_ERROR")),
        ),
        (send("/records", {"id": "ent-coastal-wb", **QUICKSTART_RECORD}), TAKEN),
        (f"curl -X DELETE {HOST}/records/ent-packable-backpack {SESSION}", (204, None), NOT_FOUND),
    ],
    "variants": [
        (get("/variants?schemaId=schema-apparel"), (200, page([SMALL, MORE], 2)), (200, page([SMALL], 1))),
        (get("/records/ent-coastal-wb/variants"), (200, [SMALL, MORE])),
        (get("/records/ent-coastal-wb/variants/var-cw-s"), (200, SMALL)),
        (
            get("/records/ent-coastal-wb/variants/var-cw-s/resolved"),
            (
                200,
                {
                    **SMALL,
                    "effectiveValues": {"product-name": NAME, "price": WINDBREAKER["values"]["price"], MORE: MORE},
                    "overriddenAttributes": ["sku", MORE],
                    "inheritedAttributes": ["product-name", "price", MORE],
                },
            ),
        ),
        (send("/records/ent-coastal-wb/variants", {"id": "var-cw-s", "values": {}}), TAKEN),
        (
            send("/records/ent-coastal-wb/variants/var-cw-s/values/size", {"value": "Small"}, method="PATCH"),
            (200, {**SMALL, "values": {MORE: MORE, "size": [scoped("Small")]}}),
        ),
        (f"curl -X DELETE {HOST}/records/ent-coastal-wb/variants/var-cw-s-red {SESSION}", (204, None), NOT_FOUND),
    ],
    "catalogs": [
        (get("/catalogs"), (200, [WEBSHOP, MARKETPLACE])),
        (get("/catalogs/cat-webshop"), (200, WEBSHOP)),
        (send("/catalogs", WEBSHOP), TAKEN),
        (
            get("/catalogs/cat-webshop/tree"),
            (
                200,
                [
                    {"id": "cat-men", "catalogId": "cat-webshop", MORE: MORE, "children": [{"id": ANYTHING, MORE: MORE}, MORE]},
                    MORE,
                ],
            ),
        ),
        (send("/categories/cat-men-windbreakers/assign", {"entityId": "ent-coastal-wb"}), (204, None)),
        (get("/categories/cat-men-windbreakers/entities"), (200, page([WINDBREAKER, MORE], 2))),
        (send("/categories/cat-market-jackets/unassign", {"entityId": "ent-coastal-wb"}), (204, None)),
    ],
    "dimensions": [
        (get("/dimensions"), (200, [LANGUAGE, MARKET])),
        (get("/dimensions/dim-market"), (200, MARKET)),
        (send("/dimensions", {**MARKET, "segments": [{"id": "seg-dk", "alias": "dk", "name": "Denmark"}]}), TAKEN),
        (
            send("/dimensions/scope-matrix", {"dimensionIds": ["dim-language", "dim-market"]}),
            (
                200,
                [
                    {"dim-language": f"seg-{language}", "dim-market": f"seg-{market}"}
                    for language in ("en", "da", "sv")
                    for market in ("dk", "se", "no")
                ],
            ),
        ),
    ],
    "option lists": [
        (get("/option-lists"), (200, [COLORS, CATEGORIES])),
        (get("/option-lists/ol-colors"), (200, COLORS)),
        (send("/option-lists", {"id": "ol-colors", "alias": "colors", "name": "Colors", "values": []}), TAKEN),
        (
            send("/option-lists/ol-colors/values", {"id": "val-red", "alias": "red", "label": "Red", "sortOrder": 1}),
            TAKEN,
        ),
        (
            send(
                "/option-lists/ol-colors/values/val-red",
                {"alias": "red", "label": "Red", "sortOrder": 1, "color": "#ef4444"},
                method="PUT",
            ),
            (200, {"id": "val-red", "alias": "red", "label": "Red", "sortOrder": 1, "color": "#ef4444"}),
        ),
    ],
    "workflows": [
        (get("/workflows"), (200, [LIFECYCLE, {"id": "wf-standard", MORE: MORE}])),
        (get("/workflows/wf-product-lifecycle"), (200, LIFECYCLE)),
        (
            send(
                "/workflows",
                {
                    **{name: LIFECYCLE[name] for name in ("id", "alias", "name", "description", "defaultStateId")},
                    "states": [{"id": "state-draft", "name": "Draft"}],
                },
            ),
            TAKEN,
        ),
        (f"curl -X DELETE {HOST}/workflows/wf-standard {SESSION}", (409, refusal("CONFLICT", "Workflow 'wf-standard'"))),
    ],
    "roles": [
        (get("/roles"), (200, [ADMIN, EDITOR]), (200, [ADMIN, EDITOR])),
        (get("/roles/role-editor"), (200, EDITOR)),
        (send("/roles", {"id": "role-editor", "name": "Editor"}), TAKEN),
        (
            send(
                "/roles/role-editor/resolve",
                {"schemaId": "schema-apparel", "attributeIds": ["attr-product-name", "attr-description", "attr-price"]},
            ),
            (200, {"product-name": "write", "description": "write", "price": "read"}),
        ),
        (send("/roles", ROLE), (201, {**ROLE, MORE: MORE})),
        (f"curl -X DELETE {HOST}/roles/role-translator {SESSION}", (204, None)),
    ],
    "search": [
        (send("/search", {"schemaId": "schema-apparel", **QUICKSTART_SEARCH}), (200, found(1))),
        (
            send(
                "/search",
                {
                    "criteria": [
                        {"attributeAlias": "price", "operator": "equals", "value": 969, "scope": {"dim-market": "seg-dk"}}
                    ]
                },
            ),
            (200, page([WINDBREAKER, MORE], 4)),
        ),
        (send("/search/full-text", {"query": "coastal", "schemaId": "schema-apparel"}), (200, found(1))),
        (get("/search/text?q=coastal&schemaId=schema-apparel"), (200, found(1))),
        (
            send("/saved-queries", {"name": "Coastal", "query": QUICKSTART_SEARCH}),
            (
                201,
                {"id": MADE_ID, "name": "Coastal", "query": {**QUICKSTART_SEARCH}, "createdAt": NOW, "createdBy": "user-admin"},
            ),
        ),
        (
            send("/saved-queries", {"id": "sq-coastal", "name": "Coastal", "query": QUICKSTART_SEARCH}),
            (201, {"id": "sq-coastal", MORE: MORE}),
        ),
        (f"curl -X POST {HOST}/saved-queries/sq-coastal/execute {SESSION}", (200, found(1))),
        (f"curl -X DELETE {HOST}/saved-queries/sq-coastal {SESSION}", (204, None)),
    ],
    "import and export": [
        (
            send("/import/preview", IMPORT),
            (
                200,
                {
                    "totalRows": 3,
                    "validRows": 2,
                    "errorRows": 1,
                    "results": [
                        {"row": 0, "valid": True, "action": "create", "errors": []},
                        {"row": 1, "valid": True, "action": "create", "errors": []},
                        {"row": 2, "valid": False, "action": "create", "errors": WRONG_ROW},
                    ],
                },
            ),
        ),
        (send("/import/execute", IMPORT), (200, IMPORTED)),
        (
            send(
                "/import/execute",
                {
                    "schemaId": "schema-apparel",
                    "columnMapping": {"Ref": "_id", "Title": "product-name", "SKU": "sku", "Price": "price"},
                    "rows": [{"Ref": "ent-coastal-wb", "Title": "Coastal Windbreaker", "SKU": "CW-001", "Price": "129.99"}],
                },
            ),
            (200, {"created": 0, "updated": 1, "errors": []}),
        ),
        (
            get("/export?format=json&schemaId=schema-apparel"),
            (
                200,
                [
                    {
                        "_id": "ent-coastal-wb",
                        "product-name": "Coastal Windbreaker",
                        "sku": "CW-001",
                        "price": 969,
                        "description": None,
                        "material": "Recycled nylon",
                        MORE: MORE,
                    },
                    MORE,
                ],
            ),
        ),
    ],
    "webhooks": [
        (get("/webhooks"), (200, [NOTIFY, SLACK])),
        (get("/webhooks/wh-sync-notify"), (200, NOTIFY)),
        (send("/webhooks", NEW_WEBHOOK), (201, {**NEW_WEBHOOK, "secret": "••••••••"})),
        (
            send("/webhooks/wh-orders", {**NEW_WEBHOOK, "active": False, "secret": "••••••••"}, method="PUT"),
            (200, {**NEW_WEBHOOK, "active": False, "secret": "••••••••"}),
        ),
        (f"curl -X DELETE {HOST}/webhooks/wh-orders {SESSION}", (204, None)),
    ],
}


@each("calls", PAGES.values(), ids=PAGES)
def test_a_page_can_be_followed_and_followed_again(calls, app, tokens):
    for turn in (1, 2):
        for line, first, *second in calls:
            status, published = second[0] if turn == 2 and second else first
            answer = curl(app, line, tokens["admin@sigma.io"])
            assert answer.status_code == status, (line, answer.text)
            assert list(differences(answer.json if answer.data else None, published)) == [], line


def test_the_windbreakers_in_the_quickstart_are_the_demos_and_the_new_one(app, tokens):
    token = tokens["admin@sigma.io"]
    made = curl(app, PAGES["quickstart"][2][0], token).json
    items = curl(app, PAGES["quickstart"][3][0], token).json["items"]
    assert [item["id"] for item in items] == ["ent-coastal-wb", made["id"]]
    assert items[1] == made


def test_a_csv_is_exported_with_its_columns(app, tokens):
    answer = curl(app, get("/export?format=csv&schemaId=schema-apparel"), tokens["admin@sigma.io"])
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    header, first, *_ = answer.text.split("\r\n")
    assert header.startswith("_id,product-name,sku,price,description,material,")
    assert first.startswith("ent-coastal-wb,Coastal Windbreaker,CW-001,969,,Recycled nylon,")


TYPED = {"schemaId": "schema-apparel", "values": {"price": [scoped("cheap")]}}
MATCHED = {"schemaId": "schema-apparel", "values": {"sku": [scoped("cw-1")]}}
SENTENCES = [  # a call, its status and code, the whole message; what stands before the colon is published
    (
        send("/auth/login", {"email": "admin@sigma.io"}, by=""),
        *(400, "VALIDATION_ERROR"),
        "Email and password are required: password: Expected a value, but it is missing",
    ),
    (
        f"curl {HOST}/records",
        *(401, "UNAUTHORIZED"),
        "Missing authentication: send X-Sigma-ApiKey: <key>, or Authorization: Bearer <token>",
    ),
    (
        f'curl {HOST}/records -H "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"',
        *(401, "UNAUTHORIZED"),
        "Invalid or expired token: it was not made here, or is damaged; sign in again, with POST /api/v1/auth/login",
    ),
    (
        f'curl {HOST}/records -H "X-Sigma-ApiKey: {SHORT_KEY}0"',
        *(401, "UNAUTHORIZED"),
        "Invalid API key: expected one X-Sigma-ApiKey header with sigma_sk_live_ and 36 characters of a-z and 0-9",
    ),
    (
        send("/records", TYPED),
        *(400, "VALIDATION_ERROR"),
        "values.price[0].value: Attribute 'price' expects type 'number', got 'string'"
        " (send a number without quotes, such as 129.99)",
    ),
    (
        send("/records", MATCHED),
        *(400, "VALIDATION_ERROR"),
        r"values.sku[0].value: Value for 'sku' does not match pattern '^[A-Z]{2}-\d{3}$', got 'cw-1'",
    ),
    (
        send("/records", MATCHED["values"]["sku"][0] | {"schemaId": "schema-apparel", "values": {}}),
        *(400, "VALIDATION_ERROR"),
        "scope: Unknown field (there are 'schemaId', 'values', 'id'); "
        "value: Unknown field (there are 'values', 'schemaId', 'id')",
    ),
    (get("/records/ent-lost"), 404, "NOT_FOUND", "Record 'ent-lost' not found"),
]


@each(("line", "status", "code", "message"), SENTENCES, ids=[message[:40] for *_, message in SENTENCES])
def test_a_message_begins_as_published(line, status, code, message, app, tokens):
    answer = curl(app, line, tokens["admin@sigma.io"])
    assert (answer.status_code, answer.json) == (status, {"error": code, "message": message})


# The rest of the demo


def test_the_demo_has_records_in_several_states_languages_and_markets(admin):
    records = admin.get("/records").json["items"]
    assert len(records) == len({record["id"] for record in records}) == 47
    states = [record["lifecycleStateId"].removeprefix("state-") for record in records]
    assert {name: states.count(name) for name in set(states)} == {"draft": 9, "review": 8, "published": 30}

    def scopes(alias):
        return {
            segment for record in records for entry in record["values"].get(alias, []) for segment in entry["scope"].values()
        }

    assert (scopes("product-name"), scopes("price")) == ({"seg-da", "seg-sv"}, {"seg-dk", "seg-se"})
    assert all(len(record["values"]["product-name"]) >= 2 for record in records)
    assert not any("image" in record["values"] for record in records)
    eans = [record["values"]["ean"][0]["value"] for record in records if "ean" in record["values"]]
    assert (len(eans), len(set(eans))) == (44, 44)
    for ean in eans:  # the last digit checks the others
        assert sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(ean)) % 10 == 0


def test_every_record_of_the_demo_is_in_a_category(admin):
    for record in admin.get("/records").json["items"]:
        assert admin.get(f"/records/{record['id']}/categories").json != [], record["id"]


def test_every_record_has_a_history_that_leads_to_the_state_it_is_in(admin):
    ways = {(way["fromStateId"], way["toStateId"]) for way in admin.get("/workflows/wf-standard").json["transitions"]}
    for record in admin.get("/records").json["items"]:
        log = [
            entry
            for entry in reversed(admin.get(f"/records/{record['id']}/audit-log").json["items"])
            if entry["entityId"] == record["id"]
        ]
        assert [entry["timestamp"] for entry in log] == sorted(entry["timestamp"] for entry in log)
        assert (log[0]["action"], log[0]["timestamp"], log[0]["userId"]) == ("create", record["createdAt"], record["createdBy"])
        assert (log[-1]["timestamp"], log[-1]["userId"]) == (record["updatedAt"], record["updatedBy"])
        state, values = "state-draft", {}
        for change in (change for entry in log for change in entry["changes"]):
            if change["attribute"] == "lifecycleStateId":
                assert change["oldValue"] == state
                assert (state, change["newValue"]) in ways
                state = change["newValue"]
            else:
                place = change["attribute"], json.dumps(change["scope"])
                assert values.get(place) == change["oldValue"]
                values[place] = change["newValue"]
        assert state == record["lifecycleStateId"]
        assert values == {
            (alias, json.dumps(entry["scope"])): entry["value"]
            for alias, entries in record["values"].items()
            for entry in entries
        }


def test_records_in_review_and_published_have_what_these_states_require(admin):
    for record in admin.get("/records?limit=47").json["items"]:
        report = admin.get(f"/records/{record['id']}/completeness").json
        if record["lifecycleStateId"] != "state-draft":
            assert report["missing"] == [], record["id"]


def test_the_editor_edits_content_and_may_not_price(admin):
    role = admin.get("/roles/role-editor").json
    (levels,) = (listed["attributePermissions"] for listed in role["schemaPermissions"])
    assert {alias for alias, level in levels.items() if level != "write"} == {"price"}
    assert {"product-name", "description", "material"} <= levels.keys()
    assert levels["price"] == "read"


def test_a_sku_may_come_twice_and_an_ean_may_not(admin, error):
    values = {"sku": [scoped("CW-001")], "ean": [scoped("9520000010072")]}
    message = error(admin.post("/records", {"schemaId": "schema-apparel", "values": values}), 409)
    assert message == "values.ean[0].value: '9520000010072' is already the value of 'ent-coastal-wb'"
    assert admin.post("/records", {"schemaId": "schema-apparel", "values": {"sku": values["sku"]}}).status_code == 201
    assert admin.get("/records").json["total"] == 48


def test_keys_are_stored_as_hashes_the_documented_ones_too(app):
    stored = [row for table in ("api_keys", "settings") for row in sql(app, f"SELECT * FROM {table}")]
    assert not any(SHORT_KEY in str(row) or SHORT_KEY.encode() in row for row in stored)
