"""Export: the rows and their cells, which records and values they are of, how they are sent, and that they import again."""

import csv
import gc
import io
import itertools
import json
import random
import sqlite3
import tracemalloc
from contextlib import closing

import pytest
from cases import each

from sigma import database
from sigma.http import errors
from sigma.http.strict_json import is_same
from sigma.resources import exports

DANISH, NORWEGIAN = {"dim-language": "seg-da"}, {"dim-language": "seg-no"}
ENGLISH, HERE, THERE = {"dim-language": "seg-en"}, {"dim-market": "seg-here"}, {"dim-market": "seg-there"}


def dimension(name, *segments):
    return "/dimensions", {
        "id": f"dim-{name}",
        "alias": name,
        "name": name,
        "defaultSegmentId": f"seg-{segments[0]}",
        "segments": [{"id": f"seg-{segment}", "alias": segment, "name": segment} for segment in segments],
    }


OPTIONS = [{"id": f"val-{name}", "alias": name, "label": name.title()} for name in ("red", "blue")]
ATTRIBUTES = {
    "name": {"type": "text", "dimensionIds": ["dim-language"], "validation": {"required": True}},
    "code": {"type": "text", "validation": {"unique": True}},
    "label": {"type": "text", "dimensionIds": ["dim-language", "dim-market"]},
    "price": {"type": "number", "dimensionIds": ["dim-market"]},
    "tags": {"type": "text", "multiple": True},
    "sizes": {"type": "number", "multiple": True},
    "flags": {"type": "boolean", "multiple": True},
    "sold": {"type": "boolean"},
    "since": {"type": "datetime"},
    "color": {"type": "option", "optionListId": "ol-colors"},
    "colors": {"type": "option", "optionListId": "ol-colors", "multiple": True},
    "like": {"type": "relation"},
    "image": {"type": "media"},
    "care": {"type": "complex"},
    "cares": {"type": "complex", "multiple": True},
}


def entry(value, scope=None):
    return {"scope": scope or {}, "value": value}


def make_schema(caller, name, aliases, groups=1):
    """Make a schema with these attributes, in this order."""
    ids = [f"attr-{alias}" for alias in aliases]
    parts = [
        {"id": f"grp-{number}", "name": "G", "sortOrder": number, "attributeIds": ids[number::groups]}
        for number in range(groups)
    ]
    schema = {"id": f"schema-{name}", "alias": name, "name": name, "variantEnabled": True, "attributeGroups": parts[::-1]}
    assert caller.post("/schemas", schema).status_code == 201


def add_schema(stranger):
    """Add the schema `schema-thing`, which has attributes of every type."""
    bodies = [
        dimension("language", "en", "da", "no"),
        dimension("market", "here", "there"),
        ("/option-lists", {"id": "ol-colors", "alias": "colors", "name": "Colors", "values": OPTIONS}),
    ]
    bodies += [
        ("/attributes", {"id": f"attr-{alias}", "alias": alias, "name": alias, **more}) for alias, more in ATTRIBUTES.items()
    ]
    for path, body in bodies:
        answer = stranger.post(path, body)
        assert answer.status_code == 201, answer.json
    make_schema(stranger, "thing", ATTRIBUTES)


@pytest.fixture(scope="module")
def initial_database(prepare):
    return prepare(add_schema, "admin@other.example")


@pytest.fixture
def shop(stranger):
    """Return the administrator of the workspace with `schema-thing`."""
    return stranger


@pytest.fixture
def make(shop):
    """Create a record, whose id is ent-<id>, with these values: scoped ones, or one for all scopes."""

    def make(id, /, schema="schema-thing", **values):
        scoped = {alias: value if is_scoped(value) else [entry(value)] for alias, value in values.items()}
        answer = shop.post("/records", {"id": f"ent-{id}", "schemaId": schema, "values": scoped})
        assert answer.status_code == 201, answer.json
        return answer.json

    return make


def is_scoped(value):
    return isinstance(value, list) and value[:1] != [] and isinstance(value[0], dict) and "scope" in value[0]


def export(caller, **query):
    """The rows of an export in JSON."""
    if isinstance(query.get("scope"), dict):
        query["scope"] = json.dumps(query["scope"])
    answer = caller.get("/export", query_string=query)
    assert (answer.status_code, answer.content_type) == (200, "application/json"), answer.text
    return answer.json


