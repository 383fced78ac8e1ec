"""The OpenAPI document, held against what the service answers; the interactive docs; the front page."""

import json
import re
from html.parser import HTMLParser

import pytest
from conftest import ALL_PERMISSIONS
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from openapi_spec_validator import validate

import app as service

DEMO = json.loads(service.DEMO_FILE.read_text(encoding="utf-8"))
VERBS = ("get", "post", "put", "patch", "delete")

# The ids that stand for a path's placeholders, by what stands before them in the path.
EXAMPLES = {
    "schemas": "schema-apparel",
    "attributes": "attr-sku",
    "dimensions": "dim-market",
    "option-lists": "ol-categories",
    "workflows": "wf-standard",
    "roles": "role-editor",
    "catalogs": "cat-webshop",
    "categories": "cat-men-windbreakers",
    "records": "ent-coastal-wb",
    "variants": "var-cw-s",
}


@pytest.fixture(scope="module")
def document(session_app):
    return session_app.test_client().get("/openapi.json").json


def operations(document):
    """Each operation: its method, its path below /api/v1, and what the document says of it."""
    return [
        (verb.upper(), path.removeprefix("/api/v1"), item[verb])
        for path, item in document["paths"].items()
        for verb in VERBS
        if verb in item
    ]


def problems(document, schema, value):
    """What is wrong with a value, by a schema of the document."""
    validator = OAS30Validator({**schema, "components": document["components"]}, format_checker=oas30_format_checker)
    return [f"{list(problem.absolute_path)}: {problem.message}" for problem in validator.iter_errors(value)]


def check_answer(document, method, template, answer):
    """Check that an answer is one that the document announces."""
    responses = document["paths"]["/api/v1" + template][method.lower()]["responses"]
    announced = responses[str(answer.status_code)]
    if "$ref" in announced:
        announced = document["components"]["responses"][announced["$ref"].rpartition("/")[2]]
    if answer.status_code == 204:
        assert (answer.data, "content" in announced) == (b"", False)
    else:
        assert problems(document, announced["content"][answer.content_type]["schema"], answer.json) == []


# -- The document


def test_the_document_is_valid_and_needs_no_credential(app, anonymous):
    answer = app.test_client().get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert validate(answer.json) is None
    assert answer.json["info"]["title"] == "Sigma PIM API"


def test_the_document_names_no_other_host(document):
    assert "http://" not in json.dumps(document)
    assert "https://" not in json.dumps(document)


