"""What `sigma-pim.pyz` runs first, as its `__main__`: check that this Python fits, unpack the archive and go on there.

Python cannot load compiled modules from within an archive. So each build is unpacked once, below the user's cache folder.
Every Python must be able to read this module, so that it can say which Python is needed.
"""

import atexit
import json
import os
import runpy
import shutil
import sys
import sysconfig
import tempfile
import time
import zipfile

MADE_FOR = "made-for.json"  # the file in the archive that says which build it is, and which Python it needs
FOLDER = "sigma-pim"
STALE = 24 * 3600  # seconds after which an unfinished folder was abandoned


def describe_python() -> dict:
    """Return what compiled modules depend on: the version of Python, and the name of its binary interface."""
    return {"python": "{}.{}".format(*sys.version_info[:2]), "interface": sysconfig.get_config_var("SOABI") or ""}


def _require_python(archive: str, made_for: dict) -> None:
    here = describe_python()
    if any(made_for[name] != value for name, value in here.items()):
        python, name = made_for["python"], os.path.basename(archive)
        sys.exit(
            f"Error: {name} was made for Python {python} ({made_for['interface']}),"
            f" this is Python {here['python']} ({here['interface']})."
            f" Run `python{python} {name}`, or make another with this Python: make dist PYTHON={sys.executable}"
        )


def _is_trusted(folder: str) -> bool:
    """Return whether only this user can put files into a folder, and programs in it may be run."""
    about = os.stat(folder)
    may_run = not os.statvfs(folder).f_flag & os.ST_NOEXEC
    return about.st_uid == os.geteuid() and not about.st_mode & 0o022 and may_run


def _extract(archive: str, parent: str, build: str) -> str:
    """Unpack into a folder named after the build, whole or not at all, even if others do so at once; return the folder."""
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        if ".part-" in name and os.stat(path).st_mtime < time.time() - STALE:
            shutil.rmtree(path, ignore_errors=True)
    folder, part = os.path.join(parent, build), tempfile.mkdtemp(dir=parent, prefix=build + ".part-")
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(part)
        os.rename(part, folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        if not os.path.isdir(folder):
            raise
    return folder


def _unpack_for_good(archive: str, build: str) -> str:
    """Return the folder in the user's cache with this build, and unpack it there if it is missing. Raises OSError."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(cache):
        raise OSError(f"{cache} is not an absolute path")
    parent = os.path.join(cache, FOLDER)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    if not _is_trusted(parent):
        raise OSError(f"others can write to {parent}, or programs in it may not be run")
    folder = os.path.join(parent, build)
    return folder if os.path.isdir(folder) else _extract(archive, parent, build)


def _unpack_for_now(archive: str, build: str) -> str:
    """Return a temporary folder with this build, removed when the process ends. Raises OSError."""
    parent = tempfile.mkdtemp(prefix=FOLDER + "-")
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    if not _is_trusted(parent):
        raise OSError(f"programs in {parent} may not be run")
    return _extract(archive, parent, build)


def unpack(archive: str, build: str) -> str:
    """Return a folder with the contents of the archive. Exits if there is no place for it."""
    problems = []
    for attempt in (_unpack_for_good, _unpack_for_now):
        try:
            return attempt(archive, build)
        except OSError as error:
            problems.append(str(error))
    sys.exit(
        "Error: found no folder to unpack into: {}. Set XDG_CACHE_HOME to one that is yours and has 50 MB of room.".format(
            "; ".join(problems)
        )
    )


def main() -> None:
    """Unpack the archive that Python was started with, and run the unpacked program."""
    archive = os.path.abspath(sys.argv[0])
    with zipfile.ZipFile(archive) as opened:
        made_for = json.loads(opened.read(MADE_FOR).decode())
    _require_python(archive, made_for)
    folder = unpack(archive, made_for["build"])
    # Leave out what is installed for this Python: Flask would look for commands in it.
    others = [path for path in sys.path[1:] if os.path.basename(path) not in ("site-packages", "dist-packages")]
    sys.path[:] = [folder, *others]
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([inherited] if inherited else [])])  # for child processes
    if not os.environ.get("SIGMA_DATABASE"):  # the default, beside the code, would be in the cache
        os.environ["SIGMA_DATABASE"] = os.path.abspath("sigma.db")
    runpy.run_module("sigma.cli.carried", run_name="__main__")


if __name__ == "__main__":
    main()
