"""The tool that writes the hashes of what the service runs on, against a package index of three releases."""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "pin.py"
FILES = {
    "plain-1.0-py3-none-any.whl": True,
    "plain-1.0-py2.py3-none-any.whl": True,
    "plain-1.0.tar.gz": True,
    "plain-1.0-py2-none-any.whl": False,
    "plain-1.0-py2.7.egg": False,
    "plain-1.0.1-py3-none-any.whl": False,
    "plain-1.0.1.tar.gz": False,
    "Big_Thing-2.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": True,
    "Big_Thing-2.0-1-cp313-cp313t-macosx_11_0_arm64.whl": True,
    "Big_Thing-2.0-cp39-abi3-musllinux_1_2_aarch64.whl": True,
    "Big_Thing-2.0-cp310-cp310-manylinux_2_17_x86_64.whl": False,
    "Big_Thing-2.0-cp27-cp27mu-manylinux1_x86_64.whl": False,
    "Big_Thing-2.0-pp311-pypy311_pp73-manylinux_2_17_x86_64.whl": False,
    "Big_Thing-2.0-graalpy311-graalpy242_311_native-manylinux_2_17_x86_64.whl": False,
    "Big_Thing-2.1-cp311-cp311-manylinux_2_17_x86_64.whl": False,
}
BEFORE = f"""# What it needs, plain==9 being none of it.
plain==1.0 \\
    --hash=sha256:{"0" * 64} \\
    --hash=sha256:{"1" * 64}

# Newer ones are slow.
Big.Thing==2.0
"""


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        project = self.path.removeprefix("/simple/").removesuffix("/")
        names = [name for name in FILES if name.lower().replace("_", "-").startswith(f"{project}-")]
        files = [{"filename": name, "url": name, "hashes": {"sha256": digest(name)}} for name in names]
        body = json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": files}).encode()
        self.send_response(200 if self.headers["Accept"] == "application/vnd.pypi.simple.v1+json" else 406)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def index():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
        thread.join()


@pytest.fixture
def pin(tmp_path):
    """Run the tool on a file, and return what it ends with, what it says, and what the file is then."""
    (tmp_path / "tests").mkdir()
    tool, requirements = shutil.copy(TOOL, tmp_path / "tests"), tmp_path / "requirements.txt"

    def run(text):
        requirements.write_text(text, encoding="utf-8")
        with index() as url:
            environ = {**os.environ, "PIP_INDEX_URL": url, "PIP_NO_CACHE_DIR": "1", "NO_PROXY": "127.0.0.1"}
            done = subprocess.run([sys.executable, tool], env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr, requirements.read_text(encoding="utf-8")

    return run


def pinned(project):
    hashes = sorted(digest(name) for name, is_wanted in FILES.items() if is_wanted and name.startswith(project))
    return "".join(f" \\\n    --hash=sha256:{each}" for each in hashes)


def test_each_release_has_the_hashes_of_the_files_that_can_be_installed_and_no_other(pin):
    wanted = f"""# What it needs, plain==9 being none of it.
plain==1.0{pinned("plain")}

# Newer ones are slow.
Big.Thing==2.0{pinned("Big_Thing")}
"""
    assert pin(BEFORE) == (0, "", wanted)
    assert pin(wanted) == (0, "", wanted)


def test_a_release_that_the_index_does_not_have_is_told_and_nothing_is_written(pin):
    code, said, text = pin("plain==3.0\n")
    assert (code, text) == (1, "plain==3.0\n")
    assert said.startswith("Error: http://127.0.0.1:")
    assert said.endswith("/simple/plain/ lists no file of plain 3.0.\n")
