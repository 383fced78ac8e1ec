"""The tables of the documents that are the code's to say: `make tables` writes them anew; a test tells when they are old."""

import os
import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import app as service
from sigma import settings

ROOT = Path(service.__file__).parent
PLACEHOLDERS = {"<id>": ":id", "<value_id>": ":valueId", "<attribute>": ":attr", "<variant_id>": ":vid"}
SAME = {"MIT License": "MIT", "BSD License": "BSD-3-Clause"}  # classifiers do not say which of the BSD licences it is
DEFAULTS = {None: "*unset*", (): "*unset*", True: "`1`", False: "`0`", str(ROOT / "sigma.db"): "`sigma.db` beside `app.py`"}


def routes_of(app):
    """Yield each route of the API: method, path, what a key needs, and what the role of a signed-in user needs."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1") and rule.access.kind != "not-built":
            path = re.sub("<[a-z_]+>", lambda match: PLACEHOLDERS[match[0]], rule.rule.removeprefix("/api/v1"))
            key = "—" if rule.access.kind == "session" else rule.access.requirement
            user = "public" if key == "public" else rule.access.flag or "any"
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield f"`{method}`", f"`{path}`", key, user


def settings_of(_):
    """Yield each setting: its names in the environment, its default, and what it means."""
    for setting in settings.SETTINGS.values():
        names = ", ".join(f"`{name}`" for name in setting.variables)
        yield names, DEFAULTS.get(setting.default, f"`{setting.default}`"), setting.meaning


def licence_of(package):
    """Return the licence of an installed package as its own metadata has it: an expression, or the words of a classifier."""
    about = metadata.metadata(package)
    classifiers = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or [] if line.startswith("License")]
    told = about.get("License-Expression") or about.get("License") or classifiers[0]
    return SAME.get(told, told)


def licences_of(_):
    """Yield each package that is required, and its licence."""
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for package in re.findall(r"^([\w-]+)==", required, re.MULTILINE):
        yield f"`{package}`", licence_of(package)


TABLES = {
    "docs/routes.md": (("method", "path", "key", "session"), routes_of),
    "docs/operations.md": (("package", "licence"), licences_of),
    "README.md": (("variable", "default", "meaning"), settings_of),
}


def line_of(cells):
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |\n"


def renewed(name, app):
    """Return the text of a document with its table as the code has it."""
    text, (columns, rows_of) = (ROOT / name).read_text(encoding="utf-8"), TABLES[name]
    head = line_of(columns) + line_of(["---"] * len(columns))
    before, _, after = text.partition(head)
    assert after, f"{name} has no table of {', '.join(columns)}"
    rest = re.sub(r"\A(?:\|.*\n)*", "", after)
    return before + head + "".join(map(line_of, rows_of(app))) + rest


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = service.create_app({"DATABASE": os.path.join(folder, "sigma.db")})
        for document in TABLES:
            (ROOT / document).write_text(renewed(document, made), encoding="utf-8")
