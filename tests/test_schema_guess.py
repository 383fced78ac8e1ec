"""flask schema guess: a schema for the rows of a file, which all of them fit."""

import csv
import json
from pathlib import Path

import pytest
from conftest import Caller

from sigma import database
from sigma.cli.guesses import assign_slugs, slug

KEY = {"X-Sigma-ApiKey": "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"}
COLUMNS = {  # cells by column, and the type that is guessed
    "Name": ("text", [f"Thing {number}" for number in range(12)]),
    "Price": ("number", ["1", "2.50", "-3", "1e2", "", "0", "1", "1", "1", "1", "1", "1"]),
    "In stock?": ("boolean", ["true", "FALSE", "", "True", *["false"] * 8]),
    "Flag": ("number", ["0", "1"] * 6),
    "Since": ("datetime", ["2026-03-01", "2026-03-01T08:00:00Z", *[""] * 10]),
    "Colour": ("option", ["Red", "red", "Red", "Dark red", "red", "Red", *["Dark red"] * 6]),
    "Size": ("option", ["S", "M"] * 6),
    "Code": ("text", [f"00{number}" for number in range(12)]),
    "EAN": ("text", [f"40063813339{number}" for number in range(10, 22)]),
    "Amount": ("option", ["1,5"] * 12),
    "Nothing": ("text", [""] * 12),
    "Long": ("text", ["x" * 61] * 12),
    "Blank": ("text", [" "] * 12),
    "Rare": ("text", ["a", "a", "a", "b", "c", "c", "c", "d", "d", "d", "e", "f"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def empty(app, folder):
    """The app, with a database that is not there yet."""
    app.config["DATABASE"] = str(folder / "own.db")
    return app


def write(columns, file="my-things.csv", **options):
    with Path(file).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, **options)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def test_each_column_becomes_an_attribute_of_a_type_that_all_its_cells_have(run, folder):
    write({column: cells for column, (_, cells) in COLUMNS.items()})
    result = run("schema", "guess", "my-things.csv")
    assert result.exit_code == 0
    model = json.loads(result.stdout)["model"]
    attributes = [body for kind, body in model if kind == "attribute"]
    assert [(body["name"], body["type"]) for body in attributes] == [(name, kind) for name, (kind, _) in COLUMNS.items()]
    assert [body["alias"] for body in attributes][:4] == ["name", "price", "in-stock", "flag"]
    kind, schema = model[-1]
    assert (kind, schema["id"], schema["name"], schema["variantEnabled"]) == ("schema", "schema-my-things", "My things", False)
    assert schema["attributeGroups"][0]["attributeIds"] == [body["id"] for body in attributes]
    colours = next(body for kind, body in model if kind == "option-list" and body["id"] == "ol-colour")
    labels = {value["label"]: value["alias"] for value in colours["values"]}
    assert labels == {"Dark red": "dark-red", "Red": "red-2", "red": "red"}
    lines = result.stderr.splitlines()
    assert lines[2].split() == ["Price", "price", "number", "11", "5"]
    assert lines[-3:] == [
        "SIGMA_DATABASE=new.db flask demo --seed SEED",
        "and import the file, into the same database:",
        "flask import my-things.csv --schema schema-my-things",
    ]


def test_the_first_cell_that_fits_nothing_narrower_is_told_with_its_line(run, folder):
    text = (
        'Price;When;Stock;Name;Colour;EAN;Empty;Fine\n19.50;;true;"Rain\nHat\x1b";Red;40063813;;1\n;2026-03-01;;;Red;40063814;;2\n\n'
        "n/a;1 March;1;Cap;Red;40063815;;3\nsold;;no;x;Red;;;\n"
    )
    Path("a.csv").write_text(text, encoding="utf-8")
    table = run("schema", "guess", "a.csv", "--output", "seed.json").stdout.splitlines()
    at = table[0].index("DECIDED BY")
    assert [(line[: at - 1].split()[2], line[at:]) for line in table[1:9]] == [
        ("text", "line 6: 'n/a'"),
        ("text", "line 6: '1 March'"),
        ("text", "line 7: 'no'"),
        ("text", "line 2: 'Rain?Hat?'"),
        ("option", "line 2: 'Red'"),
        ("text", "codes of 8 digits"),
        ("text", "no cell is filled"),
        ("number", ""),
    ]
    Path("b.csv").write_text(f"Name\n{'x' * 24}\n", encoding="utf-8")
    Path("c.csv").write_text(f"Name\n{'x' * 25}\n", encoding="utf-8")
    for file, shown in (("b", f"'{'x' * 24}'"), ("c", f"'{'x' * 24}…'")):
        assert f"  line 2: {shown}\n" in run("schema", "guess", f"{file}.csv").stderr


def test_a_file_is_guessed_loaded_and_imported_without_one_row_that_fails(run, empty):
    write({column: cells for column, (_, cells) in COLUMNS.items()}, delimiter=";")
    assert run("schema", "guess", "my-things.csv", "--output", "seed.json").stdout.endswith(
        "Review the seed. Then create the schema in your workspace:\nflask schema create seed.json\n"
        "or a demo workspace, in a database of its own:\nSIGMA_DATABASE=new.db flask demo --seed seed.json\n"
        "and import the file, into the same database:\nflask import my-things.csv --schema schema-my-things\n"
    )
    assert not Path("own.db").exists()
    assert run("seed", "check", "seed.json").stdout == (
        "seed.json can be loaded: 19 objects of the model, 0 records, 0 variants, 0 categories.\n"
    )
    assert run("demo", "--seed", "seed.json").stdout == "Made the demo workspace from seed.json.\n"
    result = run("import", "my-things.csv", "--schema", "schema-my-things")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Created 12, updated 0.\n", "")
    values = Caller(empty, KEY).get("/records").json["items"][1]["values"]
    database.close_db()
    assert {alias: entries[0]["value"] for alias, entries in values.items()} == {
        **{"name": "Thing 1", "price": 2.5, "in-stock": False, "flag": 1, "since": "2026-03-01T08:00:00Z", "colour": "red"},
        **{"size": "m", "code": "001", "ean": "4006381333911", "amount": "1-5", "long": "x" * 61, "blank": " ", "rare": "a"},
    }


def test_the_name_is_said_and_the_seed_is_no_file_that_is_there(run, folder):
    write({"Größe": ["1"], "_id": ["x"], "": ["y"]}, "a.csv")
    seed = json.loads(run("schema", "guess", "a.csv", "--name", "Æbler & pærer").stdout)
    assert [body["id"] for _, body in seed["model"]] == ["attr-grosse", "schema-aebler-paerer"]
    Path("seed.json").write_text("mine", encoding="utf-8")
    result = run("schema", "guess", "a.csv", "--output", "seed.json")
    assert (result.exit_code, result.stderr) == (1, "Error: seed.json exists already; use --force to replace it\n")
    assert Path("seed.json").read_text(encoding="utf-8") == "mine"
    assert run("schema", "guess", "a.csv", "--output", "seed.json", "--force").exit_code == 0
    assert json.loads(Path("seed.json").read_text(encoding="utf-8"))["model"][-1][1]["id"] == "schema-a"


def test_what_cannot_be_guessed_is_told(run, folder):
    for text, told in (
        ("", "a.csv:1: expected a line with the names of columns"),
        ('a;b\n1;2\n"', "a.csv:3: a quotation mark opens a cell, and none ends it"),
        ("Item no;item-no\n", "a.csv:1: expected columns with different names, got 'Item no' twice, or nearly so"),
        ("a,b\n1,2\nx,2,3\n", "a.csv:3: expected at most 2 cells, as there are columns, got 3"),
        ("a,b\nx,2,3\n1,2,3,4\n", "a.csv:2: expected at most 2 cells, as there are columns, got 3 (and 1 more row like it)"),
    ):
        Path("a.csv").write_text(text, encoding="utf-8")
        result = run("schema", "guess", "a.csv")
        assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {told}\n")
    assert run("schema", "guess", "missing.csv").stderr == "Error: missing.csv: No such file or directory\n"


def test_a_file_with_a_header_alone_is_guessed_as_texts(run, folder):
    Path("a.csv").write_text("a,b\n", encoding="utf-8")
    model = json.loads(run("schema", "guess", "a.csv").stdout)["model"]
    assert [body["type"] for kind, body in model if kind == "attribute"] == ["text", "text"]


def test_aliases_are_different_and_a_name_that_is_one_keeps_it():
    assert [slug(text) for text in ("Ærø & Co.", "  x__y ", "日本", "İß", "a" * 99)] == ["aero-co", "x-y", "", "iss", "a" * 80]
    texts = ["Red 2", "red", "Red", "日", "本", "red-2", "RED"]
    assert assign_slugs(texts, "option", str) == {
        **{"Red 2": "red-2-2", "red": "red", "Red": "red-3", "日": "option", "本": "option-2", "red-2": "red-2", "RED": "red-4"}
    }