def parse(text):
    """The lines of a CSV file, cell by cell; one that is not valid is an error."""
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def export_csv(caller, **query):
    """The lines of an export in CSV."""
    answer = caller.get("/export", query_string={"format": "csv", **query})
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8"), answer.text
    return parse(answer.data.decode())


# Rows and cells


def test_json_has_a_row_for_each_record_with_all_columns_in_order(shop, make):
    make("cap", name="Cap", price=0, tags=["a", "b"], sold=False, color="red", care={"wash": 30})
    make("hat", name="Hat")
    empty = dict.fromkeys(["_id", *ATTRIBUTES])
    cap = {"_id": "ent-cap", "name": "Cap", "price": 0, "tags": ["a", "b"], "sold": False, "color": "red", "care": {"wash": 30}}
    rows = export(shop)
    assert (
        rows
        == export(shop, format="json", schemaId="schema-thing")
        == [{**empty, **cap}, {**empty, "_id": "ent-hat", "name": "Hat"}]
    )
    assert [list(row) for row in rows] == [list(empty)] * 2


def test_csv_has_a_header_and_a_line_for_each_record(shop, make):
    values = {
        "name": 'Cap, "blue"\r\nnew',
        "price": 0,
        "tags": ["a|b", "c\\"],
        "sold": False,
        "color": "red",
        "care": {"wash": 30},
    }
    make("cap", **values, flags=[True, False], sizes=[1, 2.5])
    answer = shop.get("/export?format=csv&schemaId=schema-thing")
    assert answer.data == (
        b"_id,name,code,label,price,tags,sizes,flags,sold,since,color,colors,like,image,care,cares\r\n"
        b'ent-cap,"Cap, ""blue""\r\nnew",,,0,a\\|b|c\\\\,1|2.5,true|false,false,,val-red,,,,"{""wash"":30}",\r\n'
    )


def test_a_csv_file_has_a_name(shop, make):
    for query, name in (("", "records"), ("&schemaId=schema-thing", "schema-thing"), ("&schemaId=x%0d%0aY: z", "records")):
        header = shop.get(f"/export?format=csv{query}").headers["Content-Disposition"]
        assert header == f'attachment; filename="{name}.csv"'
    assert "Content-Disposition" not in shop.get("/export").headers


def test_a_cell_that_could_be_a_formula_is_exported_as_it_is(shop, make):
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"]
    for number, text in enumerate(texts):
        make(str(number), name=text)
    assert [line[1] for line in export_csv(shop)[1:]] == texts


def test_empty_values_are_empty_cells_in_csv_and_themselves_in_json(shop, make):
    make("cap", name="", tags=[], care={})
    assert set(export_csv(shop)[1][1:]) == {""}
    assert [export(shop)[0][alias] for alias in ("name", "tags", "care", "price")] == ["", [], {}, None]


def test_columns_come_in_the_order_of_the_schemas_groups(shop):
    make_schema(shop, "mixed", ["name", "code", "price", "tags"], groups=2)
    assert export_csv(shop, schemaId="schema-mixed") == [["_id", "name", "price", "code", "tags"]]


def test_without_a_schema_there_are_the_columns_of_all_each_once(shop, make):
    assert shop.post("/attributes", {"id": "attr-alone", "alias": "alone", "name": "Alone", "type": "text"}).status_code == 201
    make_schema(shop, "other", ["sold", "alone", "name"])
    make("cap", name="Cap")
    make("hat", schema="schema-other", name="Hat", alone="yes")
    lines = export_csv(shop)
    assert lines[0] == ["_id", *ATTRIBUTES, "alone"]
    assert [(line[0], line[1], line[-1]) for line in lines[1:]] == [("ent-cap", "Cap", ""), ("ent-hat", "Hat", "yes")]
    assert export(shop, schemaId="schema-other") == [{"_id": "ent-hat", "sold": None, "alone": "yes", "name": "Hat"}]


