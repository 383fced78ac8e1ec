"""The lifecycle of records: transitions and their gates, completeness, attributes that a state makes read-only."""

import time

import pytest
from cases import each

SUBMIT = {
    "id": "tr-submit-ad",
    "name": "Submit",
    "fromStateId": "state-idea",
    "toStateId": "state-check",
    "allowedRoleIds": [],
    "requiresCompleteness": 66,
}
RETURN = {
    "id": "tr-return-ad",
    "fromStateId": "state-check",
    "toStateId": "state-idea",
    "allowedRoleIds": ["role-editor", "role-admin"],
    "requiresCompleteness": 0,
}
RELEASE = {
    "id": "tr-release-ad",
    "name": "Release",
    "fromStateId": "state-check",
    "toStateId": "state-live",
    "allowedRoleIds": ["role-admin"],
    "requiresCompleteness": 67,
}
STATES = [
    {"id": "state-idea", "name": "Idea", "required": ["headline", "copy"]},
    {"id": "state-check", "name": "Check", "required": ["headline", "copy"], "readOnly": ["budget", "copy"]},
    {"id": "state-live", "name": "Live", "readOnly": ["headline"]},
]
COMPLETE = {"headline": "Hello", "copy": "World", "client": "Sigma"}


def everywhere(value):
    """The scoped values of an attribute that has one value for all scopes."""
    return [{"scope": {}, "value": value}]


@pytest.fixture
def ads(admin):
    """The schema `schema-ad`: `client` is required everywhere, `headline` and `copy` by the first two states."""
    for alias, more in (
        ("headline", {}),
        ("copy", {"dimensionIds": ["dim-language"]}),
        ("client", {"validation": {"required": True}}),
        ("budget", {"type": "number"}),
        ("serial", {"validation": {"unique": True}}),
    ):
        attribute = {"id": f"attr-{alias}", "alias": alias, "name": alias, "type": "text", **more}
        assert admin.post("/attributes", attribute).status_code == 201
    workflow = {"id": "wf-ad", "alias": "ad", "name": "Ad", "defaultStateId": "state-idea"}
    assert admin.post("/workflows", {**workflow, "states": STATES, "transitions": [SUBMIT, RETURN, RELEASE]}).status_code == 201
    ids = ["attr-headline", "attr-copy", "attr-client", "attr-budget", "attr-serial"]
    schema = {
        "id": "schema-ad",
        "alias": "ad",
        "name": "Ad",
        "variantEnabled": True,
        "workflowId": "wf-ad",
        "attributeGroups": [{"id": "grp-ad", "name": "All", "sortOrder": 0, "attributeIds": ids}],
    }
    assert admin.post("/schemas", schema).status_code == 201


@pytest.fixture
def make(admin, ads):
    """Create a record with these values, in the state `state-idea` or moved on."""

    def make(id="ent-ad", state="state-idea", **values):
        body = {"id": id, "schemaId": "schema-ad", "values": {alias: everywhere(value) for alias, value in values.items()}}
        answer = admin.post("/records", body)
        assert answer.status_code == 201, answer.json
        for step in ["state-check", "state-live"][: ["state-idea", "state-check", "state-live"].index(state)]:
            answer = move(admin, step, id)
            assert answer.status_code == 200, answer.json
        return answer.json

    return make


def move(caller, state, id="ent-ad"):
    return caller.post(f"/records/{id}/transition", {"toStateId": state})


def put(caller, path="/records/ent-ad", **values):
    return caller.put(path, {"values": {alias: everywhere(value) for alias, value in values.items()}})


# Transitions


def test_a_transition_moves_a_record_and_answers_it(admin, editor, make):
    before = make(**COMPLETE)
    answer = move(editor, "state-check")
    assert answer.status_code == 200
    expected = {**before, "lifecycleStateId": "state-check", "updatedBy": "user-editor", "updatedAt": answer.json["updatedAt"]}
    assert answer.json == expected
    assert answer.json["updatedAt"] >= before["updatedAt"]
    assert admin.get("/records/ent-ad").json == answer.json


