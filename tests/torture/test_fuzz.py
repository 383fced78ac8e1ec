"""Every operation of the service's own OpenAPI document, called by everybody with what fits it and with what does not.

Each answer is held against the document: no failure of ours, no status, header, content type or body that is not announced,
nothing accepted that does not fit. Each caller is held to the table of test_access.py: whoever may not call an operation is
refused, whatever is sent. LONG=1 tries many more examples, each time others.
"""

import os
import secrets
import tempfile
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from conftest import ALL_PERMISSIONS, Caller, sql
from hypothesis.configuration import set_hypothesis_home_dir
from schemathesis.config import SchemathesisConfig
from test_access import ALL, ANY_USER, DEMO, FLAGS, HEADER, OR_DEMO, PUBLIC, shape
from test_documents import numbers_told

import app as service

# Its notes stay out of the repository.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")

LONG = bool(os.environ.get("LONG"))
USUALLY, AT_LENGTH = 8, 150  # examples of each operation, and each is sent by all callers

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": secrets.randbits(32) if LONG else 20260308,
        "generation": {"deterministic": not LONG, "with-security-parameters": False},
        "checks": {
            # A body can fit the document and still name what does not exist (400), or a step that the workflow has not (422).
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "401", "403", "404", "409", "422", "429"]},
            # It takes no note of the path of the scope matrix being, for other methods, the path of a dimension.
            "allow_header_conformance": {"enabled": False},
        },
    }
)

with tempfile.TemporaryDirectory() as folder:  # for the document alone: each test below has an app and a database of its own
    document = schemathesis.openapi.from_wsgi(
        "/openapi.json", service.create_app({"DATABASE": f"{folder}/sigma.db"}), config=CONFIG
    )

fuzzed = hypothesis.settings(
    max_examples=AT_LENGTH if LONG else USUALLY,
    deadline=None,
    derandomize=not LONG,
    database=None,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)

TABLE = {(operation.method, operation.root + shape(operation.path)): operation for operation in ALL}
PEOPLE = {"editor@sigma.io": {"canExport", "canImport"}, "admin@sigma.io": set(FLAGS)}  # of the demo, and their roles' flags


def may_call(who, operation):
    """Return whether somebody may call an operation, as the table has it."""
    if operation.key in (PUBLIC, DEMO):
        return True
    if who in ("nobody", "a deactivated key"):
        return who == "nobody" and operation.path.startswith(OR_DEMO)
    if who in PEOPLE:
        return operation.flag == ANY_USER or operation.flag in PEOPLE[who]
    return operation.takes(ALL_PERMISSIONS if who == "every permission" else (who,))


@pytest.fixture
def callers(app, make_key, sign_in, admin):
    """Return everybody by what they are or hold, those who may do least first."""
    keys = {permission: make_key(permission) for permission in ALL_PERMISSIONS}
    everything, ended = make_key(), make_key()
    assert admin.post(f"/api-keys/{ended.id}/deactivate").status_code == 200
    people = {email: sign_in(email) for email in PEOPLE}
    return {"nobody": Caller(app), "a deactivated key": ended, **keys, "every permission": everything, **people}


@document.parametrize()
@fuzzed
def test_everybody_gets_only_what_is_announced_and_only_who_may_gets_in(case, app, callers):
    operation = TABLE.get((case.method, shape(case.path)))  # none for methods that there are not
    for who, caller in callers.items():
        answer = case.call_and_validate(headers=caller.headers, app=app)
        if operation is None:
            assert answer.status_code == 405
        elif HEADER.lower() in answer.headers and not may_call(who, operation):  # else there was no such path
            assert (who, answer.status_code) in {(who, 401), (who, 403)}


def rows_of_the_demo(app):
    """Return all that the demo workspace holds, but for its keys, whose use is recorded."""
    tables = "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant'"
    names = {name for (name,) in sql(app, tables)} - {"api_keys"}
    return {name: sql(app, f"SELECT * FROM {name} WHERE tenant = 'ws-demo'") for name in sorted(names)}


@document.exclude(path_regex="^/standin/").parametrize()
@fuzzed
def test_an_administrator_of_another_workspace_changes_nothing_in_this_one(case, app, stranger):
    before = rows_of_the_demo(app)
    answer = case.call_and_validate(headers=stranger.headers, app=app)
    assert rows_of_the_demo(app) == before
    assert answer.status_code < 500


def test_the_docs_say_how_many_examples_there_are():
    everybody = "test_everybody_gets_only_what_is_announced_and_only_who_may_gets_in"
    assert numbers_told(f"tests/torture/test_fuzz.py::{everybody}") == [USUALLY, AT_LENGTH]
