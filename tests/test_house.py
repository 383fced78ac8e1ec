"""The house: what lies where, in which order its rooms import one another, how its code is made, and that the README is right.

Each rule is a check that takes parsed modules by their paths, so that the last test can show it one that breaks the rule.
SQL has rules of its own: see test_sql.py.
"""

import ast
import re
import statistics
import subprocess
from functools import cache
from pathlib import Path

from cases import each
from tables import TABLES, renewed

import app as service
from sigma.cli.commands import COMMANDS, load_command

ROOT = Path(service.__file__).parent
FILES = [ROOT / "app.py", *sorted((ROOT / "sigma").rglob("*.py"))]
TREES = {str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

# The rooms of sigma: a module imports from its own room and from those further down.
ROOMS = (
    "cli",
    "standin",
    "docs",
    "resources",
    "http",
    "database",
    "upgrades",
    "migrations",
    "files",
    "settings",
    "permissions",
    "context",
)
LONGEST = {"app.py": 200}  # lines of a module; all others may have 300
READS_ENVIRONMENT = {
    "sigma/settings.py": "reads every setting",
    "sigma/cli/unpack.py": "runs before there is a service, and finds the user's cache folder",
    "sigma/cli/workers.py": "passes the environment on to the server's processes",
    "sigma/cli/start.py": "passes the environment on to the service that it starts",
    "sigma/cli/story.py": "passes the environment on to the service that it starts",
    "sigma/cli/install.py": "passes the environment on to pip",
    "sigma/cli/reset.py": "runs also where nothing is installed, and asks which database is meant",
    "sigma/cli/terminal.py": "asks the terminal whether it shows colours, and what one types for a command",
}
IMPORTS_LATE = {  # each says there by how much that is quicker
    "app.py": {"sigma.cli.server"},
    "sigma/cli/commands.py": {"by a call"},  # modules of its own room
}
WORDS = {  # names that must not come back, and what is said in their place
    **{"answer": "json_response", "answer_list": "json_list", "answer_page": "json_page"},
    **{"refuse": "error_response", "refuse_problems": "raise_for_problems", "found": "get_or_404"},
    **{"taken": "conflict_message", "shown": "format_value", "amount": "describe_actual", "one": "fetch_one"},
    **{"bring_forward": "migrate", "UPGRADES": "MIGRATIONS"},
    **{"record_use": "touch_key", "fault_of_key": "diagnose_key", "without_keys": "redact_keys"},
    **{"settle_access": "bind_access", "settle_attempt": "record_login_attempt"},
    **{"moment": "timestamp_field", "choice": "enum_field", "mapping": "dict_field"},
    **{"move_record": "transition", "put_in_state": "set_state", "gate_problem": "blocked_reason", "ways": "transitions"},
    **{"with_below": "descendants", "authorship": "audit_fields", "switch_off_api_key": "deactivate_api_key"},
    **{"NOT_STORED": "NO_STORE", "LOOK_EVERY": "FILE_CHECK_INTERVAL"},
    **dict.fromkeys(("CONTENTS", "Contents", "contents"), "one word for one thing"),
}


# What lies where


@cache
def nodes(tree):
    """Return all nodes of a tree, which many checks look through."""
    return tuple(ast.walk(tree))


def test_at_the_top_there_is_what_one_needs_and_nothing_else():
    expected = {"app.py", "docs", "schema.sql", "sigma", "requirements.txt", "tests", "README.md", "Makefile"}
    assert expected <= {path.name for path in ROOT.iterdir()}
    if (ROOT / ".git").exists():  # elsewhere nothing tells what belongs to it from what its user has put there
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert {name.partition("/")[0] for name in done.stdout.splitlines() if name[0] != "."} == expected


@each("file", [f"tests/{folder}requirements.txt" for folder in ("", "torture/", "bench/")])
def test_requirements_are_pinned(file):
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    assert any(lines)
    assert [line for line in lines if line and not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line)] == []


