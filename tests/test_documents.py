"""The README and docs/: the story goes as it is told, each block is run by some test, and what is linked is there.

Blocks that take a service of their own, or minutes, are run in tests/torture; BLOCKS says where.
"""

import ast
import re
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

import pytest
from cases import each
from test_access import COMMON_FAULTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
SHELLS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}  # as people have them, without their own settings


def blocks(document):
    """Return the language and the text of each block of a document."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENTS[document], re.DOTALL | re.MULTILINE)


def block(language, words):
    """Return the one block of the README in this language with these words in it."""
    (text,) = (text for other, text in blocks("README.md") if other == language and words in text)
    return text


@cache
def functions_of(file):
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def exists(test):
    """Return whether there is a test of this name, as `tests/FILE.py::NAME`."""
    file, _, name = test.partition("::")
    return (ROOT / file).is_file() and name in functions_of(file)


# The story


TOLD = [  # the status of each step, and what its answer has in it
    ("200", '"token"'),
    ("201", '"permissions":["read","update-data"]'),
    ("201", '"product-name":[{"scope":{},"value":"Rain Hat"},{"scope":{"dim-language":"seg-da"},"value":"Regnhat"}]'),
    ("200", '"price":[{"scope":{"dim-market":"seg-se"},"value":349}]'),
    ("422", "missing: description"),
    ("200", '"description":[{"scope":{},"value":"Keeps the rain out."}]'),
    ("200", '"state-review"'),
    ("403", "needs permission 'delete-data'; the key holds: read, update-data"),
    ("200", '"active":false'),
    ("401", "it has been deactivated"),
    ("204", ""),  # the record goes, and then the key
    ("200", '"deleted":true'),
]


def need(*programs):
    """Skip the test, and say why, if one of these programs is not on this machine."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"this test needs {program}, which is not on this machine")


def paste(shell, script):
    """Paste lines into an interactive shell, and return what it prints."""
    need(shell, "curl")
    command = [shell, *SHELLS[shell]]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=60)
    assert "curl: " not in done.stderr, done.stderr
    return done.stdout


@each("shell", SHELLS)
def test_the_story_goes_as_it_is_told_also_when_it_is_pasted_again(app, address, admin, shell):
    before = admin.get("/records").json["total"], admin.get("/api-keys").json
    story = block("sh", "The administrator signs in").replace("http://127.0.0.1:8080", address)
    told = paste(shell, story * 2)
    answers = [line.split("  ", 1) for line in told.splitlines() if re.match("[0-9]{3}  ", line)]
    assert [status for status, _ in answers] == [status for status, _ in TOLD] * 2, told
    assert [answer for (_, answer), (_, words) in zip(answers, TOLD * 2, strict=True) if words not in answer] == []
    steps = [line for line in told.splitlines() if re.match("(?: [1-9]|10)[.] ", line)]
    assert [int(step.split(".")[0]) for step in steps] == [*range(1, 11)] * 2
    assert max(len(line) for line in told.splitlines()) < 250
    assert (admin.get("/records").json["total"], admin.get("/api-keys").json) == before


@each("shell", SHELLS)
def test_the_story_ends_as_the_readme_shows(app, address, shell):
    told = paste(shell, block("sh", "The administrator signs in").replace("http://127.0.0.1:8080", address))
    shown = block("text", "UNAUTHORIZED").splitlines()
    first = told.splitlines().index(shown[0])
    for line, expected in zip(told.splitlines()[first:], shown, strict=False):
        pattern = ".*".join(re.escape(part) for part in expected.split("..."))
        assert re.fullmatch(pattern, line)


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_service_the_story_is_one_sentence_that_says_so_and_with_one_it_then_goes_on(app, address, shell):
    story = block("sh", "The administrator signs in")
    told = "It does not answer there: start it with `make run` in another terminal, and paste this again."
    need(shell, "curl")
    with socket.socket() as held:  # at its port nobody listens, and nobody else can
        held.bind(("127.0.0.1", 0))
        unanswered = story.replace(":8080", f":{held.getsockname()[1]}")
        alone = subprocess.run([shell, "-c", unanswered], capture_output=True, text=True, check=False, timeout=60)
        lines = paste(shell, unanswered + story.replace("http://127.0.0.1:8080", address)).splitlines()
    assert (alone.stdout, alone.stderr) == (f"{told}\n", "")
    assert sum(told in line for line in lines) == 1
    assert len([line for line in lines if re.match("[0-9]{3}  ", line)]) == len(TOLD)


