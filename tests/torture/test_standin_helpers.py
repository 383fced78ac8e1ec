"""The helpers for other projects, sigma_standin.py and sigma_standin.mjs: what they do, and that they leave nothing behind."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ALL_PERMISSIONS
from processes import EXAMPLE_KEY, ROOT, environment, is_running, program, run_group, serving, wait_until

HELPERS = ROOT / "docs" / "testing"
LANGUAGES = ["python", "node"]

# The same in both languages: what is asked of each member, and printed as JSON, a line each.
SCENARIO = {
    "python": """
import json, sys, urllib.request
from sigma_standin import Standin, StandinError

def show(found):
    print(json.dumps(found))

def get(url, key):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"X-Sigma-ApiKey": key})) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)

def refused(action):
    try:
        action()
    except StandinError as error:
        show([error.status, error.code, error.message])

with Standin(sys.argv[1], SIGMA_RECORD_LIMIT="60") as standin:
    show([standin.url.startswith("http://127.0.0.1:"), standin.url.endswith("/api/v1"), standin.token.count(".")])
    key, workspace, empty = standin.key("read", "delete-data"), standin.workspace(), standin.workspace("empty")
    own, copy = workspace.key(), standin.workspace(workspace.id)
    seed = standin.workspace({"model": [["attribute", {"id": "attr-t", "alias": "t", "name": "T", "type": "text"}]]})
    show([get(f"{standin.url}/records", key)["total"], get(f"{workspace.url}/records", own)["total"]])
    show([get(f"{empty.url}/records", empty.key("read"))["total"], get(f"{copy.url}/records", copy.key("read"))["total"]])
    show([attribute["id"] for attribute in get(f"{seed.url}/attributes", seed.key("read"))])
    show([get(f"{standin.url.replace('/api/v1', '/standin')}/whoami", held)["key"]["permissions"] for held in (key, own)])
    show(standin.faults(own, [{"on": "GET /records", "status": 429, "times": 1}]))
    show([get(f"{workspace.url}/records", own).get("error"), get(f"{workspace.url}/records", own).get("error")])
    id = standin.requests(key=own)[0]["caller"]["id"]
    show([standin.faults(id)[0]["hits"], standin.faults(id, []), standin.faults(own)])
    get(f"{workspace.url}/nowhere", own)
    get(f"{workspace.url}/records/none", own)
    show([[entry["path"], entry["status"]] for entry in standin.requests(status="4xx", workspace=workspace.id)])
    show([entry["path"] for entry in standin.requests(status=404, key=id, method="GET", path="/rec", limit=1)])
    last = standin.requests(limit=1)[0]["id"]
    get(f"{workspace.url}/roles", own)
    show([entry["path"] for entry in standin.requests(after=last)])
    refused(lambda: standin.workspace("none"))
    refused(lambda: standin.key("write"))
    refused(lambda: standin.faults("none", []))
    for _ in range(2):
        workspace.close()
    show(get(f"{workspace.url}/records", own)["error"])
    standin.reset()
    show([get(f"{standin.url}/records", key)["error"], get(f"{copy.url}/records", copy.key("read"))["total"]])
refused(standin.reset)
refused(workspace.close)
""",
    "node": """
import { start, StandinError } from "./sigma_standin.mjs";

const show = (found) => console.log(JSON.stringify(found));
const get = async (url, key) => (await fetch(url, { headers: { "X-Sigma-ApiKey": key } })).json();
const refused = async (action) => {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof StandinError)) throw error;
    show([error.status, error.code, error.message]);
  }
};

