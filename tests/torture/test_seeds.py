"""Any workspace is the same when its seed is read out and stored again, whatever is in it."""

import itertools
import json
import tempfile
import unicodedata
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # its notes stay out of the repository

GENERATED = hypothesis.settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
TYPES = ("text", "number", "boolean", "datetime", "media", "option", "complex")
SEGMENTS = ("seg-a", "seg-b")
STATES = ("draft", "done")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that show nothing
NAMES = TEXTS.filter(lambda text: any(unicodedata.category(letter)[0] in "LNPS" for letter in set(text) - set(FILLERS)))
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,8}", fullmatch=True)
NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
VALUES = {
    "text": TEXTS,
    "number": NUMBERS,
    "boolean": st.booleans(),
    "datetime": st.datetimes().map(lambda at: f"{at.isoformat()}Z") | st.dates().map(str),
    "media": TEXTS,
    "option": st.sampled_from(["red", "blue"]),
    "complex": st.dictionaries(TEXTS, JSON, max_size=3),
}
TIMES = st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z")


@st.composite
def attributes(draw):
    found = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(TYPES), max_size=5))):
        body = {"id": f"attr-{number}", "alias": f"a{number}", "name": draw(NAMES), "type": kind}
        body |= {"multiple": draw(st.booleans()), "inheritable": draw(st.booleans())}
        body |= {"dimensionIds": draw(st.sampled_from([[], ["dim"]])), "validation": {"unique": draw(st.booleans())}}
        found.append(body | ({"optionListId": "options"} if kind == "option" else {}))
    return found


@st.composite
def scoped_values(draw, known):
    values = {}
    for body in known:
        scopes = [{}, *({"dim": segment} for segment in SEGMENTS)] if body["dimensionIds"] else [{}]
        one = VALUES[body["type"]]
        item = st.lists(one, max_size=3) if body["multiple"] else one
        chosen = draw(st.lists(st.sampled_from(scopes), unique_by=str, max_size=3))
        if chosen:
            values[body["alias"]] = [{"scope": scope, "value": draw(item)} for scope in chosen]
    return values


@st.composite
def stamps(draw):
    made = {"createdAt": draw(TIMES), "updatedAt": draw(TIMES), "createdBy": draw(NAMES), "updatedBy": draw(NAMES)}
    return {name: made[name] for name in draw(st.lists(st.sampled_from(sorted(made)), unique=True))}


@st.composite
def models(draw, known):
    states = [{"id": state, "name": draw(NAMES), "readOnly": draw(st.sampled_from([[], ["a0"]]))} for state in STATES]
    ways = [{"id": "way", "fromStateId": "draft", "toStateId": "done", "allowedRoleIds": draw(st.sampled_from([[], ["role"]]))}]
    flow = {"id": "wf", "alias": "wf", "name": "W", "defaultStateId": "draft", "states": states, "transitions": ways}
    group = {"id": "g", "name": draw(NAMES), "attributeIds": [body["id"] for body in known]}
    schema = {"id": "schema", "alias": "s", "name": draw(NAMES), "variantEnabled": True, "attributeGroups": [group]}
    role = {
        "id": "role",
        "name": draw(NAMES),
        "schemaPermissions": [{"schemaId": "schema"}],
        "canManageRoles": draw(st.booleans()),
    }
    segments = [{"id": segment, "alias": segment, "name": draw(NAMES)} for segment in SEGMENTS]
    options = [{"id": id, "alias": id, "label": draw(NAMES), "sortOrder": draw(st.integers(0, 3))} for id in ("red", "blue")]
    model = [
        *(["attribute", body] for body in known),
        ["workflow", flow],
        ["schema", schema | draw(st.sampled_from([{}, {"workflowId": "wf"}]))],
        ["role", role],
        ["dimension", {"id": "dim", "alias": "dim", "name": "D", "defaultSegmentId": "seg-b", "segments": segments}],
        ["option-list", {"id": "options", "alias": "o", "name": "O", "values": options}],
        ["catalog", {"id": "cat", "alias": "cat", "name": draw(NAMES)}],
    ]
    return draw(st.permutations(model))


