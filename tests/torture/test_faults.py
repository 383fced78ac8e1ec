"""Faults while the service runs, and when it starts: each answer is right or 503, and what was acknowledged stays.

When the cause is gone the service goes on, with the same processes.
"""

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import time
from contextlib import ExitStack, closing, contextmanager

import pytest
from conftest import Caller
from processes import EXAMPLE_KEY, START_TIMEOUT, check_file, flask, listeners, serving, wait_until

import app as service
from sigma import database as database_module

KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}
READS = (
    *("/records", "/records/ent-coastal-wb", "/records/ent-coastal-wb/audit-log", "/records/ent-coastal-wb/completeness"),
    *("/records/ent-coastal-wb/variants", "/schemas", "/schemas/schema-apparel/attributes", "/catalogs/cat-webshop/tree"),
)
UNAVAILABLE = {
    "error": "UNAVAILABLE",
    "message": "The database does not answer; try again. Its operator finds why in the log, and with `flask doctor`",
}
PAGE = 4096


class Client:
    """Whoever uses the service, and remembers what was acknowledged to them and what was refused."""

    def __init__(self, server):
        self.server, self.number = server, 0
        self.acknowledged, self.refused = {}, []

    def call(self, method, path, body=None, headers=KEY):
        """Send a request; answer the body, or None for a proper 503. Every other failure is one of the service."""
        status, headers, answer = self.server.call(method, path, body, headers)
        if status == 503:
            assert answer == UNAVAILABLE
            assert int(headers["Retry-After"]) > 0
            return None
        assert status in (200, 201), (method, path, status, answer)
        return answer

    def read(self):
        """Read with each kind of credential and without one; answer how many of the reads worked."""
        calls = [("/healthz", {}), ("/auth/tenants", {}), ("/api-keys", self.server.authorization)]
        calls += [(path, headers) for path in READS for headers in (KEY, self.server.authorization)]
        answers = [self.call("GET", path, headers=headers) for path, headers in calls]
        return sum(answer is not None for answer in answers) / len(answers)

    def write(self, times=10):
        """Make records, each with a value that no other may have, and keys; answer how many of the writes worked."""
        before = len(self.acknowledged)
        for _ in range(times):
            self.number += 1
            self.make_record(self.number)
            name = f"Key {self.number}"
            made = self.call("POST", "/api-keys", {"name": name, "permissions": ["read"]}, self.server.authorization)
            if made is not None:
                self.acknowledged[name] = made["id"]
        self.call("POST", "/auth/login", {"email": "admin@sigma.io", "password": "admin"})
        return (len(self.acknowledged) - before) / (2 * times)

    def make_record(self, number):
        values = {"ean": [{"scope": {}, "value": f"{number:013}"}], "size": [{"scope": {}, "value": "S" * 100}]}
        made = self.call("POST", "/records", {"id": f"ent-{number}", "schemaId": "schema-apparel", "values": values})
        if made is None:
            self.refused.append(number)
        else:
            self.acknowledged[f"ent-{number}"] = made

    def check(self):
        """Check that what was acknowledged is there, that nothing is left of what was refused, and that all works."""
        page = self.call("GET", "/records?limit=1000")
        made = {id: record for id, record in self.acknowledged.items() if id.startswith("ent-")}
        assert {item["id"]: item for item in page["items"] if item["id"][4:].isdigit()} == made
        keys = {key["name"]: key["id"] for key in self.call("GET", "/api-keys", headers=self.server.authorization)}
        assert {name: id for name, id in keys.items() if name.startswith("Key ")} == {
            name: id for name, id in self.acknowledged.items() if name.startswith("Key ")
        }
        for number in self.refused:
            assert self.server.call("GET", f"/records/ent-{number}/audit-log", headers=KEY)[0] == 404
            self.make_record(number)  # and nobody holds its id, or its unique value
            assert f"ent-{number}" in self.acknowledged
        self.refused = []
        assert (self.read(), self.write()) == (1, 1)


@contextmanager
def service_on(database, tokens, log):
    """Run the service with two workers; see at the end that they are the same, and that nothing failed unforeseen."""
    with serving(database, log, tokens["admin@sigma.io"], WORKERS="2") as server:
        assert wait_until(lambda: listeners(server.port) == 2, START_TIMEOUT), log.read_text()
        ids = server.workers()
        yield Client(server)
        assert server.workers() == ids
    assert "Traceback" not in log.read_text()
    check_file(database)


