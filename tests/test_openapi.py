"""The OpenAPI document, held against what the service answers; the interactive docs; the front page."""

import functools
import json
import operator
import re
import sqlite3
from html.parser import HTMLParser

import pytest
from cases import each
from conftest import ALL_PERMISSIONS, replace_everywhere
from nouns import ATTRIBUTE, CATALOG, DEMO_IDS, DIMENSION, NOUNS, OPTION_LIST, ROLE, SCHEMA, WORKFLOW
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from openapi_spec_validator import validate
from test_ignored_query import KNOWN

from sigma import database
from sigma.docs import pages
from sigma.http import errors
from sigma.resources import sessions
from sigma.standin import demo

DEMO = json.loads(demo.DEMO_FILE.read_text(encoding="utf-8"))
VERBS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"

# What generated clients call the operations, by tag, both in the order of the API.
OPERATIONS = {
    "Health": "get_health",
    "Authentication": "list_tenants login refresh_session",
    "API Keys": "list_api_keys create_api_key deactivate_api_key delete_api_key",
    "Schemas": SCHEMA.operation_ids,
    "Attributes": f"{ATTRIBUTE.operation_ids} list_schema_attributes",
    "Dimensions": f"{DIMENSION.operation_ids} compute_scope_matrix",
    "Option Lists": f"{OPTION_LIST.operation_ids} create_option_value replace_option_value delete_option_value",
    "Workflows": WORKFLOW.operation_ids,
    "Roles": f"{ROLE.operation_ids} resolve_role",
    **{noun.tag: noun.operation_ids for noun in NOUNS[NOUNS.index(CATALOG) + 1 :]},
    "Records": "list_records create_record get_record replace_record_values delete_record set_record_value"
    " list_record_transitions transition_record get_record_completeness list_record_changes",
    "Variants": "list_variants list_record_variants create_variant get_variant replace_variant_values delete_variant"
    " resolve_variant set_variant_value",
    "Catalogs": f"{CATALOG.operation_ids} get_catalog_tree",
    "Categories": "create_category get_category replace_category delete_category list_category_records assign_record"
    " unassign_record list_record_categories",
    "Search": "search_records search_full_text search_text",
    "Saved Queries": "list_saved_queries create_saved_query get_saved_query delete_saved_query execute_saved_query",
    "Import & Export": "preview_import execute_import export_records",
    "Webhooks": "list_webhooks create_webhook get_webhook replace_webhook delete_webhook",
    "Stand-in": "get_caller list_key_ledgers list_test_workspaces create_test_workspace get_workspace_seed"
    " delete_test_workspace reset_demo list_requests get_request clear_requests"
    " list_key_faults replace_key_faults delete_key_faults"
    " list_webhook_health list_deliveries get_delivery resend_delivery run_deliveries",
}

# What may be null in answers; everything else that is there is never null.
MAY_BE_NULL = {
    *("ApiKey.lastUsedAt", "ProductRecord.lifecycleStateId", "Category.parentId", "CategoryNode.parentId"),
    "Completeness.stateId",
}

# The ids that stand for a path's placeholders, by what stands before them in the path.
EXAMPLES = {
    **DEMO_IDS,
    "categories": "cat-men-windbreakers",
    "records": "ent-coastal-wb",
    "variants": "var-cw-s",
    "saved-queries": "sq-cheap-caps",
    "webhooks": "wh-sync-notify",
}
# The addresses in examples, which lead nowhere.
RECEIVERS = {"https://shop.example/hooks/sigma", "https://search.example/hooks/sigma"}


@pytest.fixture(scope="module")
def document(session_app):
    return session_app.test_client().get("/openapi.json").json


def operations(document, below="/api/v1"):
    """Each operation below a path: its method, the rest of its path, and what the document says of it."""
    return [
        (verb.upper(), path.removeprefix(below), item[verb])
        for path, item in document["paths"].items()
        for verb in VERBS
        if verb in item and path.startswith(below)
    ]


def problems(document, schema, value):
    """What is wrong with a value, by a schema of the document."""
    validator = OAS30Validator({**schema, "components": document["components"]}, format_checker=oas30_format_checker)
    return [f"{list(problem.absolute_path)}: {problem.message}" for problem in validator.iter_errors(value)]


def resolved(document, part):
    """What a part of the document says, or what it refers to."""
    if "$ref" not in part:
        return part
    return functools.reduce(operator.getitem, part["$ref"][2:].split("/"), document)