# Blocks


STORY = "tests/test_documents.py::test_the_story_goes_as_it_is_told_also_when_it_is_pasted_again"
NOT_RUN = ("text", "http", "console")  # the last is for Docker, which is on few machines: test_deploy.py reads its files
DEPLOYED = "tests/torture/test_deploy.py::test_the_page_leads_from_the_first_start_over_an_upgrade_and_back"
RESTORED = "tests/torture/test_replication.py::test_a_lost_disk_comes_back_but_for_the_last_moment_and_again_after_that"
BEGUN_ANEW = (
    "tests/torture/test_replication.py::test_when_the_service_alone_was_killed_the_replication_that_begins_anew_has_everything"
)
BLOCKS = {  # the beginning of each block that can be run, in the order of the document, and the test that runs it
    "README.md": [
        ("make run", "tests/torture/test_readme.py::test_the_service_starts_as_it_is_written"),
        ("make demo", "tests/torture/test_story.py::test_the_story_goes_as_it_is_told"),
        ("URL=", STORY),
        ("$URL", "tests/torture/test_readme.py::test_powershell_is_told_the_same"),
        ("printf 'Name", "tests/torture/test_own_data.py::test_the_readme_takes_a_file_to_a_workspace"),
        ("from sigma_standin", "tests/torture/test_recipes.py::test_the_example_of_the_readme"),
        ("make start", "tests/torture/test_recipes.py::test_the_lines_for_shells"),
        ("make install", "tests/torture/test_readme.py::test_a_deployment_is_made_as_the_readme_says"),
    ],
    "docs/deploy/README.md": [
        ("sudo useradd", DEPLOYED),
        ("sudo systemctl daemon-reload", DEPLOYED),
        ("BEFORE=before-", DEPLOYED),
        ("BEFORE=$(basename", DEPLOYED),
    ],
    "docs/operations.md": [
        ("umask 077\nlitestream rep", RESTORED),
        ("umask 077\nlitestream res", RESTORED),
        ("litestream reset", BEGUN_ANEW),
    ],
    "docs/testing/README.md": [
        ("STANDIN=", "tests/torture/test_readme.py::test_a_seed_is_posted_copied_and_read_as_the_docs_say"),
        ("FAULTS=", "tests/torture/test_readme.py::test_the_faults_of_the_docs_do_what_they_say"),
    ],
    "docs/testing/front-end.md": [
        ("SIGMA_CORS_ORIGINS=", "tests/torture/test_readme.py::test_the_service_starts_as_it_is_written"),
        ("const API", "tests/torture/test_cors_in_a_browser.py::test_the_page_of_the_recipe_shows_records_and_reads_errors"),
    ],
    "docs/testing/java.md": [
        ("import java", "tests/torture/test_recipes.py::test_java"),
        ("make -C", "tests/torture/test_recipes.py::test_java"),
    ],
    "docs/testing/node.md": [
        ("import assert", "tests/torture/test_recipes.py::test_node"),
        ("make -C", "tests/torture/test_recipes.py::test_node"),
    ],
    "docs/testing/playwright.md": [
        ("import { defineConfig }", "tests/torture/test_recipes.py::test_playwright"),
        ("import { test as base", "tests/torture/test_recipes.py::test_playwright"),
        ("npx playwright", "tests/torture/test_recipes.py::test_playwright"),
    ],
    "docs/testing/pytest.md": [
        ("from sigma_standin", "tests/torture/test_recipes.py::test_pytest"),
        ("import requests", "tests/torture/test_recipes.py::test_pytest"),
        ("make -C", "tests/torture/test_recipes.py::test_pytest"),
        ("import pytest", "tests/torture/test_recipes.py::test_pytest"),
    ],
    "docs/testing/shell.md": [("cd ", "tests/torture/test_recipes.py::test_the_lines_for_shells")],
    "docs/testing/webhooks.md": [
        ("import http.server", "tests/torture/test_recipes.py::test_webhooks_with_pytest"),
        ("import json", "tests/torture/test_recipes.py::test_webhooks_with_pytest"),
        ("SIGMA_STANDIN=", "tests/torture/test_recipes.py::test_webhooks_with_pytest"),
        ("import assert", "tests/torture/test_recipes.py::test_webhooks_with_node"),
        ("SIGMA_STANDIN=", "tests/torture/test_recipes.py::test_webhooks_with_node"),
    ],
    "docs/testing/within-python.md": [("from app", "tests/torture/test_readme.py::test_the_snippet_of_the_docs_works")],
    "docs/webhooks.md": [
        ("import hashlib", "tests/test_sending.py::test_the_recipe_in_python_verifies_what_is_sent"),
        ("import { createHmac", "tests/test_sending.py::test_the_recipe_in_node_verifies_what_is_sent"),
        ("DELIVERIES=", "tests/torture/test_readme.py::test_deliveries_are_seen_and_repeated_as_the_docs_say"),
    ],
    "docs/your-own-data.md": [
        ("flask schema guess", "tests/torture/test_own_data.py::test_the_docs_take_a_file_to_a_workspace_and_back"),
        ("flask schema create", "tests/torture/test_own_data.py::test_the_docs_take_a_file_into_a_deployment"),
        ("flask import", "tests/torture/test_own_data.py::test_the_docs_take_a_file_to_a_workspace_and_back"),
        ("flask export", "tests/torture/test_own_data.py::test_the_docs_take_a_file_to_a_workspace_and_back"),
    ],
}


