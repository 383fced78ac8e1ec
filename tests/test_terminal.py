"""What commands print: on every terminal, in every encoding, where nobody takes it, and by which name they call themselves."""

import ast
import io
import os
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest
from cases import each
from conftest import sql
from flask.cli import ScriptInfo
from test_house import TREES, commands, nodes

from sigma import database, settings
from sigma.cli import routes, serve, start, terminal
from sigma.cli.commands import COMMANDS, load_command
from sigma.http.access import list_built_routes

NAME = "Åse ☃"  # Latin-1 has its first letter, ASCII neither sign
LEDGER = ["--workspace", "ws-demo"]
TRIED = {  # every command, with arguments with which it prints something to standard output
    "demo": [],
    "serve": [],
    "start": [],
    "status": [],
    "stop": [],
    "env": ["--unset"],
    "play": None,  # has a test of its own, for it takes seconds
    "keys list": LEDGER,
    "keys create": ["--name", NAME, "--permission", "read", *LEDGER],
    "keys deactivate": ["apikey-sync-prod", *LEDGER],
    "keys delete": ["apikey-sync-prod", "--yes", *LEDGER],
    "keys advise": ["apikey-named", *LEDGER],
    "keys needs": [f"GET /{NAME}"],
    "users list": LEDGER,
    "users add": ["ann@acme.example", "--name", NAME, "--role", "role-admin", *LEDGER],
    "users password": ["editor@sigma.io"],
    "users role": ["editor@sigma.io", "role-admin"],
    "users remove": ["editor@sigma.io"],
    "workspace list": [],
    "workspace create": ["acme", "--name", NAME, "--email", "ann@acme.example"],
    "workspace delete": ["ws-other", "--yes"],
    "webhooks list": LEDGER,
    "webhooks deliveries": LEDGER,
    "webhooks run": LEDGER,
    "webhooks redeliver": None,  # needs a delivery; what it prints is one sentence as all the others
    "backup": ["☃.db"],
    "restore": ["backup.db", "--yes"],
    "import": ["☃.csv", "--schema", "schema-apparel", *LEDGER],
    "export": ["-", "--schema", "schema-apparel", *LEDGER],
    "schema guess": ["☃.csv"],
    "schema create": ["seed.json", *LEDGER],
    "seed export": ["-", *LEDGER],
    "seed check": ["seed.json"],
    "doctor": [],
}
FAILS = {"status", "keys needs", "import"}  # for a reason that it prints
AS_A_FILE = {"export", "seed export"}  # which are in UTF-8
GOES_ON = {"serve"}  # a service does its work also if nobody reads what it prints


def test_every_command_is_tried():
    assert sorted(f"flask {name}" for name in TRIED) == sorted(commands())


