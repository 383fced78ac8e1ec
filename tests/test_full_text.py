"""Searching by words: in the body of a request, and in a query string."""

import pytest
from cases import each
from conftest import without_hint

EMPTY = {"items": [], "total": 0, "offset": 0, "limit": 50}


def everywhere(**values):
    return {alias: [{"scope": {}, "value": value}] for alias, value in values.items()}


@pytest.fixture
def find(admin, error):
    """Find records by words in both ways, which must agree; answer their ids."""

    def ask(words, **more):
        answer = admin.post("/search/full-text", {"query": words, **more})
        assert answer.status_code == 200, answer.json
        for name in ("q", "query"):
            assert admin.get("/search/text", query_string={name: words, **more}).data == answer.data
        assert answer.json["total"] >= len(answer.json["items"])
        return [item["id"] for item in answer.json["items"]]

    return ask


@pytest.fixture
def make(admin):
    """Make a record with these values everywhere."""

    def post(id, **values):
        body = {"id": id, "schemaId": "schema-apparel", "values": everywhere(**values)}
        assert admin.post("/records", body).status_code == 201

    return post


@each(
    ("words", "found"),
    [
        ("coastal", ["ent-coastal-wb"]),
        ("COASTAL", ["ent-coastal-wb"]),
        ("windbreaker coastal", ["ent-coastal-wb"]),
        ("  coastal\t\nWIND\u2003", ["ent-coastal-wb"]),
        ("oasta", ["ent-coastal-wb"]),
        ("kyst recycled packable CW-001", ["ent-coastal-wb"]),  # of four values, of which one has two items, in three scopes
        ("outdoor coastal coastal outdoor", ["ent-coastal-wb"]),
        ("kaske", ["ent-trail-cap"]),
        ("jakke nylon", ["ent-coastal-wb", "ent-nordic-down-jacket", "ent-storm-shell-jacket"]),
        ("coastal cap", []),
        ("coastalwindbreaker", []),
        ("outdoorpackable", []),
    ],
)
def test_a_record_is_found_when_each_word_is_in_one_of_its_texts(words, found, find):
    assert find(words) == found


@each(
    ("words", "where"),
    [
        ("val-navy", "an option"),
        ("2024-03-01", "a date"),
        ("129.99", "a number"),
        ("tumbledry", "an object"),
        ("true", "a boolean"),
        ("ent-coastal-wb", "a relation, and an id"),
        ("product-name", "an alias"),
        ("seg-da", "a scope"),
        ("state-draft", "a state"),
        ("CW-101", "a variant"),
    ],
)
def test_only_the_texts_of_records_are_searched(words, where, find):
    assert find(words) == [], where


@each(
    ("text", "words"),
    [
        ("Die Straße", "STRASSE die"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Blå blazer", "BLÅ BLAZ"),
        ('5" \\ 7"', '5" \\ "'),
        ("a\\nb", "\\n"),
        ("100 % _", "% _"),
        ("\x01tab", "\x01TAB"),
        ("🧢", "🧢"),
    ],
)
def test_words_are_found_whatever_they_are_written_in(text, words, make, find):
    make("ent-new", material=text, tags=["x", "Größe"])
    assert find(words) == ["ent-new"]
    assert find(f"{words} GRÖSSE") == ["ent-new"]
    assert find(f"{words} y") == []


def test_a_word_is_within_one_value(make, find):
    make("ent-new", material="red", size="cap", tags=["blue", "berry"], image="redblue, blueberry and berrycap")
    assert find("red cap blue berry") == ["ent-new"]
    assert find("redblue") == find("blueberry") == find("berrycap") == []


def test_what_a_schema_had_once_is_not_searched(admin, find):
    schema = admin.get("/schemas/schema-apparel").json
    for group in schema["attributeGroups"]:
        group["attributeIds"] = [id for id in group["attributeIds"] if id != "attr-product-name"]
    assert admin.put("/schemas/schema-apparel", schema).status_code == 200
    assert find("coastal") == []
    assert find("nylon outdoor CW-001") == ["ent-coastal-wb"]


def test_pages_are_those_of_the_list(admin, make):
    for number in range(7):
        make(f"ent-{number}", material="paged")
    records = admin.get("/records?offset=47").json["items"]
    for offset, limit in ((0, 3), (3, 3), (6, 3), (7, 1000), (10**12, 1)):
        expected = {"items": records[offset : offset + limit], "total": 7, "offset": offset, "limit": limit}
        page = {"offset": offset, "limit": limit}
        assert admin.post("/search/full-text", {"query": "paged", **page}).json == expected
        assert admin.get("/search/text", query_string={"q": "paged", **page}).json == expected


def test_a_schema_narrows_a_search(admin, find, error):
    schema = {"id": "schema-empty", "alias": "empty", "name": "Empty", "variantEnabled": False}
    assert admin.post("/schemas", schema).status_code == 201
    assert find("coastal", schemaId="schema-apparel") == ["ent-coastal-wb"]
    assert find("coastal", schemaId="schema-empty") == []
    unknown = {"query": "coastal", "schemaId": "schema-x"}
    assert without_hint(error(admin.post("/search/full-text", unknown), 400)) == "schemaId: schema 'schema-x' does not exist"
    assert admin.get("/search/text?q=coastal&schemaId=schema-x").json == EMPTY  # a filter, as in every list


@each(
    ("body", "said"),
    [
        ({}, "query: Expected a value, but it is missing"),
        ({"query": ""}, "query: Expected at least one character that is not blank"),
        ({"query": " \n\t"}, "query: Expected at least one character that is not blank"),
        ({"query": "\u200b\u2800"}, "query: Expected at least one visible character"),
        ({"query": None}, "query: Expected a value, got null"),
        ({"query": 5}, "query: Expected a string, got 5"),
        ({"query": "a" * 1001}, "query: Expected at most 1000 characters, got 1001"),
        ({"query": "a", "limit": 0}, "limit: Expected a whole number from 1 to 1000"),
        ({"query": "a", "criteria": []}, "criteria: Unknown field"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_naming_the_field(body, said, admin, error):
    assert error(admin.post("/search/full-text", body), 400).startswith(said)


@each(
    ("query", "said"),
    [
        ("", "q: expected 1 to 1000 characters, not all of them blank, got 0"),
        ("q=", "q: expected 1 to 1000 characters"),
        ("q=&query=cap", "q: expected 1 to 1000 characters"),
        ("query=%20", "query: expected 1 to 1000 characters"),
        ("q=%E2%80%8B%E2%A0%80", "q: expected at least one visible character"),
        ("query=%E2%80%8B", "query: expected at least one visible character"),
        (f"q={'a' * 1001}", "q: expected 1 to 1000 characters, not all of them blank, got 1001"),
        ("q=cap&limit=0", "limit: expected a whole number from 1 to 1000, got '0'"),
        ("q=cap&offset=x", "offset: expected a whole number from 0 to"),
    ],
)
def test_a_query_string_that_makes_no_sense_is_refused_naming_the_parameter(query, said, admin, error):
    assert error(admin.get(f"/search/text?{query}"), 400).startswith(said)


def test_a_thousand_characters_of_words_are_looked_for(make, find):
    words = " ".join(chr(ord("a") + n % 26) + chr(ord("a") + n // 26) for n in range(333))
    make("ent-new", description=words)
    assert find(words) == ["ent-new"]
