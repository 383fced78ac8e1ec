"""`make dist`: build `sigma-pim.pyz`, one file that holds everything but Python."""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click

from sigma.cli import unpack
from sigma.cli.files import atomic_file
from sigma.cli.terminal import Command, write_output
from sigma.settings import ROOT

SHEBANG = b"#!/usr/bin/env python3\n"
RELEASE = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)  # a line of requirements.txt, without the hashes after it
INSTALLER_FILES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}  # they describe this installation, not the package
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # of every member, so that the same files always build the same archive


def _find_own_files() -> Iterator[tuple[str, Path]]:
    for path in (ROOT / "app.py", ROOT / "schema.sql", *(ROOT / "sigma").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT).as_posix(), path


def _find_packages() -> Iterator[metadata.Distribution]:
    """Yield the installed packages that the requirements list. Raises ClickException for a missing one or another version."""
    for name, version in RELEASE.findall((ROOT / "requirements.txt").read_text(encoding="utf-8")):
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise click.ClickException(f"{name} is not installed: run `make dist`, which installs it") from None
        if package.version != version:
            raise click.ClickException(f"{name} is installed as {package.version}, but the requirements say {version}")
        yield package


def _find_package_files() -> Iterator[tuple[str, Path]]:
    for package in _find_packages():
        for file in package.files or ():
            is_program = ".." in file.parts  # outside the folder of modules, in bin
            if not is_program and "__pycache__" not in file.parts and file.name not in INSTALLER_FILES:
                yield file.as_posix(), Path(str(package.locate_file(file)))


def build_archive(target: Path) -> None:
    """Write the archive; it replaces an older one only when it is complete."""
    files = dict(sorted((name, path.read_bytes()) for name, path in [*_find_own_files(), *_find_package_files()]))
    files["__main__.py"] = Path(unpack.__file__).read_bytes()
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
    made_for = {**unpack.describe_python(), "build": digest.hexdigest()[:16]}
    files[unpack.MADE_FOR] = json.dumps(made_for).encode()
    with atomic_file(target.resolve()) as part:
        with part.open("wb") as output:
            output.write(SHEBANG)
            with zipfile.ZipFile(output, "w") as archive:
                for name, content in files.items():
                    info = zipfile.ZipInfo(name, FIXED_TIME)
                    info.external_attr = 0o644 << 16
                    archive.writestr(info, content, zipfile.ZIP_DEFLATED, 9)
        part.chmod(0o755)


@click.command("dist", cls=Command)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def make_dist(file: Path) -> None:
    """Build FILE, which runs wherever the Python version that builds it is installed."""
    try:
        build_archive(file)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    python = unpack.describe_python()
    write_output(f"{file}  {file.stat().st_size / 1e6:.1f} MB, for Python {python['python']} ({python['interface']})")