@each(
    "start, to",
    [
        pytest.param("state-idea", "state-live", id="skipping a state"),
        pytest.param("state-idea", "state-idea", id="staying where it is"),
        pytest.param("state-live", "state-check", id="against the direction"),
        pytest.param("state-live", "state-idea", id="out of the last state"),
    ],
)
def test_there_is_no_way_but_along_the_transitions(admin, key, make, error, start, to):
    record = make(state=start, **COMPLETE)
    history = admin.get("/records/ent-ad/audit-log").json
    for caller in (admin, key):
        error(move(caller, to), 422)
    assert admin.get("/records/ent-ad").json == record
    assert admin.get("/records/ent-ad/audit-log").json == history
    assert admin.get(f"/records?lifecycleStateId={start}").json["total"] == 1


@each(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"toStateId": None}, id="null"),
        pytest.param({"toStateId": 1}, id="number"),
        pytest.param({"toStateId": ""}, id="empty"),
        pytest.param({"toStateId": ["state-check"]}, id="array"),
        pytest.param({"toStateId": "state-none"}, id="unknown state"),
        pytest.param({"toStateId": "state-draft"}, id="state of another workflow"),
        pytest.param({"toStateId": "state-check\0"}, id="NUL"),
    ],
)
def test_a_state_that_is_none_of_the_workflow_is_refused_by_the_name_of_the_field(admin, make, error, body):
    record = make(**COMPLETE)
    assert error(admin.post("/records/ent-ad/transition", body), 400).startswith("toStateId: ")
    assert admin.get("/records/ent-ad").json == record


def test_an_unknown_member_beside_the_state_is_refused(admin, make, error):
    record = make(**COMPLETE)
    answer = admin.post("/records/ent-ad/transition", {"toStateId": "state-check", "comment": "ready"})
    assert "comment" in error(answer, 400)
    assert admin.get("/records/ent-ad").json == record


def test_roles_that_a_transition_does_not_list_are_refused(admin, editor, make, error):
    record = make(state="state-check", **COMPLETE)
    error(move(editor, "state-live"), 422)
    assert admin.get("/records/ent-ad").json == record
    assert move(admin, "state-live").json["lifecycleStateId"] == "state-live"


def test_each_role_that_a_transition_lists_may_take_it(admin, editor, make):
    make(state="state-check", **COMPLETE)
    assert move(editor, "state-idea").json["lifecycleStateId"] == "state-idea"
    assert move(editor, "state-check").status_code == 200
    assert move(admin, "state-idea").json["lifecycleStateId"] == "state-idea"


FLAGS = ("canManageSchemas", "canManageRoles", "canManageDimensions", "canManageOptionLists", "canExport", "canImport")


def allow(admin, *roles):
    """Let only people with these roles release an advertisement."""
    workflow = admin.get("/workflows/wf-ad").json
    workflow["transitions"] = [{**RELEASE, "allowedRoleIds": list(roles)}]
    assert admin.put("/workflows/wf-ad", workflow).status_code == 200


def test_a_key_takes_a_transition_that_lists_a_role_with_every_flag(admin, key, make):
    make(state="state-check", **COMPLETE)
    record = move(key, "state-live").json
    assert (record["lifecycleStateId"], record["updatedBy"]) == ("state-live", key.id)


@each("lacking", FLAGS)
def test_a_key_does_not_take_a_transition_whose_roles_all_lack_a_flag(lacking, admin, key, make, error):
    record = make(state="state-check", **COMPLETE)
    boss = {"id": "role-boss", "name": "Boss", **dict.fromkeys(FLAGS, True), lacking: False}
    assert admin.post("/roles", boss).status_code == 201
    allow(admin, "role-editor", "role-boss")
    assert key.get("/records/ent-ad/transitions").json == []
    assert error(move(key, "state-live"), 422) == (
        "Transition 'tr-release-ad' is for role-editor, role-boss only;"
        " a key may take it when one of these roles has every flag"
    )
    assert admin.get("/records/ent-ad").json == record
    assert admin.put("/roles/role-boss", {**boss, lacking: True}).status_code == 200
    assert [way["id"] for way in key.get("/records/ent-ad/transitions").json] == ["tr-release-ad"]
    assert move(key, "state-live").json["lifecycleStateId"] == "state-live"


