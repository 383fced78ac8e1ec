"""flask seed and flask demo --seed: what a workspace holds, as a file, and a demo workspace made from one."""

import json
from pathlib import Path

import pytest
from conftest import Caller, sql, without_hint

from sigma import database
from sigma.standin import demo

SEED = {
    "users": [{"id": "user-ann", "name": "Ann", "roleId": "role-ann"}],
    "model": [
        ["role", {"id": "role-ann", "name": "Ann's"}],
        ["attribute", {"id": "attr-title", "alias": "title", "name": "Title", "type": "text"}],
        ["schema", {"id": "schema-book", "alias": "book", "name": "Book", "variantEnabled": False,
                    "attributeGroups": [{"id": "main", "name": "Main", "attributeIds": ["attr-title"]}]}],
    ],
    "records": [{"schemaId": "schema-book", "values": {"title": [{"scope": {}, "value": "Moby-Dick"}]}}],
}  # fmt: skip
KEY = {"X-Sigma-ApiKey": "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a seed in it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("books.json").write_text(json.dumps(SEED), encoding="utf-8")
    return tmp_path / "work"


@pytest.fixture
def empty(app, folder):
    """The app, with a database that is not there yet."""
    app.config["DATABASE"] = str(folder / "own.db")
    return app


def titles(app):
    items = Caller(app, KEY).get("/records").json["items"]
    database.close_db()
    return [item["values"]["title"][0]["value"] for item in items]


def login(app, email, password):
    answer = Caller(app).post("/auth/login", {"email": email, "password": password})
    database.close_db()
    return answer


def test_a_demo_from_a_seed_holds_that_and_can_be_used_as_the_documentation_says(run, empty):
    result = run("demo", "--seed", "books.json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Made the demo workspace from books.json.\n", "")
    assert titles(empty) == ["Moby-Dick"]
    answer = login(empty, "admin@sigma.io", "admin")
    assert (answer.status_code, answer.json["user"]["id"]) == (200, "user-admin")
    admin = Caller(empty, {"Authorization": f"Bearer {answer.json['token']}"})
    assert [key["id"] for key in admin.get("/api-keys").json] == ["apikey-sync-prod", "apikey-export-staging"]
    users = Caller(empty).get("/auth/tenants").json[0]["users"]
    assert [(user["email"], user["roleId"]) for user in users] == [
        ("ann@ws-demo.example", "role-ann"),
        ("admin@sigma.io", "role-admin"),
    ]
    assert [login(empty, "ann@ws-demo.example", word).status_code for word in ("ann", "admin", "x")] == [401] * 3


def test_a_reset_and_workspaces_for_tests_begin_with_the_seed_too(run, empty, standin):
    run("demo", "--seed", "books.json")
    key = Caller(empty, KEY)
    assert key.post("/records", {"schemaId": "schema-book", "values": {}}).status_code == 201
    (first, _) = key.get("/records").json["items"]
    made = standin("POST", "/workspaces", {}).json
    test = Caller(empty, {"Authorization": f"Bearer {made['admin']['token']}"})
    assert [record["id"] for record in test.get("/records").json["items"]] == [first["id"]]
    assert standin("POST", "/reset", {}).status_code == 204
    assert titles(empty) == ["Moby-Dick"]
    assert login(empty, "admin@sigma.io", "admin").status_code == 200


def test_a_seed_of_any_size_is_not_taken_for_a_demo(run, empty, standin, error, monkeypatch):
    def forget_prepared():
        """Be as a process that has not made a workspace of the seed yet."""
        demo._prepared.clear()
        demo._own_users.cache_clear()

    size = len(json.dumps(SEED))
    forget_prepared()
    monkeypatch.setattr("sigma.standin.demo.MAX_OWN_SEED", size)
    refused = run("demo", "--seed", "books.json")  # with the administrator whom it lacks, it is larger
    told = f"The demo's seed has more than {size} bytes: make the demo of a smaller one, and import the rest"
    assert (refused.exit_code, refused.stderr) == (1, f"Error: books.json: {told}\n")
    assert sql(empty, "SELECT id FROM workspaces") == []
    monkeypatch.setattr("sigma.standin.demo.MAX_OWN_SEED", 100_000)
    assert run("demo", "--seed", "books.json").exit_code == 0
    forget_prepared()
    monkeypatch.setattr("sigma.standin.demo.MAX_OWN_SEED", size)
    before = sql(empty, "SELECT id, created_at FROM workspaces")
    for path in ("/workspaces", "/reset"):
        assert error(standin("POST", path, {}), 413) == told
    assert sql(empty, "SELECT id, created_at FROM workspaces") == before
    assert standin("POST", "/workspaces", {"content": "ws-demo"}).status_code == 201


def test_the_same_seed_a_second_time_changes_nothing_and_another_is_refused(run, empty):
    run("demo", "--seed", "books.json")
    before = sql(empty, "SELECT body FROM entities")
    again = run("demo", "--seed", "books.json")
    told = "The demo workspace is there already.\n"
    assert (again.exit_code, again.stdout, again.stderr) == (0, told, "")
    Path("other.json").write_text(json.dumps({**SEED, "records": []}), encoding="utf-8")
    refused = run("demo", "--seed", "other.json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: The seed was not loaded, because the database holds the demo made from something else: name another file in"
        " SIGMA_DATABASE, or move this one away with `make reset`\n"
    )
    assert run("demo").exit_code == 0
    assert sql(empty, "SELECT body FROM entities") == before


def test_a_seed_for_the_demo_is_refused_in_a_deployment_with_the_command_that_loads_its_schemas(run, deployment, folder):
    before = sql(deployment, "SELECT id FROM workspaces")
    refused = run("demo", "--seed", "books.json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: The seed was not loaded, because the database holds a workspace, and the demo is only made in an empty one:"
        " `flask schema create` creates the schemas of the seed in that workspace; for the demo, name another file in"
        " SIGMA_DATABASE\n"
    )
    assert sql(deployment, "SELECT id FROM workspaces") == before


def test_the_demo_of_the_documentation_comes_back_when_the_other_was_deleted(run, empty):
    run("demo", "--seed", "books.json")
    run("workspace", "delete", "ws-demo", "--yes")
    assert run("demo").stdout == "Made the demo workspace.\n"
    assert Caller(empty, KEY).get("/records").json["total"] == 47
    database.close_db()


WRONG = {
    "an attribute that is not there": (
        {**SEED, "model": SEED["model"][:1] + SEED["model"][2:]},
        ["books.json: model[1][1].attributeGroups[0].attributeIds[0]: attribute 'attr-title' does not exist in this seed"],
    ),
    "a value of another type": (
        {**SEED, "records": [{"schemaId": "schema-book", "values": {"title": [{"scope": {}, "value": 5}]}}]},
        ["books.json: records[0].values.title[0].value: Attribute 'title' expects type 'text', got 'number'"],
    ),
    "two things": (
        {"records": [{"values": {}}], "people": []},
        ["books.json: records[0].schemaId: Expected a value, but it is missing", "books.json: people: Unknown field"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_seed_is_a_line_each_with_its_path_and_nothing_is_made(run, empty, name):
    seed, told = WRONG[name]
    Path("books.json").write_text(json.dumps(seed), encoding="utf-8")
    for command in (["seed", "check", "books.json"], ["demo", "--seed", "books.json"]):
        result = run(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert without_hint(result.stderr.removeprefix("Error: ")).splitlines() == told
        if Path("own.db").exists():
            assert sql(empty, "SELECT count(*) FROM workspaces") == [(0,)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "books.json: expected JSON"),
        ("[]", "books.json: body: Expected an object"),
        ('{"a": 1, "a": 2}', "books.json: expected JSON: "),
    ],
)
def test_a_file_that_is_no_seed_is_told(run, empty, text, told):
    Path("books.json").write_text(text, encoding="utf-8")
    for command in (["seed", "check", "books.json"], ["demo", "--seed", "books.json"]):
        result = run(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {told}")
    assert not Path("own.db").exists()


def test_a_file_that_is_not_there_is_named(run, empty):
    for command in (["seed", "check"], ["demo", "--seed"]):
        result = run(*command, "missing.json")
        assert (result.exit_code, result.stderr) == (1, "Error: missing.json: No such file or directory\n")


def test_what_a_workspace_holds_is_written_checked_and_made_again(run, app, folder):
    result = run("seed", "export", "demo.json", "--workspace", "ws-demo")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("demo.json holds ")
    text = Path("demo.json").read_text(encoding="utf-8")
    assert "@sigma.io" not in text
    piped = run("seed", "export", "-", "--workspace", "ws-demo")
    assert (piped.stdout, piped.stderr) == (text, result.stdout.removeprefix("demo.json holds "))
    assert run("seed", "export", "demo.json", "--workspace", "ws-demo").exit_code == 1
    assert run("seed", "export", "demo.json", "--workspace", "ws-demo", "--force").exit_code == 0
    assert run("seed", "check", "demo.json").exit_code == 0
    assert run("seed", "check", "-", stdin=text).exit_code == 0
    app.config["DATABASE"] = str(folder / "own.db")
    assert run("demo", "--seed", "demo.json").exit_code == 0
    assert login(app, "editor@sigma.io", "editor").status_code == 200
    copy = json.loads(run("seed", "export", "-").stdout)
    assert copy == json.loads(text)


def test_one_of_a_thing_is_not_told_as_several(run, folder):
    counted = "3 objects of the model, 1 record, 0 variants, 0 categories"
    assert run("seed", "check", "books.json").stdout == f"books.json can be loaded: {counted}.\n"
    Path("one.json").write_text(json.dumps({"model": SEED["model"][1:2]}), encoding="utf-8")
    counted = "2 objects of the model, 0 records, 0 variants, 0 categories"  # with the role of the administrator who is added
    assert run("seed", "check", "one.json").stdout == f"one.json can be loaded: {counted}.\n"
    own = {"users": SEED["users"], "model": SEED["model"][:1]}
    Path("role.json").write_text(json.dumps(own), encoding="utf-8")
    counted = "1 object of the model, 0 records, 0 variants, 0 categories"
    assert run("seed", "check", "role.json").stdout == f"role.json can be loaded: {counted}.\n"


def test_a_check_leaves_nothing_behind_and_touches_no_database(run, app, stored, folder):
    before = stored()
    assert run("seed", "check", "books.json", "--json").exit_code == 0
    assert stored() == before
