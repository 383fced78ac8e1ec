"""What Flask keeps about the request or command under way, without going through its proxy."""

from collections.abc import Callable
from typing import Any

from flask import g

# Returns what `g` stands for. `g.tenant` takes five times as long, and a POST asks for such a member twenty times: 4 % of it.
context: Callable[[], Any] = g._get_current_object


def confirm_caller() -> None:
    """Check the caller once more, as the guard has done, in a request that had to wait: rights may have changed meanwhile.

    Raises ApiError. For a read; transaction() does this for a write.
    """
    if confirm := context().get("confirm"):
        confirm()