def responses(document, operation):
    """Each answer that an operation announces: its status, and what the document says of it."""
    return [(status, resolved(document, response)) for status, response in operation["responses"].items()]


def success(operation):
    """The status and the body of an operation's one answer that is no refusal; None for no body."""
    ((status, response),) = [(status, item) for status, item in operation["responses"].items() if status[0] == "2"]
    return int(status), response.get("content", {}).get(JSON)


def announced_answer(document, method, template, answer):
    """What the document says of an answer with this status."""
    return dict(responses(document, document["paths"]["/api/v1" + template][method.lower()]))[str(answer.status_code)]


def check_answer(document, method, template, answer):
    """Check that an answer is one that the document announces."""
    described = announced_answer(document, method, template, answer)
    for name, header in described["headers"].items():
        assert name in answer.headers or not resolved(document, header)["required"], name
    if answer.status_code == 204:
        assert (answer.data, "content" in described) == (b"", False)
    else:
        assert problems(document, described["content"][answer.content_type]["schema"], answer.json) == []


def example_path(document, path):
    """A path of the document with the examples of its parameters in it."""
    parameters = document["paths"]["/api/v1" + path].get("parameters", [])
    return path.format(**{parameter["name"]: parameter["example"] for parameter in parameters})


# -- The document


def test_the_document_is_valid_and_needs_no_credential(app, anonymous):
    answer = app.test_client().get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert validate(answer.json) is None
    assert answer.json["info"]["title"] == "Sigma PIM API"


def test_the_only_address_in_the_document_is_the_one_at_which_it_was_read(document):
    assert {*re.findall(r"\w+://[^\"]*", json.dumps(document))} == {"http://localhost", *RECEIVERS}
    assert document["servers"] == [{"url": "http://localhost", "description": "Where this document was read"}]


