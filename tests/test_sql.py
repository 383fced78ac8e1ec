"""SQL in the code: each statement names the workspace whose rows it means, and values are parameters of it.

What the code's texts are is read from its source. A few tests show that the checks themselves notice what is wrong.
"""

import ast
import re
import sqlite3
from contextlib import closing

from cases import each
from test_house import ROOT, TREES, nodes

# Statements that name no workspace, and why they may.
EXCEPTIONS = {
    "SELECT tenant, id, sessions_from FROM users": "compares all users of two databases",
    "SELECT count(*), ifnull(sum(records), 0) FROM workspace_totals": "counts what a whole database holds",
    "SELECT tenant, id FROM webhooks": "looks after all webhooks of a database",
    "SELECT tenant, id, next_at, last_at, leased_until FROM (SELECT w.tenant, w.id, w.leased_until,"
    " (SELECT min(d.next_at) FROM deliveries d WHERE d.tenant = w.tenant AND d.webhook_id = w.id AND d.state = 'pending')"
    " AS next_at,"
    " (SELECT max(d.next_at) FROM deliveries d WHERE d.tenant = w.tenant AND d.webhook_id = w.id AND d.state = 'pending')"
    " AS last_at FROM webhooks w WHERE w.is_active) WHERE next_at IS NOT NULL ORDER BY leased_until": (
        "finds out for whom something waits"
    ),
    "SELECT tenant, id, name, permissions, ifnull(last_used_at, ''), permission_use, refusal,"
    " EXISTS (SELECT 1 FROM key_faults f WHERE f.tenant = k.tenant AND f.key_id = k.id) FROM known_keys k WHERE hash = ?": (
        "finds out whose key it is"
    ),
    "SELECT d.webhook_id, a.at, a.status, a.ms, a.error, d.id FROM delivery_attempts a"
    " JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id"
    " WHERE +a.tenant = ? AND a.seq > (SELECT max(seq) FROM delivery_attempts) - ? ORDER BY a.seq": (
        "looks among the latest attempts of a database for those of the workspace"
    ),
    "SELECT tenant, id, email, name, role_id, sessions_from, password_hash FROM users WHERE email = ?": "finds out whose it is",
    "SELECT tenant, id, email, name, role_id FROM users WHERE email = ?": "finds out whose email it is",
}
# What else than a constant is put into the text of a statement, and why it may: SQLite takes no parameters there.
INSERTIONS = {
    ("sigma/resources/entities.py", "conditions"): "those that the filters of the lists have, written out beside the lists",
    ("sigma/resources/entities.py", "bodies_from"): "the rest of statements, made of the same conditions",
    ("sigma/resources/entities.py", "bodies_above"): "the same",
    ("sigma/resources/entities.py", "joined_from"): "a statement that stands beside it",
    ("sigma/upgrades.py", "name"): "the name of a pragma, which callers write out",
    ("sigma/upgrades.py", "version + 1"): "a number that the module itself has counted",
    ("sigma/upgrades.py", "view"): "the name of a view, as schema.sql has it",
    ("sigma/cli/backup.py", "size"): "the page size that SQLite itself has told",
}
STATEMENT = re.compile(r"\s*(?:\{\} )?(?:SELECT|INSERT|UPDATE|DELETE|WITH|PRAGMA|ALTER|CREATE|DROP|VACUUM)\b")
FRAGMENT = re.compile(r"(?:FROM|JOIN|WHERE|AND|ORDER BY) ")


# The texts in the code


def assignments(tree):
    """Yield each variable's name with what is assigned to it, wherever that is; None for what cannot be followed."""
    for node in nodes(tree):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
                yield from ((name.id, value) for name, value in zip(names, values, strict=True) if isinstance(name, ast.Name))
            case ast.Assign(targets=targets, value=value):
                yield from ((name.id, value) for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            case (
                ast.AugAssign(target=target, value=value)
                | ast.AnnAssign(target=target, value=value)
                | ast.NamedExpr(target=target, value=value)
                | ast.For(target=target, iter=value)
                | ast.comprehension(target=target, iter=value)
            ):
                yield from ((name.id, value) for name in ast.walk(target) if isinstance(name, ast.Name))
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)):
                yield name, None
            case ast.alias(name=name, asname=None):
                yield name, None


def is_constant(node, constants):
    """Return whether an expression is made of texts that the source spells out, and of names of such."""
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name in constants
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.JoinedStr(values=parts):
            return all(is_constant(part, constants) for part in parts)
        case ast.FormattedValue(value=value):
            return is_constant(value, constants)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mult(), right=right) | ast.IfExp(body=left, orelse=right):
            return is_constant(left, constants) and is_constant(right, constants)
    return False