@st.composite
def histories(draw, ids):
    change = st.fixed_dictionaries(
        {"attribute": NAMES, "scope": st.dictionaries(TEXTS, TEXTS, max_size=2), "oldValue": JSON, "newValue": JSON}
    )
    entry = st.fixed_dictionaries(
        {
            "entityId": st.sampled_from([*ids, "gone"]),
            "action": st.sampled_from(["create", "update", "delete", "transition"]),
            "userId": NAMES,
            "timestamp": TIMES,
            "changes": st.lists(change, max_size=2),
        },
        optional={"recordId": st.sampled_from([*ids, "gone"])},
    )
    return draw(st.lists(entry, max_size=4))


@st.composite
def seeds(draw):
    """Return a seed that has nothing wrong with it, but that some values may be there twice, which are marked."""
    known = draw(attributes())
    model = draw(models(known))
    flow = next(body for kind, body in model if kind == "schema").get("workflowId")
    records, variants = [], []
    for id in draw(st.lists(IDS, unique=True, max_size=4)):
        state = {"lifecycleStateId": draw(st.sampled_from(STATES))} if flow and draw(st.booleans()) else {}
        records.append({"id": id, "schemaId": "schema", "values": draw(scoped_values(known)), **state, **draw(stamps())})
        for number in range(draw(st.integers(0, 2))):
            above = draw(st.sampled_from([id, *(v["id"] for v in variants if v["entityId"] == id)]))
            variant = {"id": f"{id}.v{number}", "entityId": id, "parentId": above, "values": draw(scoped_values(known))}
            variants.append(variant | draw(stamps()))
    hypothesis.assume(len({item["id"] for item in records + variants}) == len(records + variants))
    for item in records + variants:
        item["unchecked"] = True  # equal unique values, too
    places = draw(st.permutations(range(draw(st.integers(0, 4)))))
    categories = [
        [
            "cat",
            {"id": f"c{n}", "alias": "c", "name": draw(NAMES), "parentId": f"c{draw(st.integers(0, n - 1))}" if n else None},
        ]
        for n in places
    ]
    pairs = [list(pair) for pair in itertools.product([body["id"] for _, body in categories], [r["id"] for r in records])]
    criteria = [{"attribute": body["alias"], "operator": "isEmpty"} for body in known]
    queries = [{"name": draw(NAMES), "query": {"criteria": criteria}} for _ in range(draw(st.integers(0, 2)))]
    return {
        "users": [{"id": draw(IDS), "name": draw(NAMES), "roleId": "role"} for _ in range(draw(st.integers(0, 1)))],
        "model": model,
        "records": records,
        "variants": variants,
        "history": draw(histories([item["id"] for item in records + variants])),
        "categories": categories,
        "assignments": draw(st.lists(st.sampled_from(pairs), unique_by=tuple)) if pairs else [],
        "savedQueries": queries,
    }


@pytest.fixture
def read_back(standin):
    """Return a function that makes a workspace of a seed, and returns the seed that it has then."""

    def make(seed):
        answer = standin("POST", "/workspaces", data=json.dumps(seed), content_type="application/json")
        assert answer.status_code == 201, answer.text
        id = answer.json["id"]
        again = standin("GET", f"/workspaces/{id}/seed").data
        assert standin("DELETE", f"/workspaces/{id}").status_code == 204
        return again

    return make


@GENERATED
@hypothesis.given(seed=seeds())
def test_a_seed_that_is_read_out_and_stored_again_is_the_same(read_back, seed):
    first = read_back({"content": seed})
    told = json.loads(first)
    assert read_back({"content": told}) == first
    for part in ("records", "variants"):
        for sent, stored in zip(seed[part], told[part], strict=True):
            assert {name: stored[name] for name in sent if name not in ("unchecked", "values")} == {
                name: value for name, value in sent.items() if name not in ("unchecked", "values")
            }
            assert json.dumps(stored["values"]) == json.dumps(sent["values"])
    assert [body["id"] for _, body in told["model"]][: len(seed["model"])] == [body["id"] for _, body in seed["model"]]
    assert told["assignments"] == seed["assignments"]
