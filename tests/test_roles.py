"""Roles: their levels, how they resolve, and what a key may not write. What they share with the other nouns: test_model.py."""

import pytest
from cases import each

from sigma import database

APPAREL = [  # the demo schema's attributes, in the order of its groups
    *("product-name", "sku", "price", "description", "material"),
    *("ean", "color", "category", "size", "tags"),
    *("waterproof", "water-column", "launch", "image", "goes-with", "care"),
]


def role(**members):
    return {"id": "role-x", "name": "X", **members}


def levels(schema="schema-apparel", **attributes):
    """Return a role's permissions for one schema; underscores stand for hyphens."""
    return {
        "schemaId": schema,
        "attributePermissions": {alias.replace("_", "-"): level for alias, level in attributes.items()},
    }


@pytest.fixture
def make(admin):
    def post(**members):
        answer = admin.post("/roles", role(**members))
        assert answer.status_code == 201, answer.text
        return answer.json

    return post


@pytest.fixture
def resolve(admin):
    def post(id="role-x", **body):
        answer = admin.post(f"/roles/{id}/resolve", {"schemaId": "schema-apparel", **body})
        assert answer.status_code == 200, answer.text
        return answer.json

    return post


# Bodies


BAD = {
    "schema-twice": ({"schemaPermissions": [levels(), levels()]}, "schemaPermissions[1].schemaId: "),
    "catalog-twice": (
        {"catalogPermissions": [{"catalogId": "cat-webshop"}, {"catalogId": "cat-webshop", "canView": True}]},
        "catalogPermissions[1].catalogId: ",
    ),
    "alias": ({"alias": "x"}, "alias: Unknown field"),
}


@each(("members", "message"), BAD.values(), ids=BAD)
def test_a_bad_role_is_refused(members, message, make, admin, error):
    assert error(admin.post("/roles", role(**members)), 400).startswith(message)
    error(admin.get("/roles/role-x"), 404)
    made = make()
    assert error(admin.put("/roles/role-x", role(**members)), 400).startswith(message)
    assert admin.get("/roles/role-x").json == made


def test_what_a_catalog_permission_leaves_out_is_not_permitted(make):
    made = make(catalogPermissions=[{"catalogId": "cat-webshop"}], schemaPermissions=[{"schemaId": "schema-apparel"}])
    assert made["catalogPermissions"] == [{"catalogId": "cat-webshop", "canView": False, "canAssign": False}]
    assert made["schemaPermissions"] == [{"schemaId": "schema-apparel", "attributePermissions": {}}]


# Resolving


@each("flags", [{}, {"canManageSchemas": True}], ids=["ordinary", "manages-schemas"])
def test_attributes_not_listed_are_write(flags, make, resolve):
    make(**flags, schemaPermissions=[levels(sku="read", price="hidden", water_column="read")])
    listed = {"sku": "read", "price": "hidden", "water-column": "read"}
    assert list(resolve().items()) == [(alias, listed.get(alias, "write")) for alias in APPAREL]


def test_a_role_without_permissions_for_a_schema_may_write_everything(make, resolve):
    make()
    assert resolve() == dict.fromkeys(APPAREL, "write")


def test_the_demo_administrator_may_write_everything(resolve):
    assert resolve("role-admin") == dict.fromkeys(APPAREL, "write")


def test_the_demo_editor_may_write_everything_but_prices(resolve):
    assert resolve("role-editor") == {**dict.fromkeys(APPAREL, "write"), "price": "read"}


def test_a_role_may_name_attributes_by_id_too(make, resolve):
    made = make(schemaPermissions=[levels(attr_sku="hidden", price="write", attr_price="hidden")])
    assert made["schemaPermissions"] == [levels(attr_sku="hidden", price="write", attr_price="hidden")]
    assert resolve(attributeIds=["attr-sku", "attr-price", "attr-care"]) == {"sku": "hidden", "price": "write", "care": "write"}


