"""What `sigma-pim.pyz` runs first, as its `__main__`: it looks whether this Python fits, unpacks the archive and goes on there.

Python cannot load compiled modules from within an archive. So what is in it is unpacked once, for each build of it, below
the user's cache folder. Any Python must be able to read this module, so that one that does not fit is told what does.
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

MADE_FOR = "made-for.json"  # in the archive: which build it is, and which Python it needs
FOLDER = "sigma-pim"
STALE = 24 * 3600  # seconds after which nobody is still unpacking


def describe_python() -> dict:
    """Return what compiled modules depend on: Python's version, and the name of its binary interface."""
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
    """Return whether nobody else can put files into a folder, and the system runs what is in it."""
    about = os.stat(folder)
    may_run = not os.statvfs(folder).f_flag & os.ST_NOEXEC
    return about.st_uid == os.geteuid() and not about.st_mode & 0o022 and may_run


def _extract(archive: str, parent: str, build: str) -> str:
    """Unpack into a folder of a parent, whole or not at all, also when others do the same at this moment."""
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
    """Return the folder of the user's cache where this build is, and put it there if it is not yet. Raises OSError."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(cache):
        raise OSError(f"{cache} is no path to a folder")
    parent = os.path.join(cache, FOLDER)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    if not _is_trusted(parent):
        raise OSError(f"{parent} belongs to others, or programs may not be in it")
    folder = os.path.join(parent, build)
    return folder if os.path.isdir(folder) else _extract(archive, parent, build)


def _unpack_for_now(archive: str, build: str) -> str:
    """Return a folder with this build that is removed at the end. Raises OSError."""
    parent = tempfile.mkdtemp(prefix=FOLDER + "-")
    if sys.argv[1:2] != ["start"]:  # which leaves a service behind that needs it
        atexit.register(shutil.rmtree, parent, ignore_errors=True)
    if not _is_trusted(parent):
        raise OSError(f"programs may not be in {parent}")
    return _extract(archive, parent, build)


def unpack(archive: str, build: str) -> str:
    """Return a folder with what is in the archive."""
    problems = []
    for way in (_unpack_for_good, _unpack_for_now):
        try:
            return way(archive, build)
        except OSError as error:
            problems.append(str(error))
    sys.exit(
        "Error: found no folder to unpack into: {}. Set XDG_CACHE_HOME to one that is yours and has 50 MB of room.".format(
            "; ".join(problems)
        )
    )


def main() -> None:
    """Unpack the archive that Python was started with, and go on in what is unpacked."""
    archive = os.path.abspath(sys.argv[0])
    with zipfile.ZipFile(archive) as opened:
        made_for = json.loads(opened.read(MADE_FOR).decode())
    _require_python(archive, made_for)
    folder = unpack(archive, made_for["build"])
    # What else is installed for this Python is none of ours: Flask would look for commands in it.
    others = [path for path in sys.path[1:] if os.path.basename(path) not in ("site-packages", "dist-packages")]
    sys.path[:] = [folder, *others]
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([inherited] if inherited else [])])  # for processes that it starts
    if not os.environ.get("SIGMA_DATABASE"):  # beside the code is no place for it here
        os.environ["SIGMA_DATABASE"] = os.path.abspath("sigma.db")
    runpy.run_module("sigma.cli.carried", run_name="__main__")


if __name__ == "__main__":
    main()
