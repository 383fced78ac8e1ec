"""Errors that teach: what to do instead, which names there are, the path that was meant; never what a caller may not see."""

import re
import time
from urllib.parse import urljoin

import pytest
from cases import each
from nouns import NOUNS

from sigma.http import nearest

# Paths


PATHS = {
    "/record": "/api/v1/records",
    "/recordss": "/api/v1/records",
    "/records": "/api/v1/records",
    "/Records": "/api/v1/records",
    "/api/v1/records/": "/api/v1/records",
    "/api/v1//records": "/api/v1/records",
    "/api/records": "/api/v1/records",
    "/v1/records/ent-1": "/api/v1/records/ent-1",
    "/api/v2/records/ent-1/": "/api/v1/records/ent-1",
    "/api/v1/recrods/ent-1/variant": "/api/v1/records/ent-1/variants",
    "/api/v1/option-list/ol-colors/value/val-red": "/api/v1/option-lists/ol-colors/values/val-red",
    "/api/v1/record/<b>": "/api/v1/records/{id}",
    "/apikeys": "/api/v1/api-keys",
    "/doc": "/docs",
    "/openapi": "/openapi.json",
    "/standin/request": "/standin/requests",
    "/login": "/api/v1/auth/login",
    "/logn": "/api/v1/auth/login",
    "/api/v1/login": "/api/v1/auth/login",
    "/v1/tenants/": "/api/v1/auth/tenants",
    "/preview": "/api/v1/import/preview",
    "/standin/deliveries//redeliver": "/standin/deliveries/{id}/redeliver",
    "/api/v1/records//variants": "/api/v1/records/{id}/variants",
    "/records//values/price/": "/api/v1/records/{id}/values/price",
    "/api/v1/records/ent-1/values/": "/api/v1/records/ent-1/values/{attribute}",
    "/docs/": "/docs",
}


@each("path", PATHS)
def test_a_path_that_does_not_exist_is_told_the_nearest_one_that_does(app, error, path):
    message = error(app.test_client().get("/", environ_overrides={"PATH_INFO": path}), 404)
    assert message == f"There is no {path} here; the nearest path is {PATHS[path]}; /docs lists every path"


@each(
    ("path", "below"),
    {
        "/api": "/api/v1/records",
        "/api/": "/api/v1/records",
        "/api/v1": "/api/v1/records",
        "/api/v1/": "/api/v1/records",
        "/api/v1/import": "/api/v1/import/execute",
        "/api/v1/records/ent-1/values": "/api/v1/records/ent-1/values/{attribute}",
        "/standin": "/standin/deliveries",
    }.items(),
)
def test_a_path_with_which_others_begin_is_told_one_of_them(app, error, path, below):
    message = error(app.test_client().get(path), 404)
    assert message == f"There is no {path} here; there are paths below it, such as {below}; /docs lists every path"


@each(
    "path",
    [
        *("/api/v1/nothing", "/api/v1/records/a/b", "/x" * 400, "/" + "records" * 1000, "/channel", "/docs/foo"),
        *("/console/foo.js", "/api/v2"),
    ],
)
def test_a_path_that_is_like_no_other_is_only_told_where_all_are(app, error, path):
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    assert error(app.test_client().get(path), 404) == f"There is no {shown} here; /docs lists every path"


def test_of_a_very_long_id_a_message_repeats_the_beginning(admin, error):
    assert error(admin.get(f"/records/{'a' * 5000}"), 404) == f"Record '{'a' * 200}…' not found"
    assert error(admin.get(f"/records/{'a' * 200}"), 404) == f"Record '{'a' * 200}' not found"


