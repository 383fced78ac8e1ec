"""Sigma PIM embedded, for a test suite. Copy this file into your project; it needs Python 3.9 or newer, and no packages.

    from sigma_standin import Standin

    with Standin("../sigma-pim-embedded") as standin:  # a checkout, in which `make install` has been called once
        key = standin.key("read", "update-data")
        run_my_integration(standin.url, key)  # which sends the key as X-Sigma-ApiKey
        assert standin.requests(key=key, status="4xx") == []

That starts a service, on a free port and with a database of its own. Both go when it is closed, and when the program that
started it ends, however it ends. Without a path, the variable SIGMA_STANDIN has it: that of a checkout, of the one file of
`make dist`, or the address of a service that runs already (http://127.0.0.1:8080), which is then left as it is.

With pytest, import the fixtures in conftest.py (or call `pytest -p sigma_standin`):

    from sigma_standin import standin, workspace

`standin` is there for the run, in each worker of pytest-xdist another one. `workspace` is for one test alone; it holds what
the demo does, or what `@pytest.mark.parametrize("workspace", ["empty"], indirect=True)` says.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Standin", "StandinError", "Workspace"]

START_TIMEOUT, STOP_TIMEOUT, ANSWER_TIMEOUT = 60, 15, 30  # seconds
ALL_PERMISSIONS = ("read", "update-data", "delete-data", "update-model", "delete-model")
ADMINISTRATOR = {"email": "admin@sigma.io", "password": "admin"}  # of the demo

Self = TypeVar("Self", bound="_Client")


class StandinError(Exception):
    """What the service refuses, by status, code and message; status 0 and code NOT_RUNNING when there is no service."""

    def __init__(self, message: str, status: int = 0, code: str = "NOT_RUNNING") -> None:
        super().__init__(f"{status} {code}: {message}" if status else message)
        self.status, self.code, self.message = status, code, message


class _Client:
    """An administrator of one workspace: `url` is the address of the API, `token` for `Authorization: Bearer`."""

    url: str
    token: str

    def key(self, *permissions: str) -> str:
        """Return a new API key with these permissions, or with all of them when none is named."""
        body = {"name": "Test key", "permissions": permissions or ALL_PERMISSIONS}
        key: str = self._call("POST", "/api/v1/api-keys", body, {"Authorization": f"Bearer {self.token}"})["rawKey"]
        return key

    def close(self) -> None:
        """Give back what this stands for."""

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url[: -len("/api/v1")] + path, data, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows the way to this machine
        try:
            with opener.open(request, timeout=ANSWER_TIMEOUT) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            said = json.loads(text) if text.startswith("{") else {"error": "", "message": text}
            raise StandinError(said["message"], error.code, said["error"]) from None
        except OSError as error:
            raise StandinError(f"{self.url} does not answer: {error}") from None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Workspace(_Client):
    """A workspace for a test: what is done in it, no other one sees."""

    def __init__(self, url: str, made: dict[str, Any]) -> None:
        self.url, self.id, self.token = url, str(made["id"]), str(made["admin"]["token"])

    def close(self) -> None:
        """Remove the workspace, with all that it holds, unless it is gone already."""
        try:
            self._call("DELETE", f"/standin/workspaces/{self.id}")
        except StandinError as error:
            if error.status != 404:
                raise


def _find_command(place: str) -> list[str]:
    """Return how to run commands of the service at a path. Raises StandinError."""
    path = Path(place).absolute()
    if not place:
        raise StandinError(
            "Where is Sigma PIM? Standin(path) or SIGMA_STANDIN names a checkout, or the one file of `make dist`"
        )
    if path.is_file():
        return [sys.executable, str(path)]
    if not (path / "app.py").is_file():
        raise StandinError(
            f"{path} is neither a checkout of Sigma PIM embedded nor the one file of `make dist`, nor an http:// address"
        )
    if not (path / ".venv" / "bin" / "python").exists():
        raise StandinError(f"{path} is not installed: call `make -C {path} install` once")
    return [str(path / ".venv" / "bin" / "python"), "-m", "flask", "--app", "app"]


class Standin(_Client):
    """A service with the demo workspace, whose administrator has `token`, and with others for tests."""

    def __init__(self, path: str | os.PathLike[str] | None = None, **settings: str) -> None:
        """Start what the path names, with settings of the service such as SIGMA_RECORD_LIMIT="5", and wait until it answers."""
        place = os.path.expanduser(path or os.environ.get("SIGMA_STANDIN", ""))
        self._process: subprocess.Popen[bytes] | None = None
        if place.startswith(("http://", "https://")):
            self.url = place.rstrip("/") + ("" if place.rstrip("/").endswith("/api/v1") else "/api/v1")
            self._call("GET", "/standin/workspaces?limit=1")
            return
        command, folder = _find_command(place), Path(tempfile.mkdtemp(prefix="sigma-standin-"))
        self._folder, self._log = folder, folder / "sigma.db.log"
        try:
            self._start(command, place, {**settings, "SIGMA_DATABASE": str(folder / "sigma.db")})
        except BaseException:
            self.close()
            raise

    @functools.cached_property
    def token(self) -> str:  # type: ignore[override]
        """The token of the demo's administrator."""
        return str(self._call("POST", "/api/v1/auth/login", ADMINISTRATOR)["token"])

    def workspace(self, content: str | dict[str, Any] = "demo") -> Workspace:
        """Make a workspace: as the demo is at first ("demo"), with nothing ("empty"), like another (its id), or of a seed."""
        return Workspace(self.url, self._call("POST", "/standin/workspaces", {"content": content}))

    def requests(
        self,
        *,
        status: str | int | None = None,
        key: str | None = None,
        workspace: str | None = None,
        method: str | None = None,
        path: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return what the API was asked, newest first, and why it answered so.

        Only what was answered so (404, or "4xx"), with this key (raw or its id), in this workspace (its id), by this method,
        on a path with this part, after the request with this id.
        """
        wanted = {"status": status, "key": key and self._key_id(key), "workspace": workspace, "method": method}
        wanted.update({"path": path, "after": after, "limit": limit})
        query = urllib.parse.urlencode({name: value for name, value in wanted.items() if value is not None})
        listed: list[dict[str, Any]] = self._call("GET", f"/standin/requests?{query}")
        return listed

    def faults(self, key: str, rules: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        """Make calls of a key (raw or its id) fail by these rules, such as {"on": "POST /records", "status": 429, "times": 2}.

        Return the rules with their `hits`. [] ends them all; without rules, those that are there stay.
        """
        path = f"/standin/keys/{self._key_id(key)}/faults"
        stored: list[dict[str, Any]] = self._call("GET", path) if rules is None else self._call("PUT", path, rules)
        return stored

    def reset(self) -> None:
        """Make the demo workspace as it was at first; those of tests stay."""
        self._call("POST", "/standin/reset", {})

    def close(self) -> None:
        """End the service, and remove its database."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process.stdin.close()  # type: ignore[union-attr]
            shutil.rmtree(self._folder, ignore_errors=True)

    def _key_id(self, key: str) -> str:
        if not key.startswith("sigma_sk_"):
            return key
        return str(self._call("GET", "/standin/whoami", headers={"X-Sigma-ApiKey": key})["key"]["id"])

    def _start(self, command: list[str], place: str, settings: dict[str, str]) -> None:
        others = ("SIGMA_", "FLASK_", "PYTHON")  # what is set for another service, or for this Python
        environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        environment.update({"SIGMA_HOST": "127.0.0.1", "SIGMA_PORT": "0", "SIGMA_WORKERS": "1", "SIGMA_REQUEST_LOG": "0"})
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "serve", "--temporary", "--until-eof"],
                cwd=place if os.path.isdir(place) else None,
                env={**environment, **settings},
                stdin=subprocess.PIPE,  # it ends with this process, and then so does the service
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is for the tests, which then close it
            )
        self.url = f"{self._await_address(self._process)}/api/v1"

    def _await_address(self, process: subprocess.Popen[bytes]) -> str:
        deadline, has_ended = time.monotonic() + START_TIMEOUT, False
        while True:
            printed = self._log.read_text(encoding="utf-8", errors="replace")
            if ready := re.search(r"^Ready +(\S+)\n", printed, re.MULTILINE):
                return ready[1]
            if has_ended or time.monotonic() > deadline:
                raise StandinError(printed.strip().rpartition("Error: ")[2] or "The service does not answer")
            time.sleep(0.01)
            has_ended = process.poll() is not None  # and what it has printed is looked at once more


if "pytest" in sys.modules:  # it is a plugin, or imported in conftest.py
    import pytest

    __all__ += ["standin", "workspace"]

    @pytest.fixture(scope="session")
    def standin() -> Iterator[Standin]:
        """A service for this run: what SIGMA_STANDIN names."""
        with Standin() as service:
            yield service

    @pytest.fixture
    def workspace(standin: Standin, request: pytest.FixtureRequest) -> Iterator[Workspace]:
        """A workspace for this test."""
        with standin.workspace(getattr(request, "param", "demo")) as made:
            yield made