@pytest.fixture
def database(template, tmp_path):
    (tmp_path / "disk").mkdir()
    return shutil.copy(template, tmp_path / "disk" / "sigma.db")


@pytest.fixture
def client(database, tokens, tmp_path):
    with service_on(database, tokens, tmp_path / "server.log") as client:
        assert (client.read(), client.write()) == (1, 1)
        yield client


@contextmanager
def mounted(folder):
    """Put a small disk at a folder; only who may mount can do that."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    """Leave no room on the disk that a folder is on."""
    with closing(open(folder / "ballast", "wb", buffering=0)) as ballast, pytest.raises(OSError, match="No space left"):
        while True:
            ballast.write(bytes(PAGE))


def test_a_full_disk_refuses_writes_and_nothing_else_until_there_is_room(template, tokens, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder):
        database = shutil.copy(template, folder / "sigma.db")
        with service_on(database, tokens, tmp_path / "server.log") as client:
            assert (client.read(), client.write()) == (1, 1)
            for _ in range(2):
                fill(folder)
                assert (client.read(), client.write()) == (1, 0)
                (folder / "ballast").unlink()
                client.check()


def limit_files(server, length):
    """Let the workers write files up to this length; what goes beyond it fails as on a failing disk, also half-way."""
    for pid in server.workers():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))


def test_a_disk_that_fails_in_the_middle_of_a_write_refuses_writes_and_nothing_else(client, database):
    for room in (0, 1000, PAGE, 5 * PAGE, 40 * PAGE):  # from the beginning of the log of what is written
        with closing(sqlite3.connect(database)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        limit_files(client.server, room)
        assert client.write() < 1
        assert (client.read(), client.write()) == (1, 0)
        limit_files(client.server, resource.RLIM_INFINITY)
        client.check()


def test_a_database_that_another_process_keeps_locked_refuses_writes_after_a_wait_and_is_read_meanwhile(client, database):
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        client.make_record(1000)
        assert client.refused == [1000]
        assert database_module.BUSY_TIMEOUT <= time.monotonic() - begun < database_module.BUSY_TIMEOUT + 3
        assert client.read() == 1
        other.execute("ROLLBACK")
    client.check()


def put_aside(database, folder):
    """Move a database away with all that belongs to it, as `make reset` does."""
    for file in list(database.parent.glob("sigma.db*")):
        file.rename(folder / file.name)


@pytest.mark.parametrize("replaced", [False, True], ids=["nothing", "another database"])
def test_nothing_is_acknowledged_once_something_else_is_in_the_place_of_the_database(client, database, tmp_path, replaced):
    aside = tmp_path / "aside"
    aside.mkdir()
    put_aside(database, aside)
    if replaced:
        database_module.prepare_database(str(database))
    assert client.write(4) == 0
    for file in database.parent.glob("sigma.db*"):
        file.unlink()
    put_aside(aside / "sigma.db", database.parent)
    client.check()


def garble(file, chance):
    """Overwrite some of a database's pages; answer what they were."""
    kind = chance.choice([bytes, chance.randbytes, lambda length: b"x" * length])
    pages = range(1, os.fstat(file).st_size // PAGE)
    before = {page: os.pread(file, PAGE, page * PAGE) for page in chance.sample(pages, chance.choice([3, 10, 30]))}
    for page in before:
        os.pwrite(file, kind(PAGE), page * PAGE)
    return before


def mend(file, pages):
    for page, content in pages.items():
        os.pwrite(file, content, page * PAGE)


def test_a_damaged_database_is_unavailable_where_it_is_damaged_and_until_it_is_mended(client, database):
    chance, worked = random.Random(4), []
    # Closing any descriptor of the file drops this process's locks on it; so this one is closed last.
    with open(database, "r+b") as opened, closing(sqlite3.connect(database, isolation_level=None)) as other:
        for _ in range(10):
            other.execute("UPDATE settings SET value = value")  # so that no worker answers from memory
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
            pages = garble(opened.fileno(), chance)
            worked.append((client.read(), client.write(2)))
            mend(opened.fileno(), pages)
            client.check()
    assert min(worked) < (0.5, 0.5)


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def check_refusal(result, database):
    """Check that a start was refused in one line that says what could not be used."""
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith("Error: ")
    assert str(database) in result.stderr
    assert "SIGMA_DATABASE" in result.stderr


def test_a_disk_that_cannot_be_written_is_refused_at_the_start_and_served_from_when_it_can(template, tokens, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder), ExitStack() as stack:
        database = shutil.copy(template, folder / "sigma.db")
        remount(folder, "ro")
        refused = flask(database, "serve")
        remount(folder, "rw")
        check_refusal(refused, database)
        stack.enter_context(service_on(database, tokens, tmp_path / "server.log")).check()


def test_a_disk_that_cannot_be_written_is_unavailable_until_it_can(template, tokens, tmp_path):
    """Within this process, because a disk cannot be made read-only while another one has the database open."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder), ExitStack() as stack:
        database = shutil.copy(template, folder / "sigma.db")
        admin = Caller(service.create_app({"DATABASE": str(database)}), {"Authorization": f"Bearer {tokens['admin@sigma.io']}"})
        stack.callback(database_module.close_db)
        remount(folder, "ro")
        stack.callback(remount, folder, "rw")
        answers = [*map(admin.get, READS), admin.get("/healthz"), admin.post("/records", {})]
        assert [(answer.status_code, answer.json) for answer in answers] == [(503, UNAVAILABLE)] * len(answers)
        remount(folder, "rw")
        answers = [
            *map(admin.get, READS),
            admin.get("/healthz"),
            admin.post("/catalogs", {"id": "c", "alias": "c", "name": "C"}),
        ]
        assert {answer.status_code for answer in answers} == {200, 201}


def test_a_start_on_a_disk_that_is_mounted_read_only_says_so_with_owner_mode_and_user(template, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder):
        database = shutil.copy(template, folder / "sigma.db")
        remount(folder, "ro")
        try:
            refused = [flask(database, command) for command in ("serve", "doctor")]
        finally:
            remount(folder, "rw")
        for result in refused:
            check_refusal(result, database)
            assert f"{database} belongs to root:root and has mode " in result.stderr
            assert ", this process runs as root, and it is on a file system that is mounted read-only" in result.stderr


@pytest.mark.parametrize("ends", [("-wal", "-shm"), ("-wal",)], ids=" and ".join)
def test_what_was_acknowledged_stays_when_the_log_of_writes_is_removed_and_nothing_more_is(template, tokens, tmp_path, ends):
    database = tmp_path / "disk" / "sigma.db"
    database.parent.mkdir()
    shutil.copy(template, database)
    with service_on(database, tokens, tmp_path / "server.log") as client:
        assert client.write(20) == 1
        for end in ends:
            database.with_name(f"sigma.db{end}").unlink()
        assert client.write(4) == 0
        assert client.call("GET", "/healthz") is None
        acknowledged, refused = client.acknowledged, client.refused
    with service_on(database, tokens, tmp_path / "server.log") as client:
        client.number, client.acknowledged, client.refused = 1000, acknowledged, refused
        client.check()
    check_file(database)


def test_what_finds_no_room_is_told_leaves_nothing_and_works_when_there_is_room(template, tmp_path):
    folder, database = tmp_path / "disk", tmp_path / "sigma.db"
    folder.mkdir()
    shutil.copy(template, database)
    commands = {
        "copy.db": ["backup"],
        "seed.json": ["seed", "export", "--workspace", "ws-demo"],
        "records.csv": ["export", "--schema", "schema-apparel", "--workspace", "ws-demo"],
    }
    with mounted(folder):
        for name, words in commands.items():
            for room in (0, 1, 50):
                fill(folder)
                os.truncate(folder / "ballast", os.stat(folder / "ballast").st_size - room * PAGE)
                result = flask(database, *words, str(folder / name))
                if result.returncode == 0:  # it fits
                    (folder / name).unlink()
                else:
                    assert result.stderr.splitlines()[-1].startswith(f"Error: {folder / name}: ")
                    assert (result.returncode, result.stdout, os.listdir(folder)) == (1, "", ["ballast"])
                (folder / "ballast").unlink()
            assert flask(database, *words, str(folder / name)).returncode == 0
            (folder / name).unlink()
