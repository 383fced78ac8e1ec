"""Write the hashes in requirements.txt anew, after a version there was changed: `.venv/bin/python tests/pin.py`.

It asks the package index that pip uses here. All else in the file stays as it is.
"""

import re
import sys
from pathlib import Path

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from pip._internal.commands import create_command

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
RELEASE = re.compile(r"^([A-Za-z][\w.-]*)==([\w.]+)(?: \\\n +--hash=\S+)*$", re.MULTILINE)
OLDEST = 11  # of Python 3
JSON = "application/vnd.pypi.simple.v1+json"


def is_for_us(tag):
    """Return whether what has this tag can be installed where the service runs, on whatever machine."""
    kind, minor = re.fullmatch(r"([a-z]+)\d(\d*)", tag.interpreter).groups()
    if kind == "py":
        return tag.interpreter.startswith("py3")
    return kind == "cp" and (tag.abi == "abi3" or int(minor) >= OLDEST)


def is_wanted(filename, version):
    """Return whether a file is the source of this version, or a wheel of it that can be installed."""
    try:
        if filename.endswith(".whl"):
            _, found, _, tags = parse_wheel_filename(filename)
            return str(found) == version and any(map(is_for_us, tags))
        return str(parse_sdist_filename(filename)[1]) == version
    except ValueError:  # it is in a format that pip installs no more
        return False


def main():
    """Ask for the files of each release, and write the hashes of those that are wanted."""
    download = create_command("download")  # as pip would: with its options, wherever they are set, its proxy, its certificates
    options, _ = download.parse_args([])

    def pinned(release):
        name, version = release.groups()
        address = f"{options.index_url.rstrip('/')}/{canonicalize_name(name)}/"
        answer = session.get(address, headers={"Accept": JSON})
        answer.raise_for_status()
        hashes = {file["hashes"]["sha256"] for file in answer.json()["files"] if is_wanted(file["filename"], version)}
        if not hashes:
            sys.exit(f"Error: {address} lists no file of {name} {version}.")
        return " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in sorted(hashes))])

    with download.main_context():
        session = download.get_default_session(options)
        text = RELEASE.sub(pinned, REQUIREMENTS.read_text(encoding="utf-8"))
    REQUIREMENTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
