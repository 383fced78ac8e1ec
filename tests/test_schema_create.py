"""flask schema create: the schemas of a seed in a workspace that is there, all of them or none."""

import copy
import json
from pathlib import Path

import pytest
from cases import each
from conftest import sql

SEED = {
    "model": [  # what refers to something comes before it
        ["schema", {"id": "schema-book", "alias": "book", "name": "Book", "workflowId": "wf-book", "variantEnabled": False,
                    "attributeGroups": [{"id": "main", "name": "Main", "attributeIds": ["attr-title", "attr-genre"]}]}],
        ["workflow", {"id": "wf-book", "alias": "book", "name": "Book", "defaultStateId": "new",
                      "states": [{"id": "new", "name": "New"}], "transitions": []}],
        ["attribute", {"id": "attr-title", "alias": "title", "name": "Title", "type": "text"}],
        ["attribute", {"id": "attr-genre", "alias": "genre", "name": "Genre", "type": "option", "optionListId": "opt-genre"}],
        ["option-list", {"id": "opt-genre", "alias": "genre", "name": "Genre",
                         "values": [{"id": "g-novel", "alias": "novel", "label": "Novel"}]}],
    ],
    "records": [{"schemaId": "schema-book", "values": {"title": [{"scope": {}, "value": "Moby-Dick"}]}}],
}  # fmt: skip
CREATED = "Created 1 schema, 1 workflow, 2 attributes, 1 option list in workspace 'ws-other'."
OTHER = ("--workspace", "ws-other")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a seed in it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    write(SEED)
    return tmp_path / "work"


def write(seed):
    Path("books.json").write_text(json.dumps(seed), encoding="utf-8")


def changed(place, **members):
    """Return the seed with other members of one of its model objects."""
    seed = copy.deepcopy(SEED)
    seed["model"][place][1].update(members)
    return seed


def objects(app):
    """Return all objects of all models, and what each refers to."""
    return sql(app, "SELECT * FROM model_objects ORDER BY seq"), sql(app, "SELECT * FROM model_references ORDER BY seq")


