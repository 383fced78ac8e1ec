"""The console: what is served, under which policy, and of what its files are made. What it does is tried in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cases import each
from conftest import Caller

import app as service
from sigma.cli.serve import print_banner
from sigma.docs.files import CONSOLE_FOLDER

ROOT = Path(service.__file__).parent
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
TYPES = {
    **{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"},
    **{".json": "application/json", ".svg": "image/svg+xml; charset=utf-8"},
}
FILES = sorted(path.name for path in CONSOLE_FOLDER.iterdir())
MODULES = {path.name: path.read_text(encoding="utf-8") for path in sorted(CONSOLE_FOLDER.glob("*.js"))}
TEXTS = {name: (CONSOLE_FOLDER / name).read_text(encoding="utf-8") for name in FILES}
SVG = "http://www.w3.org/2000/svg"  # a name, which nothing loads


def get(app, path, **options):
    """Return the answer to a GET, read and closed."""
    with app.test_client().get(path, **options) as answer:
        answer.get_data()
        return answer


# What is served


def test_the_page_is_there_for_everybody_and_loads_files_of_its_own_only(app):
    page = get(app, "/console")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', page.text)
    assert sorted(loaded) == ["console/icon.svg", "console/main.js", "console/style.css", "console/theme.css"]
    assert not re.search(r"<style|\son[a-z]+=|\sstyle=|<script[^>]*>[^<]", page.text)


@each("name", FILES)
def test_each_file_has_its_type_and_the_policy_of_the_docs(app, name):
    answer = get(app, f"/console/{name}")
    assert (answer.status_code, answer.content_type) == (200, TYPES[Path(name).suffix])
    assert answer.headers["Content-Security-Policy"] == POLICY == get(app, "/docs").headers["Content-Security-Policy"]
    assert (answer.headers["Referrer-Policy"], answer.headers["X-Content-Type-Options"]) == ("no-referrer", "nosniff")
    assert answer.data == (CONSOLE_FOLDER / name).read_bytes()


def test_a_browser_loads_a_file_once_and_then_asks_whether_it_changed(app):
    for path in ("/console", "/console/main.js"):
        first = get(app, path)
        assert first.headers["Cache-Control"] == "no-cache"
        again = get(app, path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


@each("name", ["nothing.js", "../console.py", "..%2Fconsole.py", "..", "", "page.html/x", "%00"])
def test_nothing_else_is_served_under_its_name(app, error, name):
    error(get(app, f"/console/{name}"), 404)


def test_a_deployment_has_it_too(deployment):
    assert get(deployment, "/console").status_code == 200


def test_a_setting_leaves_it_out(app, error):
    plain = service.create_app({"DATABASE": app.config["DATABASE"], "CONSOLE": False})
    for path in ("/console", "/console/main.js", "/console/page.html"):
        error(get(plain, path), 404)
    assert get(plain, "/", headers={"Accept": BROWSER}).headers["Location"] == "/docs"
    assert "console" not in get(plain, "/").json


@each("is_on", [True, False])
def test_the_server_says_where_it_is_when_it_starts(app, capsys, is_on):
    app.config["CONSOLE"] = is_on
    with app.app_context():
        print_banner("http://127.0.0.1:8080")
    lines = capsys.readouterr().out.splitlines()
    assert ("Console      http://127.0.0.1:8080/console" in lines) == is_on


# The front page


@each(("prefix", "location"), [("", "/console"), ("/pim", "/pim/console")])
def test_the_front_page_sends_a_browser_to_the_console_also_below_a_prefix(app, prefix, location):
    answer = get(app, "/", headers={"Accept": BROWSER}, environ_overrides={"SCRIPT_NAME": prefix})
    assert (answer.status_code, answer.headers["Location"], answer.headers["Vary"]) == (302, location, "Accept")


@each("accept", [None, "*/*", "application/json", "application/json, text/plain, */*", "text/plain"])
def test_the_front_page_tells_a_program_where_things_are(app, accept):
    answer = get(app, "/", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer.content_type, answer.headers["Vary"]) == (200, "application/json", "Accept")
    paths = {
        **{"api": "api/v1", "docs": "docs", "openapi": "openapi.json"},
        **{"llms": "llms.txt", "health": "healthz", "console": "console"},
    }
    assert answer.json == {name: f"http://localhost/{path}" for name, path in paths.items()}
    for name in ("docs", "openapi", "health", "console"):
        assert get(app, answer.json[name]).status_code == 200


# What its files are made of


def test_no_file_names_another_host(app):
    assert [name for name, text in TEXTS.items() if "://" in text.replace(SVG, "")] == []
    absolute = re.compile(r"""["'`(]/(?:api|standin|docs|console|openapi|healthz)""")  # it would not work below a prefix
    assert [
        name for name, text in TEXTS.items() if name.endswith(".js") and absolute.search(text.replace('"/api/v1', ""))
    ] == []