def test_a_key_acts_as_an_administrator_within_its_permissions_and_past_the_other_gates(admin, key, make_key, make, error):
    record = make(state="state-check", headline="Hello", copy="World")
    assert "needs completeness" in error(move(key, "state-live"), 422)
    error(move(make_key("read", "delete-data", "update-model", "delete-model"), "state-live"), 403)
    assert admin.get("/records/ent-ad").json == record


def test_a_record_too_incomplete_for_a_transition_is_refused_until_it_is_not(admin, make, error):
    record = make(headline="Hello")
    error(move(admin, "state-check"), 422)
    assert admin.get("/records/ent-ad").json == record
    assert put(admin, copy="World").status_code == 200
    assert move(admin, "state-check").json["lifecycleStateId"] == "state-check"  # 2 of 3 are 66, which is what it takes


def test_a_score_is_rounded_down_before_it_is_compared(admin, make, error):
    record = make(state="state-check", headline="Hello", copy="World")
    error(move(admin, "state-live"), 422)  # 2 of 3 are 66, and it takes 67
    assert admin.get("/records/ent-ad").json == record
    assert put(admin, client="Sigma").status_code == 200
    assert move(admin, "state-live").status_code == 200


def test_of_two_transitions_to_one_state_either_may_be_taken(admin, key, editor, make, error):
    workflow = admin.get("/workflows/wf-ad").json
    quick = {**RELEASE, "id": "tr-quick", "allowedRoleIds": [], "requiresCompleteness": 100}
    workflow["transitions"].append(quick)
    assert admin.put("/workflows/wf-ad", workflow).status_code == 200
    make(state="state-check", headline="Hello", copy="World")
    error(move(key, "state-live"), 422)
    assert put(admin, client="Sigma").status_code == 200
    assert move(key, "state-live").status_code == 200


def test_a_record_without_workflow_has_no_transitions(admin, ads, error):
    schema = {"id": "schema-loose", "alias": "loose", "name": "Loose", "variantEnabled": False}
    assert admin.post("/schemas", schema).status_code == 201
    record = admin.post("/records", {"id": "ent-loose", "schemaId": "schema-loose", "values": {}}).json
    assert record["lifecycleStateId"] is None
    assert admin.get("/records/ent-loose/transitions").json == []
    assert move(admin, "state-idea", "ent-loose").status_code in (400, 422)
    assert admin.get("/records/ent-loose").json == record


def test_the_transitions_listed_are_those_this_caller_may_take_now(admin, editor, key, make):
    def listed(caller):
        answer = caller.get("/records/ent-ad/transitions")
        assert answer.status_code == 200
        return answer.json

    make(headline="Hello")
    assert listed(admin) == listed(editor) == listed(key) == []
    put(admin, copy="World")
    assert listed(admin) == listed(editor) == listed(key) == [SUBMIT]
    move(admin, "state-check")
    assert listed(admin) == listed(editor) == listed(key) == [RETURN]
    put(admin, client="Sigma")
    assert (listed(admin), listed(editor), listed(key)) == ([RETURN, RELEASE], [RETURN], [RETURN, RELEASE])
    move(admin, "state-live")
    assert listed(admin) == listed(editor) == listed(key) == []