@each("document", DOCUMENTS)
def test_each_block_that_can_be_run_is_run_by_a_test(document):
    found = [text for language, text in blocks(document) if language not in NOT_RUN]
    known = BLOCKS.get(document, [])
    assert [text[: len(beginning)] for text, (beginning, _) in zip(found, known, strict=True)] == [text for text, _ in known]
    assert [test for _, test in known if not exists(test)] == []


def test_no_block_for_shells_has_a_comment_which_an_interactive_zsh_would_take_for_words():
    commented = [
        (document, line)
        for document in DOCUMENTS
        for language, text in blocks(document)
        if language in ("sh", "bash")
        for line in text.splitlines()
        if re.search(r"(?:^|\s)#", line)
    ]
    assert commented == []


ASKING = r"(?:flask|sigma) (?:workspace (?:create|delete)|users (?:add|password)|keys delete|restore)"


def test_no_line_of_a_block_is_taken_for_the_answer_to_a_question():
    """A password is asked for on the terminal, where the lines that are pasted after the command wait to be read."""
    followed = [
        (document, text)
        for document in DOCUMENTS
        for language, text in blocks(document)
        if language in ("sh", "bash") and re.search(rf"^{ASKING}.*\n.", text, re.MULTILINE)
    ]
    assert followed == []