FORBIDDEN = {
    "markup from text": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|createContextualFragment",
    "code from text": r"\beval\(|new Function|setTimeout\(\s*[\"'`]|javascript:",
    "what outlives the page": r"localStorage|sessionStorage|indexedDB|\.cookie|serviceWorker|caches\.",
    "an inline style": r"\bstyle:|\"style\"|cssText",
    "left behind": r"console\.(?:log|debug)|\bdebugger\b|TODO|FIXME",
}


@each("what", FORBIDDEN)
def test_no_module_has_any(what):
    pattern = re.compile(FORBIDDEN[what])
    found = {name: pattern.findall(text) for name, text in MODULES.items()}
    shown = {"snippets.js": ["console.log"]} if what == "left behind" else {}  # in the lines for Node, which it shows
    assert {name: hits for name, hits in found.items() if hits} == shown


def test_modules_are_short_and_open_with_a_sentence():
    assert len(MODULES) > 20
    for name, text in MODULES.items():
        lines = text.splitlines()
        assert re.fullmatch(r"// [A-Z][^.]+\.", lines[0]), name
        assert (len(lines) <= 300, max(map(len, lines)) <= 128) == (True, True), name


def imported(text):
    """Return the modules that a module imports."""
    return set(re.findall(r'^import [^"]*"\./([^"]+)";$', text, re.MULTILINE))


def test_every_module_is_loaded_and_none_imports_itself_by_way_of_others():
    finished = []

    def visit(name, way):
        assert name not in way, [*way, name]
        if name not in finished:
            for inner in sorted(imported(MODULES[name])):
                visit(inner, [*way, name])
            finished.append(name)

    visit("main.js", [])
    assert sorted(finished) == sorted(MODULES)


def test_every_icon_that_is_drawn_is_in_the_page():
    drawn = set(re.findall(r'icon\("([a-z]+)"\)', "".join(MODULES.values())))
    assert drawn
    assert drawn <= set(re.findall(r'data-icon="([a-z]+)"', TEXTS["page.html"]))