@pytest.fixture
def prepared(app, template, monkeypatch, tmp_path):
    """The app, with what the commands above act on, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("☃.csv").write_text("sku;name\nXX-1;☃\n", encoding="utf-8")
    Path("seed.json").write_text('{"model": []}', encoding="utf-8")
    shutil.copy(template, "backup.db")
    sql(app, "UPDATE api_keys SET id = 'apikey-named', name = ? WHERE id = 'apikey-export-staging'", NAME)
    monkeypatch.setattr(serve, "run_server", lambda *_: None)
    monkeypatch.setattr(start, "_run_service", lambda log: start.Running(1, "http://127.0.0.1:1", None))
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long enough password\n"))
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    app.config["PORT"] = 0
    return app


def call(app, words, output):
    """Run a command that prints to a stream, and return its exit code and what it prints to standard error."""
    errors = io.TextIOWrapper(io.BytesIO(), "latin-1", errors="strict", write_through=True)
    with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        app.cli.main(words, "flask", obj=ScriptInfo(create_app=lambda: app))
    database.close_db()
    code = ended.value.code
    return code or 0, errors.buffer.getvalue().decode("latin-1")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("name", [name for name, arguments in TRIED.items() if arguments is not None])
def test_what_an_encoding_cannot_show_keeps_no_command_from_printing(prepared, name, encoding):
    raw = io.BytesIO()
    code, errors = call(prepared, [*name.split(), *TRIED[name]], io.TextIOWrapper(raw, encoding, write_through=True))
    printed = raw.getvalue()
    assert "Traceback" not in errors
    assert code == int(name in FAILS)
    assert printed
    printed.decode("utf-8" if name in AS_A_FILE else encoding)


@pytest.fixture(params=["full", "gone", "closed"])
def lost(request, monkeypatch):
    """A standard output that takes nothing, and why."""
    monkeypatch.setattr(sys, "__stdout__", None if request.param == "closed" else sys.stdout)
    if request.param == "closed":
        yield None, "it is closed"
    elif request.param == "full":
        with open("/dev/full", "w", encoding="utf-8") as full:
            yield full, "No space left on device"
    else:
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w", encoding="utf-8") as pipe:
            yield pipe, "Broken pipe"


def what_is_done(name, reason):
    """The end of the line, as a pattern: what has been done although nobody sees it."""
    if name == "env":  # which does nothing
        return ""
    if reason == "it is closed":
        return "; nothing was done"
    if name == "keys create":
        return r"\. Key 'apikey-[0-9a-f]{16}' is deleted again, because nobody has seen it"
    return "" if name in AS_A_FILE else r"\. The command itself was carried out"


@pytest.mark.parametrize("name", [name for name, arguments in TRIED.items() if arguments is not None])
def test_a_command_whose_output_is_lost_says_so_in_one_line(prepared, lost, name):
    output, reason = lost
    code, errors = call(prepared, [*name.split(), *TRIED[name]], output)
    if name in GOES_ON:
        assert (code, "Error" in errors) == (0, False)
    else:
        assert code == 1
        told = errors.splitlines()
        assert re.fullmatch(
            rf"Error: Standard output does not take the result: .*{reason}{what_is_done(name, reason)}", told[-1]
        )
        assert [line for line in told if "Error" in line or "Traceback" in line] == told[-1:]


@pytest.mark.parametrize("lost", ["full", "closed"], indirect=True)
@pytest.mark.parametrize("name", TRIED)
def test_a_help_that_is_lost_is_an_error_too(session_app, lost, name):
    output, reason = lost
    code, errors = call(session_app, [*name.split(), "--help"], output)
    assert code == 1
    assert errors.startswith("Error: Standard output does not take the result: ")
    assert errors.endswith(f"{reason}\n")


# -- How one calls a command here


@pytest.fixture
def typed(monkeypatch):
    """Return a function that pretends that commands are called in this way."""

    def pretend(*words, script):
        monkeypatch.setattr(sys, "orig_argv", [*words])
        monkeypatch.setattr(sys, "argv", [str(script)])

    return pretend


def helps(app, name):
    output = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    call(app, [*name.split(), "--help"], output)
    return output.buffer.getvalue().decode()


@pytest.fixture
def unnamed():
    """Give commands the help back that they have in the code."""
    listed = [load_command(name) for name in COMMANDS]
    for group in [*listed]:
        listed += getattr(group, "commands", {}).values()
    before = {command: command.help for command in listed}
    yield
    for command, text in before.items():
        command.help = text


@pytest.mark.usefixtures("unnamed")
@pytest.mark.parametrize("name", [*TRIED, *{name.split()[0] for name in TRIED if " " in name}, ""])
def test_the_help_of_the_one_file_to_carry_names_itself(session_app, typed, monkeypatch, name):
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    typed("python3", "sigma-pim.pyz", script="sigma-pim.pyz")
    text = " ".join(helps(session_app, name).split())
    own = text if name else text.partition("Commands:")[2]  # the rest is about Flask's options
    assert not re.search(r"(?<!-m )\bflask [a-z]", own.replace("flask routes", ""))
    if name:
        assert f"Usage: python3 sigma-pim.pyz {name} [OPTIONS]" in text
    if name in TRIED:
        assert "python3 sigma-pim.pyz" in text.partition("Example: ")[2]


SAID = "run `flask workspace create`, or SIGMA_PORT=1 flask start; not flask's, nor flask-cors"


def named(flask="flask"):
    return f"run `{flask} workspace create`, or SIGMA_PORT=1 {flask} start; not flask's, nor flask-cors"


def name_in_context(app_option=None, said=SAID):
    root = click.Group("root", params=[click.Option(["--app"], expose_value=False)])
    with root.make_context("flask", ["--app", app_option, "x"] if app_option else ["x"]) as context:
        context.ensure_object(ScriptInfo).app_import_path = app_option
        return terminal.name_program(said)


def test_commands_are_named_as_one_types_them(typed, monkeypatch, tmp_path):
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.delenv("FLASK_APP", raising=False)
    assert terminal.name_program(SAID) == SAID  # called by a program
    typed("python3.12", "my files/sigma-pim.pyz", script="my files/sigma-pim.pyz")
    assert terminal.name_program(SAID) == named("python3.12 'my files/sigma-pim.pyz'")
    program = {"_SIGMA_PROGRAM": "python3.12 'my files/sigma-pim.pyz'", "_SIGMA_STOP": "`flask stop`"}
    assert terminal.hand_on_program() == program
    folder = tmp_path / "project" / ".venv" / "bin"
    folder.mkdir(parents=True)
    flask = folder / "flask"
    flask.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(terminal, "ROOT", tmp_path / "project")
    for script in (flask, "/lib/flask/__main__.py"):
        typed(script=script)
        monkeypatch.setenv("PATH", "/usr/bin")
        assert name_in_context() == named(".venv/bin/flask")
        assert name_in_context("app") == named(".venv/bin/flask")
        monkeypatch.setenv("PATH", str(folder))
        assert name_in_context() == SAID
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert name_in_context("project/app.py") == named("project/.venv/bin/flask --app project/app.py")
    flask.unlink()
    assert name_in_context() == named(f"{folder}/python -m flask")


@pytest.mark.parametrize(("path", "shown"), [("bin", "python3"), ("elsewhere", "{bin}/python3")])
def test_the_python_of_the_one_file_to_carry_is_its_name_where_the_shell_finds_it_by_that(
    typed, monkeypatch, tmp_path, path, shown
):
    for name in ("bin", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "python3").touch(0o755)
    monkeypatch.delenv("MAKELEVEL", raising=False)  # of the make that runs the tests
    monkeypatch.setenv("PATH", str(tmp_path / path))
    typed(f"{tmp_path}/bin/python3", "sigma-pim.pyz", script="sigma-pim.pyz")
    program = f"{shown.format(bin=tmp_path / 'bin')} sigma-pim.pyz"
    assert terminal.name_program("`flask stop`, or `make run`") == f"`{program} stop`, or `{program}` alone"


def test_a_service_in_the_background_names_commands_as_they_are_typed_where_it_was_started(typed, monkeypatch):
    typed(script="/lib/flask/__main__.py")
    monkeypatch.setenv("_SIGMA_PROGRAM", "python3 sigma-pim.pyz")
    assert name_in_context("app.py") == named("python3 sigma-pim.pyz")


def test_what_make_does_is_named_by_its_verb(typed, monkeypatch):
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.chdir(settings.ROOT)
    typed(script="/lib/flask/__main__.py")
    with click.Context(click.Group("root"), info_name="flask"):
        for verb in ("serve", "start", "status", "stop"):
            assert terminal.name_program(f"`flask {verb}` does it") == f"`make {verb}` does it"
            assert terminal.name_program(f"`A=b.db flask {verb}`") == f"`A=b.db make {verb}`"


START = f"start it with {terminal.START_WITH_DEMO}"


@each("folder", [settings.ROOT, Path("/")])
def test_in_the_folder_of_the_makefile_a_start_with_the_demo_is_one_verb(typed, monkeypatch, folder):
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.chdir(folder)
    typed(script="flask")
    shown = name_in_context(f"{settings.ROOT}/app.py", START)
    assert (shown == "start it with `make start`") is (folder == settings.ROOT)
    assert re.fullmatch("start it with (`make start`|`[^`]*flask [^`]*demo`, then `[^`]*flask [^`]*start`)", shown)
    typed("python3", "sigma-pim.pyz", script="sigma-pim.pyz")
    monkeypatch.setattr(terminal, "ROOT", Path("/of/the/archive"))
    assert name_in_context(None, START) == "start it with `python3 sigma-pim.pyz demo`, then `python3 sigma-pim.pyz start`"


def test_nothing_is_printed_but_by_the_terminals_own_functions():
    printers = {"echo", "secho", "print", "echo_via_pager"}
    found = []
    for path, tree in TREES.items():
        for node in nodes(tree):
            if isinstance(node, ast.Call) and path != "sigma/cli/terminal.py":
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                found += [f"{path}:{node.lineno}"] * (name in printers)
    assert found == []


def test_every_command_is_of_the_kind_that_prints_plainly():
    for name in COMMANDS:
        command = load_command(name)
        kinds = [command, *getattr(command, "commands", {}).values()]
        assert {type(kind) for kind in kinds} <= {terminal.Command, terminal.Group}


# -- Colour and width


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
    ids=str,
)
@pytest.mark.parametrize("kind", [Terminal, io.TextIOWrapper])
def test_colour_is_for_terminals_that_want_it(monkeypatch, kind, variables, is_coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)

    @click.command("paint", cls=terminal.Command)
    def paint():
        terminal.write_text("red", fg="red")
        terminal.write_text("plain")

    output = kind(io.BytesIO(), "utf-8", write_through=True)
    with redirect_stdout(output):
        paint.main([], "paint", standalone_mode=False)
    printed = output.buffer.getvalue()
    red = b"\x1b[31mred\x1b[0m" if is_coloured and kind is Terminal else b"red"
    assert printed == red + b"\nplain\n"


def list_routes(app, kind, columns, monkeypatch):
    """Return the lines of `make routes` on a terminal, or in a file."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    output = kind(io.BytesIO(), "utf-8", write_through=True)
    with redirect_stdout(output), pytest.raises(SystemExit) as ended:
        routes.list_routes.main([], "routes", obj=ScriptInfo(create_app=lambda: app))
    assert not ended.value.code
    return output.buffer.getvalue().decode().splitlines()