def test_the_document_has_every_route_and_no_other(app, document):
    routes = {
        (method, re.sub("<([a-z_]+)>", r"{\1}", rule.rule).removeprefix("/api/v1"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(method, path) for method, path, _ in operations(document)} == routes


def test_every_operation_has_an_id_of_its_own_that_reads_like_a_function(document):
    ids = [operation["operationId"] for *_, operation in operations(document)]
    assert sorted(set(ids)) == sorted(ids)
    assert [id for id in ids if not re.fullmatch("[a-z]+(_[a-z]+)*", id)] == []


def test_every_operation_has_a_summary_and_a_known_tag(document):
    tags = [tag["name"] for tag in document["tags"]]
    for method, path, operation in operations(document):
        assert re.fullmatch(r"[A-Z].{10,}\.", operation["summary"] + "." * (not operation["summary"].endswith("."))), path
        assert len(operation["tags"]) == 1, (method, path)
        assert operation["tags"][0] in tags


def test_every_operation_says_who_may_call_it(document):
    secured = {"public": [], "session": [{"session": []}]}
    schemes = document["components"]["securitySchemes"]
    assert schemes["apiKey"] == {"type": "apiKey", "in": "header", "name": "X-Sigma-ApiKey"}
    assert (schemes["session"]["type"], schemes["session"]["scheme"]) == ("http", "bearer")
    for method, path, operation in operations(document):
        needed = operation["x-required-permission"]
        assert needed in (*ALL_PERMISSIONS, "session", "public")
        assert operation["security"] == secured.get(needed, [{"apiKey": []}, {"session": []}]), (method, path)


def test_the_permission_that_an_operation_announces_is_the_one_it_asks_for(document, anonymous):
    for method, path, operation in operations(document):
        answer = anonymous.request(method, re.sub("{[^}]+}", "none", path))
        assert answer.headers.get("X-Sigma-Required-Permission", "public") == operation["x-required-permission"]


def expected_refusals(method, path, operation):
    """The statuses with which an operation may refuse."""
    guarded = operation["x-required-permission"] != "public"
    model = path.split("/")[1] in (*EXAMPLES, "api-keys") and not path.startswith(("/records", "/variants", "/categories"))
    yield from (("401", "403") if guarded else ())
    yield from (("400", "413", "415") if "requestBody" in operation else ())
    yield from (("400",) if any(parameter["in"] == "query" for parameter in operation.get("parameters", [])) else ())
    yield from (("404",) if "{" in path else ())
    yield from (("409",) if model and method == "PUT" else ())
    yield from (("409",) if model and method == "DELETE" and "/values/" not in path and "api-keys" not in path else ())
    yield from (("409",) if method == "POST" and "201" in operation["responses"] and path != "/api-keys" else ())
    yield from (("409",) if path.startswith("/records") and method in ("PUT", "PATCH") else ())  # `unique`
    yield from (("422",) if path.endswith("/transition") else ())
    yield from (("401", "429") if path == "/auth/login" else ())
    yield from ("500", "503")


def test_every_operation_announces_its_refusals_and_exactly_one_success(document):
    for method, path, operation in operations(document):
        announced = set(operation["responses"])
        successes = [status for status in announced if status.startswith("2")]
        assert announced == {*expected_refusals(method, path, operation), *successes}, (method, path)
        assert len(successes) == 1, (method, path)
        content = operation["responses"][successes[0]].get("content", {})
        if successes == ["204"]:
            assert content == {}
        else:
            assert content["application/json"]["schema"]
        assert "default" not in announced


def test_what_takes_no_parameter_announces_no_missing_resource(document):
    for method, path, operation in operations(document):
        if "{" not in path:
            assert "404" not in operation["responses"], (method, path)


def test_every_refusal_has_the_one_shape(document):
    for method, path, operation in operations(document):
        for status, announced in operation["responses"].items():
            if status[0] in "45":
                component = document["components"]["responses"][announced["$ref"].rpartition("/")[2]]
                assert component["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}, (
                    method,
                    path,
                )
    error = document["components"]["schemas"]["Error"]
    assert list(error["properties"]) == ["error", "message"]
    assert sorted(error["required"]) == ["error", "message"]


def test_every_reference_leads_somewhere(document):
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert len(references) > 100
    for reference in set(references):
        target = document
        assert reference.startswith("#/")
        for part in reference[2:].split("/"):
            target = target[part]
        assert target


def test_every_schema_is_an_object_with_members(document):
    for name, schema in document["components"]["schemas"].items():
        assert schema["type"] == "object", name
        assert schema["properties"], name


def test_query_parameters_are_announced_where_they_count(document):
    announced = {
        path: [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
        for method, path, operation in operations(document)
        if method == "GET"
    }
    assert {path: sorted(names) for path, names in announced.items() if names} == {
        "/records": ["lifecycleStateId", "limit", "offset", "schemaId"],
        "/records/{id}/audit-log": ["limit", "offset"],
        "/variants": ["limit", "offset", "schemaId"],
        "/categories/{id}/entities": ["limit", "offset"],
    }


# -- The document and the service


def filled(path):
    """A path of the document with ids of the demo workspace in it."""
    parts = path.split("/")
    return "/".join(EXAMPLES[parts[index - 1]] if part.startswith("{") else part for index, part in enumerate(parts))


def test_every_answer_to_a_get_is_as_announced(document, admin, error):
    for method, path, _ in operations(document):
        if method == "GET":
            answer = admin.get(filled(path))
            assert answer.status_code == 200, path
            check_answer(document, "GET", path, answer)
            missing = admin.get(re.sub("{[^}]+}", "none", path))
            assert missing.status_code == (404 if "{" in path else 200)
            check_answer(document, "GET", path, missing)


@pytest.mark.parametrize(
    "path",
    ["/api-keys", "/records/{id}", "/schemas/{id}", "/records/{id}/variants/{variant_id}/resolved", "/catalogs/{id}/tree"],
)
def test_an_answer_that_is_not_as_announced_would_be_noticed(document, admin, path):
    schema = document["paths"]["/api/v1" + path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = admin.get(filled(path)).json
    item = answer[0] if isinstance(answer, list) else answer
    assert problems(document, schema, answer) == []
    for damage in ({"id": 5}, {"id": item["id"], "surprise": 1}):
        item.update(damage)
        assert problems(document, schema, answer) != []


RED = {"id": "ol-colors", "value_id": "val-red"}
STORY = [
    ("POST", "/auth/login", {}, {"email": "editor@sigma.io", "password": "editor"}, 200),
    ("POST", "/auth/login", {}, {"email": "editor@sigma.io", "password": "wrong"}, 401),
    ("POST", "/auth/refresh", {}, None, 200),
    ("POST", "/api-keys", {}, {"name": "New", "permissions": ["read"]}, 201),
    ("POST", "/api-keys", {}, {"name": "New", "permissions": []}, 400),
    ("POST", "/api-keys/{id}/deactivate", {"id": "apikey-sync-prod"}, None, 200),
    ("GET", "/api-keys", {}, None, 200),
    ("DELETE", "/api-keys/{id}", {"id": "apikey-sync-prod"}, None, 200),
    ("DELETE", "/api-keys/{id}", {"id": "apikey-sync-prod"}, None, 404),
    ("POST", "/attributes", {}, {"id": "a", "alias": "a", "name": "A", "type": "text"}, 201),
    ("POST", "/attributes", {}, {"id": "a", "alias": "a", "name": "A", "type": "text"}, 409),
    ("PUT", "/attributes/{id}", {"id": "a"}, {"alias": "a", "name": "A", "type": "number", "validation": {"min": 1.5}}, 200),
    ("DELETE", "/attributes/{id}", {"id": "a"}, None, 204),
    ("DELETE", "/attributes/{id}", {"id": "attr-sku"}, None, 409),
    ("POST", "/option-lists/{id}/values", {"id": "ol-colors"}, {"id": "val-x", "alias": "x", "label": "X"}, 201),
    (
        "PUT",
        "/option-lists/{id}/values/{value_id}",
        {"id": "ol-colors", "value_id": "val-x"},
        {"alias": "y", "label": "Y"},
        200,
    ),
    ("DELETE", "/option-lists/{id}/values/{value_id}", {"id": "ol-colors", "value_id": "val-x"}, None, 204),
    ("POST", "/dimensions/scope-matrix", {}, {"dimensionIds": ["dim-language", "dim-market"]}, 200),
    ("POST", "/roles/{id}/resolve", {"id": "role-editor"}, {"schemaId": "schema-apparel"}, 200),
    ("POST", "/catalogs/{id}/categories", {"id": "cat-webshop"}, {"alias": "x", "name": "X"}, 201),
    ("PUT", "/categories/{id}", {"id": "cat-accessories"}, {"alias": "x", "name": "X", "parentId": "cat-men"}, 200),
    ("POST", "/categories/{id}/assign", {"id": "cat-men"}, {"entityId": "ent-trail-cap"}, 204),
    ("POST", "/categories/{id}/unassign", {"id": "cat-men"}, {"entityId": "ent-trail-cap"}, 204),
    (
        "POST",
        "/records",
        {},
        {"id": "r", "schemaId": "schema-apparel", "values": {"tags": [{"scope": {}, "value": ["a"]}]}},
        201,
    ),
    ("PUT", "/records/{id}", {"id": "r"}, {"values": {"size": []}}, 200),
    ("PATCH", "/records/{id}/values/{attribute}", {"id": "r", "attribute": "care"}, {"value": {"a": [None]}}, 200),
    ("PATCH", "/records/{id}/values/{attribute}", {"id": "r", "attribute": "care"}, {"value": None}, 200),
    ("POST", "/records/{id}/transition", {"id": "r"}, {"toStateId": "state-review"}, 422),
    ("POST", "/records/{id}/transition", {"id": "ent-trail-cap"}, {"toStateId": "state-published"}, 200),
    ("POST", "/records/{id}/variants", {"id": "r"}, {"id": "v", "values": {"size": [{"scope": {}, "value": "M"}]}}, 201),
    ("PUT", "/records/{id}/variants/{variant_id}", {"id": "r", "variant_id": "v"}, {"values": {"size": []}}, 200),
    (
        *("PATCH", "/records/{id}/variants/{variant_id}/values/{attribute}"),
        *({"id": "r", "variant_id": "v", "attribute": "size"}, {"value": "L"}, 200),
    ),
    ("DELETE", "/records/{id}/variants/{variant_id}", {"id": "r", "variant_id": "v"}, None, 204),
    ("GET", "/records/{id}/audit-log", {"id": "r"}, None, 200),
    ("DELETE", "/records/{id}", {"id": "r"}, None, 204),
    ("GET", "/records/{id}/audit-log", {"id": "r"}, None, 200),
]


def test_every_answer_to_a_write_is_as_announced(document, admin):
    for method, path, ids, body, status in STORY:
        answer = admin.request(method, path.format(**ids), body)
        assert answer.status_code == status, (method, path, answer.json)
        check_answer(document, method, path, answer)


def test_the_demo_data_fits_the_announced_bodies(document):
    def request_problems(path, body):
        operation = document["paths"][f"/api/v1{path}"]["post"]
        return problems(document, operation["requestBody"]["content"]["application/json"]["schema"], body)

    for kind, body in DEMO["model"]:
        assert request_problems(f"/{kind}s", body) == []
        assert request_problems(f"/{kind}s", {**body, "surprise": 1}) != []
    for record in DEMO["records"]:
        assert request_problems("/records", record) == []
    for _, variant in DEMO["variants"]:
        assert request_problems("/records/{id}/variants", variant) == []
    for _, category in DEMO["categories"]:
        assert request_problems("/catalogs/{id}/categories", category) == []


def test_every_body_is_required_and_json(document):
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            assert operation["requestBody"]["required"] is True, (method, path)
            assert list(operation["requestBody"]["content"]) == ["application/json"]
        assert ("requestBody" in operation) <= (method in ("POST", "PUT", "PATCH"))


# -- The docs and the front page


class Tags(HTMLParser):
    """The files that a page loads, and its inline scripts and event handlers."""

    def __init__(self, page):
        super().__init__()
        self.files, self.inline, self.in_script = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.files += [value for name, value in attributes.items() if name in ("src", "href")]
        self.inline += [name for name in attributes if name.startswith("on")]
        self.in_script = tag == "script"

    def handle_data(self, data):
        if self.in_script and data.strip():
            self.inline.append(data)


def test_the_docs_load_files_of_this_host_only(app):
    client = app.test_client()
    page = client.get("/docs")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    tags = Tags(page.text)
    assert tags.inline == []
    assert len(tags.files) >= 3
    for file in tags.files:
        assert not re.match("[a-z]+:|//", file)
        with client.get(f"/{file.lstrip('/')}") as answer:
            assert (answer.status_code, len(answer.data) > 0) == (200, True), file
    assert "://" not in page.text


def test_the_docs_start_with_this_services_document(app):
    script = app.test_client().get("/docs/start.js")
    assert script.content_type.startswith("text/javascript")
    assert "://" not in script.text
    assert '"openapi.json"' in script.text
    assert "validatorUrl: null" in script.text  # its default is a page on the internet


def test_the_browser_is_told_to_load_nothing_from_elsewhere(app):
    policy = app.test_client().get("/docs").headers["Content-Security-Policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'self'"]
    assert "'unsafe-inline'" not in rules.get("script-src", [])
    sources = {source for sources in rules.values() for source in sources}
    assert sources <= {"'self'", "'unsafe-inline'", "data:", "'none'"}


def test_the_front_page_sends_a_browser_to_the_docs(app):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = app.test_client().get("/", headers={"Accept": accept})
    assert answer.status_code == 302
    assert answer.headers["Location"].lstrip("/") == "docs"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/plain, */*", "text/plain"])
def test_the_front_page_tells_a_program_where_things_are(app, accept):
    client = app.test_client()
    answer = client.get("/", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json == {"api": "/api/v1", "docs": "/docs", "openapi": "/openapi.json", "health": "/healthz"}
    for name in ("docs", "openapi", "health"):
        assert client.get(answer.json[name]).status_code == 200