const standin = await start(process.argv[2], { SIGMA_RECORD_LIMIT: "60" });
show([standin.url.startsWith("http://127.0.0.1:"), standin.url.endsWith("/api/v1"), standin.token.split(".").length - 1]);
const key = await standin.key("read", "delete-data");
const workspace = await standin.workspace();
const empty = await standin.workspace("empty");
const own = await workspace.key();
const copy = await standin.workspace(workspace.id);
const seed = await standin.workspace({ model: [["attribute", { id: "attr-t", alias: "t", name: "T", type: "text" }]] });
const records = async (of, key) => (await get(`${of.url}/records`, key)).total;
show([await records(standin, key), await records(workspace, own)]);
show([await records(empty, await empty.key("read")), await records(copy, await copy.key("read"))]);
show((await get(`${seed.url}/attributes`, await seed.key("read"))).map((attribute) => attribute.id));
const whoami = async (key) => (await get(`${standin.url.replace("/api/v1", "/standin")}/whoami`, key)).key.permissions;
show([await whoami(key), await whoami(own)]);
show(await standin.faults(own, [{ on: "GET /records", status: 429, times: 1 }]));
const error = async (path) => (await get(workspace.url + path, own)).error ?? null;
show([await error("/records"), await error("/records")]);
const id = (await standin.requests({ key: own }))[0].caller.id;
show([(await standin.faults(id))[0].hits, await standin.faults(id, []), await standin.faults(own)]);
await error("/nowhere");
await error("/records/none");
show((await standin.requests({ status: "4xx", workspace: workspace.id })).map((entry) => [entry.path, entry.status]));
const chosen = await standin.requests({ status: 404, key: id, method: "GET", path: "/rec", limit: 1 });
show(chosen.map((entry) => entry.path));
const last = (await standin.requests({ limit: 1 }))[0].id;
await error("/roles");
show((await standin.requests({ after: last })).map((entry) => entry.path));
await refused(() => standin.workspace("none"));
await refused(() => standin.key("write"));
await refused(() => standin.faults("none", []));
for (const _ of [1, 2]) await workspace.close();
show(await error("/records"));
await standin.reset();
show([(await get(`${standin.url}/records`, key)).error, await records(copy, await copy.key("read"))]);
await standin.close();
await refused(() => standin.reset());
await refused(() => workspace.close());
""",
}
COMES = [  # what it prints; of messages the beginning
    [True, True, 2],
    [47, 47],
    [0, 47],
    ["attr-t"],
    [["read", "delete-data"], [*ALL_PERMISSIONS]],
    [{"on": "GET /records", "status": 429, "times": 1, "hits": 0}],
    ["RATE_LIMITED", None],
    [1, [], []],
    [["/api/v1/records/none", 404], ["/api/v1/records", 429]],
    ["/api/v1/records/none"],
    ["/api/v1/roles"],
    [400, "VALIDATION_ERROR", "content: "],
    [400, "VALIDATION_ERROR", "permissions[0]: "],
    [404, "NOT_FOUND", "API key 'none' not found"],
    "UNAUTHORIZED",
    ["UNAUTHORIZED", 47],
    [0, "NOT_RUNNING", "http://127.0.0.1:"],
    [0, "NOT_RUNNING", "http://127.0.0.1:"],
]


@pytest.fixture
def project(tmp_path):
    """An empty folder with both helpers, as somebody else would have them."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("sigma_standin.py", "sigma_standin.mjs"):
        shutil.copy(HELPERS / name, project)
    return project


@pytest.fixture
def temporary(tmp_path):
    """Where the databases are while the tests run; nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    yield folder
    assert wait_until(lambda: list(folder.glob("sigma-standin-*")) == [])


def command(language, project, script, python=sys.executable):
    """Write a program into the project, and return how it is run."""
    (file := project / {"python": "program.py", "node": "program.mjs"}[language]).write_text(script, encoding="utf-8")
    return [python, "-W", "error", file] if language == "python" else [program("node", "this test"), file]


def settings(temporary, **more):
    inherited = {name: value for name, value in environment("").items() if name != "SIGMA_DATABASE"}
    return {**inherited, "TMPDIR": str(temporary), **more}


def check_scenario(printed):
    said = [json.loads(line) for line in printed.splitlines()]
    for number, (found, comes) in enumerate(zip(said, COMES, strict=True)):
        if comes[-1:] and isinstance(comes[-1], str) and len(comes) == 3:
            found[-1] = found[-1][: len(comes[-1])]
        assert found == comes, number


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_member_does_the_same_in_both_languages(project, temporary, language):
    """In a bad neighbourhood: with a proxy, and with what is set for other programs, none of which reaches the service."""
    elsewhere = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:1")
    others = {"SIGMA_DATABASE": str(project / "unused.db"), "SIGMA_WORKERS": "3", "SIGMA_PORT": "1", "FLASK_APP": "none"}
    (project / "sigma.py").write_text("raise SystemExit('this is another project')")
    variables = settings(temporary, **elsewhere, **others, PYTHONPATH=str(project), HOST="none")
    direct = {"python": SCENARIO["python"].replace("urllib.request.urlopen(", "OPEN("), "node": SCENARIO["node"]}[language]
    opener = "import urllib.request, urllib.error\nOPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open\n"
    script = opener + direct if language == "python" else direct
    check_scenario(run_group([*command(language, project, script), ROOT], project, variables))
    assert not (project / "unused.db").exists()


def test_the_oldest_python(project, temporary):
    ast.parse((HELPERS / "sigma_standin.py").read_text(encoding="utf-8"), feature_version=(3, 9))
    candidates = [shutil.which("python3.9"), *Path.home().glob(".pyenv/versions/3.9.*/bin/python")]
    for python in filter(None, candidates):
        if subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0:
            run = [*command("python", project, SCENARIO["python"], python), ROOT]
            return check_scenario(run_group(run, project, settings(temporary)))
    pytest.skip("Python 3.9 is not on this machine")


# -- It ends with whoever has started it


BEGIN = {
    "python": """