def test_the_list_of_routes_is_as_wide_as_the_terminal(app, monkeypatch):
    whole = list_routes(app, io.TextIOWrapper, 80, monkeypatch)
    assert len(whole) == len(list(list_built_routes(app)))
    listed = [re.split(" {2,}", line.replace(" ", "  ", 1), maxsplit=2) for line in whole]
    assert ["PATCH", "/api/v1/records/{id}/values/{attribute}", "update-data"] in listed
    assert ["POST", "/api/v1/api-keys", "people only: canManageRoles"] in listed
    assert ["GET", "/docs/{file}", "public"] in listed
    for columns in (200, 80, 60):
        lines = list_routes(app, Terminal, columns, monkeypatch)
        assert max(map(len, lines)) <= max(columns, 8 + max(len(path) for _, path, _ in listed))
        assert "".join("".join(lines).split()) == "".join("".join(whole).split())
    assert "PATCH   /api/v1/records/{id}/values/{attribute}" in lines
    assert list_routes(app, Terminal, 1, monkeypatch)


def test_a_table_that_a_terminal_is_too_narrow_for_has_a_line_for_each_cell(monkeypatch):
    rows = [("ID", "NAME", ""), ("a-1", "Åse \x1b[2J", "demo"), ("b-22", "", "")]
    table = "ID    NAME\na-1   Åse ?[2J  demo\nb-22"
    blocks = "ID    a-1\nNAME  Åse ?[2J\n      demo\n\nID    b-22"
    for columns, kind, expected in (
        (80, Terminal, table),
        (20, Terminal, table),
        (19, Terminal, blocks),
        (19, io.TextIOWrapper, table),
    ):
        monkeypatch.setenv("COLUMNS", str(columns))
        with redirect_stdout(kind(io.BytesIO(), "utf-8")):
            assert terminal.format_table(*rows) == expected


