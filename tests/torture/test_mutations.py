"""The guard, and what finds routes and credentials, with one thing wrong in it: a test must notice, whatever it is.

One at a time, each condition is turned round, each part of one as well, each step that does something is left out, each
`return` of True or False returns the other, and each way of being admitted admits everybody.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_documents import numbers_told

ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("LONG"))
GUARD = "sigma.http.guard"
MODULES = (GUARD, "sigma.http.access", "sigma.http.credentials", "sigma.http.routing")
TESTS = {  # what notices: by file, the tests that most mutants fail, which are run first, and then all of the file
    "access": (
        "test_nobody_passes_with_a_bad_credential",
        "test_a_key_decides_alone_also_against_an_administrators_token",
        "test_an_administrator_may_turn_on_the_managing_of_roles",
        "test_the_table_is_the_live_url_map",
        "test_the_table_is_what_the_openapi_document_says",
        "test_a_large_body_whose_length_is_not_announced_is_refused_all_the_same",
    ),
    "deliveries": (
        "test_beside_the_demo_the_name_of_a_workspace_does_for_a_credential",
        "test_it_does_so_for_nothing_else",
    ),
    "not_built": (
        "test_whoever_is_known_is_told_that_a_documented_path_is_not_here",
        "test_a_list_of_what_a_credential_may_call_has_no_route_that_is_not_here",
    ),
    "hints": ("test_on_each_route_for_people_a_401_says_how_they_sign_in",),
    "whoami": ("test_a_key_is_told_what_it_is_and_what_it_may_call", "test_asking_changes_nothing_but_the_keys_last_use"),
    "ledger": ("test_only_those_who_manage_keys_see_the_ledgers_and_only_of_their_own_workspace",),
    "standin": ("test_a_deployment_has_none_of_it", "test_another_machine_is_let_in_only_where_a_setting_names_this_one"),
    "key_faults": ("test_each_status_comes_in_the_apis_own_shape",),
    "cors": ("test_a_preflight_of_a_listed_origin_is_answered_without_a_credential",),
    "races": (
        "test_a_key_that_ends_while_its_write_waits_writes_nothing",
        "test_a_role_that_changes_while_an_import_waits_decides_about_it",
    ),
    **dict.fromkeys(
        (
            *("sessions", "api_keys", "credentials", "misplaced_credentials", "errors", "tenants"),
            *("bodies", "journal", "clocks", "openapi", "llms", "published", "addresses", "routing"),
        ),
        (),
    ),
}
OPTIONS = ["-x", "-q", "-p", "no:xdist", "-p", "no:randomly"]
ADMITS_EVERYBODY = ast.parse("lambda access, asked: None", mode="eval").body


def steps_of(node: ast.AST) -> Iterator[tuple[str, ast.AST, str, int]]:
    """Yield the places of the steps right below a node, but for docstrings."""
    for field in ("body", "orelse"):
        steps = getattr(node, field, None)
        for index, step in enumerate(steps if isinstance(steps, list) else []):
            if not (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)):
                yield "left out", node, field, index


def places(tree: ast.AST) -> Iterator[tuple[str, ast.AST, str, int | None]]:
    """Yield what can be made wrong: what is done to it, in which node, in which field, and at which place of a list."""
    for node in ast.walk(tree):
        match node:
            case ast.If() | ast.IfExp():
                yield "turned round", node, "test", None
            case ast.BoolOp():
                yield from (("turned round", node, "values", index) for index in range(len(node.values)))
            case ast.Return(ast.Constant(bool()) | ast.Compare()):
                yield "turned round", node, "value", None
            case ast.Dict() if any(isinstance(value, ast.Lambda) for value in node.values):
                yield from (("admits everybody", node, "values", index) for index in range(len(node.values)))
        if isinstance(node, ast.FunctionDef | ast.If | ast.Try | ast.For | ast.With):
            yield from steps_of(node)


def change(done: str, old: ast.AST) -> ast.AST:
    """Return what takes the place of a part of the code."""
    if done == "left out":
        return ast.Pass()
    return ADMITS_EVERYBODY if done == "admits everybody" else ast.UnaryOp(ast.Not(), old)


def functions_by_line(tree: ast.AST) -> dict[int, str]:
    """Return the name of the function that each line is in."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {line: node.name for node in functions for line in range(node.lineno, (node.end_lineno or 0) + 1)}


