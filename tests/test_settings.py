"""Settings: where each comes from, how it is read, and what it does."""

import os
from pathlib import Path

import pytest
from cases import each
from conftest import Caller
from forked import flask
from test_database_of_commands import USES
from test_house import commands

import app as service
from sigma import database, settings

ROOT = Path(service.__file__).parent
SECRET = "0123456789abcdef0123456789abcdef"

# Every setting: its variable, a good value, what is made of it, and what it is without one.
SETTINGS = {
    "DATABASE": ("SIGMA_DATABASE", "{tmp}/other.db", "{tmp}/other.db", str(ROOT / "sigma.db")),
    "JWT_SECRET": ("SIGMA_JWT_SECRET", SECRET, SECRET, None),
    "RECORD_LIMIT": ("SIGMA_RECORD_LIMIT", "500", 500, None),
    "ALLOW_PUBLIC_DEMO": ("SIGMA_ALLOW_PUBLIC_DEMO", "1", True, False),
    "PROXIES": ("SIGMA_PROXIES", "2", 2, 0),
    "REQUEST_LOG": ("SIGMA_REQUEST_LOG", "0", False, True),
    "CONSOLE": ("SIGMA_CONSOLE", "0", False, True),
    "STANDIN_HOSTS": (
        *("SIGMA_STANDIN_HOSTS", "pim.test, Sigma_1,[FD00::1]"),
        *(("pim.test", "sigma_1", "[fd00::1]"), ()),
    ),
    "CORS_ORIGINS": (
        "SIGMA_CORS_ORIGINS",
        "HTTP://LocalHost:5173, https://shop.test:443",
        ("http://localhost:5173", "https://shop.test"),
        (),
    ),
    "WEBHOOK_HOSTS": ("SIGMA_WEBHOOK_HOSTS", "Erp.internal,10.0.0.8", ("erp.internal", "10.0.0.8"), ()),
    "HOST": ("SIGMA_HOST", "0.0.0.0", "0.0.0.0", "127.0.0.1"),
    "PORT": ("SIGMA_PORT", "9000", 9000, 8080),
    "WORKERS": ("SIGMA_WORKERS", "4", 4, 1),
}

ARGUMENTS = {  # what a program may give in the place of 7, and what is made of it
    "DATABASE": ("argument.db", None),
    "JWT_SECRET": (SECRET, SECRET),
    "ALLOW_PUBLIC_DEMO": (True, True),
    "REQUEST_LOG": (False, False),
    "CONSOLE": (False, False),
    "STANDIN_HOSTS": (["A.test", "b.test"], ("a.test", "b.test")),
    "CORS_ORIGINS": (["http://localhost:5173"], ("http://localhost:5173",)),
    "WEBHOOK_HOSTS": (("A.test",), ("a.test",)),
    "HOST": ("::1", "::1"),
}
BAD_VALUES = {
    **{"DATABASE": "a\n.db", "JWT_SECRET": SECRET[:-1], "RECORD_LIMIT": "many", "ALLOW_PUBLIC_DEMO": "yes", "PROXIES": "11"},
    **{"REQUEST_LOG": "no", "CONSOLE": "off", "STANDIN_HOSTS": "*", "HOST": "pim.example.org", "PORT": "65536", "WORKERS": "0"},
    "CORS_ORIGINS": "localhost:5173",
    "WEBHOOK_HOSTS": "http://erp.internal",
}
SERVING = ["HOST", "PORT", "WORKERS"]  # only what serves looks at these, and at their plain names when the others are not set


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """Let no setting come from the environment that the tests run in."""
    for variable in (*(variable for variable, *_ in SETTINGS.values()), *SERVING):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def no_connection_left():
    yield
    database.close_db()


# Where a setting comes from


def test_the_table_above_has_every_setting():
    assert {name: setting.variables for name, setting in settings.SETTINGS.items()} == {
        name: (variable, name) if name in SERVING else (variable,) for name, (variable, *_) in SETTINGS.items()
    }


