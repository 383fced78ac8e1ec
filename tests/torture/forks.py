"""A process that runs tests on a module with other contents, each time in a fork of its own, which is quicker than a start.

It reads a line of JSON for each run (the module, what it is to hold, the arguments of pytest) and writes one with the exit
code and the end of the output.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("flask_smorest", "flask_cors", "jwt", "re2", "openapi_spec_validator")


class Replaced(importlib.machinery.SourceFileLoader):
    """Loads a module from a text instead of its file, and finds only that one."""

    text = ""

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname):
        return compile(self.text, self.path, "exec")


class FirstCasesFirst:
    """Lets pytest run the first case of every test before all other cases: what is wrong shows up sooner."""

    def pytest_collection_modifyitems(self, items):
        seen = set()
        for item in items:
            name = item.nodeid.partition("[")[0]
            item.is_later = name in seen
            seen.add(name)
        items.sort(key=lambda item: item.is_later)


def run(module, text, arguments):
    """Run pytest on the module as the text has it, and end the process."""
    signal.alarm(600)  # ends what goes round in circles
    loader = Replaced(module, str(ROOT / f"{module.replace('.', '/')}.py"))
    loader.text = text
    sys.meta_path.insert(0, loader)
    os._exit(int(pytest.main(arguments, [FirstCasesFirst()])))


def main():
    os.chdir(ROOT)
    for name in NEEDED:
        importlib.import_module(name)
    for line in sys.stdin:
        with tempfile.TemporaryFile() as output:
            if not (child := os.fork()):
                for stream in (1, 2):
                    os.dup2(output.fileno(), stream)
                run(**json.loads(line))
            _, status = os.waitpid(child, 0)
            output.seek(0)
            told = output.read().decode("utf-8", "replace")[-3000:]
        sys.stdout.write(f"{json.dumps([os.waitstatus_to_exitcode(status), told])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
