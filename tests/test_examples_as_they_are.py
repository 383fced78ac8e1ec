"""The examples in the OpenAPI document, sent as they are by the demo's administrator, each to a fresh demo workspace."""

from urllib.parse import urlencode

import pytest
from cases import each
from conftest import client_of
from test_openapi import JSON, OPERATIONS, VERBS, members, problems, success

DELETES_WHAT_IS_MADE = {  # the demo uses all that it has of these nouns: the example names what another one makes
    "delete_schema": "create_schema",
    "delete_attribute": "create_attribute",
    "delete_dimension": "create_dimension",
    "delete_option_list": "create_option_list",
    "delete_role": "create_role",
    "delete_catalog": "create_catalog",
}
HAS_NO_ID_BEFOREHAND = {  # the service makes these ids: a fresh demo has none, and no example can name the next one
    "get_delivery": "GET /standin/deliveries",
    "resend_delivery": "GET /standin/deliveries",
    "get_request": "GET /standin/requests",
    "delete_test_workspace": "POST /standin/workspaces",
}
OTHER_MEMBERS = {"get_caller"}  # its example is the answer to an integration's key; a person gets other members
EVERY = " ".join(OPERATIONS.values()).split()


@pytest.fixture(scope="module")
def described(session_app):
    """Return the document, and each operation's method, path and description by its name."""
    document = session_app.test_client().get("/openapi.json").json
    operations = {
        item[verb]["operationId"]: (verb.upper(), path, item[verb])
        for path, item in document["paths"].items()
        for verb in VERBS
        if verb in item
    }
    return document, operations


@pytest.fixture
def send(app, admin, described):
    """Return a function that sends an operation's example as the administrator."""
    document, operations = described

    def send_example(name):
        method, path, operation = operations[name]
        both = [*document["paths"][path].get("parameters", []), *operation.get("parameters", [])]  # the second wins
        path = path.format(**{one["name"]: one["example"] for one in both if one["in"] == "path"})
        query = {one["name"]: one["example"] for one in both if one["in"] == "query" and "example" in one}
        body = operation.get("requestBody", {}).get("content", {}).get(JSON)
        options = {"headers": admin.headers, **({"json": body["example"]} if body else {})}
        return client_of(app).open(f"{path}?{urlencode(query)}", method=method, **options)

    return send_example


def check_answer(described, name, answer):
    """Check that an answer is the success that the document announces, with the members of its example."""
    document, operations = described
    status, content = success(operations[name][2])
    assert answer.status_code == status, answer.get_data(as_text=True)
    if content is not None:
        assert problems(document, content["schema"], answer.json) == []
        if answer.json != [] and name not in OTHER_MEMBERS:
            assert members(answer.json) == members(content["example"])


@each("name", [name for name in EVERY if name not in DELETES_WHAT_IS_MADE | HAS_NO_ID_BEFOREHAND])
def test_an_example_works_as_it_is(described, send, name):
    check_answer(described, name, send(name))


@each(("name", "before"), DELETES_WHAT_IS_MADE.items())
def test_an_example_that_deletes_says_which_example_makes_what_it_deletes(described, send, error, name, before):
    method, path, _ = described[1][before]
    assert f"`{method} {path}`" in described[1][name][2]["description"]
    error(send(name), 404)
    check_answer(described, before, send(before))
    check_answer(described, name, send(name))
    error(send(name), 404)


@each(("name", "source"), HAS_NO_ID_BEFOREHAND.items())
def test_where_the_service_makes_ids_an_operation_says_which_one_has_them(described, send, error, name, source):
    assert f"`{source}`" in described[1][name][2]["description"]
    error(send(name), 404)
