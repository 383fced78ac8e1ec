"""What the seven nouns of the model share: one life, one way of checking bodies, one web of references.

nouns.py holds a smallest and a fullest body of each; every promise is kept for all of them. What only one noun
promises is in that noun's own file.
"""

import copy
import json
import re

import pytest
from cases import each
from conftest import without_hint
from nouns import (
    ATTRIBUTE,
    CATALOG,
    DIMENSION,
    NOUNS,
    OPTION_LIST,
    ROLE,
    SCHEMA,
    WORKFLOW,
    each_noun,
    each_noun_with_alias,
)

NOWHERE = "no-such-thing"


def steps(path):
    """Return the keys and places of a path such as `states[1].name`."""
    return [int(step) if step.isdigit() else step for step in path.replace("[", ".").replace("]", "").split(".")]


def changed(body, path, value):
    """Return a copy of the body in which the member at this path has another value."""
    body = copy.deepcopy(body)
    *way, last = steps(path)
    place = body
    for step in way:
        place = place[step]
    if isinstance(place, list):
        place[last:] = [value]
    else:
        place[last] = value
    return body


def without(body, path):
    """Return a copy of the body that lacks the member at this path."""
    body = copy.deepcopy(body)
    *way, last = steps(path)
    place = body
    for step in way:
        place = place[step]
    del place[last]
    return body


def named(body, name):
    """Return a copy of the body with another id, name and, if it has one, alias."""
    return {**body, "id": name, "name": name.title(), **({"alias": name} if "alias" in body else {})}


def thing(noun, id, **members):
    """Return path and body of a small object with this id and other members."""
    return noun.path, {**named(noun.minimal, id), **members}


def shown(value):
    """Return how a message shows what came."""
    if isinstance(value, str) and len(value) > 60:
        return str(len(value))
    return {list: "'array'", dict: "'object'"}.get(type(value)) or json.dumps(value, ensure_ascii=False).replace('"', "'")


def make(caller, path, body):
    """Create something and return it as it is stored."""
    answer = caller.post(path, body)
    assert answer.status_code == 201, answer.text
    return answer.json


# One life


@each_noun
def test_what_is_created_is_answered_as_it_is_stored(noun, admin):
    for body, expected in ((noun.full, noun.full), (named(noun.minimal, "second"), named(noun.minimal_answer, "second"))):
        answer = admin.post(noun.path, body)
        assert (answer.status_code, answer.content_type) == (201, "application/json")
        assert answer.json == expected
        read = admin.get(f"{noun.path}/{body['id']}")
        assert (read.status_code, read.text) == (200, answer.text)


@each_noun
def test_members_come_in_the_documented_order_whatever_order_they_were_sent_in(noun, admin):
    def backwards(value):
        if isinstance(value, dict):
            return {name: backwards(value[name]) for name in reversed(value)}
        return [backwards(item) for item in value] if isinstance(value, list) else value

    def members(value):
        if isinstance(value, dict):
            return [(name, members(inner)) for name, inner in value.items() if name != "attributePermissions"]
        return [members(item) for item in value] if isinstance(value, list) else None

    assert members(make(admin, noun.path, backwards(noun.full))) == members(noun.full)
    assert members(make(admin, noun.path, backwards(named(noun.minimal, "second")))) == members(noun.minimal_answer)
    assert members(admin.put(noun.url, backwards(noun.full)).json) == members(noun.full)


@each_noun
def test_a_list_is_an_array_in_order_of_creation(noun, admin):
    before = admin.get(noun.path)
    assert (before.status_code, before.content_type) == (200, "application/json")
    cherry, apple, banana = (make(admin, noun.path, named(noun.minimal, id)) for id in ("cherry", "apple", "banana"))
    assert admin.get(noun.path).json == [*before.json, cherry, apple, banana]

    changed = admin.put(f"{noun.path}/cherry", {**named(noun.minimal, "cherry"), "name": "Changed"}).json
    assert changed == {**cherry, "name": "Changed"}
    assert admin.get(noun.path).json == [*before.json, changed, apple, banana]


