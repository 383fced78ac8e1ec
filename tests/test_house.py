"""Facts about the repository: what lies where, how app.py is made, and that the README says what is so."""

import ast
import fnmatch
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import app as service
from sigma import settings
from sigma.cli import COMMANDS

ROOT = Path(service.__file__).parent
FILES = [ROOT / "app.py", *sorted((ROOT / "sigma").rglob("*.py"))]
TREES = {str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACEHOLDERS = {"<id>": ":id", "<value_id>": ":valueId", "<attribute>": ":attr", "<variant_id>": ":vid"}

# Statements that name no tenant, and why they may.
EXCEPTIONS = {
    "SELECT tenant, id, permissions, last_used_at, deactivated_at FROM api_keys WHERE hash = ?": "finds out whose key it is",
    "SELECT tenant, id, email, name, role_id, sessions_from, password_hash FROM users WHERE email = ?": "finds out whose it is",
    "SELECT tenant, id, email, name, role_id FROM users WHERE email = ?": "finds out whose email it is",
}


# -- What lies where


def test_at_the_top_there_is_what_one_needs_and_nothing_else():
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    visible = {
        path.name
        for path in ROOT.iterdir()
        if path.name[0] != "." and not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored)
    }
    assert visible == {"app.py", "schema.sql", "sigma", "requirements.txt", "tests", "README.md", "Makefile"}


@pytest.mark.parametrize(
    "file", ["requirements.txt", *(f"tests/{folder}requirements.txt" for folder in ("", "torture/", "bench/"))]
)
def test_requirements_are_pinned(file):
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    assert any(lines)
    assert [line for line in lines if line and not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line)] == []


# -- The code


def functions():
    nodes = [node for tree in TREES.values() for node in ast.walk(tree)]
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_function_is_over_40_lines():
    lengths = {function.name: function.end_lineno - function.lineno + 1 for function in functions()}
    assert {name: length for name, length in lengths.items() if length > 40} == {}


def test_every_public_function_and_class_says_what_it_is_for():
    nodes = [node for tree in TREES.values() for node in tree.body]
    public = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")]
    assert len(public) > 200
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_nothing_reads_the_environment_but_the_settings():
    readers = [
        function.name
        for function in functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    ]
    assert set(readers) <= {"read_setting", "run_server", "start_server", "play"}


# -- Tenants


def assignments():
    """Each variable's name and the expression that it is set to, wherever that is."""
    for node in (node for tree in TREES.values() for node in ast.walk(tree)):
        if isinstance(node, ast.Assign):
            target = node.targets[-1]
            pairs = zip(target.elts, getattr(node.value, "elts", ()), strict=False) if isinstance(target, ast.Tuple) else ()
            yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name))
            if isinstance(target, ast.Name):
                yield target.id, node.value


def text_of(node, variables=None):
    """The text of a string expression, as far as the source tells; None for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, variables) or "{}" for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
        return (variables or {}).get(node.value.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = text_of(node.left, variables), text_of(node.right, variables)
        return None if parts == (None, None) else "".join(part or "{}" for part in parts)
    return None


def texts_of_variables():
    """The text that each variable is set to; where that happens twice, one that names no tenant if there is one."""
    variables = {}
    for name, value in assignments():
        text = text_of(value)
        if text and (name not in variables or "tenant" not in text):
            variables[name] = text
    return variables


VARIABLES = texts_of_variables()


def statements(node=None):
    """Every SQL statement in the code."""
    if node is None:
        for tree in TREES.values():
            yield from statements(tree)
        return
    text = text_of(node, VARIABLES)
    if text is None:
        for child in ast.iter_child_nodes(node):
            yield from statements(child)
    elif re.match(r"(\{\} )?(SELECT|INSERT|UPDATE|DELETE|WITH)\b", text):
        yield text


def tenant_tables():
    """The tables and views of schema.sql that have a tenant."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript((ROOT / "schema.sql").read_text(encoding="utf-8"))
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
        return {name for name in names if any(column[1] == "tenant" for column in db.execute(f"PRAGMA table_info({name})"))}


def test_every_statement_about_a_workspaces_things_names_the_workspace():
    tables, checked = tenant_tables(), 0
    assert {"api_keys", "users", "model_objects", "categories", "entities", "audit_log", "referrers"} <= tables
    for statement in statements():
        touched = tables & set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE) (\w+)", statement))
        if not touched or statement in EXCEPTIONS:
            continue
        checked += 1
        names_it = r"\(tenant\b|VALUES" if statement.startswith("INSERT") else r"\btenant = (\?|\w+\.\w+)"
        assert re.search(names_it, statement), statement
        for alias in re.findall(r"\bJOIN \w+ (\w+) ON", statement):
            assert re.search(rf"\b{alias}\.tenant = |= {alias}\.tenant\b", statement), statement
    assert checked > 40


def test_the_statements_that_may_do_without_a_workspace_exist():
    assert set(EXCEPTIONS) <= set(statements())


def test_every_table_of_a_workspaces_things_is_kept_apart_by_its_key():
    """A key or foreign key that did not begin with the tenant could link, or collide with, another workspace's things."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript((ROOT / "schema.sql").read_text(encoding="utf-8"))
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'") if name in tenant_tables()
        ]
        for table in tables:
            foreign = db.execute('SELECT id, seq, "from" FROM pragma_foreign_key_list(?)', (table,)).fetchall()
            assert {column for _, seq, column in foreign if seq == 0} <= {"tenant"}, table


# -- The README


def table_rows(first_cell):
    """The rows of the README's tables whose first cell is like this, cell by cell."""
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in README.splitlines() if line[:1] == "|"]
    return [row for row in rows if re.fullmatch(first_cell, row[0])]


def test_the_readme_lists_every_setting():
    told = [("`, `".join(setting.variables), setting.meaning) for setting in settings.SETTINGS.values()]
    assert [(row[0], row[2]) for row in table_rows("[A-Z]+(_[A-Z]+)*(`, `[A-Z]+)?") if len(row) == 3] == told


def test_the_readme_lists_every_route_with_who_may_call_it(app):
    live = set()
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1"):
            access = app.view_functions[rule.endpoint].access
            path = re.sub("<[a-z_]+>", lambda match: PLACEHOLDERS[match[0]], rule.rule.removeprefix("/api/v1"))
            public = access.permission == "public"
            needed = "—" if access.permission == "session" else access.permission
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                live.add((method, path, needed, "public" if public else access.flag or "any"))
    documented = [tuple(row) for row in table_rows("GET|POST|PUT|PATCH|DELETE")]
    assert sorted(documented) == sorted(live)


def commands(listed=COMMANDS, words="flask"):
    """Yield the words of each of the service's own commands."""
    for command in listed:
        path = f"{words} {command.name}"
        yield from commands(command.commands.values(), path) if hasattr(command, "commands") else [path]


def test_the_readme_names_every_command_and_exit_code():
    everyday = {"flask demo", "flask serve", "flask play"}  # which `make run` and `make demo` say for people
    shown = re.findall(r"^flask [a-z]+(?: [a-z]+(?= |$))?", README, re.MULTILINE)
    assert sorted({*shown, *everyday}) == sorted(commands())
    assert [row[0] for row in table_rows("[0-9]")] == ["0", "1", "2"]


def test_the_readme_names_every_target_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    assert [target for target in ("run", "test") if f"make {target}" not in README] == []
