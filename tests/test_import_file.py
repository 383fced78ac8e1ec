"""flask import: records from files, of whatever kind, by the rules of POST /import/execute.

The files are imported into the demo workspace's schema `schema-apparel`.
"""

import codecs
import io
import json
import os
import pty
import signal
import sqlite3
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import replace_everywhere, sql, without_hint

from sigma import database
from sigma.cli import disk_dict, guesses, import_file, import_report, row_files
from sigma.cli.interrupts import Interrupts
from sigma.cli.json_rows import RowFileError, read_values

WHERE = ("--schema", "schema-apparel", "--workspace", "ws-demo")
ROW = {"product-name": "Rain Hat", "sku": "RH-001", "price": 19.5, "color": "val-red"}
CSV = "product-name,sku,price,color\nRain Hat,RH-001,19.50,Red\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(app, run, folder):
    """Return a function that imports a text, or bytes, as a file, and returns the result."""

    def load(data, *options, file="rows.csv", where=WHERE):
        Path(file).write_bytes(data if isinstance(data, bytes) else data.encode())
        return run("import", file, *where, *options)

    return load


@pytest.fixture
def new_records(admin):
    """Return a function that returns the values of the records that were not there at first, each for all scopes."""
    before = {item["id"] for item in admin.get("/records?limit=1000").json["items"]}

    def fetch():
        items = [item for item in admin.get("/records?limit=1000").json["items"] if item["id"] not in before]
        return [{alias: entries[0]["value"] for alias, entries in item["values"].items()} for item in items]

    return fetch


def imported(result, told="Created 1, updated 0."):
    """Check that an import has stored all rows, and said so."""
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{told}\n", "")


# What a file may be