import os, sys, threading, time
from sigma_standin import Standin

if "starting" in sys.argv:
    threading.Timer(float(sys.argv[3]), os._exit, [0]).start()
standin = Standin(sys.argv[1])
if "fork" in sys.argv and os.fork() == 0:  # it has all that its parent has open
    time.sleep(60)
print("started", flush=True)
if "exception" in sys.argv:
    raise SystemExit(3)
if "exit" not in sys.argv:
    time.sleep(60)
""",
    "node": """
import { start } from "./sigma_standin.mjs";

if (process.argv[3] === "starting") setTimeout(() => process.kill(process.pid, "SIGKILL"), 1000 * Number(process.argv[4]));
const standin = await start(process.argv[2]);
console.log("started");
if (process.argv[3] === "exception") throw new Error("on purpose");
if (process.argv[3] !== "exit") setTimeout(() => {}, 60_000);
""",
}


def services(temporary):
    """Return the processes that serve a database in a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"SIGMA_DATABASE={temporary}/".encode() in (folder / "environ").read_bytes() and is_running(folder.name):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("how", ["exit", "exception", signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL, "fork"])
def test_however_its_starter_ends_it_ends(project, temporary, language, how):
    if (language, how) == ("node", "fork"):
        pytest.skip("Node does not fork")
    arguments = [ROOT, how if isinstance(how, str) else "wait"]
    run = [*command(language, project, BEGIN[language]), *arguments]
    if language == "python":
        run = [argument for argument in run if argument not in ("-W", "error")]  # it is not closed, on purpose
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "start_new_session": True}
    with subprocess.Popen(run, cwd=project, env=settings(temporary), **options) as starter:
        assert starter.stdout.readline() == "started\n"
        assert services(temporary) != []
        if how == "fork":
            starter.kill()
        elif not isinstance(how, str):
            starter.send_signal(how)
        starter.wait(30)
        assert wait_until(lambda: services(temporary) == [])
        if how == "fork":
            os.killpg(starter.pid, signal.SIGKILL)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("moment", [0.05, 0.2, 0.35, 0.5, 0.65])
def test_a_starter_that_ends_before_it_answers_leaves_no_process(project, tmp_path, language, moment):
    """A folder may be left, with what the service has not come to remove."""
    (temporary := tmp_path / "temporary").mkdir()
    run = [*command(language, project, BEGIN[language]), ROOT, "starting", str(moment)]
    subprocess.run(run, cwd=project, env=settings(temporary), check=False, capture_output=True, timeout=60)
    assert wait_until(lambda: services(temporary) == [])


# -- It does not start