def test_what_a_records_schema_does_not_have_any_more_is_not_exported(shop, make):
    make_schema(shop, "other", ["name", "code"])
    make("hat", schema="schema-other", name="Hat", code="H")
    schema = shop.get("/schemas/schema-other").json
    schema["attributeGroups"][0]["attributeIds"] = ["attr-name"]
    assert shop.put("/schemas/schema-other", schema).status_code == 200
    assert (export(shop)[0]["name"], export(shop)[0]["code"]) == ("Hat", None)


def test_a_workspace_without_schemas_exports_nothing(stranger):
    assert stranger.delete("/schemas/schema-thing").status_code == 204
    assert export(stranger) == []
    assert export_csv(stranger) == [["_id"]]


def test_variants_are_not_exported(shop, make):
    make("cap", name="Cap")
    assert shop.post("/records/ent-cap/variants", {"id": "var-cap"}).status_code == 201
    assert [row["_id"] for row in export(shop)] == ["ent-cap"]


def test_rows_come_in_the_order_of_the_records(shop, make):
    for name in "cab":
        make(name, name=name)
    shop.patch("/records/ent-c/values/sold", {"value": True})
    assert [row["_id"] for row in export(shop)] == [record["id"] for record in shop.get("/records").json["items"]]


# Which value a cell shows

LABELS = {
    "everywhere": entry("everywhere"),
    "english here": entry("english here", {**ENGLISH, **HERE}),
    "english there": entry("english there", {**ENGLISH, **THERE}),
    "danish here": entry("danish here", {**DANISH, **HERE}),
    "danish there": entry("danish there", {**DANISH, **THERE}),
    "danish": entry("danish", DANISH),
    "english": entry("english", ENGLISH),
    "here": entry("here", HERE),
    "there": entry("there", THERE),
}


@each(
    ("held", "scope", "shown"),
    [
        ("everywhere", {}, "everywhere"),
        ("everywhere, english here", {}, "english here"),
        ("everywhere, english there, danish here", {}, "everywhere"),
        ("everywhere, english here", {**DANISH, **THERE}, "english here"),
        ("everywhere, english here, danish there", {**DANISH, **THERE}, "danish there"),
        ("everywhere, english here, danish here", {**DANISH, **THERE}, "english here"),
        ("everywhere, english here, danish here", DANISH, "danish here"),
        ("everywhere, english here, danish here, danish", DANISH, "danish"),
        ("everywhere, english there, danish there", DANISH, "everywhere"),
        ("danish there", DANISH, None),
        ("danish there", {}, None),
        ("everywhere, english here, english there", THERE, "english there"),
        ("english", {}, "english"),
        ("everywhere, english, here", {}, "english"),
        ("everywhere, here, danish", {}, "here"),
        ("everywhere, english, english here", {}, "english here"),
        ("danish", {**DANISH, **THERE}, "danish"),
        ("everywhere, danish, there", {**DANISH, **THERE}, "danish"),
        ("everywhere, english there, there, english here", {**DANISH, **THERE}, "there"),
        ("danish here, there, english", {**DANISH, **THERE}, "there"),
        ("danish, english here", THERE, "english here"),
        ("danish here", {**DANISH, **THERE}, None),
    ],
)
def test_a_cell_shows_the_scopes_value_or_that_of_the_default_segments_or_that_for_everywhere(shop, make, held, scope, shown):
    values = [LABELS[name] for name in held.split(", ")]
    for number, order in enumerate((values, values[::-1])):
        make(f"cap-{number}", label=order)
    assert [row["label"] for row in export(shop, scope=scope)] == [shown, shown]


def scopes_in_turn(asked, defaults):
    """The scopes whose value a cell shows, the first that there is: those asked for, the default segments, everywhere.

    Within each, a scope of more dimensions comes first, and of two those with the attribute's first dimensions.
    """
    asked = {dimension: segment for dimension, segment in asked.items() if dimension in defaults}
    others = [(dimension, segment) for dimension, segment in defaults.items() if dimension not in asked]
    for count in range(len(asked), 0, -1):
        for more in (0, *range(len(others), 0, -1)):
            pairs = itertools.product(itertools.combinations(asked.items(), count), itertools.combinations(others, more))
            yield from sorted(
                (dict(one + other) for one, other in pairs), key=lambda scope: [id not in scope for id in defaults]
            )
    for count in range(len(defaults), -1, -1):
        yield from map(dict, itertools.combinations(defaults.items(), count))