def constant_names(tree, imported=()):
    """Return the names of a module that only ever mean constant texts; `imported` are those of other modules."""
    bound = {}
    for name, value in assignments(tree):
        bound.setdefault(name, []).append(value)
    constants = {name for name, values in bound.items() if None not in values} | (set(imported) & bound.keys())
    while wrong := {name for name in constants for value in bound[name] if value and not is_constant(value, constants)}:
        constants -= wrong
    return constants


def text_of(node, variables=None):
    """Return the text of an expression, as far as the source tells; None for what is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part, variables) or "{}" for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return (variables or {}).get(name)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = text_of(left, variables), text_of(right, variables)
            return None if parts == (None, None) else "".join(part or "{}" for part in parts)
    return None


def texts_of_variables(trees):
    """Return the text that each variable has; where there are several, one that names no tenant if there is one."""
    variables = {}
    for tree in trees.values():
        for name, value in assignments(tree):
            text = text_of(value)
            if text and (name not in variables or "tenant" not in text):
                variables[name] = text
    return variables


def statements(trees):
    """Yield every SQL statement in the code, with the names of constants replaced by their texts."""
    variables = texts_of_variables(trees)

    def within(node):
        text = text_of(node, variables)
        if text is None:
            for child in ast.iter_child_nodes(node):
                yield from within(child)
        elif STATEMENT.match(text):
            yield text

    for path, tree in trees.items():
        if path != "sigma/migrations.py":  # which changes the tables themselves, for all workspaces at once
            yield from within(tree)


# The checks


def tenant_tables():
    """Return the tables and views of schema.sql that have a tenant."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript((ROOT / "schema.sql").read_text(encoding="utf-8"))
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
        return {name for name in names if any(column[1] == "tenant" for column in db.execute(f"PRAGMA table_info({name})"))}


def tenant_problems(statement, tables):
    """Yield where a statement does not say whose rows it means."""
    touched = [table for table in re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE) (\w+)", statement) if table in tables]
    named = re.findall(r"\btenant = (?:\?|:tenant\b|\w+\.\w+)|\(tenant\b", statement)
    if len(named) < len(touched):
        yield f"touches {', '.join(touched)} and names a tenant {len(named)} times: {statement}"
    for table, column in re.findall(r"\b(?:FROM|UPDATE) (\w+)(?: \w+| SET [^()]+?)? WHERE (?:\w+\.)?(\w+)", statement):
        if table in tables and column != "tenant":
            yield f"looks for {table} by {column} before tenant: {statement}"
    for alias in re.findall(r"\bJOIN \w+ (\w+) ON", statement):
        if not re.search(rf"\b{alias}\.tenant = |= {alias}\.tenant\b", statement):
            yield f"joins {alias} without its tenant: {statement}"