@each("name", SETTINGS)
def test_a_setting_comes_from_its_argument_else_the_environment_else_its_default(tmp_path, monkeypatch, name):
    variable, text, value, default = (part.format(tmp=tmp_path) if isinstance(part, str) else part for part in SETTINGS[name])
    assert settings.read_setting(name, {}) == default
    monkeypatch.setenv(variable, text)
    assert settings.read_setting(name, {}) == value
    argument, read = ARGUMENTS.get(name, (7, 7))
    argument = tmp_path / argument if name == "DATABASE" else argument
    config = service.create_app({"DATABASE": str(tmp_path / "new.db"), name: argument}).config
    assert config[name] == (str(argument) if name == "DATABASE" else read)
    assert settings.read_setting(name, config) == config[name]


@each("name", SETTINGS)
def test_a_value_that_cannot_be_read_is_refused_and_who_gave_it_is_named(tmp_path, monkeypatch, name):
    for value in (BAD_VALUES[name], {}, 1.5, b"0" * 40, "\n"):
        with pytest.raises(settings.StartError) as refusal:
            service.create_app({"DATABASE": str(tmp_path / "new.db"), name: value})
        assert refusal.value.format_message().startswith(f"{name}: expected ")
    for variable in settings.SETTINGS[name].variables:
        monkeypatch.setenv(variable, BAD_VALUES[name])
        with pytest.raises(settings.StartError) as refusal:
            settings.read_setting(name, {})
        assert refusal.value.format_message().startswith(f"{variable}: expected ")
        if name not in (*SERVING, "DATABASE"):
            with pytest.raises(settings.StartError, match=variable):
                service.create_app({"DATABASE": str(tmp_path / "new.db")})
        monkeypatch.delenv(variable)
    assert list(tmp_path.iterdir()) == []


@each("nothing", [None, ""])
def test_an_argument_that_says_nothing_is_like_none(tmp_path, monkeypatch, nothing):
    """A program that passes on a variable that is not set does not mean the database beside the code."""
    monkeypatch.setenv("SIGMA_RECORD_LIMIT", "5")
    monkeypatch.setenv("SIGMA_DATABASE", str(tmp_path / "new.db"))
    config = service.create_app({"DATABASE": nothing, "RECORD_LIMIT": nothing}).config
    assert (config["DATABASE"], config["RECORD_LIMIT"]) == (str(tmp_path / "new.db"), 5)


def test_true_is_no_number_and_a_number_no_name(tmp_path):
    config = {"DATABASE": str(tmp_path / "new.db")}
    with pytest.raises(settings.StartError, match=r"^RECORD_LIMIT: expected a whole number from 0 to 1000000000, got 'True'"):
        service.create_app({**config, "RECORD_LIMIT": True})
    with pytest.raises(settings.StartError, match=r"^1: no such setting"):
        service.create_app({**config, 1: 2})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_is_refused_and_those_that_exist_are_named(tmp_path):
    with pytest.raises(settings.StartError) as caught:
        service.create_app({"DATABASE": str(tmp_path / "new.db"), "RECORDLIMIT": 5, "TESTING": True})
    message = caught.value.format_message()
    assert message.startswith("RECORDLIMIT: ")
    assert "TESTING" not in message
    assert all(name in message for name in SETTINGS)
    assert list(tmp_path.iterdir()) == []


@each("name", SERVING)
def test_the_services_own_variable_wins_over_the_plain_one(monkeypatch, name):
    variable, text, value, default = SETTINGS[name]
    monkeypatch.setenv(name, text)
    assert settings.read_setting(name, {}) == value
    monkeypatch.setenv(variable, str(default))
    assert settings.read_setting(name, {}) == default


def test_what_only_serving_needs_is_judged_only_there(tmp_path):
    """conda sets HOST to the kind of machine, x86_64-conda-linux-gnu."""
    environment = {"SIGMA_DATABASE": str(tmp_path / "new.db"), "HOST": "x86_64-conda-linux-gnu", "PORT": "none"}
    result = flask("demo", **environment)
    assert (result.returncode, "Error" in result.stderr) == (0, False)
    result = flask("serve", **environment)
    assert (result.returncode, result.stdout) == (1, "")
    other = "if {0} belongs to another program, set SIGMA_{0}, which takes precedence\n"
    told = "Error: HOST: expected an IP address or localhost, got 'x86_64-conda-linux-gnu'; "
    assert result.stderr == told + other.format("HOST")
    result = flask("serve", **environment, SIGMA_HOST="127.0.0.1")
    assert result.stderr == "Error: PORT: expected a whole number from 0 to 65535, got 'none'; " + other.format("PORT")


