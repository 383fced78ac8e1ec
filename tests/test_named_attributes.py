"""Attributes that roles and workflows name: a name that the workspace does not have is refused, and what is named stays."""

import json

import pytest
from cases import each
from conftest import sql

from sigma.http.strict_json import to_json

THING = {"id": "attr-thing", "alias": "thing", "name": "Thing", "type": "text"}
LISTS = ("required", "readOnly", "hidden")
LEVELS = ("write", "read", "hidden")
BOTH = {"by-alias": "thing", "by-id": "attr-thing"}


def role(*names, level="hidden"):
    """Return a role with levels for attributes, by name."""
    permission = {"schemaId": "schema-apparel", "attributePermissions": dict.fromkeys(names, level)}
    return {"id": "role-x", "name": "X", "schemaPermissions": [permission]}


def workflow(*names, member="required"):
    """Return a workflow whose second state names attributes."""
    states = [{"id": "a", "name": "A"}, {"id": "b", "name": "B", member: list(names)}]
    return {"id": "wf-x", "alias": "x", "name": "X", "defaultStateId": "a", "states": states, "transitions": []}


NAMING = {  # what names attributes: its path, a function that makes a body, and the path of a name, which is first in it
    **{
        f"role-{level}": (
            "/roles",
            lambda *names, level=level: role(*names, level=level),
            "schemaPermissions[0].attributePermissions.{name}",
        )
        for level in LEVELS
    },
    **{
        f"state-{member}": (
            "/workflows",
            lambda *names, member=member: workflow(*names, member=member),
            f"states[1].{member}[{{place}}]",
        )
        for member in LISTS
    },
}
each_naming = each(("path", "make", "field"), NAMING.values(), ids=NAMING)


def name_and_kind(body):
    return f"{'workflow' if 'states' in body else 'role'} '{body['id']}'"


@pytest.fixture
def thing(admin):
    """Make an attribute that nothing refers to."""
    assert admin.post("/attributes", THING).status_code == 201
    return THING


@each_naming
def test_a_name_that_no_attribute_has_is_refused_with_its_path_and_what_there_is(path, make, field, admin, error):
    bad = make("product-name", "prize", "attr-price", "no")
    message = error(admin.post(path, bad), 400)
    first, second = message.split("; ")
    assert first.startswith(f"{field.format(name='prize', place=1)}: attribute 'prize' does not exist (there are 'price', ")
    assert second.startswith(f"{field.format(name='no', place=3)}: attribute 'no' does not exist (there are ")
    error(admin.get(f"{path}/{bad['id']}"), 404)
    good = make("product-name", "attr-price")
    assert admin.post(path, good).status_code == 201
    stored = admin.get(f"{path}/{good['id']}").json
    assert error(admin.put(f"{path}/{good['id']}", bad), 400) == message
    assert admin.get(f"{path}/{good['id']}").json == stored


@each_naming
def test_an_attribute_of_another_workspace_is_unknown(path, make, field, admin, stranger, error, thing):
    schema = {"id": "schema-apparel", "alias": "apparel", "name": "Apparel", "variantEnabled": False}
    assert stranger.post("/schemas", schema).status_code == 201
    body = make("thing", "attr-thing")
    message = error(stranger.post(path, body), 400)
    for place, name in enumerate(BOTH.values()):
        assert f"{field.format(name=name, place=place)}: attribute '{name}' does not exist" in message
    assert admin.post(path, body).status_code == 201


@each_naming
def test_what_a_put_does_not_change_is_not_checked_again(path, make, field, app, admin, error):
    """Older versions took any name; what they have stored can still be read, changed and put back."""
    id = make()["id"]
    assert admin.post(path, make("sku")).status_code == 201
    ((text,),) = sql(app, "SELECT body FROM model_objects WHERE tenant = 'ws-demo' AND id = ?", id)
    old = json.loads(text)
    old |= {name: make("sku", "gone")[name] for name in ("states", "schemaPermissions") if name in make()}
    sql(app, "UPDATE model_objects SET body = ? WHERE tenant = 'ws-demo' AND id = ?", to_json(old), id)
    assert admin.put(f"{path}/{id}", {**old, "name": "Renamed"}).status_code == 200
    assert admin.put(f"{path}/{id}", make("gone", "price")).status_code == 200
    assert '"gone"' in admin.get(f"{path}/{id}").text
    message = error(admin.put(f"{path}/{id}", make("gone", "gone-too")), 400)
    assert message.startswith(f"{field.format(name='gone-too', place=1)}: attribute 'gone-too' does not exist")
    assert "'gone' " not in message
    assert admin.put(f"{path}/{id}", make("price")).status_code == 200
    error(admin.put(f"{path}/{id}", make("gone")), 400)


