"""Dimensions: their default segment, and the scope matrix. What they share with the other nouns is in test_model.py."""

from cases import each


def dimension(name, ids, **members):
    """Return a dimension `dim-<name>` with segments of these ids, the first being the default."""
    return {
        "id": f"dim-{name}",
        "alias": name,
        "name": name.title(),
        "defaultSegmentId": ids[0],
        "segments": [{"id": id, "alias": id, "name": id.title()} for id in ids],
        **members,
    }


def make(caller, *arguments, **members):
    answer = caller.post("/dimensions", dimension(*arguments, **members))
    assert answer.status_code == 201, answer.text
    return answer.json


def numbered(name, count):
    return dimension(name, [f"{name}-{number}" for number in range(count)])


def test_each_segment_says_whether_it_is_the_default(admin):
    created = make(admin, "channel", ["web", "print"])
    assert created["segments"] == [
        {"id": "web", "alias": "web", "name": "Web", "isDefault": True},
        {"id": "print", "alias": "print", "name": "Print", "isDefault": False},
    ]
    answer = admin.put("/dimensions/dim-channel", dimension("channel", ["web", "print"], defaultSegmentId="print"))
    assert [segment["isDefault"] for segment in answer.json["segments"]] == [False, True]
    assert admin.get("/dimensions/dim-channel").json == answer.json


BAD = {
    "default-is-not-a-segment": ({"defaultSegmentId": "seg-nowhere"}, "defaultSegmentId: "),
    "default-is-a-segment-of-another-dimension": ({"defaultSegmentId": "seg-dk"}, "defaultSegmentId: "),
    "default-is-an-alias": (
        {"defaultSegmentId": "www", "segments": [{"id": "web", "alias": "www", "name": "Web"}]},
        "defaultSegmentId: ",
    ),
    "no-segments": ({"segments": []}, "defaultSegmentId: "),
    "segment-id-twice": (
        {"segments": [{"id": "web", "alias": "one", "name": "One"}, {"id": "web", "alias": "two", "name": "Two"}]},
        "segments[1].id: ",
    ),
}


@each(("members", "message"), BAD.values(), ids=BAD)
def test_bad_segments_are_refused(members, message, admin, error):
    assert error(admin.post("/dimensions", dimension("channel", ["web"], **members)), 400).startswith(message)
    error(admin.get("/dimensions/dim-channel"), 404)
    created = make(admin, "channel", ["web"])
    error(admin.put("/dimensions/dim-channel", dimension("channel", ["web"], **members)), 400)
    assert admin.get("/dimensions/dim-channel").json == created


def test_the_id_scope_matrix_is_reserved(admin, error):
    before = admin.get("/dimensions").json
    body = dimension("x", ["web"], id="scope-matrix")
    assert error(admin.post("/dimensions", body), 400).startswith("id: ")
    error(admin.put("/dimensions/dim-market", body), 400)
    assert admin.get("/dimensions").json == before


def test_there_is_no_dimension_called_scope_matrix(admin, error):
    for answer in (admin.get("/dimensions/scope-matrix"), admin.delete("/dimensions/scope-matrix")):
        assert error(answer, 404) == "Dimension 'scope-matrix' not found"


def test_scope_matrix_may_be_an_alias(admin):
    assert make(admin, "matrix", ["web"], alias="scope-matrix")["alias"] == "scope-matrix"


def test_the_scope_matrix_is_the_product_in_the_order_given(admin):
    make(admin, "channel", ["web", "print"])
    make(admin, "tone", ["warm"])

    def matrix(*ids):
        answer = admin.post("/dimensions/scope-matrix", {"dimensionIds": list(ids)})
        assert answer.status_code == 200
        assert all(tuple(scope) == ids for scope in answer.json)
        return [tuple(scope.values()) for scope in answer.json]

    assert matrix("dim-channel", "dim-market", "dim-tone") == [
        ("web", "seg-dk", "warm"),
        ("web", "seg-se", "warm"),
        ("web", "seg-no", "warm"),
        ("print", "seg-dk", "warm"),
        ("print", "seg-se", "warm"),
        ("print", "seg-no", "warm"),
    ]
    assert matrix("dim-market", "dim-channel") == [
        ("seg-dk", "web"),
        ("seg-dk", "print"),
        ("seg-se", "web"),
        ("seg-se", "print"),
        ("seg-no", "web"),
        ("seg-no", "print"),
    ]
    assert matrix("dim-tone") == [("warm",)]