@each("variable", [variable for variable, *_ in SETTINGS.values()])
def test_an_empty_variable_is_like_none(monkeypatch, variable):
    monkeypatch.setenv(variable, "")
    assert {name: settings.read_setting(name, {}) for name in SETTINGS} == {
        name: default for name, (*_, default) in SETTINGS.items()
    }


INVISIBLE = {  # what editors, env files and web pages leave in a value, and how it is told
    "\ufeff{}": "expected visible characters, got U+FEFF (zero width no-break space) as character 1",
    "{}\r": "expected visible characters, got U+000D (carriage return) as character {end}",
    "{}\n": "expected visible characters, got U+000A (line feed) as character {end}",
    "{}\t": "expected visible characters, got U+0009 (tab) as character {end}",
    "{}\xa0": "expected visible characters, got U+00A0 (no-break space) as character {end}",
    "{}\u200b": "expected visible characters, got U+200B (zero width space) as character {end}",
    "{}\u202e": "expected visible characters, got U+202E (right-to-left override) as character {end}",
    "{}\udce9": "expected visible characters, got U+DCE9 (a byte that is not UTF-8) as character {end}",
    "{} ": "expected no space at the end, got U+0020 (space)",
    " {}": "expected no space at the beginning, got U+0020 (space)",
    " ": "expected no space at the beginning, got U+0020 (space)",
    '"{}"': "expected no quotation mark at the beginning, got U+0022 (quotation mark)",
    "'{}'": "expected no quotation mark at the beginning, got U+0027 (apostrophe)",
    "`{}`": "expected no quotation mark at the beginning, got U+0060 (grave accent)",
    "\u201c{}\u201d": "expected no quotation mark at the beginning, got U+201C (left double quotation mark)",
    "{}\u2019": "expected no quotation mark at the end, got U+2019 (right single quotation mark)",
}


@each("name", SETTINGS)
def test_what_cannot_be_seen_in_or_around_a_value_is_refused_in_every_setting_and_told(tmp_path, monkeypatch, name):
    variable, good = SETTINGS[name][0], SETTINGS[name][1].format(tmp=tmp_path)
    for pattern, told in INVISIBLE.items():
        value, expected = pattern.format(good), told.format(end=len(good) + 1)
        for source, given in ((variable, {}), (name, {name: value})):
            with monkeypatch.context() as patch:
                patch.setenv(variable, value)
                with pytest.raises(settings.StartError) as refused:
                    settings.read_setting(name, given)
            assert refused.value.message == f"{source}: {expected}", repr(value)
            assert SECRET not in refused.value.message


def test_quotes_and_spaces_within_a_value_are_its_own(tmp_path, monkeypatch):
    path = str(tmp_path / "Ann's \u201cnew\u201d data.db")
    monkeypatch.setenv("SIGMA_DATABASE", path)
    monkeypatch.setenv("SIGMA_JWT_SECRET", f"{SECRET}'")
    assert settings.read_setting("DATABASE", {}) == path
    assert settings.read_setting("JWT_SECRET", {}) == f"{SECRET}'"


def test_what_kubernetes_sets_for_a_service_is_told(monkeypatch):
    monkeypatch.setenv("SIGMA_PORT", "tcp://10.0.0.1:8080")
    with pytest.raises(settings.StartError) as refused:
        settings.read_setting("PORT", {})
    assert refused.value.message == (
        "SIGMA_PORT: expected a whole number from 0 to 65535, got 'tcp://10.0.0.1:8080';"
        " Kubernetes sets SIGMA_PORT for a Service: set enableServiceLinks: false, or give the Service another name"
    )


def test_a_variable_that_looks_like_a_setting_and_is_none_is_warned_of_with_the_nearest_one(app, monkeypatch):
    for variable in ("SIGMA_API_URL", "SIGMA_API_KEY", "SIGMA_PORT_8080_TCP_ADDR", "SIGMA_SERVICE_HOST", "SIGMA_HOST"):
        monkeypatch.setenv(variable, "x")
    assert settings.unknown_variables() == []
    for variable in ("SIGMA_DATABSE", "sigma_port", "SIGMA_XYLOPHONE"):
        monkeypatch.setenv(variable, "x")
    told = [
        "SIGMA_DATABSE is not a setting; did you mean SIGMA_DATABASE?",
        "SIGMA_XYLOPHONE is not a setting",
        "sigma_port is not a setting; did you mean SIGMA_PORT?",
    ]
    assert settings.unknown_variables() == told
    result = app.test_cli_runner().invoke(args=["keys", "list", "--workspace", "ws-demo"])
    assert result.exit_code == 0
    assert result.stderr.splitlines()[:-1] == [f"Warning: {line}" for line in told]
    result = app.test_cli_runner().invoke(args=["keys", "list", "--workspace", "ws-demo", "--json"])
    assert result.stderr == ""


