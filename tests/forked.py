"""Commands in processes of their own, forks of one that has imported all of them, which takes a third of a second.

Some tests start `python -m flask` as people do.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Each child leaves the loop, and goes on as a process does that has been started as `python -m flask`.
FORKING = """
import json, os, signal, sys
import app, flask.cli
from sigma.cli.commands import COMMANDS, load_command
for name in COMMANDS:
    load_command(name)
for line in sys.stdin:
    arguments, environment, user, files = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)
signal.alarm(60)  # ends what does not end by itself
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for number, file in enumerate(files, 1):
    os.dup2(os.open(file, os.O_WRONLY), number)
if user is not None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
os.environ.clear()
os.environ.update(environment)
sys.orig_argv[1:] = ["-m", "flask", *arguments]
sys.argv[:] = [flask.cli.__file__.replace("cli.py", "__main__.py"), *arguments]
flask.cli.main()
"""


@cache
def _server():
    """Return the process that forks; it ends with its standard input."""
    process = subprocess.Popen([sys.executable, "-c", FORKING], cwd=ROOT, stdin=-1, stdout=-1, text=True, bufsize=1)
    atexit.register(process.communicate)
    return process


def flask(*arguments, user=None, **environment):
    """Run a command, as another user if one is given by number, and return what subprocess.run() does."""
    arguments = ["--app", "app", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        for file in files:
            file.touch()
        job = arguments, {**os.environ, **environment}, user, [str(file) for file in files]
        print(json.dumps(job), file=_server().stdin)
        code = int(_server().stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(file.read_text(encoding="utf-8") for file in files))