def test_a_name_that_is_the_alias_of_one_attribute_and_the_id_of_another_limits_both(make, resolve, admin):
    """Else who may make attributes could lift a limit, with an alias that is the id that a role names."""
    for id, alias in (("cc", "dd"), ("ee", "cc")):
        body = {"id": id, "alias": alias, "name": alias, "type": "text"}
        assert admin.post("/attributes", body).status_code == 201
    group = {"id": "grp", "name": "Group", "attributeIds": ["cc", "ee"]}
    body = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": False, "attributeGroups": [group]}
    assert admin.post("/schemas", body).status_code == 201
    make(schemaPermissions=[levels("schema-x", cc="hidden")])
    assert resolve(schemaId="schema-x") == {"dd": "hidden", "cc": "hidden"}


def test_only_the_attributes_asked_for_are_answered(make, resolve):
    make(schemaPermissions=[levels(sku="read", price="hidden")])
    answer = resolve(attributeIds=["attr-price", "attr-care", "attr-sku"])
    assert answer == {"price": "hidden", "care": "write", "sku": "read"}
    assert resolve(attributeIds=[]) == {}


def test_permissions_for_another_schema_do_not_count(make, resolve, admin):
    group = {"id": "grp", "name": "Group", "attributeIds": ["attr-sku"]}
    body = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": False, "attributeGroups": [group]}
    assert admin.post("/schemas", body).status_code == 201
    make(schemaPermissions=[levels(sku="hidden"), levels("schema-x", sku="write")])
    assert resolve(schemaId="schema-x") == {"sku": "write"}
    assert resolve(attributeIds=["attr-sku"]) == {"sku": "hidden"}


def test_a_changed_role_resolves_at_once(make, resolve, admin):
    make()
    assert resolve(attributeIds=["attr-sku"]) == {"sku": "write"}
    admin.put("/roles/role-x", role(schemaPermissions=[levels(sku="hidden")]))
    assert resolve(attributeIds=["attr-sku"]) == {"sku": "hidden"}


BAD_QUESTIONS = {
    "no-schema": ({}, "schemaId: "),
    "null-schema": ({"schemaId": None}, "schemaId: "),
    "number": ({"schemaId": 5}, "schemaId: "),
    "alias-in-place-of-id": ({"schemaId": "apparel"}, "schemaId: schema 'apparel' does not exist"),
    "one-attribute": ({"schemaId": "schema-apparel", "attributeIds": "attr-sku"}, "attributeIds: "),
    "number-for-attribute": ({"schemaId": "schema-apparel", "attributeIds": ["attr-sku", 5]}, "attributeIds[1]: "),
    "unknown-attribute": ({"schemaId": "schema-apparel", "attributeIds": ["attr-sku", "attr-nowhere"]}, "attributeIds[1]: "),
}


@each(("body", "message"), BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_a_bad_question_is_refused(body, message, admin, error):
    assert error(admin.post("/roles/role-editor/resolve", body), 400).startswith(message)


# What a key may not take back: that it may not turn this on is in test_access.py


def test_a_key_cannot_turn_it_off_for_the_last_who_could_deactivate_that_key(make, make_key, app, admin, error):
    key, before = make_key("update-model", "read"), admin.get("/roles/role-admin").json
    for body in ({**before, "canManageRoles": False}, {"name": "Administrator"}):
        message = error(key.put("/roles/role-admin", body), 403)
        assert message == (
            "canManageRoles: only a signed-in user may turn this off for the last users who have it, not a key;"
            " the key holds: read, update-model; sign in with POST /api/v1/auth/login"
        )
    assert admin.get("/roles/role-admin").json == before
    renamed = key.put("/roles/role-admin", {**before, "name": "Renamed"})
    assert (renamed.status_code, renamed.json) == (200, {**before, "name": "Renamed"})

    make(canManageRoles=True)
    with app.app_context():
        database.execute("UPDATE users SET role_id = 'role-x' WHERE tenant = 'ws-demo' AND id = 'user-editor'")
    assert key.put("/roles/role-admin", {**before, "canManageRoles": False}).status_code == 200, "the editor still can"
    error(key.put("/roles/role-x", role()), 403)
    error(admin.get("/api-keys"), 403)


def test_a_key_that_turned_it_off_cannot_turn_it_on_again(make, make_key, admin, error):
    make(canManageRoles=True)
    key = make_key("update-model")
    off = key.put("/roles/role-x", role(canManageRoles=False))
    assert off.status_code == 200
    error(key.put("/roles/role-x", role(canManageRoles=True)), 403)
    assert admin.get("/roles/role-x").json == off.json