def test_every_transition_listed_can_be_taken_and_no_other(admin, editor, key, make):
    ways = {"state-check": ["state-idea", "state-live"], "state-idea": ["state-check", "state-live"]}
    number = 0
    for start, ends in ways.items():
        for caller in (admin, editor, key):
            for end in ends:
                number += 1
                make(f"ent-{number}", state=start, **COMPLETE)
                listed = {way["toStateId"] for way in caller.get(f"/records/ent-{number}/transitions").json}
                assert move(caller, end, f"ent-{number}").status_code == (200 if end in listed else 422)


def test_a_change_of_the_workflow_counts_at_once(admin, key, make, error):
    make(**COMPLETE)
    workflow = admin.get("/workflows/wf-ad").json
    closed = {**workflow, "transitions": [{**SUBMIT, "allowedRoleIds": ["role-editor"]}]}
    assert admin.put("/workflows/wf-ad", closed).status_code == 200
    error(move(key, "state-check"), 422)
    assert key.get("/records/ent-ad/transitions").json == []
    assert admin.put("/workflows/wf-ad", workflow).status_code == 200
    assert move(key, "state-check").status_code == 200


# Completeness


def report(answer):
    """A completeness report with its lists of attributes sorted, which come in no order that is promised."""
    assert answer.status_code == 200, answer.json
    body = answer.json
    for part in [body, *body["states"]]:
        part.update(filled=sorted(part["filled"]), missing=sorted(part["missing"]))
    return body


def part(state, score, filled, missing):
    return {"stateId": state, "score": score, "filled": filled.split(), "missing": missing.split()}


@each(
    "values, idea, live",
    [
        pytest.param({}, (0, "", "client copy headline"), (0, "", "client"), id="nothing"),
        pytest.param({"budget": 5}, (0, "", "client copy headline"), (0, "", "client"), id="only what is not required"),
        pytest.param({"copy": "x"}, (33, "copy", "client headline"), (0, "", "client"), id="one of three"),
        pytest.param({"copy": "x", "client": "y"}, (66, "client copy", "headline"), (100, "client", ""), id="two of three"),
        pytest.param(COMPLETE, (100, "client copy headline", ""), (100, "client", ""), id="all"),
    ],
)
def test_the_completeness_report_tells_each_states_score(admin, make, values, idea, live):
    make(**values)
    answer = admin.get("/records/ent-ad/completeness")
    assert list(answer.json) == ["entityId", "stateId", "score", "filled", "missing", "states"]
    assert report(answer) == {
        "entityId": "ent-ad",
        **part("state-idea", *idea),
        "states": [part("state-idea", *idea), part("state-check", *idea), part("state-live", *live)],
    }


def test_the_report_is_on_the_state_that_the_record_is_in(admin, make):
    make(state="state-live", **COMPLETE)
    assert put(admin, copy="Other").status_code == 200
    assert admin.put("/records/ent-ad", {"values": {"copy": [], "client": []}}).status_code == 200
    live, idea = part("state-live", 0, "", "client"), part("state-idea", 33, "headline", "client copy")
    states = [idea, {**idea, "stateId": "state-check"}, live]
    assert report(admin.get("/records/ent-ad/completeness")) == {"entityId": "ent-ad", **live, "states": states}


