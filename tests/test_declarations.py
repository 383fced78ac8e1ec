"""What each route declares: who may call it, its tag, the kinds it refers to; without, the service does not start."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import app as service

# Each case spoils a process of its own, forked from one that has imported the service; it prints why it did not start.
SPOIL = """
import os

import marshmallow

import app as service
from sigma import settings
from sigma.docs import pages
from sigma.http import access, fields
from sigma.resources import records
from sigma.standin.blueprint import blueprint as standin


def leak():
    return "leaked"


def take_unknown_kind():
    body = fields.Body.from_dict({"partId": fields.Reference("spare-part")})
    take = access.requires("read")(records.blueprint.arguments(body())(lambda body: None))
    records.blueprint.post("/leak", endpoint="leak")(take)


def past_the_blueprint(before, view):
    class Leaky(service.Service):
        def add_url_rule(self, rule, *arguments, **options):
            if rule == before:
                super().add_url_rule("/api/v1/leak", "leak", view)
            super().add_url_rule(rule, *arguments, **options)
    service.Service = Leaky


def before_the_routes(change):
    add_routes = service.add_routes
    service.add_routes = lambda app: (change(app), add_routes(app))


api = records.blueprint
cases = {
    "a declared route": lambda: api.get("/leak")(access.requires("read")(leak)),
    "nothing declared": lambda: api.get("/leak")(leak),
    "an unknown permission": lambda: api.get("/leak")(access.requires("write-all")(leak)),
    "an unknown role flag": lambda: api.get("/leak")(access.requires("read", "canManageAll")(leak)),
    "an unknown kind": take_unknown_kind,
    "nothing declared beside the API": lambda: standin.get("/leak")(leak),
    "nothing declared on a page": lambda: pages.pages.get("/leak")(leak),
    "the demo's declaration in the API": lambda: api.get("/leak")(access.demo_only(leak)),
    "any credential in the API": lambda: api.get("/leak")(access.any_credential(leak)),
    "nothing declared past the blueprints": lambda: past_the_blueprint("/api/v1/records", leak),
    "nothing declared past the blueprints, last": lambda: past_the_blueprint("/openapi.json", leak),
    "a hook of the app": lambda: before_the_routes(lambda app: app.after_request(lambda response: response)),
    "a hook of a blueprint before": lambda: api.before_request(leak),
    "a hook of a blueprint after": lambda: standin.after_request(leak),
    "a hook of a blueprint at the end": lambda: pages.pages.teardown_request(leak),
    "a hook for the URL": lambda: before_the_routes(lambda app: app.url_value_preprocessor(leak)),
    "no tag declared": lambda: past_the_blueprint("/api/v1/records", access.requires("read")(leak)),
}
for number, (name, spoil) in enumerate(cases.items()):
    if os.fork() == 0:
        spoil()
        try:
            service.create_app({"DATABASE": f"{number}.db"})
            print(f"{name}: it started", flush=True)
        except settings.StartError as error:
            print(f"{name}: {error.message}", flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """Return what became of each start with a spoiled route."""
    done = subprocess.run(
        [sys.executable, "-c", SPOIL],
        cwd=tmp_path_factory.mktemp("spoiled"),
        env={"PYTHONPATH": str(Path(service.__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


COMPLAINTS = {
    "nothing declared": ("GET /api/v1/leak", "does not declare who may call it: add @requires, @session_only or @public"),
    "an unknown permission": ("GET /api/v1/leak", "requires 'write-all', which is not a permission: there are read, "),
    "an unknown role flag": ("GET /api/v1/leak", "requires the role flag 'canManageAll', which does not exist"),
    "an unknown kind": (
        "POST /api/v1/leak",
        "takes the id of a 'spare-part', which is not a kind of model object: there are ",
    ),
    "nothing declared beside the API": ("GET /standin/leak", "does not declare"),
    "nothing declared on a page": ("GET /leak", "does not declare"),
    "the demo's declaration in the API": ("GET /api/v1/leak", "is of the kind 'demo', which is only for routes beside the API"),
    "any credential in the API": ("GET /api/v1/leak", "is of the kind 'credential', which is only for routes beside the API"),
    "nothing declared past the blueprints": ("GET /api/v1/leak", "does not declare"),
    "nothing declared past the blueprints, last": ("GET /api/v1/leak", "does not declare"),
    "no tag declared": ("GET /api/v1/leak", "belongs to no ApiBlueprint, which declares its tag"),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_the_service_does_not_start_with(case, starts):
    """What it says begins with the route, and with the file and line where its view is."""
    route, complaint = COMPLAINTS[case]
    assert re.match(rf"{re.escape(route)} \(.*:[0-9]+\) {re.escape(complaint)}", starts[case])


def test_the_service_starts_with_one_more_route_that_declares_who_may_call_it(starts):
    assert starts["a declared route"] == "it started"


HOOKS = {
    "a hook of a blueprint before": "before_request_funcs of Records",
    "a hook of a blueprint after": "after_request_funcs of Stand-in",
    "a hook of a blueprint at the end": "teardown_request_funcs of pages",
    "a hook for the URL": "url_value_preprocessors",
}


@pytest.mark.parametrize("case", HOOKS)
def test_the_service_does_not_start_with_a_hook_that_it_would_not_call(case, starts):
    assert starts[case] == (
        f"{HOOKS[case]}: only the app's own before_request, after_request and teardown hooks are called here"
    )


def test_the_service_starts_with_one_more_hook_of_the_app(starts):
    assert starts["a hook of the app"] == "it started"