def test_a_spreadsheet_comes_into_a_deployment_and_out_again(run, deployment, folder):
    Path("products.csv").write_text("Name;Price\nRain Hat;19.50\nCap;25\n", encoding="utf-8")
    told = run("import", "products.csv", "--schema", "schema-products").stderr
    for command in ("schema guess FILE --output SEED", "schema create SEED"):
        assert f"`flask {command}`" in told
    told = run("schema", "guess", "products.csv", "--output", "products.seed.json").stdout
    assert "\nflask schema create products.seed.json\n" in told
    result = run("schema", "create", "products.seed.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Created 2 attributes, 1 schema in workspace 'ws-other'.\n"
    assert run("import", "products.csv", "--schema", "schema-products").stdout == "Created 2, updated 0.\n"
    lines = run("export", "-", "--schema", "schema-products").stdout.splitlines()
    assert [line.partition(",")[2] for line in lines] == ["name,price", "Rain Hat,19.5", "Cap,25"]


def test_the_whole_model_of_a_seed_is_created_as_the_api_would_and_nothing_else(run, stranger, folder):
    result = run("schema", "create", "books.json", *OTHER)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{CREATED} Left out: 1 record.\n", "")
    roles = [role["id"] for role in stranger.get("/roles").json]
    assert roles == ["role-admin"]
    record = stranger.post("/records", {"schemaId": "schema-book", "values": {"genre": [{"scope": {}, "value": "novel"}]}})
    assert (record.status_code, record.json["lifecycleStateId"]) == (201, "new")
    assert stranger.get("/records").json["total"] == 1
    assert stranger.delete("/option-lists/opt-genre").status_code == 409  # the attribute refers to it
    read = {kind: stranger.get(f"/{kind}s/{body['id']}").json for kind, body in SEED["model"]}
    genre = {"dimensionIds": [], "inheritable": True, "validation": {}, "guards": [], "multiple": False, **SEED["model"][3][1]}
    assert read["attribute"] == genre
    assert read["schema"]["attributeGroups"][0]["attributeIds"] == ["attr-title", "attr-genre"]


def test_a_role_of_the_workspace_stays_whatever_the_seed_says_of_it(run, stranger, folder):
    before = stranger.get("/roles").json
    write({"model": [["role", {"id": "role-admin", "name": "Nobody"}], ["role", {"id": "role-new", "name": "New"}]]})
    told = "Created 1 role in workspace 'ws-other'. 1 object was there already.\n"
    assert run("schema", "create", "books.json", *OTHER).stdout == told
    after = stranger.get("/roles").json
    assert (after[:-1], after[-1]["id"], after[-1]["canManageRoles"]) == (before, "role-new", False)


def test_programs_are_told_what_was_created(run, folder):
    told = json.loads(run("schema", "create", "books.json", *OTHER, "--json").stdout)
    created = [{"kind": kind, "id": body["id"]} for kind, body in SEED["model"]]
    assert told == {"workspace": "ws-other", "created": created, "unchanged": 0}


def test_what_is_there_already_and_the_same_stays_as_it_is(app, run, folder):
    run("schema", "create", "books.json", *OTHER)
    before = objects(app)
    again = run("schema", "create", "books.json", *OTHER)
    told = "Created nothing in workspace 'ws-other'. 5 objects were there already. Left out: 1 record.\n"
    assert (again.exit_code, again.stdout, objects(app)) == (0, told, before)
    more = copy.deepcopy(SEED)
    more["model"].append(["catalog", {"id": "cat-new", "alias": "new", "name": "New"}])
    write(more)
    told = "Created 1 catalog in workspace 'ws-other'. 5 objects were there already. Left out: 1 record.\n"
    assert run("schema", "create", "books.json", *OTHER).stdout == told


def test_what_another_workspace_holds_comes_over_and_into_itself_it_changes_nothing(app, run, folder, admin, stranger):
    assert run("seed", "export", "all.json", "--workspace", "ws-demo").exit_code == 0
    before = objects(app)
    same = run("schema", "create", "all.json", "--workspace", "ws-demo")
    assert same.stdout.startswith("Created nothing in workspace 'ws-demo'. "), same.stderr
    assert objects(app) == before
    moved = run("schema", "create", "all.json", *OTHER)
    assert moved.exit_code == 0, moved.stderr
    for kind in ("schemas", "attributes", "dimensions", "option-lists", "workflows", "catalogs"):
        assert stranger.get(f"/{kind}").json == admin.get(f"/{kind}").json


@each(
    ("seed", "told"),
    [
        (changed(2, type="number", name="Name"),
         "model[2][1].id: attribute 'attr-title' exists already, with another name, type"),
        (changed(1, id="wf-2"), "model[0][1].workflowId: workflow 'wf-book' does not exist in this seed (there is 'wf-2')"),
        ({"model": [["attribute", {**SEED["model"][2][1], "id": "attr-2"}]]},
         "model[0][1].alias: 'title' is already taken by attribute 'attr-title'"),
        ({"modell": []}, "modell: Unknown field (there are 'model', 'assignments', 'users', 'history', 'records' and 4 more)"),
    ],
    ids=["another definition", "a reference to nothing", "a taken alias", "no seed"],
)  # fmt: skip
def test_a_seed_that_does_not_fit_is_refused_as_a_whole_with_the_path_of_each_mistake(app, run, folder, seed, told):
    write(SEED)
    run("schema", "create", "books.json", *OTHER)
    before = objects(app)
    write({**seed, "model": [*seed.get("model", []), ["catalog", {"id": "cat-new", "alias": "new", "name": "New"}]]})
    result = run("schema", "create", "books.json", *OTHER)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [f"Error: books.json: {told}"]
    assert objects(app) == before


def test_an_attribute_that_is_to_be_unique_claims_the_values_that_records_still_hold(run, stranger, folder):
    run("schema", "create", "books.json", *OTHER)
    values = {"title": [{"scope": {}, "value": "Emma"}]}
    assert stranger.post("/records", {"schemaId": "schema-book", "values": values}).status_code == 201
    schema = stranger.get("/schemas/schema-book").json
    schema["attributeGroups"][0]["attributeIds"] = ["attr-genre"]
    assert stranger.put("/schemas/schema-book", schema).status_code == 200
    assert stranger.delete("/attributes/attr-title").status_code == 204
    write({"model": [["attribute", {**SEED["model"][2][1], "validation": {"unique": True}}]]})
    assert run("schema", "create", "books.json", *OTHER).exit_code == 0
    schema["attributeGroups"][0]["attributeIds"] = ["attr-title"]
    assert stranger.put("/schemas/schema-book", schema).status_code == 200
    assert stranger.post("/records", {"schemaId": "schema-book", "values": values}).status_code in (400, 409, 422)
