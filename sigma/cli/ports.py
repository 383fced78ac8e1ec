"""Which process holds a port of this machine, which port is free, and how to reserve one."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sigma.cli.running import database_of_state
from sigma.cli.terminal import stop_command
from sigma.settings import StartError

LISTENS = "0A"  # the state of a socket in /proc/net/tcp
SHOWN = 80  # characters of a command line


def is_held(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a port cannot be bound: another program holds it, or it is not allowed."""
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def find_free_port(host: str, port: int) -> int | None:
    """Return the first free one of the 99 ports after a port, or None."""
    return next((other for other in range(port + 1, min(port + 100, 65536)) if not is_held(other, host)), None)


def _find_sockets(port: int) -> set[str]:
    """Return the sockets that listen on a port, as Linux names them in /proc/<process>/fd."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _open_files(process: Path) -> set[str]:
    names = set()
    for file in (process / "fd").iterdir():
        with suppress(OSError):
            names.add(os.readlink(file))
    return names


def find_holder(port: int) -> tuple[str, str | None] | None:
    """Return which process listens on a port, in words, and the database that it serves if it is one of this service's.

    Return None for another user's process, and on systems other than Linux.
    """
    if sockets := _find_sockets(port):
        for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
            with suppress(OSError):
                if (files := _open_files(process)) & sockets:
                    words = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
                    return f"process {process.name} ({words[:SHOWN]})", database_of_state(files)
    return None


def _explain_port(host: str, port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"Cannot serve on {host}, port {port}: {error.strerror}. Choose others with SIGMA_HOST and SIGMA_PORT."
    (holder, database), free = find_holder(port) or ("another program", None), find_free_port(host, port)
    end = f"which serves {database}: stop it with {stop_command(database)}" if database else "end that"
    taken = f"Port {port} of {host} is taken by {holder}"
    return f"{taken}{',' if database else ':'} {end}, or choose another, SIGMA_PORT={free or 0}."


@contextmanager
def reserve_port(host: str, port: int) -> Iterator[int]:
    """Keep a port for the server during the block, and yield it; 0 becomes a free one.

    Raises StartError for an address that is in use: two servers would share it, and each get some of the requests.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that a stopped server left do not count
        try:
            reserved.bind((host, port))
        except OSError as error:
            raise StartError(_explain_port(host, port, error)) from None
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # only from now on, for the workers' sockets
        yield reserved.getsockname()[1]