@each(
    ("noun", "member"),
    [(noun, member) for noun in NOUNS for member in noun.nullable],
    ids=lambda value: getattr(value, "name", value),
)
def test_null_for_a_member_that_may_be_absent_is_like_leaving_it_out(noun, member, admin):
    *way, name = re.findall("[A-Za-z]+|[0-9]+", member)
    place = body = copy.deepcopy(noun.full if way else noun.minimal)
    for step in way:
        place = place[int(step)] if step.isdecimal() else place[step]
    place.pop(name, None)
    without = admin.post(noun.path, body)
    place[name] = None
    assert admin.delete(noun.url).status_code == 204
    with_null = admin.post(noun.path, body)
    assert (without.status_code, with_null.status_code) == (201, 201)
    assert with_null.json == without.json


@each_noun
def test_put_replaces_the_whole_object(noun, admin):
    make(admin, noun.path, noun.full)
    answer = admin.put(noun.url, noun.minimal)
    assert (answer.status_code, answer.json) == (200, noun.minimal_answer)
    assert admin.get(noun.url).text == answer.text
    answer = admin.put(noun.url, noun.full)
    assert (answer.status_code, answer.json) == (200, noun.full)
    assert admin.get(noun.url).text == answer.text


@each_noun
def test_put_may_leave_the_id_out(noun, admin):
    created = admin.post(noun.path, noun.full)
    answer = admin.put(noun.url, without(noun.full, "id"))
    assert (answer.status_code, answer.text) == (200, created.text)


@each_noun
def test_put_with_another_id_is_refused(noun, admin, error, stored):
    make(admin, noun.path, noun.full)
    before = stored()
    message = error(admin.put(noun.url, {**noun.full, "id": "another"}), 400)
    assert message.startswith("id: ")
    assert "another" in message and noun.id in message
    assert stored() == before


@each_noun
def test_putting_back_what_get_answers_changes_nothing(noun, admin):
    make(admin, noun.path, noun.full)
    listed = admin.get(noun.path)
    for item in listed.json:
        answer = admin.put(f"{noun.path}/{item['id']}", item)
        assert (answer.status_code, answer.json) == (200, item)
    assert admin.get(noun.path).text == listed.text


@each_noun
def test_an_id_that_is_taken_is_409(noun, admin, error, stored):
    make(admin, noun.path, noun.full)
    before = stored()
    message = error(admin.post(noun.path, {**named(noun.minimal, "other"), "id": noun.id}), 409)
    assert message.startswith("id: ") and noun.id in message
    assert stored() == before


@each_noun_with_alias
def test_an_alias_that_is_taken_is_409(noun, admin, error, stored):
    make(admin, noun.path, noun.full)
    make(admin, noun.path, named(noun.minimal, "other"))
    before = stored()
    third = {**named(noun.minimal, "third"), "alias": "other"}
    for answer in (admin.post(noun.path, third), admin.put(noun.url, {**noun.full, "alias": "other"})):
        message = error(answer, 409)
        assert message.startswith("alias: ") and "other" in message
    assert stored() == before


@each_noun_with_alias
def test_an_alias_that_was_given_up_is_free(noun, admin):
    make(admin, noun.path, noun.full)
    assert admin.put(noun.url, {**noun.full, "alias": "renamed"}).json["alias"] == "renamed"
    assert make(admin, noun.path, {**named(noun.minimal, "second"), "alias": noun.full["alias"]})["id"] == "second"


@each_noun
def test_delete_answers_204_and_nothing_and_then_it_is_gone(noun, admin, error):
    before = admin.get(noun.path).text
    make(admin, noun.path, noun.full)
    answer = admin.delete(noun.url)
    assert (answer.status_code, answer.data) == (204, b"")
    error(admin.get(noun.url), 404)
    error(admin.delete(noun.url), 404)
    assert admin.get(noun.path).text == before
    assert make(admin, noun.path, noun.full) == noun.full


