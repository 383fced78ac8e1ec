"""Searching by criteria: every operator on every type of attribute, held against an evaluation that is written here.

The tests that only read share one database, `searched`: thirty records, each with some values of attributes of every type, in
some scopes, beside the demo's records, whose schema has none of these attributes.
"""

import json
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time
from fractions import Fraction

import pytest
from cases import each
from conftest import Caller, without_hint

import app as service
from sigma import database
from sigma.resources import search_criteria

DANISH, DANISH_AT_HOME = {"dim-language": "seg-da"}, {"dim-language": "seg-da", "dim-market": "seg-dk"}
SCOPES = [{}, DANISH, DANISH_AT_HOME, {"dim-market": "seg-se"}]
OPERATORS = ["equals", "notEquals", "contains", "isEmpty", "isNotEmpty", "gt", "lt"]

# Of each type of attribute, what records hold, and what else is asked for.
TEXTS = [
    "",
    " ",
    "Coastal Windbreaker",
    "COASTAL",
    "Straße",
    "STRASSE",
    "100",
    'a "quoted" \\ text',
    "två\nrader",
    "🧢 cap",
    "%_'",
]
HELD = {
    "text": TEXTS,
    "number": [0, -0.0, 1, 1.0, -1, 0.1, 100, 129.99, 2**53 + 1, float(2**53), 10**23, 1e23, 99999999999999991611392, 1e300],
    "boolean": [True, False],
    "datetime": [
        *("2026-03-01", "2026-03-01T00:00:00Z", "2026-02-28T19:00:00-05:00", "2026-03-01T08:00:00+01:00"),
        *("2026-03-01T07:00:00.5Z", "1999-12-31T23:59:59.999Z", "2026-03-01t07:00:00z"),
    ],
    "media": ["coastal.jpg", "COASTAL.JPG", "https://example.org/a?b=c&d"],
    "option": ["val-a", "a", "val-b", "both", "val-c"],
    "relation": ["ent-coastal-wb", "ent-trail-cap"],
    "complex": [
        {},
        {"a": 1},
        {"a": 1.0},
        {"a": True},
        {"a": [1, 2]},
        {"a": [2, 1]},
        {"b": {"c": None}, "a": "x"},
        {"a": 10**23},
    ],
}
OPTIONS = {"val-a": "a", "val-b": "both", "both": "c", "val-c": "d"}  # aliases by id; one option's alias is another's id
ASKED = {
    "text": ["coast", "strasse", "Å", "\n", 1, True, ["COASTAL"], {}],
    "number": [
        "0",
        "100",
        "1e2",
        " 129.99 ",
        "0.10",
        "1e23",
        "abc",
        "",
        "0x10",
        "٣",
        "Infinity",
        True,
        "true",
        [1],
        {},
        10**300,
    ],
    "boolean": ["true", 1, 0, [True]],
    "datetime": ["2026-03-01T06:00:00Z", "2026-02-29", "2026", "", 2026, ["2026-03-01"], "MARCH", "2026-03"],
    "media": [".jpg", "example", 1],
    "option": ["c", "d", "val", "Label", "VAL-A", 1, ["val-a"]],
    "relation": ["ent", "cap", "ent-nowhere", False],
    "complex": [{"a": "x", "b": {"c": None}}, {"a": 1e23}, {"a": None}, "a", [{"a": 1}], 0],
}
TYPES = list(HELD)
ALIASES = {**{kind: kind for kind in TYPES}, **{f"{kind}s": kind for kind in TYPES}}  # with an s, each value is an array


# What is expected, in plain Python


def exact(value):
    """A JSON value with its numbers as they are written, and apart from true and false."""
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return ("number", Fraction(repr(value))) if type(value) in (int, float) else (type(value), value)


def moment(text):
    """The time that a date-time means; None for any other value."""
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        found = datetime.fromisoformat(text.upper())
    except (ValueError, TypeError, AttributeError):
        return None
    return found if found.tzinfo else None