def addresses(part):
    """What stands where OpenAPI 3.0 has an address, with the name of its member."""
    if isinstance(part, dict):
        for name, inner in part.items():
            if name in ("properties", "example"):  # of a body, whose members may have any name
                continue
            if name in ("url", "termsOfService", "authorizationUrl", "tokenUrl", "refreshUrl", "openIdConnectUrl"):
                yield name, inner
            yield from addresses(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from addresses(inner)


def test_no_address_in_the_document_is_relative_because_generators_refuse_it(document):
    assert list(addresses(document)) == [("url", "http://localhost")]


def test_the_document_has_every_route_and_no_other(app, document):
    routes = {
        (method, re.sub("<([a-z_]+)>", r"{\1}", rule.rule).removeprefix("/api/v1"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1") and rule.access.kind != "not-built"
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(method, path) for method, path, _ in operations(document)} == routes


def test_operations_have_the_names_that_clients_know_and_the_tags_of_their_nouns(document):
    named = {tag["name"]: [] for tag in document["tags"]}
    for *_, operation in operations(document, below=""):
        (tag,) = operation["tags"]
        named[tag].append(operation["operationId"])
    assert list(named) == list(OPERATIONS)
    assert {tag: sorted(ids) for tag, ids in named.items()} == {tag: sorted(ids.split()) for tag, ids in OPERATIONS.items()}


def test_every_tag_operation_and_schema_says_what_it_is(document):
    for tag in document["tags"]:
        assert re.fullmatch(r"[A-Z].{10,}\.", tag["description"]), tag
    for method, path, operation in operations(document):
        assert re.fullmatch(r"[A-Z][^,;:.]{10,70}\.", operation["summary"]), (method, path)
        assert operation["description"].startswith(operation["summary"].rstrip(".")), (method, path)
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name


def test_every_parameter_and_every_member_of_every_body_says_what_it_is(document):
    for path, item in document["paths"].items():
        for parameters in (item.get("parameters", []), *(item[verb].get("parameters", []) for verb in VERBS if verb in item)):
            assert [parameter["name"] for parameter in parameters if len(parameter.get("description", "")) < 8] == [], path
            assert [item for item in parameters if item["in"] == "path" and not isinstance(item.get("example"), str)] == [], (
                path
            )
    assert [
        f"{name}.{member}"
        for name, schema in document["components"]["schemas"].items()
        for member, inner in schema.get("properties", {}).items()
        if len(inner.get("description", "")) < 8
    ] == []


def test_every_operation_says_who_may_call_it(document):
    secured = {"public": [], "session": [{"session": []}]}
    schemes = document["components"]["securitySchemes"]
    assert [schemes["apiKey"][word] for word in ("type", "in", "name")] == ["apiKey", "header", "X-Sigma-ApiKey"]
    assert (schemes["session"]["type"], schemes["session"]["scheme"]) == ("http", "bearer")
    for method, path, operation in operations(document):
        needed = operation["x-required-permission"]
        assert needed in (*ALL_PERMISSIONS, "session", "public")
        assert operation["security"] == secured.get(needed, [{"apiKey": []}, {"session": []}]), (method, path)
        told = {"public": "Needs no credential.", "session": "No API key may call it; "}.get(
            needed, f"An API key needs `{needed}`; "
        )
        assert told in operation["description"], (method, path)
        flag = re.search("a role with `([A-Za-z]+)`", operation["description"])
        assert operation.get("x-required-flag") == (flag and flag[1])
        need = "people only" if needed == "session" else needed
        assert operation["x-access"] == (f"{need}: {flag[1]}" if flag else need)


def test_the_permission_that_an_operation_announces_is_the_one_it_asks_for(document, anonymous):
    for method, path, operation in operations(document):
        answer = anonymous.request(method, re.sub("{[^}]+}", "none", path))
        assert answer.headers.get("X-Sigma-Required-Permission", "public") == operation["x-required-permission"]


def expected_refusals(method, path, operation):
    """The statuses with which an operation may refuse."""
    guarded = operation["x-required-permission"] != "public"
    model = path.split("/")[1] in (*EXAMPLES, "api-keys") and not path.startswith(("/records", "/variants", "/categories"))
    yield from (("401", "403") if guarded else ())
    yield from (("400", "415") if "requestBody" in operation else ())
    yield from (("400",) if any(parameter["in"] == "query" for parameter in operation.get("parameters", [])) else ())
    yield from (("404",) if "{" in path else ())
    yield from (("409",) if model and method == "PUT" and path not in ("/roles/{id}", "/webhooks/{id}") else ())
    is_model = model and "/values/" not in path and not path.startswith(("/api-keys", "/saved-queries", "/webhooks"))
    yield from (("409",) if is_model and method == "DELETE" else ())
    yield from (("409",) if method == "POST" and "201" in operation["responses"] and path != "/api-keys" else ())
    yield from (("409",) if path.startswith("/records") and method in ("PUT", "PATCH") else ())  # `unique`
    yield from (("422",) if path.endswith("/transition") else ())
    yield from (("401", "429") if path == "/auth/login" else ())
    yield from ("413", "500", "503")


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


def test_every_refusal_has_the_one_shape_and_an_example_of_its_own(document):
    examples = {}
    for method, path, operation in operations(document):
        for status, response in responses(document, operation):
            if status[0] in "45":
                body = response["content"][JSON]
                assert (list(response["content"]), body["schema"]) == ([JSON], {"$ref": "#/components/schemas/ErrorResponse"})
                assert problems(document, body["schema"], body["example"]) == [], (method, path, status)
                examples.setdefault(int(status), set()).add(body["example"]["error"])
                is_creation = (method, path, status) == ("POST", "/records", "403")
                assert (body["example"]["error"] == "LIMIT_EXCEEDED") == is_creation
    codes = {status: {code} for status, code in errors.CODES.items() if status not in (405, 501)}
    assert examples == {**codes, 403: {"PERMISSION_DENIED", "LIMIT_EXCEEDED"}}
    error, codes = (document["components"]["schemas"][name] for name in ("ErrorResponse", "ErrorCode"))
    assert list(error["properties"]) == sorted(error["required"]) == ["error", "message"]
    assert sorted(codes["enum"]) == sorted({*errors.CODES.values(), "LIMIT_EXCEEDED"})


def test_the_headers_of_answers_are_announced_where_they_come(document):
    more = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    for method, path, operation in operations(document):
        guarded = set() if operation["x-required-permission"] == "public" else {"X-Sigma-Required-Permission"}
        for status, response in responses(document, operation):
            announced = {"X-Request-Id", *guarded, *more.get(status, ())}
            assert set(response["headers"]) == announced, (method, path, status)
    assert all(header["description"] for header in document["components"]["headers"].values())


def test_a_body_that_is_too_large_is_refused_as_announced_by_every_operation(document, admin):
    for method, path, _ in operations(document):
        answer = admin.request(
            method, example_path(document, path), environ_overrides={"CONTENT_LENGTH": str(errors.MAX_BODY + 1)}
        )
        assert answer.status_code == 413, (method, path)
        check_answer(document, method, path, answer)


def test_an_answer_without_a_body_describes_none(document):
    for method, path, operation in operations(document, below=""):
        empty = [status for status, response in responses(document, operation) if not response.get("content")]
        assert empty == [status for status in operation["responses"] if status == "204"], (method, path)
        if method == "DELETE" and "200" not in operation["responses"]:
            assert empty == ["204"], path


def test_patterns_are_such_as_every_language_understands(document):
    patterns = set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(document)))
    assert len(patterns) >= 3
    assert [
        pattern for pattern in patterns if re.search(r"\(\?|\\[1-9AZz]", json.loads(pattern))
    ] == []  # as RE2, of Go and Rust


def test_every_reference_leads_somewhere(document):
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert len(references) > 100
    for reference in set(references):
        target = document
        assert reference.startswith("#/")
        for part in reference[2:].split("/"):
            target = target[part]
        assert target


def test_no_component_is_unused(document):
    text = json.dumps(document)
    for kind, components in document["components"].items():
        for name in components:
            used = f'{{"{name}": []}}' if kind == "securitySchemes" else f'"#/components/{kind}/{name}"'
            assert used in text, (kind, name)


def schemas_of(document, parts):
    """The schemas that parts of the document are made of."""
    text = json.dumps(parts)
    names = list(dict.fromkeys(re.findall('schemas/([A-Za-z]+)"', text)))
    for name in names:
        found = re.findall('schemas/([A-Za-z]+)"', json.dumps(document["components"]["schemas"][name]))
        names.extend(dict.fromkeys(other for other in found if other not in names))
    return {name: document["components"]["schemas"][name] for name in names}


def answered_schemas(document):
    """The schemas that answers are made of."""
    return schemas_of(document, [response for *_, one in operations(document) for _, response in responses(document, one)])


def test_answers_tell_what_may_be_null(document):
    assert {
        f"{name}.{member}"
        for name, schema in answered_schemas(document).items()
        for member, inner in schema.get("properties", {}).items()
        if inner.get("nullable")
    } == MAY_BE_NULL


def test_what_has_a_default_may_be_left_out_of_a_request_and_the_default_is_told(document):
    schemas = document["components"]["schemas"]
    assert schemas["RoleRequest"]["required"] == ["id", "name"]
    assert schemas["RoleReplacement"]["required"] == ["name"]
    assert schemas["RoleRequest"]["properties"]["canExport"]["description"].endswith("; false when absent")
    assert schemas["StateRequest"]["properties"]["hidden"]["description"].endswith("; [] when absent")
    assert not any("default" in inner for schema in schemas.values() for inner in schema.get("properties", {}).values())


def test_where_null_may_be_sent_the_description_says_what_it_does(document):
    schemas = schemas_of(document, [operation.get("requestBody") for *_, operation in operations(document)])
    told = {
        f"{name}.{member}": inner["description"].rpartition("; ")[2]
        for name, schema in schemas.items()
        for member, inner in schema.get("properties", {}).items()
        if inner.get("nullable")
    }
    assert told.pop("CategoryRequest.parentId") == "null at the top"
    assert len(told) > 30
    assert set(told.values()) == {"null means absent"}
    assert schemas["ValuePatch"]["properties"]["value"]["description"].endswith("; null removes what is there")
    for operation in ("set_record_value", "set_variant_value"):
        (said,) = [item["description"] for *_, item in operations(document) if item["operationId"] == operation]
        assert "null removes it" in said


def test_null_is_among_the_values_of_an_enum_where_it_may_come_and_nowhere_else(document):
    members = [
        inner
        for schema in document["components"]["schemas"].values()
        for inner in (schema, *schema.get("properties", {}).values())
        if "enum" in inner
    ]
    assert len(members) > 10
    for inner in members:
        assert (None in inner["enum"]) == inner.get("nullable", False), inner


def test_what_is_secret_is_only_written(document):
    secret = [
        f"{name}.{member}"
        for name, schema in document["components"]["schemas"].items()
        for member, inner in schema.get("properties", {}).items()
        if inner.get("writeOnly")
    ]
    assert secret == ["Login.password"]


def test_query_parameters_are_announced_where_they_count(document):
    announced = {
        path: [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
        for method, path, operation in operations(document)
        if method == "GET"
    }
    known = {
        re.sub(r":(\w+)", r"{\1}", path): sorted(names) for path, names in KNOWN.items() if not path.startswith("/standin")
    }
    assert {path: sorted(names) for path, names in announced.items() if names} == known


# -- The document and the service


def filled(path):
    """A path of the document with ids of the demo workspace in it."""
    parts = path.split("/")
    filled = "/".join(EXAMPLES[parts[index - 1]] if part.startswith("{") else part for index, part in enumerate(parts))
    return filled + ("?q=cap" if path == "/search/text" else "")


def test_every_answer_to_a_get_is_as_announced(document, admin, error):
    for method, path, _ in operations(document):
        if method == "GET":
            answer = admin.get(filled(path))
            assert answer.status_code == 200, path
            check_answer(document, "GET", path, answer)
            missing = admin.get(re.sub("{[^}]+}", "none", path))
            assert missing.status_code == (404 if "{" in path else 400 if path == "/search/text" else 200)
            check_answer(document, "GET", path, missing)


@each(
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
    (
        *("POST", "/attributes", {}),
        {"id": "b", "alias": "b", "name": "B", "type": "text", "guards": [{"attributeId": "attr-sku", "operator": "isEmpty"}]},
        201,
    ),
    ("DELETE", "/attributes/{id}", {"id": "attr-sku"}, None, 409),
    (
        *("POST", "/workflows", {}),
        {
            **{"id": "w", "alias": "w", "name": "W", "defaultStateId": "s", "states": [{"id": "s", "name": "S"}]},
            "transitions": [{"id": "t", "fromStateId": "s", "toStateId": "s"}],
        },
        201,
    ),
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
    ("POST", "/search", {}, {"criteria": [{"attributeAlias": "price", "operator": "gt", "value": "100", "scope": {}}]}, 200),
    ("POST", "/search", {}, {"criteria": [{"attribute": "care", "operator": "equals", "value": {"wash": 30}}]}, 200),
    ("POST", "/search", {}, {"criteria": [{"attribute": "sku", "operator": "gt", "value": 1}]}, 400),
    ("POST", "/search/full-text", {}, {"query": "kyst", "schemaId": "schema-apparel", "offset": 1, "limit": 1}, 200),
    ("POST", "/search/full-text", {}, {"query": " "}, 400),
    (
        *("POST", "/saved-queries", {}),
        {"id": "q", "name": "Q", "query": {"criteria": [{"attributeAlias": "sku", "operator": "isEmpty"}], "limit": 1}},
        201,
    ),
    ("POST", "/saved-queries", {}, {"id": "q", "name": "Q", "query": {}}, 409),
    ("POST", "/saved-queries", {}, {"id": "all", "name": "All", "query": {}}, 201),
    ("GET", "/saved-queries", {}, None, 200),
    ("POST", "/saved-queries/{id}/execute", {"id": "q"}, None, 200),
    ("DELETE", "/saved-queries/{id}", {"id": "q"}, None, 204),
    ("POST", "/saved-queries/{id}/execute", {"id": "q"}, None, 404),
    ("POST", "/webhooks", {}, {"id": "w", "name": "W", "url": "http://w/", "events": ["variant.created"], "secret": "s"}, 201),
    ("POST", "/webhooks", {}, {"id": "w", "name": "W", "url": "http://w/", "events": ["variant.created"]}, 409),
    ("POST", "/webhooks", {}, {"id": "w", "name": "W", "url": "http://w/", "events": []}, 400),
    ("GET", "/webhooks/{id}", {"id": "w"}, None, 200),
    ("PUT", "/webhooks/{id}", {"id": "w"}, {"name": "W", "url": "http://w/", "events": ["entity.deleted"]}, 200),
    ("DELETE", "/webhooks/{id}", {"id": "w"}, None, 204),
    ("PUT", "/webhooks/{id}", {"id": "w"}, {"name": "W", "url": "http://w/", "events": ["entity.deleted"]}, 404),
]


def test_every_answer_to_a_write_is_as_announced(document, admin):
    for method, path, ids, body, status in STORY:
        answer = admin.request(method, path.format(**ids), body)
        assert answer.status_code == status, (method, path, answer.json)
        check_answer(document, method, path, answer)


def lacked(document, schema, value, name=""):
    """Yield the members that objects in a value lack, each with the name of the schema that announces it."""
    name, schema = schema.get("$ref", name).rpartition("/")[2], resolved(document, schema)
    for part in schema.get("allOf", ()):
        yield from lacked(document, part, value, name)
    for item in value if isinstance(value, list) else ():
        yield from lacked(document, schema.get("items", {}), item)
    for member, inner in schema.get("properties", {}).items() if isinstance(value, dict) else ():
        if member in value:
            yield from lacked(document, inner, value[member])
        else:
            yield f"{name}.{member}"


def test_what_answers_may_lack_by_the_document_is_lacked_by_some(document, admin):
    gets = [("GET", filled(path), path, None) for method, path, _ in operations(document) if method == "GET"]
    fewest = [("POST", noun.path, noun.path, noun.minimal) for noun in NOUNS]
    story = [(method, path.format(**ids), path, body) for method, path, ids, body, _ in STORY]
    found = set()
    for method, path, template, body in (*gets, *fewest, *story):
        answer = admin.request(method, path, body)
        if answer.status_code != 204:
            content = announced_answer(document, method, template, answer)["content"]
            found.update(lacked(document, content[answer.content_type]["schema"], answer.json))
    assert found == {
        f"{name}.{member}"
        for name, schema in answered_schemas(document).items()
        for member in schema.get("properties", {})
        if member not in schema.get("required", ())
    }


def test_the_demo_data_fits_the_announced_bodies(document):
    def request_problems(path, body):
        operation = document["paths"][f"/api/v1{path}"]["post"]
        return problems(document, operation["requestBody"]["content"]["application/json"]["schema"], body)

    for kind, body in DEMO["model"]:
        assert request_problems(f"/{kind}s", body) == []
        assert request_problems(f"/{kind}s", {**body, "surprise": 1}) != []
    for noun, path in (("records", "/records/{id}"), ("variants", "/records/{id}/variants/{variant_id}")):
        answer = document["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]["content"][JSON]["schema"]
        for item in DEMO[noun]:
            assert problems(document, answer, item) == []
            assert problems(document, answer, {**item, "surprise": 1}) != []
    for _, category in DEMO["categories"]:
        assert request_problems("/catalogs/{id}/categories", category) == []


def test_every_body_is_required_and_json(document):
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            assert operation["requestBody"]["required"] is True, (method, path)
            assert list(operation["requestBody"]["content"]) == [JSON]
        assert ("requestBody" in operation) <= (method in ("POST", "PUT", "PATCH"))


# -- The examples


def test_every_body_has_an_example_that_fits(document):
    for method, path, operation in operations(document):
        bodies = [success(operation)[1], operation.get("requestBody", {}).get("content", {}).get(JSON)]
        for body in filter(None, bodies):
            assert problems(document, body["schema"], body["example"]) == [], (method, path)


def members(body):
    """The names of a body's members, or of a list's first item's."""
    return sorted(body[0] if isinstance(body, list) else body)


def test_the_examples_of_api_keys_are_those_of_the_published_page(document):
    examples = {operation["operationId"]: success(operation)[1] for *_, operation in operations(document)}
    example = DEMO["apiKeys"][0]
    common = {name: example[name] for name in ("id", "name", "permissions")}
    made = {"rawKey": example["rawKey"], "createdAt": "2026-03-08T12:00:00.000Z"}
    assert examples["create_api_key"]["example"] == {**common, **made}
    old = {"createdAt": "2026-02-15T09:00:00.000Z"}
    assert examples["list_api_keys"]["example"] == [{**common, **old, "active": True, "lastUsedAt": "2026-03-08T10:00:12.450Z"}]
    off = {"active": False, "deactivatedAt": "2026-03-08T12:30:00.000Z"}
    assert examples["deactivate_api_key"]["example"] == {**common, **old, **off}


def refusals(app, admin, make_key, monkeypatch):
    """An answer of the service with each code, from where the examples say that it comes."""

    def fail_with(error):
        def one(*_):
            raise error

        with monkeypatch.context() as patch:
            replace_everywhere(patch, database, "fetch_one", one)
            return admin.get("/healthz")

    replace_everywhere(monkeypatch, sessions, "FAILURES_OF_EMAIL", 1)
    monkeypatch.setitem(app.config, "RECORD_LIMIT", 2)  # the example is in the plural
    reader, writer, former = make_key("read"), make_key("update-data"), make_key("read")
    admin.post(f"/api-keys/{former.id}/deactivate")
    wrong = {"email": "admin@sigma.io", "password": "wrong"}
    schema = {"id": "schema-x", "alias": "apparel", "name": "X", "variantEnabled": False}
    yield writer.put("/records/ent-coastal-wb", {"values": {"price": [{"value": "899"}]}})
    yield former.get("/records")
    yield reader.put("/records/ent-coastal-wb", {"values": {}})
    yield writer.post("/records", {"schemaId": "schema-apparel", "values": {}})
    yield reader.get("/records/ent-lost")
    yield admin.post("/schemas", schema)
    yield admin.post("/schemas", {"name": "x" * errors.MAX_BODY})
    yield admin.post("/schemas", data="{}", content_type="text/plain")
    yield writer.post("/records/ent-coastal-wb/transition", {"toStateId": "state-review"})
    yield admin.post("/auth/login", wrong)
    yield admin.post("/auth/login", wrong)
    yield fail_with(RuntimeError("no one"))
    yield fail_with(sqlite3.OperationalError("disk I/O error"))


def test_the_examples_of_refusals_are_what_the_service_says(document, app, admin, make_key, monkeypatch):
    def without_numbers(text):
        return re.sub("[0-9]+", "…", text)

    told, said = set(), []
    for *_, operation in operations(document):
        for status, response in responses(document, operation):
            if status[0] in "45":
                told.add((int(status), *map(without_numbers, response["content"][JSON]["example"].values())))
    for answer in refusals(app, admin, make_key, monkeypatch):
        said.append((answer.status_code, answer.json["error"], without_numbers(answer.json["message"])))
    assert set(said) == told


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
    with client.get("/docs") as page:
        page.get_data()
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    tags = Tags(page.text)
    assert tags.inline == []
    assert len(tags.files) >= 3
    for file in tags.files:
        assert not re.match("[a-z]+:|//", file)
        with client.get(f"/{file.lstrip('/')}") as answer:
            assert (answer.status_code, len(answer.data) > 0) == (200, True), file
    assert "://" not in page.text


def test_the_scripts_of_the_docs_start_with_this_services_document_and_name_no_other_host(app):
    client = app.test_client()
    for name in sorted(pages.DOCS_FILES):
        with client.get(f"/docs/{name}") as script:
            if not name.startswith("swagger-ui"):
                assert "://" not in script.text.replace('"http://www.w3.org/2000/svg"', ""), name
    with client.get("/docs/main.js") as script:
        assert 'fetch("openapi.json")' in script.text
    with client.get("/docs/operations.js") as script:
        assert "validatorUrl: null" in script.text  # its default is a page on the internet


def test_the_browser_is_told_to_load_nothing_from_elsewhere_nor_inline(app):
    with app.test_client().get("/docs") as page:
        policy = page.headers["Content-Security-Policy"]
    assert policy.split("; ") == [
        *("default-src 'self'", "img-src 'self' data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
    ]


def test_of_the_folders_of_files_those_are_served_that_the_docs_load(app):
    client = app.test_client()
    with client.get("/docs") as page:
        loaded = {file.removeprefix("docs/") for file in Tags(page.text).files if file.startswith("docs/")}
    for name in ("main.js", "operations.js", "routes.js", "session.js", "tabs.js"):
        with client.get(f"/docs/{name}") as script:
            loaded |= set(re.findall(r'^import .* from "\./([a-z]+\.js)";$', script.text, re.MULTILINE))
    served = set()
    for folder in (pages.SWAGGER_FOLDER, pages.DOCS_FOLDER, pages.CONSOLE_FOLDER):
        for file in folder.iterdir():
            with client.get(f"/docs/{file.name}") as answer:
                served |= {file.name} if answer.status_code == 200 else set()
    assert served == loaded


def test_a_browser_loads_a_file_of_the_docs_once_and_then_asks_whether_it_changed(app):
    client = app.test_client()
    with client.get("/docs/swagger-ui.css") as answer:
        assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/css; charset=utf-8", "no-cache")
    with client.get("/docs/swagger-ui.css", headers={"If-None-Match": answer.headers["ETag"]}) as again:
        assert (again.status_code, again.data) == (304, b"")


def test_where_the_docs_ask_for_a_credential_they_name_those_of_the_demo(document):
    schemes = document["components"]["securitySchemes"]
    assert f"`{DEMO['apiKeys'][0]['rawKey']}` (read, update-data)" in schemes["apiKey"]["description"]
    assert "`admin@sigma.io` with the password `admin`" in schemes["session"]["description"]