@each_noun
def test_a_key_with_the_permissions_of_the_table_does_what_a_session_does(noun, make_key, error, stored):
    writer, remover = make_key("update-model"), make_key("delete-model")
    body, before = {**noun.full, **({"canManageRoles": False} if noun is ROLE else {})}, stored()
    if not noun.keys_may_write:
        for answer in (writer.post(noun.path, body), writer.put(noun.demo_url, body), remover.delete(noun.demo_url)):
            error(answer, 403)
        assert stored() == before
        return
    assert make(writer, noun.path, body) == body
    assert writer.put(noun.url, body).json == body
    assert remover.delete(noun.url).status_code == 204


# Bodies


@each(
    ("noun", "place"),
    [
        (SCHEMA, "attributeGroups[0]"),
        (ATTRIBUTE, "validation"),
        (ATTRIBUTE, "guards[1]"),
        (DIMENSION, "segments[1]"),
        (OPTION_LIST, "values[1]"),
        (WORKFLOW, "states[1]"),
        (WORKFLOW, "transitions[0]"),
        (ROLE, "schemaPermissions[0]"),
        (ROLE, "catalogPermissions[1]"),
    ],
    ids=lambda value: getattr(value, "path", value),
)
def test_an_unknown_member_deeper_down_is_named_with_its_path(noun, place, admin, error, stored):
    before = stored()
    message = error(admin.post(noun.path, changed(noun.full, f"{place}.colour", "red")), 400)
    assert without_hint(message) == f"{place}.colour: Unknown field"
    assert stored() == before


REQUIRED = [
    *((noun, list(noun.required)) for noun in NOUNS),
    (SCHEMA, ["attributeGroups[0].id", "attributeGroups[1].name"]),
    (ATTRIBUTE, ["guards[0].operator", "guards[1].attributeId"]),
    (ATTRIBUTE, ["optionListId"]),
    (DIMENSION, ["segments[0].id", "segments[0].alias", "segments[1].name"]),
    (OPTION_LIST, ["values[0].id", "values[0].alias", "values[1].label"]),
    (WORKFLOW, ["states[0].id", "states[1].name"]),
    (WORKFLOW, ["transitions[0].id", "transitions[0].fromStateId", "transitions[0].toStateId"]),
    (ROLE, ["schemaPermissions[0].schemaId", "catalogPermissions[1].catalogId"]),
]


@each(("noun", "members"), REQUIRED, ids=[f"{noun.path[1:]}-{members[0]}" for noun, members in REQUIRED])
def test_each_required_member_that_is_missing_is_named(noun, members, admin, error, stored):
    before = stored()
    body = noun.full
    for member in members:
        message = error(admin.post(noun.path, without(noun.full, member)), 400)
        assert message.startswith(f"{member}: ") and ";" not in message
        body = without(body, member)
    message = error(admin.post(noun.path, body), 400)
    assert [problem.partition(":")[0] for problem in message.split("; ")] == members
    assert stored() == before


WRONG = [
    (noun, *case)
    for noun in NOUNS
    for case in (
        ("id", 5, "string"),
        ("id", None, "null"),
        ("name", ["x"], "string"),
        ("name", None, "null"),
        ("name", "", "character"),
        ("name", " \t ", "blank"),
        ("name", "\u2028", "blank"),
        ("name", "\u200b\ufeff", "visible character"),
        ("name", "é" * 201, "at most 200 characters"),
        *([] if noun is ROLE else [("alias", 5, "string"), ("alias", None, "null"), ("alias", "two words", "letters")]),
        *noun.wrong,
    )
]


@each(
    ("noun", "path", "value", "expected"),
    WRONG,
    ids=[f"{noun.path[1:]}-{path}-{json.dumps(value)[:30]}" for noun, path, value, _ in WRONG],
)
def test_a_wrong_value_is_named_with_what_was_expected_and_what_came(noun, path, value, expected, admin, error, stored):
    bad, before = changed(noun.full, path, value), stored()
    for answer in (admin.post(noun.path, bad), admin.put(noun.url, bad)):  # what is malformed is so before it is missing
        message = error(answer, 400)
        assert message.startswith(f"{path}: ")
        assert without_hint(message).endswith(f"got {shown(value)}")
        assert any(word in message for word in expected.split("|"))
    assert stored() == before