def inserted(node):
    """Return the expressions that an expression puts into a text, and how."""
    match node:
        case ast.JoinedStr(values=parts):
            return [part.value for part in parts if isinstance(part, ast.FormattedValue)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [part for side in (left, right) for part in (inserted(side) or ([] if text_of(side) else [side]))]
        case ast.BinOp(left=left, op=ast.Mod(), right=value):
            return [value] if text_of(left) else []
        case ast.Call(func=ast.Attribute(value=text, attr="format"), args=args, keywords=keywords):
            return [*args, *(keyword.value for keyword in keywords)] if text_of(text) else []
    return []


def sql_of(node):
    """Return the text of an expression that makes SQL, or a part of it; None for any other."""
    match node:
        case ast.BinOp(left=text, op=ast.Mod()) | ast.Call(func=ast.Attribute(value=text, attr="format")):
            pass
        case ast.JoinedStr() | ast.BinOp(op=ast.Add()):
            text = node
        case _:
            return None
    text = text_of(text)
    return text if text and (STATEMENT.match(text) or FRAGMENT.match(text.lstrip())) else None


def insertion_problems(trees):
    """Yield what is put into the text of a statement and is no constant: a value that came from outside could be SQL.

    Each is a module's path, the expression, and the statement.
    """
    shared = {name for tree in trees.values() for name in constant_names(tree) if name.isupper()}
    for path, tree in trees.items():
        constants = constant_names(tree, shared)
        for node in nodes(tree):
            for part in inserted(node) if sql_of(node) else []:
                if not is_constant(part, constants):
                    yield path, ast.unparse(part), sql_of(node)


def test_every_statement_about_a_workspaces_things_names_the_workspace():
    tables, found = tenant_tables(), list(statements(TREES))
    assert {"api_keys", "users", "model_objects", "categories", "entities", "audit_log", "referrers"} <= tables
    assert len(found) > 80
    assert [problem for text in found if text not in EXCEPTIONS for problem in tenant_problems(text, tables)] == []


def test_the_statements_that_may_do_without_a_workspace_exist_and_need_to():
    assert set(EXCEPTIONS) <= set(statements(TREES))
    assert all(list(tenant_problems(text, tenant_tables())) for text in EXCEPTIONS)


def test_values_are_parameters_and_never_part_of_a_statement():
    assert {(path, expression) for path, expression, _ in insertion_problems(TREES)} == INSERTIONS.keys()


def test_a_parameter_has_a_name_or_nothing_and_no_number():
    """Python 3.12.0 to 3.12.3 takes ?1 for a name as well, and warns where the values have none."""
    assert [text for text in statements(TREES) if re.search(r"\?\d", text)] == []


def test_every_table_of_a_workspaces_things_is_kept_apart_by_its_key():
    """A key or foreign key that did not begin with the tenant could link, or collide with, another workspace's things."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript((ROOT / "schema.sql").read_text(encoding="utf-8"))
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'") if name in tenant_tables()
        ]
        assert len(tables) > 8
        for table in tables:
            foreign = db.execute('SELECT id, seq, "from" FROM pragma_foreign_key_list(?)', (table,)).fetchall()
            assert {column for _, seq, column in foreign if seq == 0} <= {"tenant"}, table


# The checks notice what is wrong


@each(
    "source",
    [
        'execute("SELECT body FROM entities WHERE id = ?", id)',
        'execute("SELECT body FROM entities WHERE id = ? AND tenant = ?", id, g.tenant)',
        'execute("SELECT body FROM entities e WHERE e.id = ? AND e.tenant = ?", id, g.tenant)',
        'execute("UPDATE entities SET body = ? WHERE id = ?", body, id)',
        'execute("UPDATE entities SET body = ?", body)',
        'execute("DELETE FROM entities")',
        'execute("INSERT INTO categories (body) VALUES (?)", body)',
        'execute("SELECT 1 FROM entities e JOIN categories c ON c.id = e.id WHERE e.tenant = ?", g.tenant)',
        'execute("SELECT 1 FROM entities WHERE tenant = ? AND id IN (SELECT record_id FROM category_assignments)", g.tenant)',
        'execute("SELECT 1 FROM entities JOIN api_keys k ON k.tenant = ? WHERE id = ?")',
        'BY_ID = " WHERE id = ?"\nexecute(f"SELECT body FROM entities{BY_ID}", id)',
        'sql = "SELECT body FROM entities" + " WHERE id = ?"',
    ],
)
def test_a_statement_that_does_not_say_whose_rows_it_means_is_found(source):
    (text,) = statements({"sigma/x.py": ast.parse(source)})
    assert list(tenant_problems(text, tenant_tables())) != []


@each(
    "source",
    [
        "def find(id):\n    execute(f\"SELECT 1 FROM entities WHERE tenant = ? AND id = '{id}'\")",
        'def find(body):\n    execute("SELECT 1 FROM entities WHERE id = " + body["id"])',
        "def find(id):\n    execute(\"SELECT 1 FROM entities WHERE id = '%s'\" % id)",
        'def find(id):\n    execute("SELECT 1 FROM entities WHERE id = {}".format(id))',
        "def find(ids):\n    sql = f\"SELECT 1 FROM entities WHERE id IN ({','.join(ids)})\"",
        'def find(column):\n    filters = f" AND {column} = ?"',
        'filters = " AND x = ?"\nfor column in request.args:\n    filters += f" AND {column} = ?"',
        'part = "a"\npart = input()\nexecute(f"DELETE FROM entities WHERE {part}")',
        'from elsewhere import part\nexecute(f"DELETE FROM entities WHERE {part}")',
        'execute(f"PRAGMA page_size = {size}")',
    ],
)
def test_a_value_in_the_text_of_a_statement_is_found(source):
    assert list(insertion_problems({"sigma/x.py": ast.parse(source)})) != []


@each(
    "source",
    [
        'COLUMNS = "a, b"\nexecute(f"SELECT {COLUMNS} FROM entities WHERE tenant = ?", g.tenant)',
        'for column, name in [("a", "b")] + ([] if short else [("c", "d")]):\n    filters = f" AND {column} = ?"',
        'def fail(id):\n    raise ApiError(404, f"There is no {id} from here")',
        'SECONDS = 5\nexecute(f"PRAGMA busy_timeout = {SECONDS * 1000}")',
    ],
)
def test_a_constant_in_the_text_of_a_statement_is_fine(source):
    assert list(insertion_problems({"sigma/x.py": ast.parse(source)})) == []
