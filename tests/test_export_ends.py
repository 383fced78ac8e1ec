"""An export on its way: who gets the rest of it, and how it ends for whoever may not have it any more."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cases import each
from conftest import sql

from sigma import database
from sigma.resources import exports

END = b'"The export failed here; the log of the service says why'


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Let a part of an export hold a few of the demo's records."""
    monkeypatch.setattr(exports, "PART_SIZE", 1000)


@pytest.fixture
def begin():
    """Return a function that begins an export, and returns its first part and an iterator that makes the others."""

    def begin(caller, query="?format=csv"):
        answer = caller.get(f"/export{query}", buffered=False)
        assert answer.status_code == 200, answer.text
        parts = iter(answer.response)
        return next(parts), parts

    return begin


@pytest.fixture
def broken_off(caplog):
    """Return a function that returns the rest of an export, which a refusal ends, and what the log says of that."""

    def read(parts):
        caplog.clear()
        rest = b"".join(parts)
        (line,) = caplog.records
        assert (line.levelname, line.exc_info) == ("WARNING", None)
        _, message = line.getMessage().split(" was broken off: ")
        return rest, message

    return read


def in_a_thread(act):
    """Let something happen elsewhere, because requests within each other would share Flask's `g`."""

    def act_and_close():
        try:
            act()
        finally:
            database.close_db()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(act_and_close).result()


# Keys


@each("way", ["deactivate", "delete"])
@each("format", ["json", "csv"])
def test_a_key_that_ends_gets_nothing_of_its_export_that_is_read_afterwards(
    admin, make_key, begin, broken_off, error, format, way
):
    reader = make_key("read")
    first, parts = begin(reader, f"?format={format}")
    second = next(parts)
    ended = admin.post(f"/api-keys/{reader.id}/deactivate") if way == "deactivate" else admin.delete(f"/api-keys/{reader.id}")
    assert ended.status_code == 200
    rest, told = broken_off(parts)
    assert rest == END
    assert admin.get(f"/export?format={format}").data.startswith(first + second)
    message = error(reader.get("/export"), 401)
    assert ("deactivated" in message) is (way == "deactivate")
    assert told == message


def test_an_export_in_one_part_is_whole(make_key, monkeypatch):
    monkeypatch.setattr(exports, "PART_SIZE", 256 * 1024)
    assert make_key("read").get("/export?format=csv").data.endswith(b"\r\n")


def test_what_ends_for_another_key_or_changes_in_a_role_ends_no_export(admin, make_key, begin):
    reader, other = make_key("read"), make_key("read")
    whole = reader.get("/export?format=csv").data
    first, parts = begin(reader)
    assert admin.delete(f"/api-keys/{other.id}").status_code == 200
    role = admin.get("/roles/role-editor").json
    assert admin.put("/roles/role-editor", {**role, "canExport": False}).status_code == 200
    assert first + b"".join(parts) == whole


def test_a_key_that_ends_while_its_export_waits_for_its_thread_gets_none(admin, make_key, error, monkeypatch):
    reader, original = make_key("read"), exports.snapshot

    def end_first():
        in_a_thread(lambda: admin.post(f"/api-keys/{reader.id}/deactivate"))
        return original()

    monkeypatch.setattr(exports, "snapshot", end_first)
    assert "it has been deactivated" in error(reader.get("/export"), 401)


def test_a_part_is_read_from_the_state_in_which_its_caller_was_checked(admin, make_key, begin, monkeypatch):
    reader, make_part = make_key("read"), exports.Export.part
    whole = reader.get("/export?format=csv").data
    first, parts = begin(reader)
    last = reader.get("/records?limit=1000").json["items"][-1]["id"]

    def end():
        assert admin.post(f"/api-keys/{reader.id}/deactivate").status_code == 200
        assert admin.delete(f"/records/{last}").status_code == 204

    def end_first(self, after):
        in_a_thread(end)
        return make_part(self, after)

    monkeypatch.setattr(exports, "PART_SIZE", 1_000_000)  # the rest is one part
    monkeypatch.setattr(exports.Export, "part", end_first)
    assert first + b"".join(parts) == whole


# People


@each("way", ["removal", "new password"])
def test_a_session_that_ends_ends_its_export(app, editor, begin, broken_off, way):
    _, parts = begin(editor)
    if way == "removal":
        sql(app, "DELETE FROM users WHERE tenant = 'ws-demo' AND id = 'user-editor'")
    else:
        sql(app, "UPDATE users SET sessions_from = sessions_from + 864000 WHERE tenant = 'ws-demo'")
    rest, told = broken_off(parts)
    assert rest == END
    assert told.startswith("Invalid or expired token: its ")


HIDES_NAMES = [{"schemaId": "schema-apparel", "attributePermissions": {"product-name": "hidden"}}]
HIDES_NAMES_BY_ID = [{"schemaId": "schema-apparel", "attributePermissions": {"attr-product-name": "hidden"}}]
HIDES_WEBSHOP = [{"catalogId": "cat-webshop", "canView": False, "canAssign": False}]
HIDES_MATERIAL = [{"schemaId": "schema-apparel", "attributePermissions": {"material": "hidden"}}]
READS_NAMES = [{"schemaId": "schema-apparel", "attributePermissions": {"product-name": "read"}}]


def change_role(admin, **members):
    role = admin.get("/roles/role-editor").json
    answer = admin.put("/roles/role-editor", {**role, **members})
    assert answer.status_code == 200, answer.json