def mutants_of(module: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each wrong copy of a module, and its text."""
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    names = functions_by_line(ast.parse(source))
    for number, (done, node, field, index) in enumerate(places(ast.parse(source))):
        old = getattr(node, field) if index is None else getattr(node, field)[index]
        tree = ast.parse(source)
        _, place, _, _ = list(places(tree))[number]
        if index is None:
            setattr(place, field, change(done, old))
        else:
            getattr(place, field)[index] = change(done, old)
        part = ast.unparse(old).splitlines()[0][:70]
        text = ast.unparse(ast.fix_missing_locations(tree))
        if text != ast.unparse(ast.parse(source)):
            yield f"{names.get(old.lineno, module)}: {part}: {done}", text


def mutants() -> dict[str, tuple[str, str]]:
    """Return the module and the text of each mutant, by a name that says what is wrong."""
    found: dict[str, tuple[str, str]] = {}
    for module in MODULES:
        for name, text in mutants_of(module):
            again = sum(known == name or known.startswith(f"{name}, ") for known in found)
            found[f"{name}, place {again + 1}" if again else name] = module, text
    return found


MUTANTS = mutants()
TRIED = [name for name, (module, _) in MUTANTS.items() if LONG or module == GUARD]
LOOKED_AT_AGAIN = "a key is then looked up as a whole once more, which takes longer and answers the same"
HARMLESS = {  # what no test can notice, and why it makes no difference to anybody
    "_confirm_known: if caller.is_key and fetch_one(ACTIVE_KEY, caller.tenant, caller.id):: left out": LOOKED_AT_AGAIN,
    "_confirm_known: return: left out": LOOKED_AT_AGAIN,
    "_confirm_known: caller.is_key: turned round": f"{LOOKED_AT_AGAIN}; no user has the id of a key",
    "guard: return None: left out": "a function that ends returns None",
    "guard: 0: turned round": "True is no more than the largest body, either",
    "list_built_routes: set(): turned round": "only routes that are not built have no methods, and they are left out before",
    "role_says: {}: turned round": "nobody asks for the role of a key",
}


QUICK = [f"tests/test_{noun}.py::{test}" for noun, tests in TESTS.items() for test in tests]


@pytest.fixture(scope="module")
def fork():
    """Return a function that runs tests on a module with another text, and returns pytest's exit code and output."""
    command = [sys.executable, str(Path(__file__).parent / "forks.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def run(name, tests):  # without a name: the right guard
            module, text = MUTANTS[name] if name else (GUARD, (ROOT / "sigma/http/guard.py").read_text(encoding="utf-8"))
            job = {"module": module, "text": text, "arguments": [*OPTIONS, *tests]}
            server.stdin.write(f"{json.dumps(job)}\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield run
        server.stdin.close()


@pytest.mark.parametrize("name", [name for name in TRIED if name not in HARMLESS])
def test_what_is_wrong_with_the_guard_is_noticed(name, fork):
    for tests in (QUICK, [f"tests/test_{noun}.py" for noun in TESTS]):
        code, told = fork(name, tests)
        if code:
            break
    assert code in (1, 2, 4), told  # a test failed, or the service did not start


@pytest.mark.skipif(not LONG, reason="all tests are run on each: LONG=1")
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_called_harmless_is_noticed_by_no_test(name, fork):
    code, told = fork(name, ["tests"])
    assert code == 0, told


def test_the_right_guard_passes(fork):
    """Else each mutant would fail for another reason than its own."""
    code, told = fork("", QUICK)
    assert code == 0, told


def test_the_docs_say_how_many_there_are():
    told = "tests/torture/test_mutations.py::test_what_is_wrong_with_the_guard_is_noticed"
    of_guard = [name for name, (module, _) in MUTANTS.items() if module == GUARD]
    assert numbers_told(told) == [len(of_guard), len(HARMLESS.keys() & set(of_guard)), len(MUTANTS)]