@each(
    "id",
    ["", ".", "..", "a/b", "a?b", "a#b", "a b", "a%2Fb", "a\\b", "line\n", "\u0000", "x" * 5000],
    ids=lambda id: repr(id[:6]),
)
def test_an_id_that_cannot_stand_in_a_path_is_refused(id, admin, error, stored):
    before = stored()
    for noun in NOUNS:
        assert error(admin.post(noun.path, {**noun.full, "id": id}), 400).startswith("id: ")
    assert stored() == before


NAMED = {  # what has a name: a body that lacks only that
    **{noun.path: without(named(noun.minimal, "new"), "name") for noun in NOUNS},
    "/catalogs/cat-webshop/categories": {"id": "new", "alias": "new"},
    "/api-keys": {"permissions": ["read"]},
}


@each(
    "name",
    [
        *("a\0b", "\0a", "a \0", "\ufeffa", "a\u200b", "\u202ea", "caf\xe9", "cafe\u0301", "\U0001f600" * 200, "é" * 200),
        'Ål "quoted" \\ back/slash <b>&amp;</b> </script> \u2028 \t \n 日本 \U0001f600',
    ],
    ids=ascii,
)
def test_a_name_comes_back_as_it_was_given(name, admin):
    for path, body in NAMED.items():
        made = make(admin, path, {**body, "name": name})
        assert made["name"] == (name.strip() if path == "/api-keys" else name)  # a key's: without the blanks around it
        if path in [noun.path for noun in NOUNS]:
            assert admin.get(f"{path}/new").json == made


@each("path", NAMED)
def test_a_name_too_long_is_refused_and_not_repeated(path, admin, error):
    for name in ("x" * 500_000, "x" * 300, "é" * 201):
        message = error(admin.post(path, {**NAMED[path], "name": name}), 400)
        assert message == f"name: Expected at most 200 characters, got {len(name)}"


@each_noun
def test_an_id_may_hold_what_paths_leave_as_it_is(noun, admin):
    for id in ("A.b_c~d-9", "0", "x" * 100):
        created = make(admin, noun.path, named(noun.minimal, id))
        assert created["id"] == id
        assert admin.get(f"{noun.path}/{id}").json == created


# What refers must exist


REFERENCES = [
    (SCHEMA, "workflowId", WORKFLOW),
    (SCHEMA, "attributeGroups[0].attributeIds[1]", ATTRIBUTE),
    (ATTRIBUTE, "dimensionIds[1]", DIMENSION),
    (ATTRIBUTE, "guards[1].attributeId", ATTRIBUTE),
    (ATTRIBUTE, "optionListId", OPTION_LIST),
    (WORKFLOW, "transitions[0].allowedRoleIds[1]", ROLE),
    (ROLE, "schemaPermissions[0].schemaId", SCHEMA),
    (ROLE, "catalogPermissions[1].catalogId", CATALOG),
]


@each(("noun", "path", "target"), REFERENCES, ids=[f"{noun.path[1:]}-{path}" for noun, path, _ in REFERENCES])
def test_what_is_referred_to_must_exist(noun, path, target, admin, stranger, error, stored):
    make(admin, noun.path, noun.full)
    foreign = make(stranger, target.path, named(target.minimal, "foreign"))["id"]
    of_another_kind = make(admin, *thing(CATALOG if target is not CATALOG else ROLE, "of-another-kind"))["id"]
    before = stored()
    for id in (NOWHERE, foreign, of_another_kind):
        for answer in (
            admin.post(noun.path, changed(named(noun.full, "second"), path, id)),
            admin.put(noun.url, changed(noun.full, path, id)),
        ):
            assert without_hint(error(answer, 400)) == f"{path}: {target.kind.lower()} '{id}' does not exist"
    assert stored() == before


# What is referred to cannot be deleted


def group_of(id):
    return [{"id": "grp", "name": "Group", "attributeIds": [id]}]


def state_machine(**transition):
    ends = {"id": "tr", "fromStateId": "state-open", "toStateId": "state-open"}
    return {"transitions": [{**ends, **transition}]}