def test_each_cell_shows_what_an_evaluation_written_apart_shows(shop):
    assert shop.post(*dimension("channel", "web", "shop")).status_code == 201
    segments = {"dim-language": ["seg-en", "seg-da"], "dim-market": ["seg-here", "seg-there"]}
    segments |= {"dim-channel": ["seg-web", "seg-shop"]}
    defaults = {id: names[0] for id, names in segments.items()}
    attribute = {"id": "attr-text", "alias": "text", "name": "Text", "type": "text", "dimensionIds": list(segments)}
    assert shop.post("/attributes", attribute).status_code == 201
    make_schema(shop, "text", ["text"])
    ways = [[(id, name) for name in (None, *names)] for id, names in segments.items()]
    scopes = [{id: name for id, name in way if name} for way in itertools.product(*ways)]
    chance, held = random.Random(5), {}
    for number in range(100):
        held[f"ent-{number}"] = [entry(str(scope), scope) for scope in chance.sample(scopes, chance.choice((1, 1, 2, 3, 8)))]
        body = {"id": f"ent-{number}", "schemaId": "schema-text", "values": {"text": held[f"ent-{number}"]}}
        assert shop.post("/records", body).status_code == 201
    for asked in scopes:
        expected = []
        for entries in held.values():
            shown = (item["value"] for scope in scopes_in_turn(asked, defaults) for item in entries if item["scope"] == scope)
            expected.append(next(shown, None))
        query = {"schemaId": "schema-text", "scope": json.dumps(asked)}
        assert (asked, [row["text"] for row in export(shop, **query)]) == (asked, expected)
        assert [line[1] for line in export_csv(shop, **query)[1:]] == [text or "" for text in expected]


def test_a_scope_counts_for_each_attribute_as_far_as_it_has_its_dimensions(shop, make):
    make("cap", name=[entry("Cap"), entry("Kasket", DANISH)], price=[entry(1), entry(2, HERE), entry(3, THERE)], code="C")

    def shown(**query):
        row = export(shop, **query)[0]
        return row["name"], row["price"], row["code"]

    assert shown() == ("Cap", 2, "C")
    assert shown(scope=DANISH) == ("Kasket", 2, "C")
    assert shown(scope=THERE) == ("Cap", 3, "C")
    assert shown(scope={**DANISH, **THERE}) == ("Kasket", 3, "C")
    assert shown(scope={**NORWEGIAN, **THERE}) == ("Cap", 3, "C")


def test_a_value_that_is_empty_or_false_is_one_like_any_other(shop, make):
    make("cap", name=[entry("Cap"), entry("", DANISH)], price=[entry(1), entry(0, HERE)])
    assert [export(shop, scope=DANISH)[0][alias] for alias in ("name", "price")] == ["", 0]


# Which records


@pytest.fixture
def shelf(shop, make):
    """Three records, two of them in categories of the catalog `cat-web`, one of these in two."""
    make_schema(shop, "other", ["name"])
    for name, schema in (("a", "schema-thing"), ("b", "schema-other"), ("c", "schema-thing")):
        make(name, schema=schema, name=name)
    for catalog in ("cat-web", "cat-none"):
        assert shop.post("/catalogs", {"id": catalog, "alias": catalog, "name": catalog}).status_code == 201
    for category, parent in (("top", None), ("low", "top")):
        body = {"id": category, "alias": category, "name": category, "parentId": parent}
        assert shop.post("/catalogs/cat-web/categories", body).status_code == 201
    for category, record in (("low", "ent-c"), ("low", "ent-b"), ("top", "ent-c")):
        assert shop.post(f"/categories/{category}/assign", {"entityId": record}).status_code == 204