def test_what_the_service_runs_on_is_pinned_also_by_the_hashes_of_its_files():
    text = re.sub(r"^#.*\n|^\n", "", (ROOT / "requirements.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    pinned = r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.findall(pinned, text)
    assert re.sub(pinned, "", text) == ""


# The order of the rooms


def module_of(path):
    """Return the name by which a file is imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(trees):
    """Yield each import: the file, the node, and the module imported, in full."""
    modules = {module_of(path) for path in trees}
    for path, tree in trees.items():
        for node in nodes(tree):
            if isinstance(node, ast.Import):
                yield from ((path, node, alias.name) for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for inner in (f"{module}.{alias.name}" for alias in node.names):
                    yield path, node, inner if inner in modules or module == "sigma" else module


def room_of(module):
    """Return a room's place in the order, or None for a module that is in none."""
    room = f"{module}.".split(".")[1]
    return ROOMS.index(room) if room in ROOMS else None


def import_problems(trees):
    """Yield the imports that go upwards, or have to do with what is in no room."""
    for path, node, module in imports(trees):
        own, top = module_of(path), module.split(".")[0]
        if own == "app" or top not in ("sigma", "app", ""):
            continue
        if top != "sigma":
            yield f"{path}:{node.lineno} imports {module}"
        elif room_of(module) is None or room_of(own) is None:
            yield f"{path}:{node.lineno}: {own} or {module} is in no room"
        elif room_of(module) < room_of(own):
            yield f"{path}:{node.lineno} imports upwards: {module}"


def place_problems(trees):
    """Yield the imports that are not among a module's own statements, which is a way round the order."""
    at_the_top = {id(node) for tree in trees.values() for node in tree.body}
    for path, node, module in imports(trees):
        if id(node) not in at_the_top and module not in IMPORTS_LATE.get(path, ()):
            yield f"{path}:{node.lineno} imports {module} only when it runs"
    for path, tree in trees.items():
        for node in nodes(tree):
            is_import = isinstance(node, ast.Call) and re.search(r"\b(import_module|__import__)$", ast.unparse(node.func))
            if is_import and "by a call" not in IMPORTS_LATE.get(path, ()):
                yield f"{path}:{node.lineno} imports by a call"


def cycle_problems(trees):
    """Yield a module that imports itself by way of others, with that way."""
    links, finished = {}, set()
    for path, _, module in imports(trees):
        links.setdefault(module_of(path), set()).add(module)

    def cycles(module, way):
        if module in way:
            yield " > ".join([*way[way.index(module) :], module])
        elif module not in finished:
            for inner in sorted(links.get(module, ())):
                yield from cycles(inner, [*way, module])
            finished.add(module)

    for module in sorted(links):
        yield from cycles(module, [])


def test_modules_import_only_from_their_own_room_and_from_those_below():
    assert len(list(imports(TREES))) > 300
    assert list(import_problems(TREES)) == []


def test_no_import_hides_from_the_order(monkeypatch):
    assert list(place_problems(TREES)) == []
    allowed = sum(map(len, IMPORTS_LATE.values()))
    for path in [*IMPORTS_LATE]:
        monkeypatch.delitem(IMPORTS_LATE, path)
    assert len(list(place_problems(TREES))) == allowed


def test_no_module_imports_itself_by_way_of_others():
    assert list(cycle_problems(TREES)) == []


# Modules, functions, names


def module_problems(trees):
    """Yield the modules that are too long, or do not open with one sentence that says what is in them."""
    for path, tree in trees.items():
        length = tree.body[-1].end_lineno if tree.body else 0
        if length > LONGEST.get(path, 300):
            yield f"{path} has {length} lines"
        opening = (ast.get_docstring(tree) or "").partition("\n\n")[0]
        if not re.fullmatch(r"[A-Z`](?:[^.\n]|\.(?! ))+\.", opening):
            yield f"{path} does not open with one sentence: {opening!r}"


def functions(trees):
    """Yield each function: its file, its node, and whether it is public: named without `_`, and in no other function."""
    for path, tree in trees.items():
        pending = [(node, True) for node in tree.body]
        for node, is_public in pending:  # grows as it goes
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function:
                yield path, node, is_public and not node.name.startswith("_")
            pending += [(child, is_public and not is_function) for child in ast.iter_child_nodes(node)]


def function_problems(trees):
    """Yield the functions that are too long, and their median if that is."""
    lengths = {(path, node.lineno, node.name): node.end_lineno - node.lineno + 1 for path, node, _ in functions(trees)}
    for (path, line, name), length in lengths.items():
        if length > 40:
            yield f"{path}:{line} {name} has {length} lines"
    if lengths and (median := statistics.median(lengths.values())) > 8:
        yield f"half of the functions have {median:g} lines or more"


def docstring_problems(trees):
    """Yield what is public and does not say what it does, and that too many private functions explain themselves."""
    private = []
    for path, node, is_public in functions(trees):
        text = ast.get_docstring(node)
        if is_public and not text:
            yield f"{path}:{node.lineno} {node.name} has no docstring"
        if text and text.startswith("Answer"):
            yield f"{path}:{node.lineno} {node.name}: 'Return …', not 'Answer …'"
        if not is_public and not node.name.startswith("__"):
            private.append(text is not None)
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                yield f"{path}:{node.lineno} {node.name} has no docstring"
    if sum(private) > len(private) / 3:
        yield f"{sum(private)} of {len(private)} private functions have a docstring"


def names(trees):
    """Yield the name of each function, class and variable of a module or class, with its file and line."""
    for path, node, _ in functions(trees):
        yield path, node.lineno, node.name
    for path, tree in trees.items():
        classes = [node for node in nodes(tree) if isinstance(node, ast.ClassDef)]
        yield from ((path, node.lineno, node.name) for node in classes)
        for statement in [*tree.body, *(statement for node in classes for statement in node.body)]:
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                stored = (
                    node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                )
                yield from ((path, node.lineno, node.id) for node in stored)


def word_problems(trees):
    """Yield the names that must not come back."""
    for path, line, name in names(trees):
        if name in WORDS:
            yield f"{path}:{line} {name}: {WORDS[name]}"


def environment_problems(trees):
    """Yield what reads the environment beside the settings."""
    for path, tree in trees.items():
        for node in nodes(tree):
            match node:
                case ast.ImportFrom(module="os", names=aliases):
                    used = {alias.name for alias in aliases}
                case ast.Attribute(value=ast.Name(id="os"), attr=name):
                    used = {name}
                case _:
                    continue
            if used & {"environ", "environb", "getenv", "getenvb"} and path not in READS_ENVIRONMENT:
                yield f"{path}:{node.lineno} reads the environment"


def test_modules_are_short_and_open_with_a_sentence():
    assert list(module_problems(TREES)) == []


def test_functions_are_short():
    assert len(list(functions(TREES))) > 300
    assert list(function_problems(TREES)) == []


def test_what_is_public_says_what_it_does_and_what_is_private_has_a_name_that_says_it():
    assert list(docstring_problems(TREES)) == []


def test_names_are_those_of_the_field():
    assert len(list(names(TREES))) > 700
    assert list(word_problems(TREES)) == []


def test_nothing_waits_for_a_hook_that_the_service_does_not_call():
    assert [path for path, tree in TREES.items() if "after_this_request" in ast.dump(tree)] == []


def test_nothing_reads_the_environment_but_the_settings():
    assert list(environment_problems(TREES)) == []


# What breaks a rule


DO = '"""Do."""'
VIOLATIONS = [
    (import_problems, {"sigma/http/x.py": "from sigma.resources.model import MODEL"}, "imports upwards: sigma.resources.model"),
    (import_problems, {"sigma/database.py": "import sigma.http.errors"}, "imports upwards: sigma.http.errors"),
    (import_problems, {"sigma/settings.py": "from sigma import database"}, "imports upwards: sigma.database"),
    (import_problems, {"sigma/docs/x.py": "from sigma.standin import demo"}, "imports upwards: sigma.standin"),
    (import_problems, {"sigma/http/x.py": "from ..resources import model"}, "imports ..resources"),
    (import_problems, {"sigma/cli/x.py": "from app import create_app"}, "imports app"),
    (import_problems, {"sigma/cli/x.py": "import app as service"}, "imports app"),
    (import_problems, {"sigma/console/x.py": "from sigma import settings"}, "is in no room"),
    (import_problems, {"sigma/cli/x.py": "from sigma.console import pages"}, "is in no room"),
    (place_problems, {"sigma/http/x.py": "def f():\n    import json"}, "imports json only when it runs"),
    (
        place_problems,
        {"sigma/http/x.py": "if TYPE_CHECKING:\n    from sigma import cli"},
        "imports sigma.cli only when it runs",
    ),
    (place_problems, {"sigma/http/x.py": "importlib.import_module('app')"}, "imports by a call"),
    (cycle_problems, {"sigma/a.py": "from sigma import b", "sigma/b.py": "import sigma.a"}, "sigma.a > sigma.b > sigma.a"),
    (
        cycle_problems,
        {f"sigma/{a}.py": f"from sigma.{b} import x" for a, b in ("xa", "ab", "bc", "ca")},
        "a > sigma.b > sigma.c",
    ),
    (module_problems, {"sigma/x.py": DO + "\nx = 1" * 300}, "has 301 lines"),
    (module_problems, {"app.py": DO + "\nx = 1" * 200}, "has 201 lines"),
    (module_problems, {"sigma/x.py": "x = 1"}, "does not open with one sentence: ''"),
    (module_problems, {"sigma/x.py": '"""Two. Sentences."""'}, "does not open with one sentence"),
    (module_problems, {"sigma/x.py": '"""no sentence"""'}, "does not open with one sentence"),
    (module_problems, {"sigma/x.py": '"""One\nin two lines."""'}, "does not open with one sentence"),
    (function_problems, {"sigma/x.py": "def f():" + "\n    pass" * 40}, "f has 41 lines"),
    (function_problems, {"sigma/x.py": "class C:\n    def f(self):" + "\n        pass" * 40}, "f has 41 lines"),
    (function_problems, {"sigma/x.py": "def f():" + "\n    pass" * 8}, "half of the functions have 9 lines or more"),
    (docstring_problems, {"sigma/x.py": "def f():\n    pass"}, "f has no docstring"),
    (docstring_problems, {"sigma/x.py": f"class C:\n    {DO}\n    def f(self):\n        pass"}, "f has no docstring"),
    (docstring_problems, {"sigma/x.py": "class C:\n    pass"}, "C has no docstring"),
    (docstring_problems, {"sigma/x.py": 'def f():\n    """Answer it."""'}, "f: 'Return …', not 'Answer …'"),
    (docstring_problems, {"sigma/x.py": f"def _f():\n    {DO}\ndef _g():\n    pass"}, "1 of 2 private functions"),
    (docstring_problems, {"sigma/x.py": f"def f():\n    {DO}\n    def g():\n        {DO}"}, "1 of 1 private functions"),
    (word_problems, {"sigma/x.py": "def answer():\n    pass"}, "answer: json_response"),
    (word_problems, {"sigma/x.py": "class Contents:\n    pass"}, "Contents: one word for one thing"),
    (word_problems, {"sigma/x.py": "class Table:\n    def one(self):\n        pass"}, "one: fetch_one"),
    (word_problems, {"sigma/x.py": "class Table:\n    contents = 1"}, "contents: one word for one thing"),
    (word_problems, {"sigma/x.py": "NOT_STORED: dict = {}"}, "NOT_STORED: NO_STORE"),
    (word_problems, {"sigma/x.py": "a, taken = 1, 2"}, "taken: conflict_message"),
    (environment_problems, {"sigma/http/x.py": "import os\nDEBUG = os.environ.get('DEBUG')"}, "reads the environment"),
    (environment_problems, {"sigma/cli/keys.py": "def f():\n    return os.getenv('X')"}, "reads the environment"),
    (environment_problems, {"sigma/http/x.py": "from os import environ"}, "reads the environment"),
]


@each(("check", "files", "problem"), VIOLATIONS, ids=lambda value: getattr(value, "__name__", "-"))
def test_what_breaks_a_rule_is_noticed(check, files, problem):
    trees = {path: ast.parse(source) for path, source in files.items()}
    assert [found for found in check(trees) if problem in found] != []


# The README and what else is for people


def rows_of_tables(*columns):
    """Return the rows of each table with these columns, cell by cell, in all documents."""
    rows, is_inside = [], False
    for document in DOCUMENTS:
        for line in document.read_text(encoding="utf-8").splitlines():
            cells = tuple(cell.strip() for cell in line.strip("|").split("|")) if line[:1] == "|" else ()
            is_inside = cells == columns or (is_inside and cells != ())
            if is_inside and cells != columns and not re.fullmatch("[-: ]+", cells[0]):
                rows.append(tuple(cell.strip("`") for cell in cells))
    return rows


@each("document", TABLES)
def test_a_table_that_the_code_knows_is_as_make_tables_writes_it(document, app):
    assert (ROOT / document).read_text(encoding="utf-8") == renewed(document, app)


def commands(listed=None, words="flask"):
    """Yield the words of each of the service's own commands."""
    for command in listed or map(load_command, COMMANDS):
        told = f"{words} {command.name}"
        yield from commands(command.commands.values(), told) if hasattr(command, "commands") else [told]


def test_the_readme_names_every_command_and_exit_code():
    everyday = {"flask demo", "flask serve", "flask play"}  # which `make run` and `make demo` say for people
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    shown = re.findall(r"^(?:\| `|(?:SIGMA_DATABASE=\S+ )?\.venv/bin/)?(flask [a-z]+(?: [a-z]+(?= |`|$))?)", text, re.MULTILINE)
    assert sorted({*shown, *everyday}) == sorted(commands())
    assert [row[0] for row in rows_of_tables("exit code", "meaning")] == ["0", "1", "2"]


def test_what_people_are_told_to_make_is_in_the_makefile_and_says_what_it_does():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()
    assert [target for target in targets if not re.search(rf"^{target}:[^#\n]*# *[a-z]", makefile, re.MULTILINE)] == []
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    told = set(re.findall(r"(?:^|`)(?:[A-Z_]+=\S+ )*make (?:-C \S+ )?([a-z./-]+)", text, re.MULTILINE))
    assert {"run", "test"} <= told
    assert told <= {*targets, ".venv/installed"}
