"""What `make` runs first: make the folder .venv, install what a requirements file lists, and show the progress.

It runs before anything is installed, with whatever Python there is, so it uses only the standard library. If it is ended
halfway, the next run starts over.
"""

import contextlib
import fcntl
import importlib.util
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
NEEDED = 100_000_000  # bytes, for the installed packages and for what pip unpacks meanwhile
FOLDER = Path(".venv")  # in the project's folder, where make runs its recipes
PYTHON = FOLDER / "bin" / "python"
UNFINISHED = FOLDER / "unfinished"  # there as long as something is being installed
STEP = re.compile(r"(Collecting|Processing|Requirement already satisfied:) +(\S+)")
INDEX = (
    "name another package index, PIP_INDEX_URL=https://<host>/simple, or a folder that `pip download -r requirements.txt`"
    " has filled where there is one, PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder>; then run make again"
)
ROOM = "make room there (TMPDIR names the folder for temporary files), and run make again"
REASONS = [  # why pip fails: a pattern in its output, and what to tell the user; the first match decides
    (r"No space left on device|Disk quota exceeded", f"The disk is full: {ROOM}"),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError", "The package index has a certificate that is not trusted: name yours in PIP_CERT"),
    (r"ProxyError|Proxy Authentication", "The proxy does not let pip through: set HTTPS_PROXY=http://<user>:<password>@<host>"),
    (
        r"DO NOT MATCH THE HASHES.*\s+(\S+) from (\S+)",
        "The file of {0} from {1} does not have the hash of the released file, so nothing is installed: find out what changed"
        f" it, or {INDEX}",
    ),
    (
        r"Retrying \(|ConnectionError|Max retries|timed out",
        f"The package index does not answer: connect to a network, or {INDEX}",
    ),
    (r"from versions: none|\b40[134] Client Error", f"The package index does not have what is needed: {INDEX}"),
    (
        r"requirement (\S+) \(from versions: ",
        "The package index has no {0} for this Python: name another Python, make PYTHON=/path/to/python3, or " + INDEX,
    ),
    (r"Permission denied|Read-only file system", "A file cannot be written: run make as the user who owns the folder"),
]


def fail(text: str) -> None:
    """End the program with one sentence that says why nothing is installed. Raises SystemExit."""
    sys.exit(f"Error: {text}.")


def say(text: str) -> None:
    """Print a text. Installing goes on if it cannot be printed."""
    with contextlib.suppress(OSError, AttributeError):
        sys.stdout.write(text)
        sys.stdout.flush()