FILES = {
    "commas": CSV,
    "semicolons": CSV.replace(",", ";"),
    "tabs": CSV.replace(",", "\t"),
    "bars, which are said": (CSV.replace(",", "|"), "--delimiter", "|"),
    "a delimiter that is said by name": (CSV.replace(",", ";"), "--delimiter", "semicolon"),
    "CR LF": CSV.replace("\n", "\r\n"),
    "CR": CSV.replace("\n", "\r"),
    "no end of the last line": CSV.rstrip("\n"),
    "blank lines": CSV.replace("\n", "\n\n"),
    "a mark": codecs.BOM_UTF8 + CSV.encode(),
    "UTF-16, little-endian": codecs.BOM_UTF16_LE + CSV.encode("utf-16-le"),
    "UTF-16, big-endian": codecs.BOM_UTF16_BE + CSV.encode("utf-16-be"),
    "UTF-32": codecs.BOM_UTF32_LE + CSV.encode("utf-32-le"),
    "UTF-16 without a mark": (CSV.encode("utf-16-le"), "--encoding", "utf-16-le"),
    "a mark, whatever is said": (codecs.BOM_UTF8 + CSV.encode(), "--encoding", "windows-1252"),
    "all in quotation marks": '"product-name","sku","price","color"\n"Rain Hat","RH-001","19.50","Red"\n',
    "columns without a name": "product-name,sku,price,color,, \nRain Hat,RH-001,19.50,Red,,x\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_csv_file_is_read_however_it_is_written(load, new_records, name):
    data, *options = FILES[name] if isinstance(FILES[name], tuple) else (FILES[name],)
    imported(load(data, *options))
    assert new_records() == [ROW]


JSON_FILES = {
    "lines": (json.dumps(ROW) + "\n", "rows.jsonl"),
    "lines without an end": ("\n" + json.dumps(ROW), "rows.ndjson"),
    "an array": (json.dumps([ROW]), "rows.json"),
    "an array on many lines": (" " + json.dumps([ROW], indent=2) + "\n", "rows.json"),
}


@pytest.mark.parametrize("name", JSON_FILES)
def test_a_json_file_has_an_object_in_each_line_or_is_an_array(load, new_records, name):
    data, file = JSON_FILES[name]
    imported(load(data, file=file))
    assert new_records() == [ROW]


def test_letters_of_windows_1252_are_read_when_that_is_said(load, new_records):
    data = "product-name,sku\nRegnhat å Ø €,RH-001\n".encode("windows-1252")
    result = load(data)
    assert (result.exit_code, result.stdout) == (1, "Created 0, updated 0.\n")
    hint = "give --encoding windows-1252 for a file from Windows, or save it as UTF-8"
    assert result.stderr == f"Error: rows.csv:2: byte 0xE5 is not UTF-8: {hint}\n"
    assert new_records() == []
    imported(load(data, "--encoding", "windows-1252"))
    assert new_records() == [{"product-name": "Regnhat å Ø €", "sku": "RH-001"}]


def test_a_cell_may_have_the_delimiter_quotation_marks_and_ends_of_lines_in_it(load, new_records):
    imported(load('sku,product-name\nRH-001,"Hat, ""wide""\r\nbrim"\n'))
    assert new_records() == [{"sku": "RH-001", "product-name": 'Hat, "wide"\r\nbrim'}]


def test_standard_input_is_read_as_csv_unless_something_else_is_said(run, new_records):
    imported(run("import", "-", *WHERE, stdin=CSV))
    imported(run("import", "-", *WHERE, "--format", "json", stdin=json.dumps({**ROW, "sku": "RH-002"})))
    assert new_records() == [ROW, {**ROW, "sku": "RH-002"}]


BROKEN = {
    "empty": ("", 1, "expected a line with the names of columns"),
    "of columns without names": (",,\n1,2,3\n", 1, "expected a line with the names of columns"),
    "with a column twice": ("sku,sku\n1,2\n", 1, "expected columns with different names, got 'sku' twice"),
    "UTF-16 without a mark": (CSV.encode("utf-16-le"), 1, "expected no zero bytes; for UTF-16"),
    "cut UTF-16": (codecs.BOM_UTF16_LE + CSV.encode("utf-16-le") + b"x", 3, "something that is not UTF-16"),
    "with an open quotation mark": (f'{CSV}"Cap,RH-002\n', 3, "a quotation mark opens a cell, and none ends it"),
    "with letters after a quotation mark": (f'{CSV}"Cap"x,RH-002\n', 3, "expected a comma after the quotation mark"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_with_its_line_and_nothing_after_that_is_imported(load, new_records, name):
    data, line, problem = BROKEN[name]
    result = load(data)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: rows.csv:{line}: {problem}")
    done = len(new_records())
    assert done == (line == 3)
    more = " Nothing was done from line 3 on: go on with --from-line 3." if done else ""
    assert result.stdout == f"Created {done}, updated 0.{more}\n"


@pytest.mark.parametrize(
    ("start", "told"),
    [(b"PK\x03\x04", "a spreadsheet or an archive: save it as CSV"), (b"\x1f\x8b", "compressed: unpack it")],
)
def test_a_file_that_is_no_text_is_told(load, start, told):
    result = load(start + CSV.encode())
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: rows.csv is {told}\n")


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        ('{"sku": "RH-001"}\n\n{"sku": }\n', 3, "expected JSON: Expecting value"),
        ('{"sku": "RH-001"}\n7\n', 2, "expected an object of cells by column, got 7"),
        ('{"sku": "RH-001"}\n{"sku": 1, "sku": 2}\n', 2, "expected JSON: the member 'sku' comes twice in one object"),
        ('{"sku": "RH-001"}\n{"price": 1e999}\n', 2, "expected a number within the range of a double, got 1e999"),
        ('[{"sku": "RH-001"}\n{"sku": 2}]', 2, "expected a comma or ] after an item, got '{'"),
        ('[{"sku": "RH-001"},\n{"sku" 2}]', 2, "expected JSON: Expecting ':' delimiter"),
        ('[{"sku": "RH-001"},\n\n{"sku": "', 3, "expected JSON: Unterminated string"),
        ('[{"sku": "RH-001"}\n', 2, "expected a comma or ] after an item, got the end of the file"),
        ('[{"sku": "RH-001"}]\nx', 2, "expected nothing after the end of the array, got 'x'"),
    ],
)
def test_broken_json_is_told_with_its_line_and_what_stands_before_is_imported(load, new_records, data, line, problem):
    result = load(data.replace('"RH-001"', '"RH-001", "product-name": "Hat"'), file="rows.json")
    assert result.stderr.startswith(f"Error: rows.json:{line}: {problem}")
    assert result.exit_code == 1
    assert new_records() == [{"sku": "RH-001", "product-name": "Hat"}]


def test_an_array_is_read_in_pieces_whatever_they_cut_apart():
    values = [{"a": 'x\\"]},[{', "é": [1.5e3, True, None, {"": []}]}, {}, {"b": "\u2028"}]
    text = json.dumps(values, indent=1)
    lines = [1 + text[: text.index(mark)].count("\n") for mark in (' {\n  "a"', " {},", ' {\n  "b"')]
    for size in range(1, len(text)):
        pieces = ((0, text[place : place + size]) for place in range(0, len(text), size))
        found = list(read_values(((1 if not n else number, piece) for n, (number, piece) in enumerate(pieces)), 10_000))
        assert [value for _, value in found] == values
        assert [line for line, _ in found] == lines
    with pytest.raises(RowFileError, match="at most 10 characters in an item"):
        list(read_values(iter([(1, '[{"a": "' + "x" * 50)]), 10))
    assert list(read_values(iter([(1, "[ ]")]), 10)) == []
    assert list(read_values(iter([]), 10)) == []


def test_a_file_that_is_not_there_is_named(run, folder):
    reasons = {"missing.csv": "No such file or directory", "folder/missing.json": f"there is no folder {folder}/folder"}
    for file, reason in reasons.items():
        result = run("import", file, *WHERE)
        assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {file}: {reason}\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["rows.xyz"], "rows.xyz has none of the endings .csv, .tsv, .txt, .json, .jsonl, .ndjson: give --format csv or json"),
        (["rows.csv", "--encoding", "klingon"], "'klingon' is not an encoding of text, such as windows-1252 or utf-16-le"),
        (["rows.csv", "--encoding", "hex"], "'hex' is not an encoding of text"),
        (["rows.csv", "--delimiter", "::"], "expected comma, semicolon, tab or a character, got '::'"),
        (["rows.csv", "--map", "sku"], "--map: expected COLUMN=ALIAS, once for each column, got 'sku'"),
        (["rows.csv", "--map", "a=sku", "--map", "a=ean"], "--map: expected COLUMN=ALIAS, once for each column, got 'a=ean'"),
    ],
)
def test_wrong_usage_is_exit_code_2(run, folder, options, told):
    Path("rows.csv").write_text(CSV, encoding="utf-8")
    result = run("import", *options, *WHERE)
    assert result.exit_code == 2
    assert told in result.stderr.replace("\n", " ")


