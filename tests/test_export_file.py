"""flask export: the records of a schema as a file, the same as GET /export, which flask import reads again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import sql
from test_database import ROOT

from sigma.resources import exports

WHERE = ("--schema", "schema-apparel", "--workspace", "ws-demo")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("format", ["csv", "json"])
@pytest.mark.parametrize("part_size", [1, 1024 * 1024])
def test_a_file_holds_what_the_api_exports(run, admin, folder, format, part_size, monkeypatch):
    monkeypatch.setattr(exports, "PART_SIZE", part_size)
    result = run("export", f"records.{format}", *WHERE)
    exported = admin.get(f"/export?schemaId=schema-apparel&format={format}").data
    assert Path(f"records.{format}").read_bytes() == exported
    told = f"47 rows ({len(exported) / 1000:.1f} kB).\n"
    assert (result.exit_code, result.stdout) == (0, f"records.{format} holds {told}")
    assert os.stat(f"records.{format}").st_mode & 0o077 == 0
    assert os.listdir() == [f"records.{format}"]
    piped = run("export", "-", *WHERE, "--format", format)
    assert (piped.exit_code, piped.stdout_bytes, piped.stderr) == (0, exported, told)
    programs = json.loads(run("export", f"again.{format}", *WHERE, "--json").stdout)
    assert programs == {"file": f"again.{format}", "rows": 47, "bytes": len(exported)}


def test_one_row_is_counted_as_one_and_megabytes_as_such(run, admin, folder):
    assert admin.post("/catalogs", {"id": "cat-one", "alias": "one", "name": "One"}).status_code == 201
    assert run("export", "none.csv", *WHERE, "--catalog", "cat-one").stdout.startswith("none.csv holds 0 rows (0.")
    category = {"id": "c-one", "alias": "c-one", "name": "One"}
    assert admin.post("/catalogs/cat-one/categories", category).status_code == 201
    assert admin.post("/categories/c-one/assign", {"entityId": "ent-trail-cap"}).status_code == 204
    assert admin.patch("/records/ent-trail-cap/values/size", {"value": "x" * 1_000_000}).status_code == 200
    assert run("export", "one.csv", *WHERE, "--catalog", "cat-one").stdout == "one.csv holds 1 row (1.0 MB).\n"


def test_the_id_of_a_schema_goes_before_an_alias_that_reads_the_same(run, admin, folder):
    twin = {"alias": "schema-apparel", "name": "Twin", "variantEnabled": False, "attributeGroups": []}
    assert admin.post("/schemas", {"id": "schema-twin", **twin}).status_code == 201
    assert run("export", "records.csv", *WHERE).stdout.startswith("records.csv holds 47 rows ")
    assert admin.put("/schemas/schema-twin", {**twin, "alias": "twin"}).status_code == 200
    empty = run("export", "twin.csv", "--schema", "twin", "--workspace", "ws-demo")
    assert empty.stdout.startswith("twin.csv holds 0 rows ")


@pytest.mark.parametrize("format", ["csv", "json"])
def test_what_was_exported_is_imported_again_and_changes_what_has_changed_since(run, admin, folder, app, format):
    for id, text in (("ent-trail-cap", 'wide, "brim"\r\n| \\ ='), ("ent-coastal-wb", " Ærø\u2028\t'")):
        assert admin.patch(f"/records/{id}/values/description", {"value": text}).status_code == 200
    run("export", f"records.{format}", *WHERE)
    result = run("import", f"records.{format}", *WHERE)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Created 0, updated 47.\n", "")
    columns = admin.get("/export?schemaId=schema-apparel").json
    admin.patch("/records/ent-trail-cap/values/description", {"value": "other"})
    assert run("import", f"records.{format}", *WHERE).exit_code == 0
    assert admin.get("/export?schemaId=schema-apparel").json == columns
    assert sql(app, "SELECT count(*) FROM entities WHERE tenant = 'ws-demo' AND is_variant = 0") == [(47,)]


def test_a_scope_and_a_catalog_are_chosen_as_by_the_api(run, admin, folder):
    scope = '{"dim-language": "seg-da"}'
    run("export", "a.json", *WHERE, "--scope", scope, "--catalog", "cat-marketplace")
    query = {"schemaId": "schema-apparel", "scope": scope, "catalogId": "cat-marketplace"}
    expected = admin.get("/export", query_string=query).json
    assert json.loads(Path("a.json").read_text(encoding="utf-8")) == expected
    assert 0 < len(expected) < 47


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["a.csv", "--scope", "{"], 1, "Error: scope: expected JSON"),
        (["a.csv", "--scope", '{"dim-x": "y"}'], 1, "Error: scope"),
        (["a.csv", "--catalog", "cat-none"], 1, "Error: Catalog 'cat-none' not found"),
        (["missing/a.csv"], 1, "Error: "),
        (["there.csv"], 1, "Error: there.csv exists already; use --force to replace it"),
        (["/dev/null", "--format", "csv", "--force"], 1, "Error: /dev/null is not a regular file; - is standard output"),
        (["a.xlsx"], 2, "Error: a.xlsx ends neither in .csv nor in .json: give --format csv or json"),
    ],
)
def test_what_cannot_be_written_is_told_and_no_file_is_left(run, folder, options, code, told):
    Path("there.csv").write_text("mine", encoding="utf-8")
    result = run("export", *options, *WHERE)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1].startswith(told)
    assert (os.listdir(), Path("there.csv").read_text(encoding="utf-8")) == (["there.csv"], "mine")


def test_a_file_is_replaced_when_that_is_forced(run, folder):
    Path("there.csv").write_text("mine", encoding="utf-8")
    assert run("export", "there.csv", *WHERE, "--force").exit_code == 0
    assert Path("there.csv").read_bytes().startswith(b"_id,product-name,sku")


def test_standard_output_that_takes_nothing_is_exit_code_1(app):
    """It may be full, closed before, or closed by whoever reads it."""
    command = ["sh", "-c", '"$@" {}', "sh", sys.executable, "-m", "flask", "--app", f"{ROOT}/app", "export", "-", *WHERE]
    environment = {**os.environ, "SIGMA_DATABASE": app.config["DATABASE"], "PYTHONPATH": str(ROOT)}
    for redirection in ("> /dev/full", ">&-"):
        words = [word.format(redirection) for word in command]
        done = subprocess.run(words, check=False, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        *named, told = done.stderr.splitlines()
        assert named == ([f"Database: {app.config['DATABASE']}"] if redirection == "> /dev/full" else [])
        assert told.startswith("Error: Standard output does not take the result: ")