@each(
    ("query", "ids"),
    [
        ({}, "abc"),
        ({"schemaId": "schema-thing"}, "ac"),
        ({"catalogId": "cat-web"}, "bc"),
        ({"catalogId": "cat-web", "schemaId": "schema-thing"}, "c"),
        ({"catalogId": "cat-none"}, ""),
        ({"catalogId": "cat-lost"}, ""),
        ({"schemaId": "schema-lost"}, ""),
        ({"schemaId": ""}, ""),
        ({"catalogId": ""}, ""),
        ({"lifecycleStateId": "ignored"}, "abc"),
    ],
)
def test_an_export_is_of_the_schemas_and_the_catalogs_records(shop, shelf, query, ids):
    assert [row["_id"] for row in export(shop, **query)] == [f"ent-{id}" for id in ids]
    assert [line[0] for line in export_csv(shop, **query)] == ["_id", *(f"ent-{id}" for id in ids)]


@each(
    ("query", "message"),
    [
        ({"format": "xml"}, "format: expected json or csv, got 'xml'"),
        ({"format": ""}, "format: expected json or csv, got ''"),
        ({"format": "CSV"}, "format: expected json or csv, got 'CSV'"),
        ({"scope": ""}, "scope: expected JSON"),
        ({"scope": "{"}, "scope: expected JSON"),
        ({"scope": "da"}, 'scope: expected JSON, got text that begins with \'d\'; an example is {"dim-language": "seg-da"}'),
        ({"scope": "[]"}, "scope: expected a JSON object of segment ids by dimension id, got 'array'"),
        ({"scope": "null"}, "scope: expected a JSON object of segment ids by dimension id, got null"),
        ({"scope": '"seg-da"'}, "scope: expected a JSON object of segment ids by dimension id, got 'seg-da'"),
        ({"scope": '{"dim-lost": "seg-da"}'}, "scope: dimension 'dim-lost' does not exist"),
        ({"scope": '{"dim-language": "seg-lost"}'}, "scope.dim-language: expected the id of a segment of 'dim-language', got"),
        ({"scope": '{"dim-language": "seg-here"}'}, "scope.dim-language: expected the id of a segment"),
        ({"scope": '{"dim-language": null}'}, "scope.dim-language: expected the id of a segment of 'dim-language', got null"),
        ({"scope": '{"dim-language": ["seg-da"]}'}, "scope.dim-language: expected the id of a segment"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(shop, error, query, message):
    assert error(shop.get("/export", query_string=query), 400).startswith(message)


def test_a_body_that_is_too_large_is_refused_without_a_word_of_rows_which_an_export_does_not_take(shop, error):
    answer = shop.get("/export", data=b" " * (errors.MAX_BODY + 1))
    assert error(answer, 413) == "The body is larger than 1048576 bytes"


# How it is sent


@pytest.fixture
def many(shop, make, monkeypatch):
    """Some records, of which a part of an export holds but a few."""
    for number in range(40):
        make(f"{number:02}", name=f"Name {number} " + "x" * 50, price=number)
    whole = {format: shop.get(f"/export?format={format}").data for format in ("json", "csv")}
    monkeypatch.setattr(exports, "PART_SIZE", 1000)
    return whole


def open_export(caller, format="json"):
    """Ask for an export as a server does, and answer the parts, none of which has been made but the first."""
    return caller.get(f"/export?format={format}", buffered=False).response


@each("format", ["json", "csv"])
def test_parts_are_together_what_it_would_be_in_one(shop, many, format):
    parts = list(open_export(shop, format))
    assert len(parts) > 3
    assert b"".join(parts) == many[format]


@each("format", ["json", "csv"])
@each("size", [1, 100, 1000, 10_000])
def test_parts_of_any_size_are_together_the_same(shop, many, monkeypatch, format, size):
    monkeypatch.setattr(exports, "PART_SIZE", size)
    assert shop.get(f"/export?format={format}").data == many[format]


def test_whoever_goes_away_ends_it_and_leaves_nothing_open(shop, many, monkeypatch):
    made, make_part = [], exports.Export.part
    monkeypatch.setattr(exports.Export, "part", lambda self, after: made.append(after) or make_part(self, after))
    parts = iter(open_export(shop))
    next(parts), next(parts)
    assert not database._thread.connection.in_transaction
    parts.close()
    assert len(made) == 2
    assert not database._thread.connection.in_transaction
    assert shop.patch("/records/ent-00/values/sold", {"value": True}).status_code == 200


def test_an_answer_of_which_nothing_is_read_leaves_nothing_open(shop, many):
    answer = open_export(shop)
    del answer
    gc.collect()
    assert shop.get("/records").json["total"] == 40


def test_a_slow_client_keeps_nobody_from_writing_and_sqlite_from_nothing(app, shop, many):
    parts = iter(open_export(shop))
    next(parts)
    with closing(sqlite3.connect(app.config["DATABASE"], isolation_level=None)) as other:
        other.execute("DELETE FROM category_assignments")
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # a reader would keep it busy
    parts.close()


def test_what_changes_while_it_is_sent_comes_as_it_is_when_its_part_is_made(shop, many, make):
    parts = iter(open_export(shop))
    text = next(parts)
    assert shop.patch("/records/ent-00/values/price", {"value": -1}).status_code == 200
    assert shop.patch("/records/ent-39/values/price", {"value": -1}).status_code == 200
    assert shop.delete("/records/ent-38").status_code == 204
    make("40", name="Late")
    rows = json.loads(text + b"".join(parts))
    ids = [row["_id"] for row in rows]
    assert ids == [f"ent-{number:02}" for number in (*range(38), 39)]  # the late one was made after the export began
    assert (rows[0]["price"], rows[38]["price"]) == (0, -1)


@each("format", ["json", "csv"])
def test_an_export_that_fails_on_the_way_is_not_taken_for_a_whole_one(shop, many, monkeypatch, caplog, format):
    make_part = exports.Export.part

    def fail(self, after):
        if after > 10:
            raise sqlite3.OperationalError("disk I/O error")
        return make_part(self, after)

    monkeypatch.setattr(exports.Export, "part", fail)
    parts, text = iter(open_export(shop, format)), b""
    with pytest.raises(sqlite3.OperationalError):
        for part in parts:
            text += part
    assert text.endswith(b'"The export failed here; the log of the service says why')
    with pytest.raises((ValueError, csv.Error)):
        (json.loads if format == "json" else parse)(text.decode())
    if format == "csv":  # who reads less strictly has a last row that says so, and that no import takes
        last = list(csv.DictReader(io.StringIO(text.decode(), newline="")))[-1]
        assert last["_id"] == "The export failed here; the log of the service says why"
        assert last["name"] is None
        body = {"schemaId": "schema-thing", "columnMapping": {"_id": "_id"}, "rows": [last]}
        assert "_id: _id expects the id of a record" in shop.post("/import/execute", body).json["errors"][0]["message"]
    assert "failed after its first part" in caplog.text
    assert "disk I/O error" in caplog.text


def test_a_part_that_fails_leaves_no_read_open_which_would_keep_sqlite_from_its_log(app, shop, many, monkeypatch):
    parts = iter(open_export(shop))
    next(parts)

    def fail(*_):
        raise ValueError("damaged")

    monkeypatch.setattr(exports.Export, "line", fail)
    with pytest.raises(ValueError, match="damaged") as failure:
        list(parts)
    with closing(sqlite3.connect(app.config["DATABASE"], isolation_level=None)) as other:
        other.execute("DELETE FROM category_assignments")
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert failure.value.args == ("damaged",)  # whose stack still has what was open


def test_rows_come_in_order_however_the_database_would_give_them(shop, many, monkeypatch):
    database._thread.connection.execute("PRAGMA reverse_unordered_selects = ON")
    for query in ("", "?schemaId=schema-thing"):
        assert [row["_id"] for row in shop.get(f"/export{query}").json] == [f"ent-{number:02}" for number in range(40)]
    database.close_db()


def test_an_export_that_fails_at_once_is_refused_as_anything_is(shop, many, error, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(exports.Export, "part", fail)
    error(shop.get("/export"), 503)


def test_whoever_may_not_export_learns_so_before_the_first_part(app, anonymous, shop, many, make_key, error, monkeypatch):
    monkeypatch.setattr(exports.Export, "part", None)
    error(anonymous.get("/export"), 401)
    error(make_key("update-data", by=shop).get("/export"), 403)


def test_an_export_in_parts_carries_the_headers_of_every_answer(shop, many):
    refused = shop.get("/export?format=none")
    for answer in (shop.get("/export"), shop.get("/export?format=csv"), shop.request("HEAD", "/export")):
        assert answer.status_code == 200
        assert answer.headers["X-Sigma-Required-Permission"] == refused.headers["X-Sigma-Required-Permission"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert len(answer.headers.getlist("X-Request-Id")) == 1


def test_an_export_takes_no_more_memory_than_a_part_of_it(app, shop, make, monkeypatch):
    record = make("first", name="x" * 2000)
    with closing(sqlite3.connect(app.config["DATABASE"])) as db, db:
        copies = ((json.dumps({**record, "id": f"ent-{number}"}),) for number in range(1500))
        db.executemany("INSERT INTO entities (tenant, schema_id, body) VALUES ('ws-other', 'schema-thing', ?)", copies)
    monkeypatch.setattr(exports, "PART_SIZE", 100_000)
    for format in ("json", "csv"):
        tracemalloc.start()
        size = sum(map(len, open_export(shop, format)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size > 3_000_000
        assert peak < 1_000_000


# And back again

TEXTS = [
    *(
        "a",
        "0012",
        "=1+1",
        "+1",
        "-1",
        "@x",
        "true",
        "null",
        "[]",
        "{}",
        '"',
        '""',
        ",",
        "a,b",
        "a\nb",
        "a\r\nb",
        "\r",
        "|",
        "||",
    ),
    *(
        "a|b",
        "\\",
        "\\\\",
        "\\|",
        "|\\",
        " ",
        " a ",
        "\t",
        "😀",
        "é",
        "\u2028",
        "val-red",
        "x" * 300,
        "_id",
        "0",
        "1.0",
        "\ufeff",
    ),
]
NUMBERS = [0, 1, -1, 0.5, 129.99, 1.0, -0.0, 1e23, 1e-7, 10**30, 123456789.125, 5e-324, 1.7976931348623157e308]
OBJECTS = [{"a": 1}, {"a": None, "b": [True, 0.5, "|", "\\"]}, {"": {}}, {'"': "\n,"}, {"é": 1e23}]
DATES = ["2026-03-01", "2026-03-01T08:00:00Z", "2026-03-01t08:00:00.120+02:00", "2016-12-31T23:59:60Z"]
POOLS = {
    **dict.fromkeys(("name", "label", "image"), TEXTS),
    **{"price": NUMBERS, "sold": [True, False], "since": DATES, "color": ["val-red", "red", "blue"], "care": OBJECTS},
    **{"like": ["ent-other"], "tags": [*TEXTS, ""], "sizes": NUMBERS, "flags": [True, False], "colors": ["val-red", "blue"]},
    "cares": [*OBJECTS, {}],
}
SCOPES = {
    "name": [DANISH, ENGLISH, NORWEGIAN],
    "price": [HERE, THERE],
    "label": [DANISH, {**DANISH, **HERE}, {**ENGLISH, **HERE}, {**ENGLISH, **THERE}],
}


def draw(chance, alias, number):
    """A random value of an attribute."""
    if alias == "code":
        return f"{number}{chance.choice(TEXTS)}"
    if not ATTRIBUTES[alias].get("multiple"):
        return chance.choice(POOLS[alias])
    return [chance.choice(POOLS[alias]) for _ in range(chance.randint(0, 3))]


def draw_record(chance, number, scopes):
    """A random record, whose values are for everywhere or in several scopes."""
    values = {}
    for alias in ATTRIBUTES:
        if alias != "name" and chance.random() < 0.3:
            continue
        entries = [entry(draw(chance, alias, number))]
        for scope in SCOPES.get(alias, ()) if scopes else ():
            entries += [entry(draw(chance, alias, number), scope)] if chance.random() < 0.5 else []
        values[alias] = entries[chance.random() < 0.3 and len(entries) > 1 :]
    return {"id": f"ent-{number}", "schemaId": "schema-thing", "values": values}


def fill(shop, make, chance, count, scopes=False):
    """Make random records, beside another that they may refer to."""
    make_schema(shop, "other", ["name"])
    make("other", schema="schema-other", name="Other")
    for number in range(count):
        answer = shop.post("/records", draw_record(chance, number, scopes))
        assert answer.status_code == 201, answer.json


def exported(shop, format, **query):
    """The rows of an export of `schema-thing`, as whoever reads the file has them."""
    query = {"schemaId": "schema-thing", **query}
    if format == "json":
        return export(shop, **query)
    header, *lines = export_csv(shop, **query)
    return [dict(zip(header, line, strict=True)) for line in lines]


def import_all(shop, rows, columns=("_id", *ATTRIBUTES)):
    """Import all rows, in bodies that are not too large, and answer how many were created and updated."""
    counts = []
    for first in range(0, len(rows), 50):
        body = {"schemaId": "schema-thing", "columnMapping": {name: name for name in columns}, "rows": rows[first : first + 50]}
        preview, answer = (shop.post(f"/import/{route}", body) for route in ("preview", "execute"))
        assert [result["errors"] for result in preview.json["results"] if result["errors"]] == []
        assert answer.json["errors"] == []
        counts.append((answer.json["created"], answer.json["updated"]))
    return tuple(map(sum, zip(*counts, strict=True)))


def things(caller):
    """The records of `schema-thing`."""
    return caller.get("/records?schemaId=schema-thing&limit=1000").json["items"]


def text_of(records):
    """The JSON text of records, in which 1.0 is not 1."""
    return json.dumps(records)


@each("seed", range(3))
def test_what_is_exported_and_imported_again_has_not_changed(shop, make, seed):
    fill(shop, make, random.Random(seed), 120)
    before = text_of(things(shop))
    for format in ("json", "csv"):
        assert import_all(shop, exported(shop, format)) == (0, 120)
        assert text_of(things(shop)) == before


@each("format", ["json", "csv"])
def test_records_that_were_lost_are_made_again_from_an_export(shop, make, format):
    fill(shop, make, random.Random(format), 120)
    rows, before = exported(shop, format), things(shop)
    for record in before:
        assert shop.delete(f"/records/{record['id']}").status_code == 204
    named = [row for row in rows if row["name"] != ""]
    assert import_all(shop, named, columns=ATTRIBUTES) == (len(named), 0)

    def comparable(record):
        """The values but for empty ones, which are not imported, with options by their ids."""
        return {
            alias: json.dumps(entries).replace('"red"', '"val-red"').replace('"blue"', '"val-blue"')
            if alias in ("color", "colors")
            else json.dumps(entries)
            for alias, entries in record["values"].items()
            if entries[0]["value"] not in ("", [], {})
        }

    wanted = [comparable(record) for record in before if record["values"]["name"][0]["value"] != ""]
    made = [comparable(record) for record in things(shop)]
    assert [sorted(record) for record in made] == [sorted(record) for record in wanted]
    assert made == wanted


@each("format", ["json", "csv"])
@each("scope", [{}, DANISH, THERE, {**DANISH, **HERE}], ids=str)
def test_of_several_scopes_the_exported_value_becomes_the_one_for_everywhere(shop, make, format, scope):
    fill(shop, make, random.Random(5), 60, scopes=True)
    before, rows = things(shop), exported(shop, "json", scope=json.dumps(scope))
    assert import_all(shop, exported(shop, format, scope=json.dumps(scope))) == (0, 60)
    for old, row, new in zip(before, rows, things(shop), strict=True):
        for alias, entries in old["values"].items():
            others, kept = ([item for item in one if item["scope"]] for one in (entries, new["values"][alias]))
            assert kept == others
            (was,), became = (
                [item["value"] for item in one if not item["scope"]] or [None] for one in (entries, new["values"][alias])
            )
            shown = row[alias]
            expected = was if shown in (None, "", [], {}) or is_same(shown, was) else shown
            assert json.dumps(became) == json.dumps([expected])


def test_what_an_export_holds_that_is_not_valid_any_more_imports_again(shop, make):
    make("gone", name="Gone")
    make("cap", name="Cap", color="blue", colors=["red", "blue"], like="ent-gone", tags=["a" * 50])
    shop.delete("/option-lists/ol-colors/values/val-blue")
    shop.delete("/records/ent-gone")
    tags = shop.get("/attributes/attr-tags").json
    assert shop.put("/attributes/attr-tags", {**tags, "validation": {"maxLength": 10}}).status_code == 200
    before = text_of(things(shop))
    for format in ("json", "csv"):
        assert import_all(shop, exported(shop, format)) == (0, 1)
        assert text_of(things(shop)) == before
