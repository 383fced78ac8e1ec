"""The recipes in docs/deploy/: each is read by its own tool where there is one, and what it runs is run, as it says."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from processes import EXAMPLE_KEY, ROOT, SOON, START_TIMEOUT, is_running, is_up, listeners, starting, wait_until

from sigma.cli import dist

RECIPES = ROOT / "docs/deploy"
PAGE = (RECIPES / "README.md").read_text(encoding="utf-8")
KEY = {"X-Sigma-ApiKey": EXAMPLE_KEY}
PROGRAMS = Path(sys.executable).parent


def read(name):
    return (RECIPES / name).read_text(encoding="utf-8")


def test_the_page_links_each_recipe():
    files = {path.name for path in RECIPES.iterdir()} - {"README.md", "Containerfile.dockerignore"}
    assert {name for name in re.findall(r"\]\(([\w.-]+)\)", PAGE) if not name.endswith(".md")} == files


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_open(port):
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=SOON)):
        return True
    return False


# -- Containers


class Image:
    """What a Containerfile says of the image: of its last stage, each instruction with its words."""

    def __init__(self, text):
        lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
        said = [line.split(None, 1) for line in lines if line.strip()]
        start = max(index for index, (name, _) in enumerate(said) if name == "FROM")
        self.all, self.last = said, said[start:]
        self.environment = dict(word.split("=", 1) for words in self.words("ENV") for word in shlex.split(words))

    def words(self, name, of=None):
        return [words for said, words in of or self.last if said == name]

    def one(self, name):
        (words,) = self.words(name)
        return words

    @property
    def health_check(self):
        return json.loads(self.one("HEALTHCHECK").partition("CMD")[2])

    @property
    def command(self):
        return json.loads(self.one("ENTRYPOINT")) + json.loads(self.one("CMD"))


IMAGE = Image(read("Containerfile"))
USER = 10001


def test_the_image_has_what_it_needs_and_no_more():
    assert {words.split()[0] for words in IMAGE.words("FROM", IMAGE.all)} == {"docker.io/library/python:3.13-slim"}
    assert IMAGE.one("USER") == f"{USER}:{USER}"
    assert (IMAGE.one("VOLUME"), IMAGE.one("EXPOSE")) == ("/data", IMAGE.environment["SIGMA_PORT"])
    assert IMAGE.environment["SIGMA_DATABASE"].startswith("/data/")
    copied = [word for words in IMAGE.words("COPY", IMAGE.all) if "--from" not in words for word in words.split()[:-1]]
    assert sorted(copied) == ["app.py", "requirements.txt", "schema.sql", "sigma"]
    let_in = {line[1:] for line in read("Containerfile.dockerignore").splitlines() if line.startswith("!")}
    assert let_in == set(copied)


AS_AN_IMAGE = """
set -eu
mount --make-rprivate /
mount -t tmpfs none /opt
mkdir /opt/sigma /opt/venv /opt/data /opt/python
cp -R "$CONTEXT/app.py" "$CONTEXT/schema.sql" "$CONTEXT/sigma" /opt/sigma
find /opt/sigma -name __pycache__ -prune -exec rm -r {} +
mount --bind "$VENV" /opt/venv
case $PYTHON in /root/*) # where only root may read, and an image has its Python elsewhere
  mount --bind "$PYTHON" /opt/python
  mount -t tmpfs -o mode=0755 none /root
  mkdir -p "$PYTHON"
  mount --move /opt/python "$PYTHON" ;;
esac
mount -t tmpfs none /opt/data
chown "$OWNER:$OWNER" /opt/data
chmod 0700 /opt/data
[ -z "$DATABASE" ] || install --owner="$OWNER" --mode=0600 "$DATABASE" /opt/data/sigma.db
mount -t tmpfs none /tmp
mount -o remount,ro /opt
mount -o remount,bind,ro /
cd /opt/data
exec setpriv --reuid "$OWNER" --regid "$OWNER" --clear-groups --no-new-privs --bounding-set=-all "$@"
"""
UNSHARED = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]


@contextmanager
def container(tmp_path, port, database="", **settings):
    """Run the image's command during the block as an image does: as process 1, without root, all read-only but the data."""
    if os.geteuid() != 0 or subprocess.run([*UNSHARED, "true"], check=False).returncode:
        pytest.skip("only root can make namespaces here")
    program, *arguments = IMAGE.command
    assert program == "flask"
    given = {name: value.replace("/data", "/opt/data") for name, value in IMAGE.environment.items()}
    given |= {"CONTEXT": str(ROOT), "VENV": sys.prefix, "PYTHON": sys.base_prefix, "HOME": "/opt/data"}
    given |= {"OWNER": str(USER), "DATABASE": str(database), "SIGMA_HOST": "127.0.0.1", "SIGMA_PORT": str(port), **settings}
    command = [*UNSHARED, "sh", "-c", AS_AN_IMAGE, "sh", "/opt/venv/bin/python", "-m", "flask", *arguments]
    log = tmp_path / "container.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=given, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def first_process(process):
    """Return the process that is number 1 in its own namespace, once it serves."""
    (first,) = children(process.pid)
    return first


def test_the_image_serves_as_process_1_without_root_and_stops_when_it_is_told_to(tmp_path, template):
    port = free_port()
    with container(tmp_path, port, template) as (process, log):
        assert wait_until(lambda: is_up(port) or process.poll() is not None, START_TIMEOUT)
        assert is_up(port), log.read_text()
        first = first_process(process)
        status = Path(f"/proc/{first}/status").read_text(encoding="utf-8")
        assert re.search(r"^NSpid:.*\t1$", status, re.MULTILINE)
        assert re.search(rf"^Uid:(\t{USER}){{4}}$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        (worker,) = [child for child in children(first) if is_running(child)]
        os.kill(worker, signal.SIGKILL)  # a worker that dies is replaced, and does not stay as a zombie
        assert wait_until(lambda: worker not in children(first))
        assert wait_until(lambda: listeners(port) == 1, START_TIMEOUT)
        begun = time.monotonic()
        os.kill(first, signal.SIGTERM)
        assert process.wait(SOON) == 0, log.read_text()
        assert time.monotonic() - begun < 5
        assert "Read-only file system" not in log.read_text()


def test_what_process_1_inherits_does_not_stay_as_a_zombie(tmp_path, template):
    port = free_port()
    with container(tmp_path, port, template) as (process, log):
        assert wait_until(lambda: is_up(port) or process.poll() is not None, START_TIMEOUT)
        first = first_process(process)
        workers = children(first)
        for _ in range(3):  # each leaves a child of its own behind
            subprocess.run(["nsenter", "--target", str(first), "--pid", "sh", "-c", "sleep 0.3 & exit 0"], check=True)
        assert wait_until(lambda: len(children(first)) > len(workers))
        assert wait_until(lambda: children(first) == workers)
        os.kill(workers[0], signal.SIGKILL)  # whom the server itself waits for, or it would not start another
        assert wait_until(lambda: listeners(port) == 1 and children(first) not in ([], workers), START_TIMEOUT)
        os.kill(first, signal.SIGTERM)
        assert process.wait(SOON) == 0, log.read_text()


def test_the_image_makes_its_database_and_is_told_to_stop_while_it_starts(tmp_path):
    port = free_port()
    with container(tmp_path, port) as (process, log):
        assert wait_until(lambda: "There is no workspace yet" in log.read_text() or process.poll() is not None, START_TIMEOUT)
        os.kill(first_process(process), signal.SIGTERM)
        assert process.wait(SOON) == 0, log.read_text()


def test_the_image_is_healthy_when_it_answers(tmp_path, template):
    port, (program, *arguments) = free_port(), IMAGE.health_check
    assert program == "python"
    check = [sys.executable, *arguments]
    given = {"env": {"SIGMA_PORT": str(port)}, "capture_output": True, "timeout": SOON}
    assert subprocess.run(check, check=False, **given).returncode == 1
    database = shutil.copy(template, tmp_path / "sigma.db")
    with starting(database, PORT=str(port)) as server:
        server.wait_until_ready()
        assert subprocess.run(check, check=False, **given).returncode == 0
        os.rename(database, tmp_path / "elsewhere.db")
        assert subprocess.run(check, check=False, **given).returncode == 1


def test_the_compose_file_is_read_and_agrees_with_the_image():
    command = [PROGRAMS / "docker-compose", "-f", RECIPES / "compose.yaml", "config", "--format", "json"]
    given = {"SIGMA_SITE": "pim.test", "SIGMA_RELEASE": "2"}
    done = subprocess.run(command, env=given, check=True, capture_output=True, text=True)
    service, proxy = (json.loads(done.stdout)["services"][name] for name in ("sigma", "proxy"))
    assert (service["read_only"], service["init"], service["cap_drop"]) == (True, True, ["ALL"])
    assert Path(service["build"]["context"]) == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert [volume["target"] for volume in service["volumes"]] == [IMAGE.one("VOLUME")]
    assert "ports" not in service  # what is not encrypted does not leave the machine
    assert proxy["environment"]["SIGMA_UPSTREAM"] == f"sigma:{IMAGE.one('EXPOSE')}"
    assert Path(proxy["volumes"][0]["source"]) == RECIPES / "Caddyfile"
    assert service["image"] == "sigma-pim:2"
    for name, told in (("SIGMA_SITE", "the name of the site"), ("SIGMA_RELEASE", "the tag of the image")):
        without = {other: value for other, value in given.items() if other != name}
        nameless = subprocess.run(command, env=without, check=False, capture_output=True, text=True)
        assert f"{name} is missing a value: {told}" in nameless.stderr


def test_the_way_back_in_the_volume_puts_the_backup_in_the_place_of_the_database_once(tmp_path):
    (settings,) = re.findall(r"^(printf .*) > \.env$", PAGE, re.MULTILINE)
    assert subprocess.run(["sh", "-c", settings], check=True, capture_output=True, text=True).stdout.splitlines() == [
        "SIGMA_SITE=pim.example.com",
        "SIGMA_RELEASE=1",
    ]
    (tmp_path / ".env").write_text("SIGMA_SITE=pim.example.com\nSIGMA_RELEASE=1\n")
    to_new, to_old = re.findall(r"^ +(sed -i .*) &&$", PAGE, re.MULTILINE)
    for line, release in ((to_new, "2"), (to_old, "1")):
        subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
        assert (tmp_path / ".env").read_text().splitlines()[1] == f"SIGMA_RELEASE={release}"
    (script,) = re.findall(r"--entrypoint sh sigma -c \\\n +'(.*)' &&$", PAGE, re.MULTILINE)
    for name in ("sigma.db", "sigma.db-wal", "before-2.db"):
        (tmp_path / name).write_text(name)
    for code in (0, 1):  # a second time it is refused, and nothing is moved
        done = subprocess.run(["sh", "-c", script.replace("/data", str(tmp_path))], check=False, capture_output=True)
        assert (done.returncode, (tmp_path / "sigma.db").read_text()) == (code, "before-2.db")
        assert {file.name for file in (tmp_path / "after-2").iterdir()} == {"sigma.db", "sigma.db-wal"}


def test_kubernetes_takes_it_and_has_one_replica():
    command = [PROGRAMS / "kubernetes-validate", "--strict", RECIPES / "kubernetes.yaml"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    claim, deployment, service = yaml.safe_load_all(read("kubernetes.yaml"))
    spec, pod = deployment["spec"], deployment["spec"]["template"]["spec"]
    (made,) = pod["containers"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (USER, USER)
    assert made["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in made["volumeMounts"]} == {IMAGE.one("VOLUME"), "/tmp"}
    assert made["ports"] == [{"name": "http", "containerPort": int(IMAGE.one("EXPOSE"))}]
    assert {made[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe")} == {"/healthz"}
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in made["volumeMounts"]}
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert service["spec"]["selector"] == spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


# -- systemd


def unit(name="sigma-pim.service"):
    """Return the settings of a unit, each with all its values."""
    said = {}
    for line in read(name).splitlines():
        if "=" in line and line[0] not in "#[":
            key, value = line.split("=", 1)
            said.setdefault(key, []).append(value)
    return said


def test_systemd_takes_the_unit_and_finds_it_hardened():
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    for options in (["verify"], ["security", "--offline=true", "--threshold=15"]):  # of 100
        command = ["systemd-analyze", *options, RECIPES / "sigma-pim.service"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "sigma-pim.service:" not in done.stderr  # what it does not understand, it ignores with a word


BIN = {  # what a machine with systemd has, as far as the page asks for it
    "sudo": 'if [ "$1" = -u ]; then shift 2; fi; exec "$@"',
    "runuser": 'shift 3; exec "$@"',
    "useradd": 'echo "useradd $*" >>"$LOG"',
    "install": 'echo "$*" | grep -q -- --owner && { shift 4; exec mkdir -p "$@"; }; exec /usr/bin/install "$@"',
    "systemctl": """
        echo "systemctl $*" >>"$LOG"
        case "$1" in enable|start|restart|stop) ;; *) exit 0 ;; esac
        if [ -e "$PID" ] && [ "$1" != start ]; then
            kill "$(cat "$PID")"; while kill -0 "$(cat "$PID")" 2>/dev/null; do sleep 0.05; done; rm "$PID"
        fi
        [ "$1" = stop ] && exit 0
        env $UNIT_ENVIRONMENT $UNIT_COMMAND >>"$LOG" 2>&1 &
        echo $! >"$PID"
        until curl -sf "http://127.0.0.1:$SIGMA_PORT/healthz" >/dev/null; do sleep 0.1; done
    """,
}


class Machine:
    """A folder that stands for a machine with systemd, in which the page's lines are run."""

    def __init__(self, folder, shell):
        self.root, self.log, self.port, self.shell = folder / "root", folder / "log", free_port(), shell
        self.root.mkdir()
        for part in ("opt", "var/lib", "var/cache", "etc/systemd/system", "bin"):
            (self.root / part).mkdir(parents=True)
        for name, script in BIN.items():
            (self.root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.root / "bin" / name).chmod(0o755)
        (self.root / "bin/python3").symlink_to(sys.executable)
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        shutil.copy(RECIPES / "sigma-pim.service", self.downloads)

    def moved(self, text):
        return re.sub(r"(?<![\w/])/(?=(opt|var|etc)/)", f"{self.root}/", text)

    def run(self, *blocks, code=0):
        """Run blocks of the page, which end with an exit code, and return what they print."""
        said = unit()
        settings = [value for value in said["Environment"] if "=" in value]
        command = self.moved(said["ExecStart"][0]).replace("/usr/bin/python3", sys.executable)
        given = {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            **{"LOG": str(self.log), "PID": f"{self.root}/pid", "SIGMA_PORT": str(self.port), "HOME": "/proc"},
            **{"UNIT_ENVIRONMENT": self.moved(" ".join(settings)), "UNIT_COMMAND": command},
        }
        options = {"cwd": self.downloads, "env": given, "capture_output": True, "text": True, "timeout": 2 * START_TIMEOUT}
        script = self.moved("\n".join(blocks))
        done = subprocess.run([self.shell, "-euc", script], check=False, input="correct horse battery\n", **options)
        assert done.returncode == code, (done.stdout + done.stderr, self.log.read_text() if self.log.exists() else "")
        return done.stdout + (done.stderr if code else "")

    @property
    def database(self):
        return self.root / "var/lib/sigma-pim/sigma.db"

    def end(self):
        """End the service, and return how long that took."""
        pid, begun = int((self.root / "pid").read_text()), time.monotonic()
        if is_running(pid):
            os.kill(pid, signal.SIGTERM)
        assert wait_until(lambda: not is_running(pid))
        return time.monotonic() - begun


def workspaces(database):
    with closing(sqlite3.connect(database)) as db:
        return [name for (name,) in db.execute("SELECT id FROM workspaces ORDER BY id")]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_page_leads_from_the_first_start_over_an_upgrade_and_back(tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    install, begin, upgrade, way_back = re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    function = install[install.index("sigma() {") : install.index("\n}\n") + 3]
    machine = Machine(tmp_path, shell)
    dist.build_archive(machine.downloads / "sigma-pim.pyz")
    old = (machine.downloads / "sigma-pim.pyz").read_bytes()
    try:
        told = machine.run(install) + machine.run(function, begin)
        assert "Workspace 'acme' created" in told
        assert "problem" not in told
        assert is_up(machine.port)
        assert "systemctl enable --now sigma-pim" in machine.log.read_text()

        new, newer = old + b"\0", old + b"\0\0"  # as if of the next releases
        installed, data = machine.root / "opt/sigma-pim/sigma-pim.pyz", machine.database.parent
        for number, release in enumerate([new, newer], 1):
            (machine.downloads / "sigma-pim.pyz").write_bytes(release)
            machine.run(function, upgrade)
            assert (installed.read_bytes(), is_up(machine.port)) == (release, True)
            machine.run(function, f'sigma workspace create later-{number} --name "L" --email {number}@acme.example')
        assert workspaces(machine.database) == ["acme", "later-1", "later-2"]

        for number in (1, 2):  # the way back is to before the last upgrade, also when it is taken a second time
            machine.run("sudo systemctl stop sigma-pim")
            with closing(sqlite3.connect(machine.database)) as db:
                db.execute("PRAGMA user_version = 999")  # which the old release does not open
            told = machine.run(function, way_back)
            assert "problem" not in told
            assert (installed.read_bytes(), is_up(machine.port)) == (new, True)
            assert workspaces(machine.database) == ["acme", "later-1"]
            assert len(list(data.glob("after-*"))) == number
        first, second = sorted(data.glob("after-*"))
        assert workspaces(first / "sigma.db") == ["acme", "later-1", "later-2"]
        assert workspaces(second / "sigma.db") == ["acme", "later-1"]

        same = "date() { echo today; }"  # so that the second backup is refused
        machine.run(same, function, upgrade)
        (machine.downloads / "sigma-pim.pyz").write_bytes(old)
        assert "before-today.db exists already" in machine.run(same, function, upgrade, code=1)
        assert installed.read_bytes() == newer
        assert machine.end() < 5
    finally:
        machine.end()
    unpacked = machine.root / "var/cache/sigma-pim/sigma-pim"
    assert len(list(unpacked.iterdir())) == 1


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_commands_of_the_page_run_in_the_services_folder_with_its_settings_and_take_files_of_ones_own(tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    machine = Machine(tmp_path, shell)
    dist.build_archive(machine.downloads / "sigma-pim.pyz")
    install = re.search(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]
    function = install[install.index("sigma() {") : install.index("\n}\n") + 3]
    line = re.search(r"`(sigma import - .*?)`", PAGE)[1]
    machine.run(install)
    (machine.downloads / "products.csv").write_text("Name;Price\nRain Hat;19.50\nCap;25\n", encoding="utf-8")
    (machine.root / "etc/sigma-pim.env").write_text("SIGMA_RECORD_LIMIT=1\nSIGMA_WORKRES='2 or so'\n")
    machine.run(function, "sigma schema guess - --name Products --output products.seed.json < products.csv")
    assert (machine.database.parent / "products.seed.json").exists()
    told = machine.run(function, "sigma schema create products.seed.json", line, code=1)
    assert "Created 1, updated 0; 1 row failed.\n" in told
    assert "SIGMA_WORKRES" in told
    assert "Rain Hat" in machine.run(function, "sigma export - --schema schema-products")


# -- Proxies


def certificate(folder, *hosts):
    """Make a certificate for these names, and return the paths of it and its key."""
    names = ",".join(f"DNS:{host}" for host in hosts)
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=test"]
    files = folder / "test.pem", folder / "test.key"
    out = ["-addext", f"subjectAltName={names}", "-out", files[0], "-keyout", files[1]]
    subprocess.run(["openssl", "req", *options, *out], check=True, capture_output=True)
    return files


class Site:
    """A host name that leads to a proxy on this machine."""

    def __init__(self, scheme, host, port, prefix="", context=None):
        self.scheme, self.host, self.port, self.prefix, self.context = scheme, host, port, prefix, context

    @property
    def url(self):
        return f"{self.scheme}://{self.host}:{self.port}{self.prefix}"

    def connect(self):
        link = socket.create_connection(("127.0.0.1", self.port), timeout=SOON)
        return self.context.wrap_socket(link, server_hostname=self.host) if self.context else link

    def request(self, method, path, headers=None, body=None):
        """Send a request, and return the status, headers and body of the response."""
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=SOON)) as connection:
            connection.sock = self.connect()
            connection.request(method, self.prefix + path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


@contextmanager
def running(command, port, log, **settings):
    """Run a proxy during the block."""
    with log.open("wb") as output:
        options = {"env": {**os.environ, **settings}, "stdout": output, "stderr": output, "start_new_session": True}
        process = subprocess.Popen(command, **options)
    try:
        assert wait_until(lambda: is_open(port) or process.poll() is not None, START_TIMEOUT)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(SOON)


NGINX = """
daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    include {folder}/sigma-pim.conf;
}}
"""


def test_what_nginx_is_told_concerns_no_other_site():
    depth, outside = 0, []
    for line in read("nginx.conf").splitlines():
        words = line.partition("#")[0].split()
        if words and depth == 0:
            outside.append(words[0])
        if words and depth == 1 and words[0].startswith(("proxy_", "client_")):
            outside.append(words[0])  # of a site that has other things, too
        depth += (words[-1:] == ["{"]) - (words == ["}"])
    assert outside == ["upstream", "server", "server"]


@contextmanager
def nginx(folder, upstream):
    if not shutil.which("nginx"):
        pytest.skip("there is no nginx")
    port, (chain, key) = free_port(), certificate(folder, "pim.example.com", "www.example.com")
    text = re.sub(r"/etc/ssl/[\w.]+\.pem", str(chain), read("nginx.conf"))
    text = re.sub(r"/etc/ssl/[\w.]+\.key", str(key), text).replace("listen 443", f"listen 127.0.0.1:{port}")
    (folder / "sigma-pim.conf").write_text(text.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}"))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    checked = subprocess.run([*command, "-t"], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr
    context = ssl.create_default_context(cafile=chain)
    with running(command, port, folder / "log"):
        yield [Site("https", "pim.example.com", port, "", context), Site("https", "www.example.com", port, "/pim", context)]


@contextmanager
def caddy(folder, upstream):
    port, text = free_port(), read("Caddyfile")
    shared = text[text.index("# www.example.com {") :]
    text = text.replace(shared, re.sub("^# ?", "", shared, flags=re.MULTILINE).replace("www.", "http://www.", 1))
    text = text.replace("http://www.example.com", f"http://www.example.com:{port}")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    given = {"SIGMA_SITE": f"http://pim.example.com:{port}", "SIGMA_UPSTREAM": f"127.0.0.1:{upstream}"}
    homes = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = [str(PROGRAMS / "caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    plain = subprocess.run([command[0], "fmt", RECIPES / "Caddyfile"], check=False, capture_output=True, text=True)
    assert (plain.returncode, plain.stdout) == (0, read("Caddyfile"))
    for settings in ({}, given):
        options = {"env": {**os.environ, **homes, **settings}, "capture_output": True, "text": True}
        checked = subprocess.run([command[0], "validate", *command[2:]], check=False, **options)
        assert checked.returncode == 0, checked.stderr
    with running(command, port, folder / "log", **given, **homes):
        yield [Site("http", "pim.example.com", port), Site("http", "www.example.com", port, "/pim")]


@pytest.fixture(params=[nginx, caddy], ids=lambda proxy: proxy.__name__)
def proxied(request, template, tmp_path):
    """The service with one worker behind a proxy, and the two sites under which that offers it."""
    database = shutil.copy(template, tmp_path / "sigma.db")
    (tmp_path / "proxy").mkdir()
    with starting(database, SIGMA_PROXIES="1", SIGMA_STANDIN_HOSTS="pim.example.com") as server:
        server.wait_until_ready()
        with request.param(tmp_path / "proxy", server.port) as sites:
            yield server, sites


def test_behind_a_proxy_the_service_knows_its_address_and_is_found_there(proxied):
    _, sites = proxied
    for site in sites:
        assert site.request("GET", "/healthz")[0] == 200
        status, _, body = site.request("GET", "/openapi.json")
        assert (status, json.loads(body)["servers"][0]["url"]) == (200, site.url)
        status, headers, _ = site.request("GET", "/", {"Accept": "text/html"})
        assert (status, headers["Location"]) == (302, f"{site.prefix}/console")
        for path in ("/console", "/docs", "/docs/swagger-ui-bundle.js"):
            assert site.request("GET", path)[0] == 200
        status, _, body = site.request("GET", "/api/v1/records?limit=1000", KEY)
        assert (status, json.loads(body)["total"]) == (200, 47)
    own, shared = sites
    assert own.request("GET", "/pim/healthz")[0] == 404
    shared.prefix = ""
    assert b'"ok"' not in shared.request("GET", "/healthz")[2]  # whatever a proxy answers where it has nothing
    status, headers, _ = shared.request("GET", "/pim")
    assert (status, headers["Location"].endswith("/pim/")) == (302 if shared.scheme == "http" else 301, True)


def test_behind_a_proxy_nobody_speaks_for_others(proxied):
    _, (site, _) = proxied
    assert site.request("GET", "/api/v1/records", {"X_Sigma_ApiKey": EXAMPLE_KEY})[0] == 401
    lies = {"X-Forwarded-Host": "evil.test", "X-Forwarded-Prefix": "/evil", "X_Forwarded_Host": "evil.test"}
    assert json.loads(site.request("GET", "/openapi.json", lies)[2])["servers"][0]["url"] == site.url
    login, tries = json.dumps({"email": "admin@sigma.io", "password": "wrong"}), []
    for number in range(12):  # each under another address, as the client would have it
        lies = {"X-Forwarded-For": f"192.0.2.{number}", "X_Forwarded_For": f"192.0.2.{number}"}
        headers = {"Content-Type": "application/json", **lies}
        tries.append(site.request("POST", "/api/v1/auth/login", headers, login)[0])
    assert tries == [401] * 10 + [429] * 2


def test_behind_a_proxy_errors_are_the_services_own(proxied):
    _, (site, _) = proxied
    headers = {**KEY, "Content-Type": "application/json"}
    status, _, body = site.request("POST", "/api/v1/records", headers, json.dumps({"x": "x" * 1024 * 1024}))
    assert (status, json.loads(body)["error"]) == (413, "PAYLOAD_TOO_LARGE")
    status, headers, body = site.request("GET", "/api/v1/none", {"X-Request-Id": "mine-1"})
    assert (status, json.loads(body)["error"], headers["X-Request-Id"]) == (404, "NOT_FOUND", "mine-1")


def test_behind_a_proxy_half_a_request_keeps_no_worker(proxied):
    server, (site, _) = proxied
    head = "POST /api/v1/records HTTP/1.1\r\nHost: pim.example.com\r\nContent-Type: application/json\r\nContent-Length: 90\r\n"
    with closing(site.connect()) as client:
        client.sendall(f"{head}X-Sigma-ApiKey: {EXAMPLE_KEY}\r\n\r\n{{".encode())
        time.sleep(0.5)
        begun = time.monotonic()
        assert site.request("GET", "/api/v1/records", KEY)[0] == 200
        assert server.request("GET", "/records", KEY)[0] == 200
        assert time.monotonic() - begun < 5