def as_number(value):
    """The number that a value is, or that JSON would read in a text; else None."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=str)
        except ValueError:
            return None
    return Fraction(repr(value)) if type(value) in (int, float) else None


def option_names(name):
    """All names of the options that go by a name, and that name."""
    return {name, *(other for option in OPTIONS.items() if name in option for other in option)}


def equal(kind, item, wanted):
    if kind == "number":
        return as_number(wanted) == Fraction(repr(item))
    if kind == "datetime":
        return item == wanted or (moment(wanted) is not None and moment(item) == moment(wanted))
    if kind == "option":
        return isinstance(wanted, str) and wanted in option_names(item)
    return exact(item) == exact(wanted)


def contains(kind, item, wanted):
    if kind == "option":
        return any(wanted.casefold() in name.casefold() for name in option_names(item))
    return isinstance(item, str) and wanted.casefold() in item.casefold()


def in_order(kind, value):
    return Fraction(repr(value)) if kind == "number" else moment(value)


def meets(criterion, values):
    """Whether a record with these values meets a criterion."""
    alias, operator, wanted = criterion["attribute"], criterion["operator"], criterion.get("value")
    kind = ALIASES[alias]
    held = [one["value"] for one in values.get(alias, []) if "scope" not in criterion or one["scope"] == criterion["scope"]]
    items = [item for value in held for item in (value if isinstance(value, list) else [value])]
    filled = any(value not in ("", [], {}) for value in held)
    bound = (as_number if kind == "number" else moment)(wanted)
    return {
        "equals": lambda: any(equal(kind, item, wanted) for item in items),
        "notEquals": lambda: not any(equal(kind, item, wanted) for item in items),
        "contains": lambda: any(contains(kind, item, wanted) for item in items),
        "isEmpty": lambda: not filled,
        "isNotEmpty": lambda: filled,
        "gt": lambda: any(in_order(kind, item) > bound for item in items),
        "lt": lambda: any(in_order(kind, item) < bound for item in items),
    }[operator]()


def is_refused(criterion):
    """Whether a criterion makes no sense for the type of its attribute."""
    kind, operator, wanted = ALIASES[criterion["attribute"]], criterion["operator"], criterion.get("value")
    if operator in ("isEmpty", "isNotEmpty"):
        return False
    if operator == "contains":
        return not isinstance(wanted, str)
    if operator not in ("gt", "lt"):
        return wanted is None
    return kind not in ("number", "datetime") or (as_number if kind == "number" else moment)(wanted) is None


# What is searched


def make_model(admin):
    options = [{"id": id, "alias": alias, "label": f"Label {id}"} for id, alias in OPTIONS.items()]
    model = [("/option-lists", {"id": "ol-all", "alias": "all", "name": "All", "values": options})]
    for alias, kind in ALIASES.items():
        attribute = {"id": f"attr-all-{alias}", "alias": alias, "name": alias, "type": kind, "multiple": alias != kind}
        attribute |= {"dimensionIds": ["dim-language", "dim-market"]} | ({"optionListId": "ol-all"} if kind == "option" else {})
        model.append(("/attributes", attribute))
    groups = [{"id": "grp", "name": "All", "attributeIds": [f"attr-all-{alias}" for alias in ALIASES]}]
    schema = {"name": "All", "variantEnabled": True}
    model.append(("/schemas", {**schema, "id": "schema-all", "alias": "all", "attributeGroups": groups}))
    few = [{**groups[0], "attributeIds": ["attr-all-text", "attr-all-numbers"]}]
    model.append(("/schemas", {**schema, "id": "schema-few", "alias": "few", "attributeGroups": few}))
    for path, body in model:
        answer = admin.post(path, body)
        assert answer.status_code == 201, answer.json


def make_value(choices, alias):
    """A value of an attribute, one or several."""
    held = HELD[ALIASES[alias]]
    return choices.choice(held) if alias in HELD else choices.choices(held, k=choices.randrange(4))


def make_values(choices, aliases):
    """Some values, in some scopes, of some attributes; the members of a scope are not in the order of those asked for."""
    values = {}
    for alias in aliases:
        scopes = choices.sample(SCOPES, choices.choice([0, 0, 1, 1, 2, 3]))
        if scopes:
            turned = [dict(reversed(scope.items())) for scope in scopes]
            values[alias] = [{"scope": scope, "value": make_value(choices, alias)} for scope in turned]
    return values


@pytest.fixture(scope="module")
def searched(template, tokens, tmp_path_factory):
    """A caller, and all records there are."""
    path = tmp_path_factory.mktemp("search") / "searched.db"
    shutil.copy(template, path)
    app = service.create_app({"DATABASE": str(path)})
    admin, choices = Caller(app, {"Authorization": f"Bearer {tokens['admin@sigma.io']}"}), random.Random(13)
    make_model(admin)
    for number in range(30):
        schema, aliases = ("schema-few", ["text", "numbers"]) if number % 8 == 7 else ("schema-all", ALIASES)
        body = {"id": f"ent-{number}", "schemaId": schema, "values": make_values(choices, aliases)}
        assert admin.post("/records", body).status_code == 201
        if number % 10 == 0:  # what variants hold is not searched
            assert admin.post(f"/records/ent-{number}/variants", {"values": make_values(choices, aliases)}).status_code == 201
    yield admin, admin.get("/records?limit=1000").json["items"]
    database.close_db()


def ids(items):
    return [item["id"] for item in items]


def search(caller, *criteria, **more):
    """The ids of all records that meet criteria."""
    answer = caller.post("/search", {"criteria": list(criteria), "limit": 1000, **more})
    assert answer.status_code == 200, answer.json
    page = answer.json
    assert page["total"] == len(page["items"])
    return ids(page["items"])


def criterion(attribute, operator, value=None, **more):
    return {"attribute": attribute, "operator": operator, **({} if value is None else {"value": value}), **more}


def everywhere(**values):
    return {alias: [{"scope": {}, "value": value}] for alias, value in values.items()}


@each("operator", OPERATORS)
@each("alias", ALIASES)
def test_an_operator_finds_what_an_evaluation_written_apart_finds(alias, operator, searched, error):
    caller, records = searched
    kind, sizes = ALIASES[alias], set()
    wanted = HELD[kind] + ASKED[kind] if operator not in ("isEmpty", "isNotEmpty") else [None] * 5
    for n, value in enumerate(wanted, list(ALIASES).index(alias)):  # another attribute asks for the same in another scope
        scope = (None, *SCOPES)[n % 5]
        asked = criterion(alias, operator, value) | ({} if scope is None else {"scope": scope})
        if is_refused(asked):
            assert error(caller.post("/search", {"criteria": [asked]}), 400).startswith("criteria[0].")
            continue
        expected = [record["id"] for record in records if meets(asked, record["values"])]
        assert (asked, search(caller, asked)) == (asked, expected)
        sizes.add(len(expected))
    makes_sense = {"gt": kind in ("number", "datetime"), "lt": kind in ("number", "datetime")}
    tells_apart = makes_sense.get(operator, operator != "contains" or kind not in ("number", "boolean", "complex"))
    assert len(sizes) > 1 if tells_apart else sizes <= {0}


@each("seed", range(10))
def test_random_criteria_find_what_an_evaluation_written_apart_finds(seed, searched):
    caller, records = searched
    choices = random.Random(seed)

    def make_criterion():
        while True:
            alias = choices.choice(list(ALIASES))
            made = criterion(alias, choices.choice(OPERATORS), choices.choice(HELD[ALIASES[alias]] + ASKED[ALIASES[alias]]))
            made |= {"scope": choices.choice(SCOPES)} if choices.random() < 0.3 else {}
            if not is_refused(made):
                return made

    for _ in range(15):
        criteria, how = [make_criterion() for _ in range(choices.randrange(6))], choices.choice(["and", "or"])
        offset, limit, schema = choices.randrange(6), choices.randrange(1, 20), choices.choice([None, None, "schema-all"])
        together = all if how == "and" or not criteria else any
        expected = [
            record
            for record in records
            if together(meets(one, record["values"]) for one in criteria) and schema in (None, record["schemaId"])
        ]
        query = {"criteriaOperator": how, "criteria": criteria, "offset": offset, "limit": limit, "schemaId": schema}
        page = {"items": expected[offset : offset + limit], "total": len(expected), "offset": offset, "limit": limit}
        assert (query, caller.post("/search", query).json) == (query, page)


# What is published, and what is searched


def test_the_published_quickstart_finds_the_demos_record_and_the_new_one(admin, key):
    values = {"product-name": [{"scope": {}, "value": "Coastal Windbreaker"}, {"scope": DANISH, "value": "Kyst Vindjakke"}]}
    values |= everywhere(sku="CW-002", price=129.99)
    assert key.post("/records", {"id": "ent-new", "schemaId": "schema-apparel", "values": values}).status_code == 201
    name, price = criterion("product-name", "contains", "Coastal"), criterion("price", "gt", "100")
    answer = key.post("/search", {"criteriaOperator": "and", "criteria": [name, price]})
    found = [key.get(f"/records/{id}").json for id in ("ent-coastal-wb", "ent-new")]
    assert answer.json == {"items": found, "total": 2, "offset": 0, "limit": 50}


def test_criteria_are_joined_by_and_unless_or_is_asked_for(admin):
    cap, coastal = (criterion("product-name", "contains", word) for word in ("cap", "coastal"))
    assert search(admin, cap, coastal) == search(admin, cap, coastal, criteriaOperator="and") == []
    assert search(admin, cap, coastal, criteriaOperator="or") == ["ent-coastal-wb", "ent-trail-cap"]


@each("page", [{}, {"offset": 3}, {"offset": 20, "limit": 1000}, {"offset": 10**12}, {"schemaId": "schema-few"}])
def test_without_criteria_all_records_are_found_as_the_list_has_them(page, searched):
    caller, _ = searched
    expected = caller.get("/records", query_string=page)
    for more in ({}, {"criteria": []}, {"criteriaOperator": "or", "criteria": []}):
        assert caller.post("/search", {**page, **more}).data == expected.data


def test_an_optional_member_that_is_null_is_one_left_out(searched):
    caller, _ = searched
    nulls = dict.fromkeys(("criteriaOperator", "schemaId", "offset", "limit"))
    asked = {"attribute": None, "attributeAlias": "text", "operator": "isEmpty", "value": None, "scope": None}
    expected = caller.post("/search", {"criteria": [criterion("text", "isEmpty")]}).json
    assert caller.post("/search", {"criteria": [asked], **nulls}).json == expected
    assert caller.post("/search", {**nulls, "criteria": None}).data == caller.post("/search", {}).data


def test_what_a_schema_had_once_does_not_count(admin):
    schema = admin.get("/schemas/schema-apparel").json
    for group in schema["attributeGroups"]:
        group["attributeIds"] = [id for id in group["attributeIds"] if id != "attr-product-name"]
    everything = [record["id"] for record in admin.get("/records").json["items"]]
    assert search(admin, criterion("product-name", "isNotEmpty")) == everything
    assert admin.put("/schemas/schema-apparel", schema).status_code == 200
    assert search(admin, criterion("product-name", "isNotEmpty")) == []
    assert search(admin, criterion("product-name", "notEquals", "Trail Cap")) == everything


def test_variants_are_not_searched(admin):
    assert admin.get("/variants").json["items"][0]["values"]["sku"][0]["value"] == "CW-101"
    assert search(admin, criterion("sku", "contains", "CW-101")) == []
    assert search(admin, criterion("size", "isNotEmpty")) == []


def test_an_option_is_found_by_its_id_and_alias_and_one_that_is_gone_by_what_is_stored(admin):
    by_alias = {"schemaId": "schema-apparel", "values": everywhere(color="moss")}
    assert admin.post("/records", {"id": "ent-alias", **by_alias}).status_code == 201
    painted = {record["id"]: record["values"]["color"][0]["value"] for record in admin.get("/records").json["items"]}
    mossy = [id for id, color in painted.items() if color == "val-moss"]
    assert (len(painted), len(mossy)) == (48, 2)
    for name in ("val-moss", "moss"):
        assert search(admin, criterion("color", "equals", name)) == [*mossy, "ent-alias"]
        assert search(admin, criterion("color", "notEquals", name)) == [id for id in painted if id not in (*mossy, "ent-alias")]
    assert admin.delete("/option-lists/ol-colors/values/val-moss").status_code == 204
    assert search(admin, criterion("color", "equals", "val-moss")) == mossy
    assert search(admin, criterion("color", "equals", "moss")) == ["ent-alias"]


@each(
    ("held", "wanted", "is_found"),
    [
        ("straße", "STRASSE", True),
        ("STRASSE", "straße", True),
        ("Størrelse", "STØRRELSE", True),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
        ("ﬁn", "FIN", True),
        ("Størrelse", "storrelse", False),
        ("café", "cafe", False),
        ("café", "cafe\u0301", False),  # the same letter, in two characters
    ],
)
def test_a_text_contains_another_whatever_the_case(held, wanted, is_found, admin):
    admin.patch("/records/ent-trail-cap/values/material", {"value": held})
    assert search(admin, criterion("material", "contains", wanted)) == ["ent-trail-cap"] * is_found


@each("text", ['"', "\\", "\\n", "\n", "\t", "\x01", "\x7f", "'", "%", "_", "*", "?", "\u2028", "🧢", "</a>", "' OR 1 --"])
def test_characters_that_mean_something_elsewhere_are_found_as_they_are(text, admin):
    for number, value in enumerate((f"A {text} Z", "A Z", text)):
        body = {"id": f"ent-{number}", "schemaId": "schema-apparel", "values": everywhere(material=value)}
        assert admin.post("/records", body).status_code == 201
    assert search(admin, criterion("material", "contains", text)) == ["ent-0", "ent-2"]
    assert search(admin, criterion("material", "contains", f"a {text} z")) == ["ent-0"]
    assert search(admin, criterion("material", "equals", text)) == ["ent-2"]


@each(
    ("held", "earlier", "same", "later"),
    [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.9Z", "2017-01-01T01:59:60+02:00", "2017-01-01"),
        (
            "2026-03-01T08:00:00.0000001Z",
            "2026-03-01T08:00:00Z",
            "2026-03-01T09:00:00.00000010+01:00",
            "2026-03-01T08:00:00.0000002Z",
        ),
        ("0000-01-01", "0000-01-01T00:00:00+00:01", "0000-01-01T00:00:00-00:00", "0000-01-01T00:00:00-23:59"),
    ],
)
def test_date_times_are_compared_as_instants_exactly(held, earlier, same, later, admin):
    admin.patch("/records/ent-trail-cap/values/launch", {"value": held})
    at = ["ent-trail-cap"]
    assert search(admin, criterion("launch", "equals", same)) == at
    assert "ent-trail-cap" not in search(admin, criterion("launch", "gt", same)) + search(
        admin, criterion("launch", "lt", same)
    )
    assert "ent-trail-cap" in search(admin, criterion("launch", "gt", earlier))
    assert "ent-trail-cap" in search(admin, criterion("launch", "lt", later))


def test_an_alias_may_have_characters_that_mean_something_in_a_json_path(admin):
    attribute = {"id": "attr-odd", "alias": "a.b-c~d", "name": "Odd", "type": "text"}
    group = [{"id": "grp", "name": "Odd", "attributeIds": ["attr-odd"]}]
    schema = {"id": "schema-odd", "alias": "odd", "name": "Odd", "variantEnabled": False, "attributeGroups": group}
    assert [admin.post(*made).status_code for made in (("/attributes", attribute), ("/schemas", schema))] == [201, 201]
    admin.post("/records", {"id": "ent-odd", "schemaId": "schema-odd", "values": {"a.b-c~d": [{"scope": {}, "value": "x"}]}})
    assert search(admin, criterion("a.b-c~d", "equals", "x")) == ["ent-odd"]


@each(
    ("held", "operator", "wanted", "is_found"),
    [
        (2**53 + 1, "equals", "9007199254740993.0", True),
        (2**53, "equals", "9007199254740993.0", False),
        (2**53 + 1, "notEquals", "9007199254740993.0", False),
        (99999999999999999999, "gt", "99999999999999999998.5", True),
        (99999999999999999998, "gt", "99999999999999999998.5", False),
        (99999999999999999998, "lt", "99999999999999999998.5", True),
        (0.1, "equals", "0.1000000000000000055511151231257827021181583404541015625", False),
        (0.1, "lt", "0.1000000000000000055511151231257827021181583404541015625", True),
        (0.1, "lt", "0.1000000000000000000001", True),
        (0.1, "equals", "0.10000000000000000000000000", True),
        (1.7e308, "lt", "1e999", True),
        (-1.7e308, "gt", "-1e999999", True),
        (1.7e308, "equals", "1e999", False),
        (float(2**59), "equals", "576460752303423500", True),
    ],
)
def test_a_text_that_is_a_number_counts_with_all_its_digits(held, operator, wanted, is_found, admin):
    attribute = {"id": "attr-n", "alias": "n", "name": "N", "type": "number"}
    group = [{"id": "grp", "name": "N", "attributeIds": ["attr-n"]}]
    schema = {"id": "schema-n", "alias": "n", "name": "N", "variantEnabled": False, "attributeGroups": group}
    record = {"id": "ent-n", "schemaId": "schema-n", "values": everywhere(n=held)}
    for path, body in (("/attributes", attribute), ("/schemas", schema), ("/records", record)):
        assert admin.post(path, body).status_code == 201
    assert search(admin, criterion("n", operator, wanted), schemaId="schema-n") == ["ent-n"] * is_found


def test_a_stored_value_that_is_no_date_time_equals_itself_alone(app, admin):
    """An older release took some."""
    assert admin.patch("/records/ent-trail-cap/values/launch", {"value": "2026-03-01"}).status_code == 200
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        db.execute("UPDATE entities SET body = replace(body, '2026-03-01', 'noon') WHERE id = 'ent-trail-cap'")
    assert search(admin, criterion("launch", "equals", "noon")) == ["ent-trail-cap"]
    assert search(admin, criterion("launch", "equals", "Noon")) == []


# What is refused


@each(
    ("query", "said"),
    [
        ({"nonsense": 1}, "nonsense: Unknown field"),
        ({"criteria": [{**criterion("text", "isEmpty"), "x": 1}]}, "criteria[0].x: Unknown field"),
        ({"criteria": [{"operator": "isEmpty"}]}, "criteria[0].attribute: Expected a value, but it is missing"),
        ({"criteria": [criterion("text", "isEmpty", attributeAlias="text")]}, "criteria[0].attributeAlias: Expected none"),
        (
            {"criteria": [criterion("text", "isEmpty"), criterion("nope", "isEmpty")]},
            "criteria[1].attribute: no attribute has the",
        ),
        ({"criteria": [{"attributeAlias": "nope", "operator": "isEmpty"}]}, "criteria[0].attributeAlias: no attribute has"),
        (
            {"criteria": [criterion("attr-all-text", "isEmpty")]},
            "criteria[0].attribute: no attribute has the alias 'attr-all-text'",
        ),
        ({"criteria": [{"attribute": "text"}]}, "criteria[0].operator: Expected a value, but it is missing"),
        ({"criteria": [criterion("text", "like", "x")]}, "criteria[0].operator: Expected one of: equals, notEquals, contains,"),
        (
            {"criteria": [criterion("text", "isEmpty"), criterion("text", "gt", "x")]},
            "criteria[1].operator: expected one of equals,",
        ),
        ({"criteria": [criterion("option", "lt", "x")]}, "criteria[0].operator: expected one of equals, notEquals, contains,"),
        ({"criteria": [criterion("text", "equals")]}, "criteria[0].value: Expected a value, but it is missing"),
        ({"criteria": [{**criterion("text", "notEquals"), "value": None}]}, "criteria[0].value: Expected a value, got null"),
        ({"criteria": [criterion("text", "contains", 5)]}, "criteria[0].value: Expected a string, got 5"),
        (
            {"criteria": [criterion("number", "gt", "ten")]},
            "criteria[0].value: expected a number, or a text that is one, got 'ten'",
        ),
        (
            {"criteria": [criterion("datetime", "lt", "noon")]},
            "criteria[0].value: expected a date and time with a zone (RFC 3339)",
        ),
        (
            {"criteria": [criterion("text", "isEmpty", scope={"dim-x": "seg-da"})]},
            "criteria[0].scope: dimension 'dim-x' does not",
        ),
        (
            {"criteria": [criterion("text", "isEmpty", scope={"dim-language": "seg-dk"})]},
            "criteria[0].scope.dim-language: expected the id of a segment of 'dim-language', got 'seg-dk'",
        ),
        (
            {"criteria": [criterion("text", "isEmpty", scope={"dim-language": 1})]},
            "criteria[0].scope.dim-language: Expected a str",
        ),
        ({"criteria": [criterion("text", "isEmpty", scope=[])]}, "criteria[0].scope: Expected an object"),
        ({"criteria": [criterion("text", "isEmpty")] * 51}, "criteria: Expected at most 50 items, got 51"),
        ({"criteria": {}}, "criteria: Expected an array"),
        ({"criteria": ["text"]}, "criteria[0]: Expected an object"),
        ({"criteriaOperator": "xor"}, "criteriaOperator: Expected one of: and, or, got 'xor'"),
        ({"schemaId": "schema-x"}, "schemaId: schema 'schema-x' does not exist"),
        ({"schemaId": ""}, "schemaId: schema '' does not exist"),
        ({"offset": -1}, "offset: Expected a whole number from 0 to 1000000000000, got -1"),
        ({"offset": 10**12 + 1}, "offset: Expected a whole number from 0 to"),
        ({"limit": 0}, "limit: Expected a whole number from 1 to 1000, got 0"),
        ({"limit": 1001}, "limit: Expected a whole number from 1 to 1000, got 1001"),
        ({"limit": 1.5}, "limit: Expected a whole number, got 1.5"),
        ({"limit": "5"}, "limit: Expected a whole number, got '5' (send 5 without quotes)"),
        ({"limit": True}, "limit: Expected a whole number, got true"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_query_that_makes_no_sense_is_refused_naming_the_field(query, said, searched, error):
    caller, _ = searched
    assert error(caller.post("/search", query), 400).startswith(said)


def test_everything_that_is_wrong_is_named(searched, error):
    caller, _ = searched
    criteria = [criterion("nope", "isEmpty", scope={"dim-x": "y"}), criterion("text", "gt", "x")]
    message = error(caller.post("/search", {"criteria": criteria}), 400)
    assert [problem.partition(":")[0] for problem in message.split("; ")] == [
        *("criteria[0].attribute", "criteria[0].scope", "criteria[1].operator")
    ]


def test_a_dimension_that_an_attribute_does_not_have_is_in_no_scope_of_its_values(admin):
    asked = {"scope": {"dim-market": "seg-dk"}}
    assert search(admin, criterion("product-name", "isNotEmpty", **asked)) == []
    assert search(admin, criterion("product-name", "isEmpty", **asked)) == [
        record["id"] for record in admin.get("/records").json["items"]
    ]


# What is large


def test_fifty_criteria_with_long_values_find_what_they_say(searched):
    caller, records = searched
    criteria = [criterion(list(ALIASES)[n % 16], "notEquals", f"{n}" * 10_000) for n in range(50)]
    assert search(caller, *criteria) == ids(records)
    assert (
        search(caller, *(criterion("text", "contains", "a" * 20_000 + str(n)) for n in range(50)), criteriaOperator="or") == []
    )


def test_a_value_may_be_deep(admin):
    deep = {}
    for _ in range(480):
        deep = {"a": deep}
    assert admin.patch("/records/ent-trail-cap/values/care", {"value": deep}).status_code == 200
    assert search(admin, criterion("care", "equals", deep)) == ["ent-trail-cap"]
    assert search(admin, criterion("care", "equals", deep["a"])) == []


def test_a_scope_of_thousands_of_dimensions_is_refused_by_its_first(searched, error):
    caller, _ = searched
    scope = {f"dim-{number}": "seg" for number in range(20_000)}
    message = error(caller.post("/search", {"criteria": [criterion("text", "isEmpty", scope=scope)]}), 400)
    assert without_hint(message).endswith("dimension 'dim-19' does not exist; and more")


# What fails


@each(
    ("path", "body"),
    [
        ("/search", {"criteria": [criterion("product-name", "contains", "coastal")]}),
        ("/search", {"criteria": [criterion("product-name", "isNotEmpty")]}),
        ("/search/full-text", {"query": "coastal"}),
    ],
)
def test_a_stored_text_that_is_damaged_is_a_failure_of_the_database(path, body, app, admin, error):
    damage = "UPDATE entities SET body = replace(body, 'Coastal', CAST(x'ff' AS TEXT)) WHERE id = 'ent-coastal-wb'"
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        db.execute(damage)
    error(admin.post(path, body), 503)
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        db.execute("UPDATE entities SET body = replace(body, CAST(x'ff' AS TEXT), 'Coastal') WHERE id = 'ent-coastal-wb'")
    assert ids(admin.post(path, body).json["items"])[0] == "ent-coastal-wb"


def test_a_failure_of_ours_while_records_are_judged_is_told_in_the_log(admin, error, monkeypatch, capfd):
    def fail(_):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(search_criteria, "fold", fail)
    error(admin.post("/search", {"criteria": [criterion("product-name", "contains", "coastal")]}), 500)
    assert "ZeroDivisionError: of ours" in capfd.readouterr().err