NOT_STARTED = [  # a path, a setting, and what is said
    ("", {}, "Where is Sigma PIM? "),
    (
        "{tmp}/nowhere",
        {},
        "{tmp}/nowhere is neither a checkout of Sigma PIM embedded nor the one file of `make dist`, nor an http:// address",
    ),
    ("{tmp}", {}, "{tmp} is neither a checkout"),
    ("{tmp}/new", {}, "{tmp}/new is not installed: call `make -C {tmp}/new install` once"),
    ("{tmp}/broken", {}, ""),
    ("{root}", {"SIGMA_RECORD_LIMIT": "many"}, "SIGMA_RECORD_LIMIT: expected a whole number"),
    ("http://127.0.0.1:1", {}, "http://127.0.0.1:1/api/v1 does not answer: "),
]
TRY = {
    "python": """
import json, sys
from sigma_standin import Standin, StandinError
for path, given in json.loads(sys.argv[1]):
    try:
        Standin(path, **given)
    except StandinError as error:
        print(json.dumps([error.status, error.code, error.message]))
""",
    "node": """
import { start } from "./sigma_standin.mjs";
for (const [path, given] of JSON.parse(process.argv[2])) {
  await start(path, given).catch((error) => console.log(JSON.stringify([error.status, error.code, error.message])));
}
""",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_why_it_does_not_start_is_told(project, temporary, tmp_path, language):
    for name in ("new", "broken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").touch()
    (tmp_path / "broken/.venv/bin").mkdir(parents=True)
    (tmp_path / "broken/.venv/bin/python").write_text("#!/bin/sh\necho 'bad interpreter'; exit 1\n")
    (tmp_path / "broken/.venv/bin/python").chmod(0o755)
    tries = [(path.format(tmp=tmp_path, root=ROOT), given) for path, given, _ in NOT_STARTED]
    printed = run_group([*command(language, project, TRY[language]), json.dumps(tries)], project, settings(temporary))
    told = [json.loads(line) for line in printed.splitlines()]
    assert [(status, code) for status, code, _ in told] == [(0, "NOT_RUNNING")] * len(tries)
    for (_, _, message), (_, _, begins) in zip(told, NOT_STARTED, strict=True):
        assert message.startswith(begins.format(tmp=tmp_path, root=ROOT) or "bad interpreter")


# -- One that runs already; pytest-xdist


ATTACH = {
    "python": """
import sys
from sigma_standin import Standin
with Standin(sys.argv[1]) as standin, standin.workspace() as workspace:
    print(standin.url, workspace.key("read")[:14])
""",
    "node": """
import { start } from "./sigma_standin.mjs";
const standin = await start(process.argv[2]);
const workspace = await standin.workspace();
console.log(standin.url, (await workspace.key("read")).slice(0, 14));
await workspace.close();
await standin.close();
""",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_service_that_runs_already_is_used_and_left(project, temporary, template, tmp_path, language):
    database = shutil.copy(template, tmp_path / "sigma.db")
    with serving(database) as server:
        base = f"http://127.0.0.1:{server.port}"
        run = command(language, project, ATTACH[language])
        for address in (base, f"{base}/", f"{base}/api/v1"):
            assert run_group([*run, address], project, settings(temporary)) == f"{base}/api/v1 sigma_sk_live_\n"
        assert server.call("GET", "/records", headers={"X-Sigma-ApiKey": EXAMPLE_KEY})[0] == 200


USING = """
import { start } from "./sigma_standin.mjs";
let url;
{
  await using standin = await start(process.argv[2]);
  url = standin.url;
  console.log((await standin.requests({ status: "4xx" })).length);
}
await fetch(url).then(() => console.log("still there"), () => console.log("gone"));
"""


def test_await_using_closes_the_service_in_the_node_that_the_docs_name_and_is_no_word_of_an_older_one(project, temporary):
    (since,) = re.findall("from Node ([0-9]+) on, `await using`", (ROOT / "docs/testing/README.md").read_text(encoding="utf-8"))
    run = [*command("node", project, USING), ROOT]
    version = subprocess.run([run[0], "--version"], capture_output=True, text=True, check=True).stdout
    options = {"cwd": project, "env": settings(temporary), "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(run, check=False, **options)
    if int(re.match("v([0-9]+)", version)[1]) >= int(since):
        assert (done.returncode, done.stdout) == (0, "0\ngone\n"), done.stderr
    else:
        assert "SyntaxError: Unexpected identifier" in done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_file_is_started_with_the_python_that_there_is(project, temporary, language):
    """It stands for the one file of `make dist`, which takes every command."""
    file = project / "one-file.pyz"
    file.write_text(f"import sys\nfrom flask.cli import main\nsys.argv[1:1] = ['--app', {str(ROOT / 'app.py')!r}]\nmain()\n")
    variables = settings(temporary, PYTHON=sys.executable)
    printed = run_group([*command(language, project, ATTACH[language]), file], project, variables)
    assert printed.endswith("/api/v1 sigma_sk_live_\n")


def test_each_worker_of_xdist_has_a_service_of_its_own(project, temporary):
    (project / "conftest.py").write_text("from sigma_standin import standin, workspace  # noqa: F401\n")
    (project / "test_it.py").write_text(
        "import os\n\n\ndef test_it(standin, workspace):\n"
        "    with open(f'url-{os.getpid()}', 'w') as file:\n        file.write(standin.url)\n"
    )
    options = ["-p", "no:cacheprovider", "-W", "error", "--dist", "each", "--tx", "2*popen"]
    variables = settings(temporary, SIGMA_STANDIN=str(ROOT))
    assert "2 passed" in run_group([sys.executable, "-m", "pytest", *options], project, variables)
    assert len({file.read_text() for file in project.glob("url-*")}) == 2