def test_every_module_is_well_formed():
    if (node := shutil.which("node")) is None:
        pytest.skip("Node is not installed")
    script = (
        f"import vm from 'node:vm'; for (const text of {json.dumps(list(MODULES.values()))}) new vm.SourceTextModule(text);"
    )
    command = [node, "--experimental-vm-modules", "--input-type=module", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


ENTRY = {"method": "POST", "path": "/api/v1/records", "query": "", "needed": "update-data", "caller": {"kind": "api-key"}}
PRINTING_CURL = "curl() { printf '%s\\0' \"$@\"; }"  # a shell's own curl, which tells its words


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"method": "A|$SHELL"}, {"A|$SHELL"}),
        ({"method": "`ID`"}, {"`ID`"}),
        ({"method": "A'B"}, {"A'B"}),
        ({"query": "a='$(id)"}, {"{root}/api/v1/records?a=%27$(id)"}),
        ({"requestBody": "@/etc/hostname"}, {"--data-raw", "@/etc/hostname"}),
        ({"requestBody": {"name": "'; id #"}}, {"--data-raw", '{"name":"\'; id #"}'}),
    ],
)
def test_a_call_to_be_pasted_into_a_shell_runs_nothing_and_sends_no_file_whatever_its_client_sent(tmp_path, sent, words):
    if (node := shutil.which("node")) is None:
        pytest.skip("Node is not installed")
    folder = shutil.copytree(CONSOLE_FOLDER, tmp_path / "console")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    script = f"import {{ curlAgain }} from './snippets.js'; console.log(curlAgain({json.dumps(ENTRY | sent)}))"
    command = [node, "--input-type=module", "-e", script]
    line = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout
    command = ["sh", "-c", f"{PRINTING_CURL}\n{line}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert {word.replace("{root}", tmp_path.as_uri()) for word in words} <= set(done.stdout.split("\0"))


CHOSEN, DEFAULT = {"language": "da", "market": "dk"}, {"language": "en", "market": "no"}
VALUES = {  # the scopes that have a value, and the one whose value the table of records shows in the chosen language and market
    "the general one": ([{}], {}),
    "the chosen language before the general one": ([{}, {"language": "da"}], {"language": "da"}),
    "both chosen segments before one": ([{"market": "dk"}, CHOSEN, {}], CHOSEN),
    "the default language before the general one": ([{}, {"language": "en"}], {"language": "en"}),
    "both default segments before one": ([{"market": "no"}, DEFAULT, {}], DEFAULT),
    "one chosen segment before the default ones": ([DEFAULT, {"market": "dk"}], {"market": "dk"}),
    "none of other segments": ([{"language": "sv"}, {"language": "da", "market": "se"}], None),
}


@pytest.mark.parametrize("case", VALUES)
def test_the_table_of_records_shows_the_value_that_applies_as_an_export_does(tmp_path, case):
    if (node := shutil.which("node")) is None:
        pytest.skip("Node is not installed")
    scopes, expected = VALUES[case]
    folder = shutil.copytree(CONSOLE_FOLDER, tmp_path / "console")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    attribute, entries = {"dimensionIds": list(DEFAULT)}, [{"scope": scope, "value": scope} for scope in scopes]
    model = f"{{dimensions: new Map({json.dumps([(id, {'defaultSegmentId': segment}) for id, segment in DEFAULT.items()])})}}"
    value = f"valueIn({json.dumps(entries)}, {json.dumps(CHOSEN)}, {json.dumps(attribute)}, {model})"
    script = f"import {{ valueIn }} from './values.js'; console.log(JSON.stringify({value} ?? null))"
    command = [node, "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == expected


# What it is told by the service


def test_the_openapi_document_tells_the_permissions_and_the_demos_logins(app):
    document = get(app, "/openapi.json").json
    permission = document["components"]["schemas"]["Permission"]
    assert permission["enum"] == list(permission["x-enumDescriptions"])
    assert permission["x-enumDescriptions"]["delete-data"] == "Delete records, variants, catalog assignments"
    assert document["components"]["securitySchemes"]["session"]["x-logins"] == [
        {"email": "admin@sigma.io", "password": "admin"},
        {"email": "editor@sigma.io", "password": "editor"},
    ]


# The README


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_pictures_of_the_texts_are_there_and_small():
    texts = {ROOT / "README.md", *(ROOT / "docs").glob("*.md")}
    shown = [
        (text.parent / path).resolve()
        for text in texts
        for path in re.findall(r"!\[[^\]]{20,}\]\(((?:docs/)?pictures/[a-z]+\.webp)\)", text.read_text(encoding="utf-8"))
    ]
    assert sorted(shown) == sorted((ROOT / "docs/pictures").iterdir())
    assert len(shown) == 4
    assert [path for path in shown if path.stat().st_size > 150_000] == []


# The story


STORY = json.loads(TEXTS["story.json"])


def test_the_story_comes_out_as_it_is_told(app, admin):
    callers, made = {"administrator": admin}, {"id": ""}
    for step in STORY:
        method, path = step["request"].replace("{key}", made["id"]).split()
        answer = callers[step["by"]].request(method, path, step.get("body"))
        assert answer.status_code == step["status"], step
        if step["request"] == "POST /api-keys":
            made = answer.json
            callers["key"] = Caller(app, {"X-Sigma-ApiKey": made["rawKey"]})