# Columns


@pytest.mark.parametrize(
    "columns",
    ["product-name;sku;water-column", "Product-Name;SKU;WATER COLUMN", "product_name;Sku; Water  column (mm) "],
)
def test_columns_with_the_name_of_an_attribute_are_mapped_by_themselves(load, new_records, columns):
    imported(load(f"{columns}\nHat;RH-001;300\n"))
    assert new_records() == [{"product-name": "Hat", "sku": "RH-001", "water-column": 300}]


def test_other_columns_are_told_and_mapped_by_hand(load, new_records):
    result = load("Item;Artikel=Nr;Note\nHat;RH-001;x\n", "--map", "Item=product-name", "--map", "Artikel=Nr=sku")
    assert (result.exit_code, result.stdout) == (0, "Created 1, updated 0.\n")
    assert result.stderr == "Column 'Note' is left out, because no attribute has its name; see --map\n"
    imported(load("Item;sku;price\nCap;RH-002;5\n", "--map", "Item=product-name", "--map", "price="))
    assert new_records() == [{"product-name": "Hat", "sku": "RH-001"}, {"product-name": "Cap", "sku": "RH-002"}]


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        (CSV, ["--map", "sku=skew"], "--map sku: schema 'schema-apparel' has no attribute 'skew'"),
        (CSV, ["--map", "skew=ean"], "--map skew: expected a column that at least one row has"),
        (
            *(CSV, ["--map", "skew=eam"]),
            "--map skew: schema 'schema-apparel' has no attribute 'eam';"
            " --map skew: expected a column that at least one row has",
        ),
        ("sku,SKU\nA,B\n", [], "--map SKU: expected one column for 'sku', but 'sku' is mapped to it already"),
    ],
)
def test_what_cannot_be_mapped_is_refused_before_anything_is_imported(load, new_records, data, options, told):
    result = load(data, *options)
    assert (result.exit_code, without_hint(result.stderr)) == (1, f"Error: {told}\n")
    assert result.stdout == "Created 0, updated 0.\n"
    assert new_records() == []