OTHERS = {  # what the commands take that need no database
    "flask demo": [],
    "flask env": [],
    "flask keys needs": ["GET /records"],
    "flask restore": ["rows.csv", "--yes"],
    "flask schema guess": ["rows.csv"],
    "flask seed check": ["rows.csv"],
    "flask serve": [],
    "flask start": [],
    "flask status": [],
    "flask stop": [],
    "flask workspace create": ["acme", "--name", "Acme", "--email", "ann@acme.example"],
}
NO_SETTINGS = {"flask play"}  # it takes none


@each("command", sorted(set(commands()) - NO_SETTINGS))
def test_each_command_warns_of_an_unknown_variable_even_if_it_then_fails(app, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGMA_DATABSE", "mine.db")
    monkeypatch.setenv("SIGMA_HOST", "192.0.2.1")  # where nothing can be served
    Path("rows.csv").touch()
    app.config["DATABASE"] = str(tmp_path / "none.db")
    arguments = [*command.split()[1:], *{**USES, **OTHERS}[command]]
    result = app.test_cli_runner().invoke(args=arguments, input="a long enough password\n")
    database.close_db()
    warning = "Warning: SIGMA_DATABSE is not a setting; did you mean SIGMA_DATABASE?"
    assert result.stderr.splitlines().count(warning) == 1


def test_what_serves_warns_of_an_unknown_variable(tmp_path):
    result = flask(
        "serve", SIGMA_DATABASE=str(tmp_path / "new.db"), SIGMA_HOSTS="0.0.0.0", SIGMA_HOST="192.0.2.1", SIGMA_PORT="0"
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0] == "Warning: SIGMA_HOSTS is not a setting; did you mean SIGMA_HOST?"


def test_a_relative_path_means_the_directory_one_started_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGMA_DATABASE", "here.db")
    app = service.create_app()
    monkeypatch.chdir("/")
    assert Caller(app).get("/healthz").status_code == 200
    assert (tmp_path / "here.db").is_file()


@each("limit", [0, 47, 48])
def test_the_record_limit_is_kept(app, key, error, limit):
    app.config["RECORD_LIMIT"] = limit
    answers = [key.post("/records", {"schemaId": "schema-apparel", "values": {}}) for _ in range(2)]
    free = max(0, limit - 47)  # that many the demo workspace has
    assert [answer.status_code for answer in answers] == [201] * free + [403] * (2 - free)
    error(answers[-1], 403, "LIMIT_EXCEEDED")
    assert key.get("/records").json["total"] == 47 + free


def test_a_setting_of_one_app_is_none_of_another(tmp_path):
    first = service.create_app({"DATABASE": str(tmp_path / "a.db"), "RECORD_LIMIT": 1})
    second = service.create_app({"DATABASE": str(tmp_path / "b.db")})
    assert (first.config["RECORD_LIMIT"], second.config["RECORD_LIMIT"]) == (1, None)


# The readers, one by one


READ = [  # a reader, a text, and what it makes of it
    (settings.whole_number(0, 10), "0", 0),
    (settings.whole_number(0, 10), "10", 10),
    (settings.whole_number(0, 10), "007", 7),
    (settings.whole_number(1, 10**15), "9" * 15, 10**15 - 1),
    (settings.yes_or_no, "0", False),
    (settings.yes_or_no, "1", True),
    (settings.host_names, "pim.test", ("pim.test",)),
    (settings.host_names, " A.test , b_1-c,[FD00::1]", ("a.test", "b_1-c", "[fd00::1]")),
    (settings.web_origins, "*", ("*",)),
    (settings.web_origins, " * ", ("*",)),
    (settings.web_origins, "http://localhost:5173", ("http://localhost:5173",)),
    (settings.web_origins, "http://A.test:80 , https://a.test:443,http://a.test", ("http://a.test", "https://a.test")),
    (settings.web_origins, "https://a.test:80,http://a.test:443", ("https://a.test:80", "http://a.test:443")),
    (settings.web_origins, "http://[::1]:5173,capacitor://localhost", ("http://[::1]:5173", "capacitor://localhost")),
    (settings.database_path, ":memory:", ":memory:"),
    (settings.database_path, "/data/sigma.db", "/data/sigma.db"),
    (settings.database_path, "/data/../sigma.db", "/sigma.db"),
    (settings.database_path, "/data/", "/data/"),
    (settings.database_path, "sigma.db", os.path.abspath("sigma.db")),
    (settings.host_address, "localhost", "127.0.0.1"),
    (settings.host_address, "0.0.0.0", "0.0.0.0"),
    (settings.host_address, "[::1]", "::1"),
    (settings.host_address, "FD00:0::1", "fd00::1"),
    (settings.signing_secret, SECRET, SECRET),
    (settings.signing_secret, "æ" * 16, "æ" * 16),
]
REFUSED = [  # a reader, what its refusal says that it expected, and texts
    (settings.whole_number(1, 10), "a whole number from 1 to 10", ["0", "11", "", "-1", "+1", " 1", "1.0"]),
    (settings.whole_number(0, 10**20), "a whole number from 0 to 1", ["9" * 16, "\u0661", "1_0", "0x1", "1\n"]),
    (settings.yes_or_no, "0 or 1", ["", "2", "yes", "true", " 1"]),
    (settings.host_names, "host names without ports", ["", "a.test,", "a.test:80", "*", ".test", "a..b", "fd00::1"]),
    (settings.host_names, "host names without ports", ["http://a.test", "a b", "[fd00::1]:80", "a.test\nb.test"]),
    (
        settings.web_origins,
        "origins without a path",
        ["", "localhost:5173", "http://a.test/", "http://a.test/x", "null", "a b"],
    ),
    (settings.web_origins, "origins without a path", ["http://a.test,", "*,http://a.test", "http://*.a.test", "http://æ.test"]),
    (settings.web_origins, "origins without a path", ["http://a.test:x", "http://u@a.test", "http://a.test\nx", "//a.test"]),
    (settings.database_path, "the path of a file", ["a\n.db", "a\0.db", "\x1b[2J"]),
    (settings.host_address, "an IP address or localhost", ["", "pim.test", "127.1", "::1:80:x", "256.0.0.1", "*"]),
    (settings.signing_secret, "32 bytes or more", ["", SECRET[:-1], "æ" * 15]),
]


@each(("read", "text", "value"), READ)
def test_a_text_is_read(read, text, value):
    assert repr(read(text)) == repr(value)


@each(("read", "expected", "text"), [(read, expected, text) for read, expected, texts in REFUSED for text in texts])
def test_a_text_that_cannot_be_read_is_refused_with_what_was_expected(read, expected, text):
    with pytest.raises(ValueError, match=f"^expected {expected}") as refusal:
        read(text)
    assert read is not settings.signing_secret or not text or text not in str(refusal.value)


@each("read", [settings.whole_number(0, 1), settings.host_names, settings.web_origins, settings.host_address])
def test_a_refusal_repeats_no_more_than_60_characters(read):
    with pytest.raises(ValueError, match=r"got '!{60}'$"):
        read("!" * 5000)


@each(
    ("value", "text"),
    [
        (None, ""),
        (True, "True"),
        (False, "False"),
        (0, "0"),
        (8080, "8080"),
        ("as it is", "as it is"),
        (Path("/data/sigma.db"), "/data/sigma.db"),
        ((), ""),
        (["a.test", "b.test"], "a.test,b.test"),
        (("a.test",), "a.test"),
        (["a.test", ""], "a.test,''"),
        ([None, 7], "'',7"),
    ],
    ids=repr,
)
def test_what_a_program_gives_is_written_as_in_the_environment(value, text):
    assert settings.setting_text(value) == text


@each("value", [1.5, {}, set(), b"bytes", object(), ["a.test", 1.5]], ids=lambda value: type(value).__name__)
def test_what_is_neither_text_nor_number_is_no_setting(value):
    with pytest.raises(ValueError, match=r"^expected text or a number, got (float|dict|set|bytes|object)$"):
        settings.setting_text(value)