def _runs(program: str) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run([program, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603
    return False


def _require_python() -> None:
    if sys.version_info < OLDEST:
        names = (f"python3.{minor}" for minor in range(OLDEST[1], 30))
        found = next(filter(_runs, names), "/path/to/python3")
        version = ".".join(map(str, sys.version_info[:3]))
        fail(f"Python 3.{OLDEST[1]} or newer is needed, and {sys.executable} is {version}: name one, make PYTHON={found}")
    version = "{}.{}".format(*sys.version_info)
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            fail(
                f"{sys.executable} has no module {module}: install it (on Debian and Ubuntu: apt install"
                f" python{version}-venv), or name another Python, make PYTHON=/path/to/python3"
            )


def _require_room() -> None:
    if not os.access(".", os.W_OK):
        fail(f"{os.getcwd()} cannot be written to: run make as the user who owns it, or in a copy of your own")
    free = shutil.disk_usage(".").free
    if free < NEEDED:
        fail(f"The disk is full: {NEEDED // 10**6} MB are needed in {os.getcwd()}, {free // 10**6} MB are free; {ROOM}")


def _pip_runs() -> bool:
    if (UNFINISHED.exists() and not FOLDER.is_symlink()) or not PYTHON.exists():
        return False
    command = [str(PYTHON), "-I", "-m", "pip", "--version"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # noqa: S603 (it is ours)
    return done.returncode == 0


def _make_folder() -> None:
    _require_python()
    if FOLDER.is_symlink():
        fail(f"{FOLDER} is a link to {os.readlink(str(FOLDER))}, where no pip runs: remove it, and run make again")
    if FOLDER.exists():
        shutil.rmtree(str(FOLDER))
    FOLDER.mkdir()
    UNFINISHED.touch()
    command = [sys.executable, "-I", "-m", "venv", str(FOLDER)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)  # noqa: S603 (it is ours)
    if made.returncode:
        _explain(made.stdout.decode(errors="replace").splitlines())


def _explain(lines: list) -> None:
    for pattern, reason in REASONS:
        match = re.search(pattern, "\n".join(lines))
        if match:
            fail(reason.format(*match.groups()))
    fail("\n".join([*lines[-15:], "Installing has failed; its last lines are above"]))


class Progress:
    """The progress of pip: on a terminal one line that is redrawn, elsewhere a line for each step."""

    def __init__(self, total: int):
        self.total, self.step, self.width = total, "", 0
        self.seen: set = set()  # names of packages
        self.started_at, self.is_live = time.monotonic(), sys.stdout is not None and sys.stdout.isatty()

    def follow(self, line: str) -> None:
        """Update the progress from a line that pip prints."""
        match = STEP.match(line)
        if match:
            name = re.split(r"[=<>!~\[]|-\d", os.path.basename(match.group(2)))[0]
            self.seen.add(name)
            self.begin(f"{len(self.seen)} of {max(self.total, len(self.seen))}: {name}")
        elif "Retrying (" in line:
            self.begin("no answer from the package index: trying again (Ctrl-C ends it)")
        elif line.startswith("Installing collected packages"):
            self.begin("putting them in their places")

    def begin(self, step: str) -> None:
        """Show a step, unless it is already shown."""
        if step != self.step and not self.is_live:
            say(f"  {step}\n")
        self.step = step
        self.draw()

    def draw(self) -> None:
        """Redraw the line, on a terminal."""
        if self.is_live:
            self._replace_line(f"  {time.monotonic() - self.started_at:.0f} s  {self.step}")

    def _replace_line(self, line: str) -> None:
        line = line[: shutil.get_terminal_size().columns - 1]
        say(f"\r{line.ljust(self.width)}\r{line}")
        self.width = len(line)

    def end(self) -> None:
        """Remove the line."""
        if self.is_live:
            self._replace_line("")


def _run_pip(requirements: str, progress: Progress) -> None:
    """Let pip install what a file lists, and follow its output. Raises SystemExit if pip fails."""
    ours = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_USER": "0"}
    ours.update(PIP_PROGRESS_BAR="off", PIP_QUIET="0", PIP_VERBOSE="0", PIP_NO_COLOR="1")  # so that its output can be parsed
    command = [str(PYTHON), "-I", "-u", "-m", "pip", "install", "--requirement", requirements]
    environment, pipe = {**os.environ, **ours}, subprocess.PIPE
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT)  # noqa: S603 (it is ours)
    lines, rest, output = [], b"", process.stdout.fileno()  # type: ignore[union-attr]
    while True:
        while not select.select([output], [], [], 1)[0]:
            progress.draw()
        part = os.read(output, 65536)
        if not part:
            break
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            lines.append(line.decode(errors="replace").rstrip())
            progress.follow(lines[-1].strip())
    progress.end()
    if process.wait():
        _explain(lines)


def install(requirements: str) -> None:
    """Install what a file lists. Raises SystemExit, or OSError."""
    text = Path(requirements).read_text(encoding="utf-8")
    progress = Progress(len(re.findall("^[A-Za-z]", text, re.MULTILINE)))
    if not _pip_runs():
        _require_python()
    _require_room()
    say(f"Installing {progress.total} packages into {os.path.abspath(str(FOLDER))}, which usually takes less than a minute:\n")
    lock = os.open(".", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # if two run at once, one waits
    progress.begin("making the folder, with Python and pip in it")
    if not _pip_runs():
        _make_folder()
    UNFINISHED.touch()
    _run_pip(requirements, progress)
    UNFINISHED.unlink()
    say(f"Installed in {time.monotonic() - progress.started_at:.0f} s.\n\n")


def main() -> None:
    """Install what the files on the command line list."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        for requirements in sys.argv[1:]:
            install(requirements)
    except OSError as error:
        _explain([str(error)])
    except KeyboardInterrupt:
        sys.exit("\nStopped; the next make starts over.")


if __name__ == "__main__":
    main()