LEFT_OUT = {
    "no attribute has its name": ("sku,Note", [], "Column 'Note' is left out, because no attribute has its name; see --map"),
    "of several": ("Note,sku,é", [], "Columns 'Note', 'é' are left out, because no attribute has their names; see --map"),
    "its attribute is mapped": (
        *("Product Name,Title,sku", ["--map", "Title=product-name"]),
        "Column 'Product Name' is left out, because --map gives 'product-name' to another column",
    ),
    "several attributes": (
        "sku,Mass",
        [],
        "Column 'Mass' is left out, because it may be the name of 'a-mass', 'b-mass'; see --map",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_why_a_column_is_left_out_is_told(load, admin, name):
    columns, options, told = LEFT_OUT[name]
    for alias in ("a-mass", "b-mass"):
        made = admin.post("/attributes", {"id": f"attr-{alias}", "alias": alias, "name": "Mass", "type": "text"})
        assert made.status_code == 201
    schema = admin.get("/schemas/schema-apparel").json
    schema["attributeGroups"][0]["attributeIds"] += ["attr-a-mass", "attr-b-mass"]
    assert admin.put("/schemas/schema-apparel", schema).status_code == 200
    result = load(f"{columns}\n{','.join('x' for _ in columns.split(','))}\n", "--dry-run", *options)
    assert result.stderr.splitlines()[0] == told


def test_a_misspelt_column_is_told_with_those_of_the_file(load):
    result = load("Supplier,sku\nA,B\n", "--map", "Suplier=size")
    told = "Error: --map Suplier: expected a column that at least one row has (there are 'Supplier', 'sku')"
    assert result.stderr.splitlines()[-1] == told


def test_a_file_with_no_known_column_is_refused_with_the_names_of_both(load, new_records):
    result = load("Artikel;Preis\nHat;5\n")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(
        "Error: No column is named like an attribute: the columns are 'Artikel', 'Preis', the attributes are 'product-name', "
    )
    assert new_records() == []


def test_an_unknown_schema_is_told_with_those_that_exist_and_an_alias_will_do(load, new_records):
    result = load(CSV, where=("--schema", "schema-shoes", "--workspace", "ws-demo"))
    told = "Error: --schema: workspace 'ws-demo' has no schema 'schema-shoes'; there is 'schema-apparel'\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", told)
    told = "there is none yet: `flask schema guess FILE --output SEED` and `flask schema create SEED` make one for a file\n"
    assert load(CSV, where=("--schema", "schema-shoes", "--workspace", "ws-other")).stderr.endswith(told)
    imported(load(CSV, where=("--schema", "apparel", "--workspace", "ws-demo")))
    assert new_records() == [ROW]


def test_a_column_that_only_some_lines_of_json_have_is_imported_from_those(load, new_records):
    rows = [{"product-name": "Hat", "sku": "RH-001"}, {"product-name": "Cap", "sku": "RH-002", "size": "S", "note": 1}]
    result = load("\n".join(map(json.dumps, rows)), file="rows.jsonl")
    assert (result.exit_code, result.stdout) == (0, "Created 2, updated 0.\n")
    assert new_records() == [rows[0], {"product-name": "Cap", "sku": "RH-002", "size": "S"}]


# What becomes of rows


def test_rows_with_the_id_of_a_record_update_it_and_are_in_its_history(load, admin, new_records):
    imported(load("_id,price\nent-trail-cap,77\n"), "Created 0, updated 1.")
    record = admin.get("/records/ent-trail-cap").json
    assert {"scope": {}, "value": 77} in record["values"]["price"]
    assert record["updatedBy"] == "command-line"
    entry = admin.get("/records/ent-trail-cap/audit-log").json["items"][0]
    assert (entry["action"], entry["userId"], entry["changes"][0]["newValue"]) == ("update", "command-line", 77)
    assert new_records() == []


def test_rows_that_fail_are_left_out_and_told_with_file_line_and_column(load, new_records):
    result = load(f"{CSV}Cap,nope,x,Red\n,RH-003,1,Pink\nScarf,RH-004,5,Red,more\n")
    assert (result.exit_code, result.stdout) == (1, "Created 1, updated 0; 3 rows failed.\n")
    assert result.stderr.splitlines() == [
        r"rows.csv:3: sku: Value for 'sku' does not match pattern '^[A-Z]{2}-\d{3}$', got 'nope'",
        "rows.csv:3: price: Attribute 'price' expects type 'number', got 'x'",
        "rows.csv:4: product-name: Attribute 'product-name' expects a value, got ''",
        "rows.csv:4: color: Attribute 'color' expects the id, alias or label of an option, got 'Pink'"
        " (there are 'Navy', 'Sand', 'Black', 'Green', 'White' and 4 more)",
        "rows.csv:5: expected at most 4 cells, as there are columns, got 5",
    ]
    assert new_records() == [ROW]


@pytest.fixture
def nothing_required(admin):
    """The schema, without an attribute that is required."""
    for path in ("/attributes/attr-product-name", "/attributes/attr-sku"):
        attribute = admin.get(path).json
        attribute["validation"]["required"] = False
        assert admin.put(path, attribute).status_code == 200


BLANK_ROWS = {
    "rows.csv": ("product-name;sku;Note;\n;;;;;\nHat;RH-001;;\n\n;;;\n;nope\n;;x\n;;;\n", (6, 7)),
    "rows.jsonl": (
        '{}\n{"product-name": "Hat", "sku": "RH-001"}\n{"sku": [], "Note": null}\n{"sku": ""}\n{"sku": "nope"}\n{"Note": 1}\n',
        (5, 6),
    ),
}


@pytest.mark.parametrize("file", BLANK_ROWS)
def test_rows_of_empty_cells_are_skipped_and_those_without_a_value_that_is_imported_fail(
    load, nothing_required, new_records, file
):
    data, (line, other) = BLANK_ROWS[file]
    for options, told in (["--dry-run"], "Would create 1, update 0"), ([], "Created 1, updated 0"):
        result = load(data, *options, file=file)
        assert result.stderr.splitlines() == [
            "Column 'Note' is left out, because no attribute has its name; see --map",
            rf"{file}:{line}: sku: Value for 'sku' does not match pattern '^[A-Z]{{2}}-\d{{3}}$', got 'nope'",
            f"{file}:{other}: expected a value in a column that is imported",
        ]
        assert (result.exit_code, result.stdout) == (1, f"{told}; 2 rows failed.\n")
    assert new_records() == [{"product-name": "Hat", "sku": "RH-001"}]


def test_a_file_is_judged_as_the_api_judges_the_same_rows(load, admin):
    ean, columns = "4006381333931", ("product-name", "sku", "price", "ean")
    cells = (("Hat", "RH-001", "1", ean), ("", "RH-002", "", ""), ("Cap", "rh", "x", ""), ("Twin", "RH-003", "2", ean))
    rows = [dict(zip(columns, row, strict=True)) for row in cells]
    body = {"schemaId": "schema-apparel", "columnMapping": {name: name for name in rows[0]}, "rows": rows}
    said = [result["errors"] for result in admin.post("/import/preview", body).json["results"]]
    assert [len(errors) for errors in said] == [0, 1, 2, 1]
    lines = "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)])
    expected = [
        f"rows.csv:{number}: {error.replace('row 0', 'line 2')}" for number, errors in enumerate(said, 2) for error in errors
    ]
    for options, told in (
        (["--dry-run"], "Would create 1, update 0; 3 rows failed."),
        ([], "Created 1, updated 0; 3 rows failed."),
    ):
        result = load(lines, *options)
        assert (result.exit_code, result.stdout) == (1, f"{told}\n")
        assert result.stderr.splitlines() == expected


def test_a_dry_run_stores_nothing_and_knows_what_the_rows_before_would_have_done(load, stored, monkeypatch):
    monkeypatch.setattr(import_file, "BATCH", 1)
    before = stored()
    result = load(
        "_id,product-name,sku,ean\n,Hat,RH-001,4006381333931\n,Cap,RH-002,4006381333931\n"
        "ent-trail-cap,,,4006381333948\n,Scarf,RH-003,4006381333948\nent-trail-cap,,,4006381333955\n,Scarf,RH-003,4006381333948\n",
        "--dry-run",
    )
    assert (result.exit_code, result.stdout) == (1, "Would create 2, update 2; 2 rows failed.\n")
    told = "Attribute 'ean' is unique, and line {} has this value, got '{}'"
    assert result.stderr.splitlines() == [
        f"rows.csv:3: ean: {told.format(2, '4006381333931')}",
        f"rows.csv:5: ean: {told.format(4, '4006381333948')}",
    ]
    assert stored() == before


def test_a_workspace_that_is_full_fails_the_rows_that_have_no_place(app, load, new_records, monkeypatch):
    app.config["RECORD_LIMIT"] = 48
    monkeypatch.setattr(import_file, "BATCH", 1)
    lines = "sku,product-name\nRH-001,Hat\nRH-002,Cap\n"
    for options, told in (["--dry-run"], "Would create 1, update 0"), ([], "Created 1, updated 0"):
        result = load(lines, *options)
        assert (result.exit_code, result.stdout) == (1, f"{told}; 1 row failed.\n")
        assert result.stderr == "rows.csv:3: This workspace is full at 48 records; SIGMA_RECORD_LIMIT sets the limit\n"
    assert len(new_records()) == 1


def test_programs_get_the_counts_as_json(load):
    result = load(f"{CSV}Cap,nope,1,Red\n", "--json")
    assert json.loads(result.stdout) == {
        **{"workspace": "ws-demo", "schemaId": "schema-apparel", "dryRun": False, "created": 1, "updated": 0, "failed": 1},
        **{"stopped": None, "nextLine": None},
    }
    stop = "rows.csv:3: a quotation mark opens a cell, and none ends it"
    told = json.loads(load(f'{CSV}"', "--json").stdout)
    assert (told["stopped"], told["nextLine"]) == (stop, 3)


def test_webhooks_are_told_as_by_the_api_and_a_dry_run_tells_nobody(load, admin, app):
    events = ["entity.created", "entity.updated"]
    hook = {"name": "Shop", "url": "http://127.0.0.1:9/", "events": events}
    assert admin.post("/webhooks", hook).status_code == 201
    rows = "_id,product-name,sku,size\n,Hat,RH-001,S\nent-trail-cap,,,XXS\n,,nope,\n"
    load(rows, "--dry-run")
    assert sql(app, "SELECT count(*) FROM deliveries") == [(0,)]
    load(rows)
    sent = sql(app, "SELECT json_extract(body, '$.event'), json_extract(body, '$.data.values.size[0].value') FROM deliveries")
    assert sorted(sent) == [("entity.created", "S"), ("entity.updated", "XXS")]


def test_raw_keys_in_cells_are_not_told(load):
    raw = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
    assert raw not in load(f"product-name,sku\nHat,{raw}\n").stderr


# Rows that failed, in a file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_that_failed_are_mended_in_a_file_and_imported_again(load, run, new_records, delimiter):
    bad = 'Cap,nope,"1",Red\n"Scarf, long",RH-003,1,Pink,x\n'
    result = load(f"{CSV}{bad}".replace(",", delimiter), "--errors", "mend.csv")
    assert result.stdout == "Created 1, updated 0; 2 rows failed. Correct the failed rows in mend.csv, and import that file.\n"
    assert Path("mend.csv").stat().st_mode & 0o777 == 0o600  # it has in it what the workspace has
    text = Path("mend.csv").read_bytes().decode("utf-8-sig")
    assert text.splitlines()[0] == delimiter.join(["_error", "product-name", "sku", "price", "color"])
    assert text.splitlines()[1].lstrip('"').startswith("sku: Value for 'sku' does not match pattern")
    again = run("import", "mend.csv", *WHERE, "--errors", "again.csv")
    assert (again.exit_code, Path("again.csv").read_bytes().decode("utf-8-sig")) == (1, text)
    mended = text.replace("nope", "RH-002").replace("Pink", "Blue").replace(f"Blue{delimiter}x", "Blue")
    imported(load("\ufeff" + mended, file="mended.csv"), "Created 2, updated 0.")
    assert [record["sku"] for record in new_records()] == ["RH-001", "RH-002", "RH-003"]


def test_rows_of_json_that_failed_are_mended_in_a_file_too(load, new_records):
    rows = [{"product-name": "Hat", "sku": 5, "tags": ["é"]}, {"product-name": "Cap", "sku": "RH-002"}]
    load("\n".join(map(json.dumps, rows)), "--errors", "mend.jsonl", file="rows.jsonl")
    (line,) = Path("mend.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"_error": "sku: Attribute 'sku' expects type 'text', got 5", **rows[0]}
    imported(load(line.replace(":5", ':"RH-001"'), file="mended.jsonl"))
    assert new_records() == [rows[1], {**rows[0], "sku": "RH-001"}]


def test_where_nothing_fails_no_file_is_left_and_one_that_is_there_is_not_touched(load, new_records, folder):
    imported(load(CSV, "--errors", "mend.csv"))
    assert not Path("mend.csv").exists()
    Path("mend.csv").write_text("mine", encoding="utf-8")
    result = load(CSV, "--errors", "mend.csv")
    assert (result.exit_code, result.stderr) == (1, "Error: mend.csv exists already: remove it, or name another file\n")
    assert (Path("mend.csv").read_text(encoding="utf-8"), len(new_records())) == ("mine", 1)


def test_only_the_first_hundred_are_told_and_the_file_has_all(load):
    rows = "sku,product-name\n" + "x,Hat\n" * 250
    result = load(rows)
    lines = result.stderr.splitlines()
    assert (len(lines), lines[-1]) == (101, "and 150 more; --errors FILE keeps all of them")
    assert load(rows, "--errors", "mend.csv").stderr.splitlines()[-1] == "and 150 more; mend.csv has all of them"
    assert len(Path("mend.csv").read_text(encoding="utf-8-sig").splitlines()) == 251


# Stopping and going on


def many(count, first=0):
    return "sku,product-name\n" + "".join(f"RH-{number:03},Hat\n" for number in range(first, first + count))


def test_a_row_of_each_batch_is_stored_or_not_with_the_others_of_it(load, new_records, monkeypatch):
    monkeypatch.setattr(import_file, "BATCH", 3)
    imported(load(many(10)), "Created 10, updated 0.")
    assert [record["sku"] for record in new_records()] == [f"RH-{number:03}" for number in range(10)]


def test_an_import_goes_on_from_a_line(load, new_records):
    imported(load(many(10), "--from-line", "8"), "Created 4, updated 0.")
    assert [record["sku"] for record in new_records()] == ["RH-006", "RH-007", "RH-008", "RH-009"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_an_import_after_the_rows_that_are_being_stored_and_it_says_which(
    load, new_records, monkeypatch, number
):
    monkeypatch.setattr(import_file, "BATCH", 3)
    original, calls = import_file.FileImport.add, []

    def add(self, rows):
        calls.append(rows)
        if len(calls) == 2:
            signal.raise_signal(number)
        return original(self, rows)

    monkeypatch.setattr(import_file.FileImport, "add", add)
    before = signal.getsignal(number)
    result = load(many(10))
    assert (result.exit_code, result.stderr) == (1, "Error: Stopped\n")
    assert result.stdout == "Created 6, updated 0. Nothing was done from line 8 on: go on with --from-line 8.\n"
    assert len(new_records()) == 6
    assert signal.getsignal(number) is before
    monkeypatch.undo()


def test_a_signal_while_nothing_is_being_stored_counts_at_once():
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")
    seen = []

    def work():
        with Interrupts().handled():
            seen.append("done")

    thread = threading.Thread(target=work)  # where signals cannot be handled
    thread.start()
    thread.join()
    assert seen == ["done"]


def test_a_database_that_fails_in_mid_run_stops_it_and_what_is_stored_is_told(load, new_records, monkeypatch, app):
    monkeypatch.setattr(import_file, "BATCH", 3)
    original, calls = import_file.FileImport._judge, []

    def judge(self, rows):
        yield from original(self, rows)
        calls.append(rows)
        if len(calls) == 2:
            error = database.sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error

    monkeypatch.setattr(import_file.FileImport, "_judge", judge)
    result = load(many(10))
    told = "cannot grow, because the disk is full: make room, and try again"
    assert (result.exit_code, result.stderr) == (1, f"Error: {app.config['DATABASE']} {told}\n")
    assert result.stdout == "Created 3, updated 0. Nothing was done from line 5 on: go on with --from-line 5.\n"
    assert len(new_records()) == 3


def test_a_model_that_changes_in_mid_run_stops_it(load, admin, new_records, monkeypatch):
    monkeypatch.setattr(import_file, "BATCH", 3)
    original = import_file.FileImport.add

    def add(self, rows):
        if self.created:
            schema = admin.get("/schemas/schema-apparel").json
            for group in schema["attributeGroups"]:
                group["attributeIds"] = [id for id in group["attributeIds"] if id != "attr-product-name"]
            assert admin.put("/schemas/schema-apparel", schema).status_code == 200
        return original(self, rows)

    monkeypatch.setattr(import_file.FileImport, "add", add)
    result = load(many(10))
    assert (
        without_hint(result.stderr.splitlines(keepends=True)[-1])
        == "Error: --map product-name: schema 'schema-apparel' has no attribute 'product-name'\n"
    )
    assert result.stdout.startswith("Created 3, updated 0. Nothing was done from line 5 on")


# The terminal


def test_a_terminal_shows_how_far_it_is_and_anything_else_shows_nothing(monkeypatch, capsys):
    progress = import_report.Progress()
    progress.show(0.5, "10 rows")
    progress.clear()
    assert capsys.readouterr().err == ""
    mine, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(import_report.shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((30, 5)))
        progress = import_report.Progress()
        progress.show(0.5, "10 rows, 0 failed")
        progress.show(0.6, "is not shown so soon")
        progress.clear()
    shown = b""
    with suppress(OSError):  # which is how a terminal that nobody writes to any more ends; what was written may come in parts
        while part := os.read(mine, 1000):
            shown += part
    os.close(mine)
    assert shown.decode() == f"\r 50% [##########          ] 1\r{' ' * 29}\r"


def test_errors_that_nobody_can_read_keep_no_row_from_being_imported(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    report = import_report.Report(None, None, import_report.Progress())
    report.say("something")


# Parts


@pytest.mark.parametrize("rows", ["sku\nRH-001\n", "no-such-column\nRH-001\n"])
def test_a_dry_run_removes_what_it_keeps_on_disk(load, monkeypatch, rows):
    made = []

    class Watched(disk_dict.DiskDict):
        def __init__(self, load):
            super().__init__(load)
            made.append(self.db)

    monkeypatch.setattr(import_file, "DiskDict", Watched)
    load(rows, "--dry-run")
    assert len(made) == 2
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.in_transaction  # noqa: B018 (it asks whether it is open)


def test_a_dict_on_disk_is_a_dict():
    pairs = disk_dict.DiskDict(lambda value: value and tuple(value))
    assert (pairs.get(b"a"), len(pairs), b"a" in pairs) == (None, 0, False)
    pairs[b"a"], pairs[b"b"] = ("x", "y"), None
    pairs[b"a"] = ("x", "z")
    assert dict(pairs) == {b"a": ("x", "z"), b"b": None}
    del pairs[b"b"]
    with pytest.raises(KeyError):
        del pairs[b"b"]
    assert list(pairs) == [b"a"]
    pairs.close()


def test_a_line_and_a_cell_have_bounds(load, new_records, monkeypatch):
    replace_everywhere(monkeypatch, row_files, "MAX_LINE", 200)
    for cells in ("x" * 300, '"' + "x\n" * 300):
        result = load(f"sku,product-name\nRH-001,Hat\nRH-002,{cells}")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: rows.csv:3: ")
    assert len(new_records()) == 2


def test_the_schema_of_what_is_imported_is_in_the_database_as_for_the_api(load, app):
    imported(load(CSV))
    ((body, by),) = sql(app, "SELECT body, json_extract(body, '$.createdBy') FROM entities WHERE body LIKE '%RH-001%'")
    assert by == "command-line"
    assert json.loads(body)["lifecycleStateId"] == "state-draft"
    assert guesses.slug("Ærø") == "aero"