@each(
    ("query", "members", "reason"),
    [
        ("?format=csv", {"canExport": False}, "This route needs a role with canExport; yours is 'role-editor'"),
        ("?format=csv", {"schemaPermissions": HIDES_NAMES}, "Role 'role-editor' now hides some of what is exported"),
        ("?format=csv", {"schemaPermissions": HIDES_NAMES_BY_ID}, "Role 'role-editor' now hides some of what is exported"),
        (
            "?catalogId=cat-webshop",
            {"catalogPermissions": HIDES_WEBSHOP},
            "Role 'role-editor' now hides some of what is exported",
        ),
    ],
)
def test_a_role_that_may_not_have_the_rest_ends_the_export(admin, editor, begin, broken_off, query, members, reason):
    _, parts = begin(editor, query)
    change_role(admin, **members)
    rest, told = broken_off(parts)
    assert rest == END
    assert told.startswith(f"{reason}; someone who manages roles can change it")


@each(
    "members",
    [{"canImport": True}, {"schemaPermissions": READS_NAMES}, {"catalogPermissions": HIDES_WEBSHOP}, {"schemaPermissions": []}],
    ids=str,
)
def test_a_role_that_may_have_all_that_is_exported_gets_it(admin, editor, begin, members):
    whole = editor.get("/export?format=csv").data
    first, parts = begin(editor)
    change_role(admin, **members)
    assert first + b"".join(parts) == whole


def test_another_role_that_hides_more_ends_the_export(app, admin, editor, begin, broken_off):
    role = {**admin.get("/roles/role-editor").json, "id": "role-new", "name": "New", "schemaPermissions": HIDES_NAMES}
    made = {name: value for name, value in role.items() if name not in ("createdAt", "updatedAt", "createdBy", "updatedBy")}
    assert admin.post("/roles", made).status_code == 201
    _, parts = begin(editor)
    sql(app, "UPDATE users SET role_id = 'role-new' WHERE tenant = 'ws-demo' AND id = 'user-editor'")
    rest, told = broken_off(parts)
    assert (rest, told.partition(";")[0]) == (END, "Role 'role-new' now hides some of what is exported")


def test_what_a_schema_does_not_have_any_more_ends_the_export_for_a_role_that_hides_anything(admin, editor, begin, broken_off):
    change_role(admin, schemaPermissions=HIDES_MATERIAL)
    _, parts = begin(editor, "?format=csv&schemaId=schema-apparel")
    schema = admin.get("/schemas/schema-apparel").json
    for group in schema["attributeGroups"]:
        group["attributeIds"] = [id for id in group["attributeIds"] if id != "attr-product-name"]
    answer = admin.put("/schemas/schema-apparel", schema)
    assert answer.status_code == 200, answer.json
    rest, told = broken_off(parts)
    assert (rest, told.partition(";")[0]) == (END, "Role 'role-editor' now hides some of what is exported")


# Workspaces


def make_workspace_again(run):
    assert run("workspace", "delete", "ws-other", "--yes").exit_code == 0
    options = ("--name", "Another", "--email", "ann@another.example")
    assert run("workspace", "create", "ws-other", *options, stdin="another long password\n").exit_code == 0


def fill(app, name):
    """Store records in ws-other, more than an export sends in one part."""
    schema = '{"id":"schema-thing","alias":"thing","name":"Thing","attributeGroups":[]}'
    sql(app, "INSERT INTO model_objects (tenant, kind, body) VALUES ('ws-other', 'schema', ?)", schema)
    for number in range(100):
        body = f'{{"id":"ent-{name}-{number}-{"x" * 50}","schemaId":"schema-thing","values":{{}}}}'
        sql(app, "INSERT INTO entities (tenant, schema_id, body) VALUES ('ws-other', 'schema-thing', ?)", body)


@each("who", ["key", "person"])
def test_an_export_gets_nothing_of_a_new_workspace_with_the_same_id(app, stranger, make_key, run, begin, broken_off, who):
    fill(app, "old")
    caller = stranger if who == "person" else make_key("read", by=stranger)
    first, parts = begin(caller)
    make_workspace_again(run)
    fill(app, "new")
    rest, told = broken_off(parts)
    assert (b"ent-old-" in first, rest) == (True, END)
    assert told.startswith("Invalid API key: " if who == "key" else "Invalid or expired token: its session has ended")


def test_an_export_of_a_workspace_that_is_gone_is_broken_off(app, stranger, begin, broken_off, run):
    fill(app, "old")
    _, parts = begin(stranger)
    assert run("workspace", "delete", "ws-other", "--yes").exit_code == 0
    rest, told = broken_off(parts)
    assert rest == END
    assert told.startswith("Invalid or expired token: its user does not exist here")


def test_the_demo_that_is_reset_is_not_exported_half_old_and_half_new(app, admin, standin, begin, broken_off):
    assert admin.get("/export").status_code == 200
    _, parts = begin(admin)
    assert standin("POST", "/reset", {}).status_code == 204
    assert admin.get("/export").status_code == 200
    rest, told = broken_off(parts)
    assert (rest, told) == (END, "Workspace 'ws-demo' not found")


# What is made meanwhile


@each("query", ["?format=csv", "?format=csv&schemaId=schema-apparel", "?format=csv&catalogId=cat-webshop"])
def test_what_is_made_after_an_export_began_is_not_in_it(admin, key, begin, query):
    whole = key.get(f"/export{query}").data
    first, parts = begin(key, query)
    second = next(parts)
    for number in range(5):
        assert admin.post("/records", {"id": f"ent-{number}", "schemaId": "schema-apparel", "values": {}}).status_code == 201
        category = admin.get("/catalogs/cat-webshop/tree").json[0]["id"]
        assert admin.post(f"/categories/{category}/assign", {"entityId": f"ent-{number}"}).status_code == 204
    assert first + second + b"".join(parts) == whole
    assert key.get(f"/export{query}").data.count(b"\r\nent-") == whole.count(b"\r\nent-") + 5