@each_naming
@each("name", BOTH.values(), ids=BOTH)
def test_an_attribute_that_is_named_is_not_deleted(name, path, make, field, admin, make_key, error, thing):
    body = make("sku", name)
    assert admin.post(path, body).status_code == 201
    for caller in (admin, make_key("delete-model")):
        message = error(caller.delete("/attributes/attr-thing"), 409)
        assert message == f"Attribute 'attr-thing' is in use by {name_and_kind(body)}"
    assert admin.get("/attributes/attr-thing").status_code == 200
    assert admin.put(f"{path}/{body['id']}", make("sku")).status_code == 200
    assert admin.delete("/attributes/attr-thing").status_code == 204


@each_naming
def test_an_attribute_that_is_named_by_its_alias_keeps_it(path, make, field, admin, error, thing):
    body = make("sku", "thing")
    assert admin.post(path, body).status_code == 201
    reason = "names attribute 'attr-thing' by this alias, and would no longer find it"
    if path == "/roles" and "write" not in str(body):
        reason = "limits attribute 'attr-thing', and would no longer do so"
    message = error(admin.put("/attributes/attr-thing", {**thing, "alias": "thing-2"}), 409)
    assert message == f"alias: {name_and_kind(body)} {reason}"
    assert admin.get("/attributes/attr-thing").json["alias"] == "thing"
    assert admin.put("/attributes/attr-thing", {**thing, "name": "Other"}).status_code == 200
    assert admin.put(f"{path}/{body['id']}", make("sku")).status_code == 200
    assert admin.put("/attributes/attr-thing", {**thing, "alias": "thing-2"}).status_code == 200


@each("member", LISTS)
def test_a_state_that_names_an_attribute_by_its_id_still_does_under_another_alias(member, admin, thing):
    assert admin.post("/workflows", workflow("attr-thing", member=member)).status_code == 201
    assert admin.put("/attributes/attr-thing", {**thing, "alias": "thing-2"}).status_code == 200
    assert admin.get("/workflows/wf-x").json["states"][1][member] == ["attr-thing"]


def test_all_that_names_an_attribute_is_named(admin, error, thing):
    assert admin.post("/roles", role("thing")).status_code == 201
    assert admin.post("/workflows", workflow("attr-thing")).status_code == 201
    message = error(admin.delete("/attributes/attr-thing"), 409)
    assert message == "Attribute 'attr-thing' is in use by role 'role-x', workflow 'wf-x'"


def test_what_another_workspace_names_keeps_no_attribute(admin, stranger, thing):
    assert stranger.post("/attributes", thing).status_code == 201
    assert stranger.post("/workflows", workflow("thing")).status_code == 201
    assert admin.delete("/attributes/attr-thing").status_code == 204


def test_a_state_may_have_any_text_in_its_other_members(admin, thing):
    states = [{"id": "a", "name": "thing", "color": "{thing"}, {"id": "thing", "name": "[", "hidden": ["sku"]}]
    body = {**workflow(), "states": states}
    assert admin.post("/workflows", body).status_code == 201
    assert admin.delete("/attributes/attr-thing").status_code == 204


@each("name", ["sku\0", "", "Sku", " sku", "s" * 5000, "é"], ids=["nul", "empty", "case", "blank", "long", "accent"])
def test_only_the_very_name_counts(name, admin, error):
    message = error(admin.post("/workflows", workflow(name)), 400)
    assert message.startswith("states[1].required[0]: attribute ")
    assert len(message) < 400
    message = error(admin.post("/roles", role(name)), 400)
    assert message.startswith("schemaPermissions[0].attributePermissions.")
    assert len(message) < 600


def test_a_seed_may_name_attributes_that_are_gone(standin, app, admin):
    """What a workspace of an older version holds can be copied and loaded again."""
    assert admin.post("/workflows", workflow("sku")).status_code == 201
    old = {**admin.get("/workflows/wf-x").json, "states": workflow("sku", "gone")["states"]}
    old["states"] = [{"hidden": [], "required": [], "readOnly": [], **state} for state in old["states"]]
    sql(app, "UPDATE model_objects SET body = ? WHERE tenant = 'ws-demo' AND id = 'wf-x'", to_json(old))
    seed = standin("GET", "/workspaces/ws-demo/seed").json
    assert ["workflow", old] in seed["model"]
    for content in ("ws-demo", seed):
        assert standin("POST", "/workspaces", {"content": content}).status_code == 201