@each("path", ["/standin/request", "/standin/nothing/here", "/standin/requests"])
def test_what_is_below_standin_is_503_while_the_database_does_not_answer(app, error, tmp_path, path):
    app.config["DATABASE"] = str(tmp_path / "gone" / "sigma.db")
    answer = app.test_client().get(path)
    assert "`flask doctor`" in error(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    assert "; the nearest path is /api/v1/records;" in error(app.test_client().get("/record"), 404)


def test_every_path_is_found_from_one_with_a_letter_too_many_and_a_slash_at_its_end(app, error):
    for rule in app.url_map.iter_rules():
        if len(rule.rule) < 4 or rule.rule.endswith("file>") or rule.access.kind == "not-built":
            continue
        path = rule.rule.replace("<", "").replace(">", "")
        for wrong in (f"{path}/", *([f"{path}x"] if not rule.rule.endswith(">") else [])):
            answer = app.test_client().get(wrong)
            if answer.status_code == 401:  # with a letter more, it is an id
                continue
            message = error(answer, 404)
            assert f"; the nearest path is {path};" in message, wrong


@pytest.mark.parametrize("page", ["/docs", "/console", "/openapi.json", "/llms.txt", "/api/v1/auth/tenants"])
def test_a_browser_is_sent_to_a_page_without_the_slash_at_its_end(app, error, page):
    """By a relative address, which is right behind any proxy."""
    client, browser = app.test_client(), {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = client.get(f"{page}/", headers=browser)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"../{page.rpartition('/')[2]}")
    assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Accept", "no-store")
    assert urljoin(f"https://shop.example/pim{page}/", answer.headers["Location"]) == f"https://shop.example/pim{page}"
    for refused in (client.get(f"{page}/"), client.post(f"{page}/", headers=browser), client.get(f"{page}x/", headers=browser)):
        error(refused, 404)


def test_a_browser_is_sent_nowhere_else(app, error):
    for path in ("/api/v1/records/", "/api/v1/auth/login/", "/standin/requests/", "/docs/foo/", "/foo/"):
        error(app.test_client().get(path, headers={"Accept": "text/html"}), 404)


def test_what_is_beside_the_demo_alone_is_not_named_in_a_deployment(deployment, error):
    message = error(deployment.test_client().get("/standin/request"), 404)
    demo = "most of /standin is there only while the database holds the demo"
    assert message == f"There is no /standin/request here; {demo}; /docs lists every path"


def test_a_method_that_a_path_does_not_have_is_told_those_it_has(app, key, error):
    for rule in app.url_map.iter_rules():
        if rule.methods is not None and ":" not in rule.rule:
            path = rule.rule.replace("<", "").replace(">", "")
            answer = app.test_client().open(path, method="PROPFIND", headers=key.headers)
            names = answer.headers["Allow"].split(", ")
            assert error(answer, 405) == f"This path has no such method; it has {', '.join(sorted(names))}"
            assert rule.methods <= {*names}


# Who may call


def test_on_each_route_for_people_a_401_says_how_they_sign_in(app, anonymous, error):
    sign_in = "sign in at /api/v1/auth/login and send Authorization: Bearer <token>, because no API key may call this route"
    seen = 0
    for rule in app.url_map.iter_rules():
        if rule.access.kind == "session" and rule.rule.startswith("/api/v1"):
            method = sorted(rule.methods - {"HEAD", "OPTIONS"})[0]
            path = rule.rule.removeprefix("/api/v1").replace("<", "").replace(">", "")
            assert error(anonymous.request(method, path), 401) == f"Missing authentication: {sign_in}"
            wrong = error(anonymous.request(method, path, headers={"X-Sigma-ApiKey": "x"}), 401)
            assert wrong.startswith("Invalid API key: ")
            assert wrong.endswith(f"; {sign_in}")
            seen += 1
    assert seen > 10


def test_a_user_without_a_flag_is_told_which_role_it_is_and_how_that_changes(editor, error):
    assert error(editor.get("/api-keys"), 403) == (
        "This route needs a role with canManageRoles; yours is 'role-editor'; someone who manages roles can change it with"
        " PUT /api/v1/roles/role-editor, or whoever runs the service can give you another with `flask users role`"
    )


def test_where_nobody_manages_roles_any_more_the_command_in_the_hint_helps(admin, error, run):
    role = admin.get("/roles/role-admin").json
    assert admin.put("/roles/role-admin", {**role, "canManageRoles": False}).status_code == 200
    hint = error(admin.put("/roles/role-admin", role), 403)
    assert hint.endswith("or whoever runs the service can give you another with `flask users role`")
    assert run("users", "role", "admin@sigma.io", "--administrator").exit_code == 0
    assert admin.put("/roles/role-admin", role).status_code == 200


# Names in a body

RECORD = "/records/ent-coastal-wb"


def put(alias, value, scope=None):
    return "PUT", RECORD, {"values": {alias: [{"scope": scope or {}, "value": value}]}}


TAUGHT = [
    (put("prize", 1), "values.prize: schema 'schema-apparel' has no attribute with this alias (there are 'price', "),
    (put("name", "X"), "has no attribute with this alias (there are 'product-name', "),
    (
        put("attr-price", 1),
        "values.attr-price: schema 'schema-apparel' has no attribute with this alias (its alias is 'price')",
    ),
    (put("color", "navi"), "the id or alias of a value of 'ol-colors', got 'navi' (there are 'navy', 'val-navy', "),
    (put("product-name", "X", {"language": "seg-en"}), "has no dimension 'language' (its id is 'dim-language')"),
    (put("product-name", "X", {"dim-language": "seg-fr"}), "a segment of 'dim-language', got 'seg-fr' (there are 'seg-"),
    (put("price", "129.99", {"dim-market": "seg-dk"}), "type 'number', got 'string' (send 129.99 without quotes)"),
    (put("waterproof", "True"), "type 'boolean', got 'string' (send true without quotes)"),
    (("POST", f"{RECORD}/transition", {"toStateId": "state-reviews"}), "no state 'state-reviews' (there are 'state-review', "),
    (("POST", "/records", {"schemaId": "schema-aparel", "values": {}}), "does not exist (there is 'schema-apparel')"),
    (("POST", "/records", {"schema": "schema-apparel", "values": {}}), "schema: Unknown field (there are 'schemaId', "),
    (
        ("POST", "/search", {"criteria": [{"attribute": "prize", "operator": "isEmpty"}]}),
        "no attribute has the alias 'prize' (there are 'price', ",
    ),
    (
        ("POST", "/search", {"criteria": [{"attribute": "price", "operator": "isEmpty", "scope": {"market": "x"}}]}),
        "dimension 'market' does not exist (its id is 'dim-market')",
    ),
    (("POST", "/dimensions/scope-matrix", {"dimensionIds": ["market"]}), "does not exist (its id is 'dim-market')"),
    (
        ("POST", "/roles/role-admin/resolve", {"schemaId": "schema-apparel", "attributeIds": ["price"]}),
        "has no attribute 'price' (its id is 'attr-price')",
    ),
    (("POST", "/catalogs/cat-webshop/categories", {"alias": "a", "name": "A", "parentId": "no"}), "'cat-webshop' (there are "),
]


NO_SUCH_VALUE = [
    ("prize", "Attribute 'prize' not found (there are 'price', "),
    ("name", "Attribute 'name' not found (there are 'product-name', "),
    ("attr-price", "Attribute 'attr-price' not found (its alias is 'price')"),
]


@each(("alias", "told"), NO_SUCH_VALUE, ids=[alias for alias, _ in NO_SUCH_VALUE])
def test_who_patches_a_value_of_no_attribute_is_told_which_there_are_and_nothing_changes(admin, stored, error, alias, told):
    before = stored()
    message = error(admin.patch(f"{RECORD}/values/{alias}", json={"scope": {}, "value": 1}), 404)
    assert message.startswith(told)
    assert stored() == before


@each(("request_", "told"), TAUGHT, ids=[told[:60] for _, told in TAUGHT])
def test_who_names_what_is_not_there_is_told_what_is_and_nothing_changes(admin, stored, error, request_, told):
    method, path, body = request_
    before = stored()
    message = error(admin.request(method, path, json=body), 400)
    assert told in message
    assert message.partition("(there are ")[2].count("', '") < 5
    assert stored() == before


WRITES = [  # of values, with what else the body needs
    ("POST", "/records", {"schemaId": "schema-apparel"}),
    ("PUT", RECORD, {}),
    ("POST", f"{RECORD}/variants", {}),
    ("PUT", f"{RECORD}/variants/var-cw-s", {}),
]
FORM = "Expected an array of values with their scopes, got"


@pytest.mark.parametrize(("method", "path", "more"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES])
def test_that_an_attribute_is_not_there_is_told_before_the_form_of_its_values(key, stored, error, method, path, more):
    before = stored()

    def told(values, **others):
        return re.sub(" and [0-9]+ more", "", error(key.request(method, path, json={**more, "values": values, **others}), 400))

    unknown = "values.{}: schema 'schema-apparel' has no attribute with this alias (there are '{}', "
    for value in (3, [3], [{"value": 3, "scop": {}}]):
        assert told({"pric": value}).startswith(unknown.format("pric", "price"))
        assert told({"pric": value}).endswith("')")
    message = told({"price": 3, "prize": "3", "pric": {}}, foo=1)
    first, second, *rest = message.split("; ")
    assert (first.startswith(unknown.format("prize", "price")), second.startswith(unknown.format("pric", "price"))) == (
        True,
        True,
    )
    assert rest[0] == f"values.price: {FORM} 3"
    assert rest[1].startswith("foo: Unknown field")
    assert len(rest) == 2
    assert told({"price": 3}) == f"values.price: {FORM} 3"
    assert told([]) == "values: Expected an object, got 'array'"
    begun = time.process_time()
    assert told({str(number): 3 for number in range(30_000)}).endswith("; and more")
    assert time.process_time() - begun < 1  # it took four seconds, when each was looked for among all others
    assert stored() == before


def test_the_form_alone_is_told_where_no_schema_is_known(key, stranger, error):
    for method, path, body in (
        ("POST", "/records", {"schemaId": "schema-none"}),
        ("POST", "/records", {"schemaId": 3}),
        ("POST", "/records", {}),
        ("PUT", "/records/ent-none", {}),
    ):
        message = error(key.request(method, path, json={**body, "values": {"pric": 3}}), 400)
        assert f"values.pric: {FORM} 3" in message.split("; ")
    assert error(stranger.put(RECORD, {"values": {"pric": 3}}), 400) == f"values.pric: {FORM} 3"


def test_what_a_role_hides_is_not_named(admin, editor, error):
    role = admin.get("/roles/role-editor").json
    role["schemaPermissions"] = [{"schemaId": "schema-apparel", "attributePermissions": {"price": "hidden"}}]
    criteria = {"criteria": [{"attribute": "prize", "operator": "isEmpty"}]}
    for asked in (put("prize", 1), ("POST", "/search", criteria)):
        method, path, body = asked
        assert "'price'" in error(editor.request(method, path, json=body), 400)
        assert admin.put("/roles/role-editor", role).status_code == 200
        message = error(editor.request(method, path, json=body), 400)
        assert "there are" in message
        assert "price" not in message
        assert admin.put("/roles/role-editor", {**role, "schemaPermissions": []}).status_code == 200


# What is taken


TAKEN = {  # what is sent to a path, and who has it already
    "schema": (
        "/schemas",
        {"id": "s", "alias": "apparel", "name": "S", "variantEnabled": False},
        "alias: 'apparel'",
        "schema 'schema-apparel'",
    ),
    "attribute": (
        "/attributes",
        {"id": "attr-sku", "alias": "a", "name": "A", "type": "text"},
        "id: 'attr-sku'",
        "attribute 'attr-sku'",
    ),
    "list": ("/option-lists", {"id": "o", "alias": "colors", "name": "O"}, "alias: 'colors'", "option list 'ol-colors'"),
    "role": ("/roles", {"id": "role-editor", "name": "R"}, "id: 'role-editor'", "role 'role-editor'"),
    "catalog": ("/catalogs", {"id": "c", "alias": "webshop", "name": "C"}, "alias: 'webshop'", "catalog 'cat-webshop'"),
    "record": (
        "/records",
        {"id": "ent-coastal-wb", "schemaId": "schema-apparel", "values": {}},
        "id: 'ent-coastal-wb'",
        "record 'ent-coastal-wb'",
    ),
    "of a variant": (
        "/records",
        {"id": "var-cw-s", "schemaId": "schema-apparel", "values": {}},
        "id: 'var-cw-s'",
        "variant 'var-cw-s' of record 'ent-coastal-wb'",
    ),
    "variant": (
        "/records/ent-coastal-wb/variants",
        {"id": "ent-coastal-wb", "values": {}},
        "id: 'ent-coastal-wb'",
        "record 'ent-coastal-wb'",
    ),
}


@each("name", TAKEN)
def test_an_id_or_alias_that_is_taken_is_told_with_its_holder(admin, stored, error, name):
    path, body, told, holder = TAKEN[name]
    before = stored()
    assert error(admin.post(path, body), 409) == f"{told} is already taken in this workspace by {holder}"
    assert stored() == before


def test_an_alias_that_a_change_would_take_is_told_with_its_holder(admin, stored, error):
    body = {**admin.get("/catalogs/cat-webshop").json, "alias": "marketplace"}
    before = stored()
    taken = "alias: 'marketplace' is already taken in this workspace by catalog 'cat-marketplace'"
    assert error(admin.put("/catalogs/cat-webshop", body), 409) == taken
    assert stored() == before


def test_a_value_of_an_option_list_that_is_taken_is_told_with_its_holder(admin, stored, error):
    before = stored()
    message = error(admin.post("/option-lists/ol-colors/values", {"id": "v", "alias": "navy", "label": "N"}), 409)
    assert message == "alias: 'navy' is already taken in option list 'ol-colors' by option value 'val-navy'"
    assert stored() == before


def test_a_category_saved_query_and_webhook_that_are_there_are_told_by_kind_and_id(admin, stored, error):
    category = {"id": "cat-x", "alias": "x", "name": "X"}
    query = {"id": "sq-x", "name": "X", "query": {"criteria": []}}
    webhook = {"id": "wh-x", "name": "X", "url": "http://127.0.0.1:9000/x", "events": ["entity.created"]}
    for path, body, holder in (
        ("/catalogs/cat-webshop/categories", category, "category 'cat-x' of catalog 'cat-webshop'"),
        ("/saved-queries", query, "saved query 'sq-x'"),
        ("/webhooks", webhook, "webhook 'wh-x'"),
    ):
        assert admin.post(path, body).status_code == 201
        before = stored()
        message = error(admin.post(path, {**body, "name": "Other"}), 409)
        assert message == f"id: '{body['id']}' is already taken in this workspace by {holder}"
        assert stored() == before


def test_a_state_that_records_are_in_is_told_with_how_many_and_of_which_schema(admin, stored, error):
    total = admin.get("/records?lifecycleStateId=state-draft&limit=1").json["total"]
    workflow = admin.get("/workflows/wf-standard").json
    states = [state for state in workflow["states"] if state["id"] != "state-draft"]
    changed = {**workflow, "states": states, "defaultStateId": states[0]["id"], "transitions": []}
    before = stored()
    message = error(admin.put("/workflows/wf-standard", changed), 409)
    told = f"because records are in it ({total} of schema 'schema-apparel')"
    assert message == f"states: 'state-draft' cannot be taken out, {told}"
    schema = {name: value for name, value in admin.get("/schemas/schema-apparel").json.items() if name != "workflowId"}
    message = error(admin.put("/schemas/schema-apparel", schema), 409)
    assert f"workflowId: records are in state 'state-draft' ({total}), which would no longer exist" == message
    assert stored() == before


def test_an_alias_under_which_values_are_stored_is_told_with_the_first_record(admin, stored, error):
    attribute = {**admin.get("/attributes/attr-sku").json, "alias": "other"}
    first = admin.get("/records?limit=1").json["items"][0]["id"]
    before = stored()
    message = error(admin.put("/attributes/attr-sku", attribute), 409)
    lost = "alias: records hold values under 'sku', which would be lost"
    assert message == f"{lost}; the first is '{first}'"
    assert stored() == before
    role = admin.get("/roles/role-admin").json
    role["schemaPermissions"] = [{"schemaId": "schema-apparel", "attributePermissions": {"price": "hidden"}}]
    assert admin.put("/roles/role-admin", role).status_code == 200
    before = stored()
    assert error(admin.put("/attributes/attr-sku", attribute), 409) == lost
    assert stored() == before


def test_a_full_workspace_is_told_with_the_setting(app, admin, stored, error):
    app.config["RECORD_LIMIT"] = 1
    before = stored()
    message = error(admin.post("/records", {"schemaId": "schema-apparel", "values": {}}), 403, "LIMIT_EXCEEDED")
    assert message == "This workspace is full at 1 record; SIGMA_RECORD_LIMIT sets the limit"
    assert stored() == before


def test_a_holder_that_a_role_does_not_show_is_not_named(admin, error):
    """Neither a catalog nor a category in it."""
    assert admin.post("/catalogs/cat-marketplace/categories", {"id": "cat-x", "alias": "x", "name": "X"}).status_code == 201
    role = admin.get("/roles/role-admin").json
    role["catalogPermissions"] = [{"catalogId": "cat-marketplace", "canView": False, "canAssign": False}]
    assert admin.put("/roles/role-admin", role).status_code == 200
    catalog = {"id": "c", "alias": "marketplace", "name": "C"}
    assert error(admin.post("/catalogs", catalog), 409) == "alias: 'marketplace' is already taken in this workspace"
    category = {"id": "cat-x", "alias": "x", "name": "X"}
    message = error(admin.post("/catalogs/cat-webshop/categories", category), 409)
    assert message == "id: 'cat-x' is already taken in this workspace"


# Names elsewhere


def test_a_cell_that_names_no_option_is_told_the_nearest_ones(admin, stored):
    asked = {"schemaId": "schema-apparel", "columnMapping": {"Name": "product-name", "Color": "color", "Dry": "waterproof"}}
    rows = [{"Name": "A", "Color": "Navi", "Dry": "yes"}, {"Name": "B", "Color": "Navy", "Dry": "true"}]
    before = stored()
    answer = admin.post("/import/preview", {**asked, "rows": rows})
    assert answer.status_code == 200, answer.text
    color, dry = (text for text in answer.json["results"][0]["errors"] if text.startswith(("Color: ", "Dry: ")))
    told = "Color: Attribute 'color' expects the id, alias or label of an option, got 'Navi' (there are 'Navy', "
    assert color.startswith(told)
    assert color.partition("(there are ")[2].count("', '") == 4
    assert dry == "Dry: Attribute 'waterproof' expects type 'boolean', got 'yes' (write true or false, or 1 or 0)"
    assert not any(text.startswith(("Color: ", "Dry: ")) for text in answer.json["results"][1]["errors"])
    assert stored() == before


def test_a_number_that_is_written_as_people_do_is_told_how_cells_have_it(admin):
    asked = {"schemaId": "schema-apparel", "columnMapping": {"Name": "product-name", "Price": "price"}}
    rows = [{"Name": "A", "Price": price} for price in ("1.299,95", "1 299", "+5", "five")]
    told = ["; ".join(result["errors"]) for result in admin.post("/import/preview", {**asked, "rows": rows}).json["results"]]
    hint = " (write digits, with a point before decimals, such as 1299.95)"
    assert [hint in text for text in told] == [True, True, True, False]


def test_the_route_of_a_fault_that_is_none_is_told_the_nearest_that_keys_may_call(app, error):
    path = "/standin/keys/apikey-sync-prod/faults"
    answer = app.test_client().put(path, json=[{"on": "PUT /record/{id}", "status": 500}])
    told = error(answer, 400).partition(", got ")[2]
    assert told.startswith("'PUT /record/{id}' (there are 'PUT /records/{id}', ")
    assert told.count("', '") == 4
    assert app.test_client().get(path).json == []


def test_a_seed_that_names_what_is_not_there_is_told_what_is(app, error):
    seed = app.test_client().get("/standin/workspaces/ws-demo/seed").json
    seed["records"][0]["schemaId"] = "schema-aparel"
    message = error(app.test_client().post("/standin/workspaces", json={"content": seed, "keys": []}), 400)
    assert message == "records[0].schemaId: schema 'schema-aparel' does not exist in this seed (there is 'schema-apparel')"


@each(
    ("arguments", "told"),
    [
        (["keys", "list", "--workspace", "demo"], "Workspace 'demo' not found (there are 'ws-demo', 'ws-other')"),
        (
            ["export", "-", "--schema", "aparel", "--format", "csv", "--workspace", "ws-demo"],
            "workspace 'ws-demo' has no schema 'aparel'; there is 'schema-apparel'",
        ),
        (
            ["users", "add", "a@b.example", "--name", "A", "--role", "editor", "--workspace", "ws-demo"],
            "role 'editor' does not exist (there are 'role-editor', 'role-admin')",
        ),
    ],
)
def test_a_command_that_names_what_is_not_there_is_told_what_is(app, arguments, told):
    result = app.test_cli_runner().invoke(args=arguments, input="a long password\n")
    assert result.exit_code == 1
    assert told in result.stderr


# Over every route


def routes_of(app):
    """Return each method and path of the API and of /standin, with 'nowhere' in place of ids."""
    return [
        (method, re.sub("<[^>]*>", "nowhere", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        if rule.rule.startswith(("/api/v1/", "/standin/")) and rule.access.kind != "not-built"
    ]


def send(caller, method, path, **options):
    return caller.app.test_client().open(path, method=method, headers=caller.headers, **options)


def test_on_every_route_a_413_says_how_much_is_taken(app, admin, error):
    seen = 0
    for method, path in routes_of(app):
        answer = send(admin, method, path, data=b" " * (1024 * 1024 + 1), content_type="application/json")
        message = error(answer, 413)
        more = "; send fewer rows at a time" if path.startswith("/api/v1/import/") else ""
        most = 16384 if path in ("/api/v1/healthz", "/api/v1/auth/tenants", "/api/v1/auth/login") else 1048576
        assert message == f"The body is larger than {most} bytes{more}", (method, path)
        seen += 1
    assert seen > 80


def test_on_every_route_a_503_says_what_the_operator_can_look_at_and_when_to_try_again(app, admin, error, tmp_path):
    app.config["DATABASE"] = str(tmp_path / "gone" / "sigma.db")
    told = "The database does not answer; try again. Its operator finds why in the log, and with `flask doctor`"
    bodies = {"/api/v1/auth/login": {"email": "admin@sigma.io", "password": "admin"}}
    for method, path in routes_of(app):
        answer = send(admin, method, path, json=bodies.get(path, {}))
        assert (error(answer, 503), answer.headers["Retry-After"]) == (told, "1"), (method, path)


KINDS = {  # what a 404 calls the thing whose id stands behind this part of a path
    **{noun.name: noun.kind for noun in NOUNS},
    "api-keys": "API key",
    "categories": "Category",
    "deliveries": "Delivery",
    "keys": "API key",
    "records": "Record",
    "requests": "Request",
    "saved-queries": "Saved query",
    "webhooks": "Webhook",
    "workspaces": "Workspace",
}


def test_on_every_route_without_a_body_the_404_of_an_id_names_kind_and_id(app, admin, error):
    """With a body, that is in test_tenants.py."""
    seen = set()
    for method, path in routes_of(app):
        if "nowhere" in path and method in ("GET", "DELETE"):
            place = path.split("/")[path.split("/").index("nowhere") - 1]
            assert error(send(admin, method, path), 404) == f"{KINDS[place]} 'nowhere' not found", (method, path)
            seen.add(place)
    assert seen == {*KINDS}


# Which names are near


@each(
    ("name", "known", "near"),
    [
        ("yelow", ["blue", "green", "yellow"], ["yellow"]),
        ("PRICE", ["prize", "price"], ["price"]),
        ("", ["b", "a"], ["a"]),
        ("x", [], []),
        ("name", ["frame", "game", "product-name"], ["product-name"]),
        ("name", [*(f"nim-{number}" for number in range(40)), "product-name"], ["product-name"]),
        ("name", ["names", "product-name"], ["names"]),
    ],
)
def test_the_nearest_name_comes_first(name, known, near):
    assert nearest.nearest(name, known, 1) == near


def test_at_most_five_names_are_shown(app):
    with app.app_context():
        assert (
            nearest.what_there_is("a3", [f"a{n}" for n in range(9)]) == " (there are 'a3', 'a0', 'a1', 'a2', 'a4' and 4 more)"
        )
        assert nearest.what_there_is("a", ["b"]) == " (there is 'b')"
        assert nearest.what_there_is("a", []) == " (there are none)"
        assert nearest.what_there_is(5, ["b"]) == ""


def test_many_mistakes_about_a_long_list_end_in_messages_without_names(app):
    known = [f"value-{n}" for n in range(60_000)]
    with app.app_context():
        began = time.process_time()
        told = [nearest.what_there_is("x" * 100_000, known) for _ in range(1000)]
        assert time.process_time() - began < 5
    assert [bool(text) for text in told] == [True, *[False] * 999]