@each("shell", SHELLS)
def test_each_block_for_shells_can_be_read_by_both(shell):
    need(shell)
    scripts = [text for document in DOCUMENTS for language, text in blocks(document) if language == "sh"]
    done = subprocess.run([shell, "-n"], input="\n".join(scripts), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# The rest


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 280


def anchors(document):
    """Return how links name the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each("document", DOCUMENTS)
def test_what_a_document_links_is_there(document):
    missing = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", DOCUMENTS[document]):
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            missing.append(link)
    assert missing == []


def test_every_document_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\((docs/[^)#]+)", README))
    assert sorted(set(DOCUMENTS) - linked) == ["README.md"]


def test_the_readme_says_of_each_package_why_it_is_there():
    wanted = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n\n")[0]
    packages = re.findall(r"^([\w-]+)==", wanted, re.MULTILINE)
    assert re.findall(r"^\| `([\w-]+)` \| [A-Z].+ \|$", README, re.MULTILINE) == packages


# What one can rely on


RELIANCE = "docs/what-you-can-rely-on.md"
TEST = re.compile(r"`(tests/[\w/]+\.py::\w+)`")


def reliance(text):
    """Return what one may want to try, the state, and the proof or reason, of each row of the tables in a text."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows} == {3}
    return [row for row in rows if row[0] != "---" and row[0] != "what you want to try"]


def problems(rows):
    """Return what is wrong with rows: a state that is none, no proof or reason, a test that does not exist, a row twice."""
    found = []
    for what, state, proof in rows:
        tests, reason = TEST.findall(proof), TEST.sub("", proof).strip()
        if state not in ("yes", "in part", "no"):
            found.append(f"{what}: {state!r} is no state")
        elif state != "no" and not tests:
            found.append(f"{what}: no test proves it")
        elif state != "yes" and len(reason) < 20:
            found.append(f"{what}: nothing says what is inferred or missing")
        found += [f"{what}: {test} does not exist" for test in tests if not exists(test)]
    names = [what for what, *_ in rows]
    return found + [f"{what}: it is there twice" for what in set(names) if names.count(what) > 1]


def test_each_row_of_what_one_can_rely_on_has_its_proof_or_reason():
    rows = reliance(DOCUMENTS[RELIANCE])
    assert len(rows) > 50
    assert problems(rows) == []


@each(
    ("row", "problem"),
    [
        ("| Keys | yes | Surely. |", "no test proves it"),
        ("| Keys | in part | Inferred from the name of a member. |", "no test proves it"),
        (f"| Keys | in part | `{STORY}` |", "nothing says what is inferred or missing"),
        ("| Keys | no | |", "nothing says what is inferred or missing"),
        (f"| Keys | mostly | `{STORY}` |", "'mostly' is no state"),
        ("| Keys | yes | `tests/test_documents.py::test_nothing` |", "tests/test_documents.py::test_nothing does not exist"),
        ("| Keys | yes | `tests/test_nothing.py::test_nothing` |", "tests/test_nothing.py::test_nothing does not exist"),
    ],
)
def test_a_row_that_promises_too_much_is_refused(row, problem):
    assert problems(reliance(row)) == [f"Keys: {problem}"]


# What is promised


def promises():
    """Return the rows of the table of promises: what is promised, how it is tried, and by which tests."""
    section = DOCUMENTS["docs/operations.md"].split("\n## What is promised, and how it is tried\n")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("---", "what is promised")]


def test_each_promise_is_tried_by_tests_that_exist():
    rows = promises()
    assert len(rows) > 10
    assert {len(row) for row in rows} == {3}
    assert [what for what, _, tests in rows if not TEST.findall(tests) or TEST.sub("", tests).strip()] == []
    assert [test for *_, tests in rows for test in TEST.findall(tests) if not exists(test)] == []


def numbers_told(test):
    """Return the numbers in the row of the promise that a test tries."""
    (how,) = (how for _, how, tests in promises() if tests.startswith(f"`{test}`"))
    return [int(number.replace(",", "")) for number in re.findall(r"(?<![=\w])\d[\d,]*\b(?! *`)", how.replace("kill -9", ""))]


def constant(file, name):
    """Return the first number in what is assigned to a name in a file of tests."""
    return int(re.search(rf"^{name}\b.*?= \D*(\d+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)[1])


def test_the_numbers_of_the_promises_are_those_of_the_tests():
    """Those of the mutants and of the fuzzing are held to them where they are made."""
    assert numbers_told("tests/test_access.py::test_nobody_passes_with_a_bad_credential") == [len(COMMON_FAULTS)]
    kill, sent = "tests/torture/test_kill.py", "tests/torture/test_deliveries_served.py"
    assert numbers_told(f"{kill}::test_what_was_acknowledged_survives_kill_9") == [constant(kill, "ROUNDS")]
    through = "test_through_kill_9_each_delivery_comes_at_least_once_in_order_and_none_is_lost"
    assert numbers_told(f"{sent}::{through}") == [constant(sent, "KILLS")]


def test_the_readme_counts_what_one_can_rely_on():
    states = [state for _, state, _ in reliance(DOCUMENTS[RELIANCE])]
    summary = r"Of about (\d+) things .*?, some (\d+) are proved by tests .*?, some (\d+) in part: .*?Some (\d+) are not there"
    told = map(int, re.search(summary, README, re.DOTALL).groups())
    counts = [len(states), *map(states.count, ("yes", "in part", "no"))]
    assert [abs(number - count) <= 4 for number, count in zip(told, counts, strict=True)] == [True] * 4, counts