PROTECTED = {  # what is referred to, and what refers to it
    "workflow-by-schema": (thing(WORKFLOW, "target"), thing(SCHEMA, "referrer", workflowId="target")),
    "attribute-by-schema": (thing(ATTRIBUTE, "target"), thing(SCHEMA, "referrer", attributeGroups=group_of("target"))),
    "attribute-by-guard": (
        thing(ATTRIBUTE, "target"),
        thing(ATTRIBUTE, "referrer", guards=[{"attributeId": "target", "operator": "isEmpty"}]),
    ),
    "dimension-by-attribute": (thing(DIMENSION, "target"), thing(ATTRIBUTE, "referrer", dimensionIds=["target"])),
    "option-list-by-attribute": (
        thing(OPTION_LIST, "target"),
        thing(ATTRIBUTE, "referrer", type="option", optionListId="target"),
    ),
    "schema-by-role": (thing(SCHEMA, "target"), thing(ROLE, "referrer", schemaPermissions=[{"schemaId": "target"}])),
    "schema-by-record": (thing(SCHEMA, "target"), ("/records", {"id": "referrer", "schemaId": "target", "values": {}})),
    "role-by-transition": (thing(ROLE, "target"), thing(WORKFLOW, "referrer", **state_machine(allowedRoleIds=["target"]))),
    "catalog-by-role": (thing(CATALOG, "target"), thing(ROLE, "referrer", catalogPermissions=[{"catalogId": "target"}])),
}


@each(("target", "referrer"), PROTECTED.values(), ids=PROTECTED)
def test_what_is_referred_to_cannot_be_deleted(target, referrer, admin, error, stored):
    make(admin, *target)
    make(admin, *referrer)
    before = stored()
    message = error(admin.delete(f"{target[0]}/target"), 409)
    assert "'target'" in message and "'referrer'" in message
    assert stored() == before

    assert admin.delete(f"{referrer[0]}/referrer").status_code == 204
    assert admin.delete(f"{target[0]}/target").status_code == 204


@each(
    ("target", "referrer"),
    [pair for name, pair in PROTECTED.items() if name != "schema-by-record"],
    ids=[name for name in PROTECTED if name != "schema-by-record"],
)
def test_what_is_no_longer_referred_to_can_be_deleted(target, referrer, admin, error):
    make(admin, *target)
    path, body = referrer
    noun = next(noun for noun in NOUNS if noun.path == path)
    make(admin, path, named(noun.minimal, "referrer"))
    assert admin.put(f"{path}/referrer", body).status_code == 200
    error(admin.delete(f"{target[0]}/target"), 409)
    assert admin.put(f"{path}/referrer", named(noun.minimal, "referrer")).status_code == 200
    assert admin.delete(f"{target[0]}/target").status_code == 204


def test_a_role_that_a_user_has_cannot_be_deleted(admin, error, stored):
    before = stored()
    message = error(admin.delete("/roles/role-editor"), 409)
    assert "'role-editor'" in message and "'user-editor'" in message
    assert stored() == before


def test_a_message_names_several_that_refer(admin, error):
    make(admin, *thing(DIMENSION, "target"))
    for id in ("first", "second"):
        make(admin, *thing(ATTRIBUTE, id, dimensionIds=["target"]))
    message = error(admin.delete("/dimensions/target"), 409)
    assert "'first'" in message and "'second'" in message


def test_what_keeps_an_object_from_being_deleted_is_named_once(admin, error):
    message = error(admin.delete("/roles/role-admin"), 409)
    named = message.partition(" is in use by ")[2].split(", ")
    assert len(named) == len(set(named)) >= 2


# A refusal changes nothing


def demo(admin, path, **members):
    """Return a demo object with other members."""
    return {**admin.get(path).json, **members}