def test_the_product_of_no_dimensions_is_the_one_empty_scope(admin):
    answer = admin.post("/dimensions/scope-matrix", {"dimensionIds": []})
    assert (answer.status_code, answer.json) == (200, [{}])


def test_the_scope_matrix_follows_a_changed_dimension(admin):
    make(admin, "channel", ["web", "print"])
    admin.put("/dimensions/dim-channel", dimension("channel", ["print", "app"]))
    answer = admin.post("/dimensions/scope-matrix", {"dimensionIds": ["dim-channel"]})
    assert answer.json == [{"dim-channel": "print"}, {"dim-channel": "app"}]


def test_a_scope_matrix_holds_10000_scopes_and_no_more(admin, error):
    for body in (numbered("a", 100), numbered("b", 100), numbered("c", 73), numbered("d", 137)):
        assert admin.post("/dimensions", body).status_code == 201
    answer = admin.post("/dimensions/scope-matrix", {"dimensionIds": ["dim-a", "dim-b"]})
    assert answer.status_code == 200
    assert answer.json == [{"dim-a": f"a-{a}", "dim-b": f"b-{b}"} for a in range(100) for b in range(100)]

    for ids in (["dim-c", "dim-d"], ["dim-a", "dim-b", "dim-c", "dim-d"]):  # 73 times 137 is 10,001
        message = error(admin.post("/dimensions/scope-matrix", {"dimensionIds": ids}), 400)
        assert message.startswith("dimensionIds: ") and "10" in message


BAD_MATRICES = {
    "unknown-dimension": ({"dimensionIds": ["dim-market", "dim-nowhere"]}, "dimensionIds[1]: dimension 'dim-nowhere' does"),
    "alias-in-place-of-id": ({"dimensionIds": ["market"]}, "dimensionIds[0]: dimension 'market' does"),
    "nothing": ({}, "dimensionIds: "),
    "null": ({"dimensionIds": None}, "dimensionIds: "),
    "one-id": ({"dimensionIds": "dim-market"}, "dimensionIds: "),
    "number": ({"dimensionIds": ["dim-market", 5]}, "dimensionIds[1]: "),
    "dimension-twice": ({"dimensionIds": ["dim-market", "dim-market"]}, "dimensionIds[1]: Expected each only once"),
}


@each(("body", "message"), BAD_MATRICES.values(), ids=BAD_MATRICES)
def test_a_bad_scope_matrix_is_refused(body, message, admin, error):
    assert error(admin.post("/dimensions/scope-matrix", body), 400).startswith(message)


def test_values_in_a_segment_that_went_away_stay_until_they_are_written_again(admin, error):
    path = "/records/ent-fjord-rain-jacket"
    record = admin.get(path).json
    market = admin.get("/dimensions/dim-market").json
    market["segments"] = market["segments"][:1]
    assert admin.put("/dimensions/dim-market", market).status_code == 200
    assert admin.get(path).json == record

    general, danish, swedish = record["values"]["price"]
    message = error(admin.put(path, {"values": {"price": [general, danish, {**swedish, "value": 1}]}}), 400)
    assert message.startswith("values.price[2].scope")
    assert admin.put(path, {"values": {"price": [general, danish, swedish]}}).json == record
    assert admin.get(path).json == record


def test_a_matrix_of_very_many_dimensions_is_refused(admin, error):
    message = error(admin.post("/dimensions/scope-matrix", {"dimensionIds": [f"dim-{number}" for number in range(21)]}), 400)
    assert message == "dimensionIds: Expected at most 20 items, got 21"
