"""Programs in a terminal, as people run them."""

import fcntl
import functools
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager, suppress

SHELLS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}  # as people have them, without their own settings
# What a program is run by that the terminal shall send signals: by Ctrl-C, and when it is closed.
CONTROLLED = (sys.executable, "-c", "import os, sys; os.login_tty(os.dup(0)); os.execvp(sys.argv[1], sys.argv[1:])")


@contextmanager
def in_terminal(command, columns=None, **options):
    """Run a program; yield its process, what reads all that is shown up to some words, and what types.

    It is killed at the end, with all that it has started. Without `columns` the terminal does not say how wide it is.
    """
    ours, theirs = pty.openpty()
    if columns is not None:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen(command, start_new_session=True, **streams, **options)
    os.close(theirs)
    shown = b""

    def read(words=b"nothing more"):
        nonlocal shown
        with suppress(OSError):  # which is how a terminal says that nobody writes any more
            while words not in shown:
                shown += os.read(ours, 65536)
        return shown.decode()

    try:
        yield process, read, functools.partial(os.write, ours)
    finally:
        os.close(ours)
        with suppress(ProcessLookupError):  # it has left nothing behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