def test_a_value_in_any_scope_fills_an_attribute_and_so_do_false_and_zero(admin):
    fields = {"flag": "boolean", "count": "number", "text": "text"}
    for alias, kind in fields.items():
        dimensions = ["dim-language"] if alias == "text" else []
        attribute = {"id": alias, "alias": alias, "name": alias, "type": kind, "dimensionIds": dimensions}
        assert admin.post("/attributes", {**attribute, "validation": {"required": True}}).status_code == 201
    group = {"id": "grp-1", "name": "All", "sortOrder": 0, "attributeIds": list(fields)}
    schema = {"id": "schema-1", "alias": "one", "name": "One", "variantEnabled": False, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201
    text = [{"scope": {"dim-language": "seg-sv"}, "value": "x"}]
    values = {"flag": everywhere(False), "count": everywhere(0), "text": text}
    assert admin.post("/records", {"id": "ent-1", "schemaId": "schema-1", "values": values}).status_code == 201
    expected = {"entityId": "ent-1", **part(None, 100, "count flag text", ""), "states": []}
    assert report(admin.get("/records/ent-1/completeness")) == expected


def test_where_nothing_is_required_a_record_is_complete(admin):
    schema = {"id": "schema-loose", "alias": "loose", "name": "Loose", "variantEnabled": False}
    assert admin.post("/schemas", schema).status_code == 201
    assert admin.post("/records", {"id": "ent-loose", "schemaId": "schema-loose", "values": {}}).status_code == 201
    expected = {"entityId": "ent-loose", **part(None, 100, "", ""), "states": []}
    assert admin.get("/records/ent-loose/completeness").json == expected


def test_without_workflow_the_attributes_own_rules_are_what_is_required(admin, ads):
    schema = admin.get("/schemas/schema-ad").json
    del schema["workflowId"]
    assert admin.post("/schemas", {**schema, "id": "schema-loose", "alias": "loose"}).status_code == 201
    assert admin.post("/records", {"id": "ent-loose", "schemaId": "schema-loose", "values": {}}).status_code == 201
    expected = {"entityId": "ent-loose", **part(None, 0, "", "client"), "states": []}
    assert admin.get("/records/ent-loose/completeness").json == expected


def test_the_demo_record_reports_as_its_workflow_requires(key):
    draft = part("state-draft", 66, "product-name sku", "description")
    review = part("state-review", 75, "price product-name sku", "description")
    states = [draft, review, {**review, "stateId": "state-published"}]
    expected = {"entityId": "ent-coastal-wb", **draft, "states": states}
    assert report(key.get("/records/ent-coastal-wb/completeness")) == expected


# Read-only attributes


@pytest.fixture
def checked(make):
    """A record in `state-check`, where `budget` and `copy` are read-only; it has no budget."""
    return make(state="state-check", **COMPLETE)


DANISH = {"dim-language": "seg-da"}
CHANGES = {
    "put": ("PUT", "", {"values": {"copy": everywhere("New")}}),
    "put beside another": ("PUT", "", {"values": {"headline": everywhere("New"), "copy": everywhere("New")}}),
    "put of one more scope": ("PUT", "", {"values": {"copy": [*everywhere("World"), {"scope": DANISH, "value": "x"}]}}),
    "put of another scope": ("PUT", "", {"values": {"copy": [{"scope": DANISH, "value": "World"}]}}),
    "clear": ("PUT", "", {"values": {"copy": []}}),
    "first value": ("PUT", "", {"values": {"budget": everywhere(1)}}),
    "patch": ("PATCH", "/values/copy", {"value": "New"}),
    "patch of another scope": ("PATCH", "/values/copy", {"value": "World", "scope": DANISH}),
    "patch with null": ("PATCH", "/values/copy", {"value": None}),
    "patch of a first value": ("PATCH", "/values/budget", {"value": 1}),
    "patch with a value that no state allows": ("PATCH", "/values/copy", {"value": 5}),
    "put with a value that no state allows": ("PUT", "", {"values": {"copy": everywhere(5)}}),
}


@each("change", CHANGES)
def test_a_read_only_attribute_cannot_change(admin, key, checked, error, change):
    method, path, body = CHANGES[change]
    history = admin.get("/records/ent-ad/audit-log").json
    for caller in (admin, key):
        message = error(caller.request(method, f"/records/ent-ad{path}", json=body), 403)
        assert ("budget" if "first" in change else "copy") in message
    assert admin.get("/records/ent-ad").json == checked
    assert admin.get("/records/ent-ad/audit-log").json == history


@each("change", CHANGES)
def test_a_variants_read_only_attribute_cannot_change(admin, checked, error, change):
    assert move(admin, "state-idea").status_code == 200
    variant = {"id": "var-ad", "values": {"copy": everywhere("World")}}
    assert admin.post("/records/ent-ad/variants", variant).status_code == 201
    assert move(admin, "state-check").status_code == 200
    before = admin.get("/records/ent-ad/variants/var-ad").json
    method, path, body = CHANGES[change]
    error(admin.request(method, f"/records/ent-ad/variants/var-ad{path}", json=body), 403)
    assert admin.get("/records/ent-ad/variants/var-ad").json == before


@each(
    "method, path, body",
    [
        pytest.param("PUT", "", {"values": {"copy": everywhere("World")}}, id="put"),
        pytest.param("PUT", "", {"values": {"copy": [{"value": "World"}], "budget": []}}, id="put, scope left out"),
        pytest.param("PATCH", "/values/copy", {"value": "World"}, id="patch"),
        pytest.param("PATCH", "/values/budget", {"value": None}, id="patch with null"),
    ],
)
def test_a_read_only_attribute_may_be_written_as_it_is(admin, checked, method, path, body):
    answer = admin.request(method, f"/records/ent-ad{path}", json=body)
    assert answer.status_code == 200, answer.json
    assert answer.json["values"] == checked["values"]


def test_other_attributes_change_beside_read_only_ones_that_stay(admin, checked):
    answer = put(admin, headline="New", copy="World")
    assert answer.json["values"] == {**checked["values"], "headline": everywhere("New")}


def test_read_only_follows_the_state(admin, checked, error):
    error(put(admin, copy="New"), 403)
    assert put(admin, headline="New").status_code == 200
    assert move(admin, "state-live").status_code == 200
    assert put(admin, copy="New", budget=5).status_code == 200
    error(put(admin, headline="Newer"), 403)


@each("order", [("serial", "copy"), ("copy", "serial")], ids="-".join)
def test_a_read_only_attribute_is_told_before_a_conflict(admin, make, error, order):
    make("ent-other", serial="1")
    record = make(state="state-check", **COMPLETE)
    values = {"serial": everywhere("1"), "copy": everywhere("New")}
    error(admin.put("/records/ent-ad", {"values": {alias: values[alias] for alias in order}}), 403)
    assert admin.get("/records/ent-ad").json == record


def test_the_values_of_a_read_only_attribute_may_be_put_back_in_another_order(admin, make):
    make(**COMPLETE)
    both = [{"scope": {}, "value": "World"}, {"scope": {"dim-language": "seg-da"}, "value": "Verden"}]
    assert admin.put("/records/ent-ad", {"values": {"copy": both}}).status_code == 200
    assert move(admin, "state-check").status_code == 200
    answer = admin.put("/records/ent-ad", {"values": {"copy": both[::-1]}})
    assert (answer.status_code, answer.json["values"]["copy"]) == (200, both)


# Bounded work: what one body may hold is bounded where the work that it causes could grow without bound


def wide_workflow(states=1, transitions=0, **state):
    return {
        "id": "wf-wide",
        "alias": "wide",
        "name": "Wide",
        "defaultStateId": "s0",
        "states": [{"id": f"s{number}", "name": "S", **state} for number in range(states)],
        "transitions": [{"id": f"t{number}", "fromStateId": "s0", "toStateId": "s0"} for number in range(transitions)],
    }


@each(
    "body, field",
    [
        pytest.param(wide_workflow(states=501), "states", id="states"),
        pytest.param(wide_workflow(transitions=5001), "transitions", id="transitions"),
        pytest.param(wide_workflow(readOnly=["sku", "price", "sku"]), "states[0].readOnly[2]", id="an attribute twice"),
    ],
)
def test_a_workflow_beyond_its_bounds_is_refused_by_the_name_of_the_field(admin, error, body, field):
    assert error(admin.post("/workflows", body), 400).startswith(f"{field}: Expected ")
    error(admin.get("/workflows/wf-wide"), 404)


def test_a_workflow_at_its_bounds_gates_without_delay(admin, ads):
    assert admin.post("/workflows", wide_workflow(500, 5000, required=["client"])).status_code == 201
    schema = admin.get("/schemas/schema-ad").json
    assert admin.put("/schemas/schema-ad", {**schema, "workflowId": "wf-wide"}).status_code == 200
    record = {"id": "ent-wide", "schemaId": "schema-ad", "values": {"client": everywhere("Sigma")}}
    assert admin.post("/records", record).json["lifecycleStateId"] == "s0"
    started = time.thread_time()
    assert len(admin.get("/records/ent-wide/transitions").json) == 5000
    assert len(admin.get("/records/ent-wide/completeness").json["states"]) == 500
    assert move(admin, "s0", "ent-wide").status_code == 200
    assert time.thread_time() - started < 5


def test_a_refused_transition_names_some_of_what_is_missing_and_says_that_there_is_more(admin, error):
    aliases = [f"required-{number:02}" for number in range(25)]
    for alias in aliases:
        attribute = {"id": alias, "alias": alias, "name": alias, "type": "text", "validation": {"required": True}}
        assert admin.post("/attributes", attribute).status_code == 201
    workflow = wide_workflow(transitions=1)
    workflow["transitions"][0]["requiresCompleteness"] = 1
    assert admin.post("/workflows", workflow).status_code == 201
    schema = {"id": "schema-wide", "alias": "wide", "name": "Wide", "variantEnabled": False, "workflowId": "wf-wide"}
    group = {"id": "grp", "name": "All", "attributeIds": aliases}
    assert admin.post("/schemas", {**schema, "attributeGroups": [group]}).status_code == 201
    assert admin.post("/records", {"id": "ent-wide", "schemaId": "schema-wide", "values": {}}).status_code == 201
    message = error(move(admin, "s0", "ent-wide"), 422)
    assert message == (f"Transition 't0' needs completeness 1, but it is 0; missing: {', '.join(aliases[:20])} and more")


def test_records_without_a_state_begin_a_workflow_that_their_schema_gets_and_are_else_as_they_were(admin, app):
    for alias, kind in (("text", "text"), ("number", "number"), ("complex", "complex")):
        attribute = {"id": alias, "alias": alias, "name": alias, "type": kind}
        assert admin.post("/attributes", attribute).status_code == 201
    group = {"id": "grp", "name": "All", "attributeIds": ["text", "number", "complex"]}
    schema = {"id": "schema-x", "alias": "x", "name": "X", "variantEnabled": True, "attributeGroups": [group]}
    assert admin.post("/schemas", schema).status_code == 201
    text = 'æ "quoted" \\ \x01\u2028 𝄞 </script>'
    for id, number in (("ent-a", 1249.50), ("ent-b", 12345678901234567890), ("ent-c", 1e-7)):
        inner = {"z": [1.0, None, {"ø": text}], "a": True}
        values = {"text": everywhere(text), "number": everywhere(number), "complex": everywhere(inner)}
        assert admin.post("/records", {"id": id, "schemaId": "schema-x", "values": values}).status_code == 201
    assert admin.post("/records/ent-a/variants", {"id": "var-a"}).status_code == 201
    before = {id: admin.get(f"/records/{id}") for id in ("ent-a", "ent-b", "ent-c")}
    variant = admin.get("/records/ent-a/variants/var-a").data

    assert admin.put("/schemas/schema-x", {**schema, "workflowId": "wf-standard"}).status_code == 200
    (now,) = {admin.get(f"/records/{id}").json["updatedAt"] for id in before}
    for id, was in before.items():
        expected = was.get_data(as_text=True).replace('"lifecycleStateId":null', '"lifecycleStateId":"state-draft"')
        expected = expected.replace(f'"updatedAt":"{was.json["updatedAt"]}"', f'"updatedAt":"{now}"')
        assert admin.get(f"/records/{id}").get_data(as_text=True) == expected
        newest = admin.get(f"/records/{id}/audit-log?limit=1").json["items"][0]
        assert newest.pop("id").startswith("audit-")
        change = {"attribute": "lifecycleStateId", "scope": {}, "oldValue": None, "newValue": "state-draft"}
        entry = {"entityId": id, "action": "transition", "userId": "user-admin", "timestamp": now, "changes": [change]}
        assert newest == entry
    assert admin.get("/records/ent-a/variants/var-a").data == variant
    assert admin.get("/records?lifecycleStateId=state-draft&schemaId=schema-x").json["total"] == 3


def test_a_state_may_name_attributes_by_id_too(admin, make, error):
    """As the published example of a workflow does."""
    workflow = admin.get("/workflows/wf-ad").json
    idea, check, live = workflow["states"]
    states = [{**idea, "required": ["attr-headline", "copy"]}, {**check, "readOnly": ["attr-budget"]}, live]
    answer = admin.put("/workflows/wf-ad", {**workflow, "states": states})
    assert (answer.status_code, answer.json["states"]) == (200, states)

    make(copy="World", client="Sigma")
    report = admin.get("/records/ent-ad/completeness").json
    assert (report["score"], report["filled"], report["missing"]) == (66, ["copy", "client"], ["headline"])
    error(move(admin, "state-live"), 422)
    assert put(admin, headline="Hello").status_code == 200
    assert move(admin, "state-check").status_code == 200
    before = admin.get("/records/ent-ad").json
    message = error(put(admin, budget=7), 403)
    ways = "(a transition to 'state-idea' or 'state-live' makes it writable)"
    assert message == f"values.budget: attribute 'budget' is read-only in state 'state-check' {ways}"
    assert admin.get("/records/ent-ad").json == before
    assert put(admin, copy="There").status_code == 200


def test_an_alias_goes_before_an_id_that_reads_the_same(admin, make, error):
    twin = {"id": "headline", "alias": "twin", "name": "Twin", "type": "text"}
    assert admin.post("/attributes", twin).status_code == 201
    schema = admin.get("/schemas/schema-ad").json
    schema["attributeGroups"][0]["attributeIds"].append("headline")
    assert admin.put("/schemas/schema-ad", schema).status_code == 200
    make(headline="Hello", copy="World", client="Sigma")
    assert admin.get("/records/ent-ad/completeness").json["filled"] == ["headline", "copy", "client"]


def test_a_lock_by_id_holds_for_what_the_schema_has_lost(admin, make, error):
    workflow = admin.get("/workflows/wf-ad").json
    states = [{**state, "readOnly": ["attr-budget", "copy"]} for state in workflow["states"]]
    make(headline="Hello", copy="World", client="Sigma", budget=5)
    assert admin.put("/workflows/wf-ad", {**workflow, "states": states}).status_code == 200
    schema = admin.get("/schemas/schema-ad").json
    schema["attributeGroups"][0]["attributeIds"] = ["attr-headline"]
    assert admin.put("/schemas/schema-ad", schema).status_code == 200
    before = admin.get("/records/ent-ad").json
    for alias in ("budget", "copy"):
        error(admin.put("/records/ent-ad", {"values": {alias: []}}), 403)
    assert admin.get("/records/ent-ad").json == before
    assert admin.put("/records/ent-ad", {"values": {"client": []}}).status_code == 200


def test_an_alias_goes_before_an_id_also_where_the_schema_has_not_got_it(admin, make):
    for id, alias in (("outside", "inside"), ("attr-twin", "outside")):
        assert admin.post("/attributes", {"id": id, "alias": alias, "name": alias, "type": "text"}).status_code == 201
    schema = admin.get("/schemas/schema-ad").json
    schema["attributeGroups"][0]["attributeIds"].append("outside")
    assert admin.put("/schemas/schema-ad", schema).status_code == 200
    workflow = admin.get("/workflows/wf-ad").json
    states = [{**state, "readOnly": ["outside"]} for state in workflow["states"]]
    assert admin.put("/workflows/wf-ad", {**workflow, "states": states}).status_code == 200
    make(**COMPLETE)
    assert put(admin, inside="Free").status_code == 200
