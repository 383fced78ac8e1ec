"""Workflows: states, transitions, and what records that are in a state hold in place.

What workflows share with the other nouns is in test_model.py; how records move is in the file on records.
"""

import pytest
from cases import each


def state(id, **members):
    return {"id": id, "name": id.title(), **members}


def transition(start, end, **members):
    return {"id": f"{start}-{end}", "fromStateId": start, "toStateId": end, **members}


def workflow(*states, transitions=(), name="x", **members):
    """Return a workflow `wf-<name>` that begins in the first of these states."""
    return {
        "id": f"wf-{name}",
        "alias": name,
        "name": name.title(),
        "defaultStateId": states[0],
        "states": [state(id) for id in states],
        "transitions": list(transitions),
        **members,
    }


def schema(name, workflow_id):
    return {"id": f"schema-{name}", "alias": name, "name": name.title(), "variantEnabled": True, "workflowId": workflow_id}


@pytest.fixture
def make(admin):
    def post(path, body):
        answer = admin.post(path, body)
        assert answer.status_code == 201, answer.text
        return answer.json

    return post


@pytest.fixture
def bound(make):
    """Return the workflow `wf-x` with the states a, b and c, all connected, and the schema `schema-x` that follows it."""
    ways = [transition(start, end) for start in "abc" for end in "abc" if start != end]
    made = make("/workflows", workflow("a", "b", "c", transitions=ways))
    make("/schemas", schema("x", "wf-x"))
    return made


@pytest.fixture
def make_record(make):
    return lambda id, schema_id="schema-x": make("/records", {"id": id, "schemaId": schema_id, "values": {}})


# Bodies


BAD = {
    "default-is-not-a-state": ({"defaultStateId": "nowhere"}, "defaultStateId: "),
    "default-is-a-name": ({"defaultStateId": "A"}, "defaultStateId: "),
    "default-is-another-workflows-state": ({"defaultStateId": "state-draft"}, "defaultStateId: "),
    "no-states": ({"states": [], "transitions": []}, "defaultStateId: "),
    "state-twice": ({"states": [state("a"), state("b"), state("a")]}, "states[2].id: "),
    "from-nowhere": ({"transitions": [transition("a", "b"), transition("nowhere", "b")]}, "transitions[1].fromStateId: "),
    "to-nowhere": ({"transitions": [transition("a", "b"), transition("a", "nowhere")]}, "transitions[1].toStateId: "),
    "to-another-workflows-state": ({"transitions": [transition("a", "state-draft")]}, "transitions[0].toStateId: "),
}


@each(("members", "message"), BAD.values(), ids=BAD)
def test_a_bad_workflow_is_refused(members, message, make, admin, error):
    bad = workflow("a", "b", **members)
    assert error(admin.post("/workflows", bad), 400).startswith(message)
    error(admin.get("/workflows/wf-x"), 404)
    made = make("/workflows", workflow("a", "b"))
    assert error(admin.put("/workflows/wf-x", bad), 400).startswith(message)
    assert admin.get("/workflows/wf-x").json == made


@each("least", [0, 100, 55.5])
def test_a_transition_may_require_0_to_100_percent(least, make):
    made = make("/workflows", workflow("a", "b", transitions=[transition("a", "b", requiresCompleteness=least)]))
    assert made["transitions"] == [{**transition("a", "b", allowedRoleIds=[]), "requiresCompleteness": least}]


def test_a_transition_requires_nothing_unless_told(make):
    made = make("/workflows", workflow("a", "b", transitions=[transition("a", "b")]))
    assert list(made["transitions"][0].items()) == [
        ("id", "a-b"),
        ("fromStateId", "a"),
        ("toStateId", "b"),
        ("allowedRoleIds", []),
        ("requiresCompleteness", 0),
    ]


def test_two_workflows_may_have_states_of_the_same_name(make):
    make("/workflows", workflow("a", "b"))
    assert make("/workflows", workflow("a", "b", name="y"))["states"][0]["id"] == "a"


# States that records are in


def test_a_state_that_a_record_is_in_cannot_be_taken_out(bound, make_record, admin, error):
    record = make_record("rec-1")
    assert record["lifecycleStateId"] == "a"
    admin.post("/records/rec-1/transition", {"toStateId": "b"})
    message = error(admin.put("/workflows/wf-x", workflow("a", "c")), 409)
    assert "'b'" in message
    assert admin.get("/workflows/wf-x").json == bound
    assert [way["toStateId"] for way in admin.get("/records/rec-1/transitions").json] == ["a", "c"]


def test_states_that_no_record_is_in_can_be_taken_out(bound, make_record, admin):
    make_record("rec-1")
    smaller = admin.put("/workflows/wf-x", workflow("a"))
    assert smaller.status_code == 200
    assert [item["id"] for item in smaller.json["states"]] == ["a"]
    assert admin.get("/workflows/wf-x").json == smaller.json
    assert admin.get("/records/rec-1/transitions").json == []


@each("leave", ["move", "delete"])
def test_a_state_can_be_taken_out_when_the_last_record_has_left_it(leave, bound, make_record, admin, error):
    make_record("rec-1")
    make_record("rec-2")
    without_a = workflow("b", "c")
    for id in ("rec-1", "rec-2"):
        error(admin.put("/workflows/wf-x", without_a), 409)
        if leave == "move":
            assert admin.post(f"/records/{id}/transition", {"toStateId": "c"}).status_code == 200
        else:
            assert admin.delete(f"/records/{id}").status_code == 204
    assert admin.put("/workflows/wf-x", without_a).status_code == 200


def test_records_of_every_schema_with_the_workflow_count(bound, make, make_record, admin, error):
    make("/schemas", schema("y", "wf-x"))
    make_record("rec-1", "schema-y")
    error(admin.put("/workflows/wf-x", workflow("b", "c")), 409)
    assert admin.get("/workflows/wf-x").json == bound


def test_records_in_another_workflows_state_of_the_same_name_do_not_count(bound, make, make_record, admin):
    make("/workflows", workflow("a", "b", name="y"))
    make("/schemas", schema("y", "wf-y"))
    make_record("rec-1", "schema-y")
    assert admin.put("/workflows/wf-x", workflow("b", "c")).status_code == 200


def test_a_state_in_use_can_be_changed_in_every_other_way(bound, make_record, admin):
    make_record("rec-1")
    states = [state("b"), state("a", name="Renamed", color="#ffffff")]
    answer = admin.put("/workflows/wf-x", workflow("a", "b", states=states, defaultStateId="b"))
    assert answer.status_code == 200
    assert admin.get("/records/rec-1").json["lifecycleStateId"] == "a"


def test_new_records_begin_in_the_default_state_of_the_moment(bound, make_record, admin):
    assert make_record("rec-1")["lifecycleStateId"] == "a"
    admin.put("/workflows/wf-x", {**bound, "defaultStateId": "c"})
    assert make_record("rec-2")["lifecycleStateId"] == "c"
    assert admin.get("/records/rec-1").json["lifecycleStateId"] == "a"


def test_a_changed_transition_counts_at_once(bound, make_record, admin, error):
    make_record("rec-1")
    admin.put("/workflows/wf-x", {**bound, "transitions": [transition("a", "b", allowedRoleIds=["role-editor"])]})
    error(admin.post("/records/rec-1/transition", {"toStateId": "b"}), 422)
    admin.put("/workflows/wf-x", {**bound, "transitions": [transition("a", "b", allowedRoleIds=["role-admin"])]})
    assert admin.post("/records/rec-1/transition", {"toStateId": "b"}).json["lifecycleStateId"] == "b"