REFUSED = {  # status, who, method, path, and the members that change what is there or make what is new
    "schema-loses-a-state": (409, "admin", "PUT", "/schemas/schema-apparel", {"workflowId": "wf-quick"}),
    "schema-of-an-unknown-workflow": (400, "admin", "PUT", "/schemas/schema-apparel", {"workflowId": NOWHERE}),
    "schema-without-the-flag": (403, "editor", "PUT", "/schemas/schema-apparel", {"name": "Taken over"}),
    "schema-in-use": (409, "admin", "DELETE", "/schemas/schema-apparel", None),
    "attribute-with-a-bad-pattern": (400, "admin", "PUT", "/attributes/attr-sku", {"validation": {"pattern": "["}}),
    "attribute-with-a-taken-alias": (409, "admin", "PUT", "/attributes/attr-launch", {"alias": "image"}),
    "attribute-in-use": (409, "key", "DELETE", "/attributes/attr-waterproof", None),
    "attribute-without-the-flag": (403, "editor", "DELETE", "/attributes/attr-launch", None),
    "dimension-without-its-default": (400, "admin", "PUT", "/dimensions/dim-market", {"defaultSegmentId": "seg-en"}),
    "dimension-in-use": (409, "key", "DELETE", "/dimensions/dim-market", None),
    "option-list-made-flat": (400, "admin", "PUT", "/option-lists/ol-categories", {"hierarchical": False}),
    "option-list-in-use": (409, "key", "DELETE", "/option-lists/ol-colors", None),
    "option-value-taken": (409, "key", "PUT", "/option-lists/ol-colors/values/val-red", {"alias": "navy", "label": "N"}),
    "option-value-in-a-circle": (
        400,
        "admin",
        "PUT",
        "/option-lists/ol-categories/values/val-clothing",
        {"alias": "clothing", "label": "Clothing", "parentId": "val-windbreakers"},
    ),
    "workflow-without-a-state-in-use": (
        409,
        "admin",
        "PUT",
        "/workflows/wf-standard",
        {"states": [{"id": "state-draft", "name": "Draft"}], "transitions": []},
    ),
    "workflow-with-an-unknown-default": (400, "admin", "PUT", "/workflows/wf-standard", {"defaultStateId": NOWHERE}),
    "workflow-in-use": (409, "key", "DELETE", "/workflows/wf-standard", None),
    "role-made-stronger-by-a-key": (403, "key", "PUT", "/roles/role-editor", {"canManageRoles": True}),
    "role-with-an-unknown-level": (
        400,
        "admin",
        "PUT",
        "/roles/role-editor",
        {"schemaPermissions": [{"schemaId": "schema-apparel", "attributePermissions": {"sku": "all"}}]},
    ),
    "role-in-use": (409, "key", "DELETE", "/roles/role-editor", None),
    "catalog-by-a-key": (403, "key", "PUT", "/catalogs/cat-webshop", {"name": "Taken over"}),
    "catalog-in-use": (409, "admin", "DELETE", "/catalogs/cat-webshop", None),
    "category-below-itself": (400, "admin", "PUT", "/categories/cat-men", {"parentId": "cat-men-windbreakers"}),
    "category-by-a-key": (403, "key", "DELETE", "/categories/cat-men", None),
    "category-with-a-taken-id": (
        409,
        "admin",
        "POST",
        "/catalogs/cat-marketplace/categories",
        {"id": "cat-men", "alias": "men", "name": "Men"},
    ),
    "assignment-of-nothing": (400, "key", "POST", "/categories/cat-men/assign", {"entityId": NOWHERE}),
    "unassignment-of-nothing": (400, "key", "POST", "/categories/cat-men/unassign", {"entityId": NOWHERE}),
}


@pytest.mark.parametrize(("status", "who", "method", "path", "members"), REFUSED.values(), ids=REFUSED)
def test_a_refused_write_changes_nothing(status, who, method, path, members, request, admin, error, stored):
    make(admin, WORKFLOW.path, WORKFLOW.full)
    caller = request.getfixturevalue(who)
    whole = method == "PUT" and "/values/" not in path
    body = demo(admin, path, **members) if whole else members
    read = admin.get(path).text if method != "POST" else None
    before = stored()
    error(caller.request(method, path, json=body), status)
    assert stored() == before
    assert read is None or admin.get(path).text == read
