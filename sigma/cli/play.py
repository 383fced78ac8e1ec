"""What `make demo` runs: the story, which Ctrl-C ends with one sentence, even while modules are still loading."""

import os
import signal


def _end(*_: object) -> None:
    os.write(2, b"\nStopped.\n")
    os._exit(130)


signal.signal(signal.SIGINT, _end)

from sigma.cli.story import play  # noqa: E402 (loading takes most of a second)

if __name__ == "__main__":
    play()