def test_the_command_that_stops_a_service_names_its_database_unless_it_is_the_default(typed, monkeypatch, tmp_path):
    typed(script="/lib/flask/__main__.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGMA_DATABASE", raising=False)
    assert terminal.stop_command() == "`flask stop`"
    monkeypatch.setenv("_SIGMA_STOP", "`sigma stop`")  # of a service in the background
    assert terminal.stop_command() == "`sigma stop`"
    monkeypatch.delenv("_SIGMA_STOP")
    assert terminal.stop_command(str(settings.ROOT / "sigma.db")) == f"`SIGMA_DATABASE={settings.ROOT}/sigma.db flask stop`"
    for named, told in {"mine.db": "mine.db", f"{tmp_path}/my own.db": "'my own.db'", "/srv/s.db": "/srv/s.db"}.items():
        monkeypatch.setenv("SIGMA_DATABASE", named)
        assert terminal.stop_command() == f"`SIGMA_DATABASE={told} flask stop`"
    monkeypatch.setenv("SIGMA_DATABASE", str(settings.ROOT / "sigma.db"))
    assert terminal.stop_command() == "`flask stop`"
    monkeypatch.setenv("SIGMA_DATABASE", str(tmp_path / "sigma.db"))
    assert terminal.stop_command() == "`SIGMA_DATABASE=sigma.db flask stop`"
    typed("python3", "sigma-pim.pyz", script="sigma-pim.pyz")  # its default is a file in the current folder
    assert terminal.stop_command() == "`flask stop`"
