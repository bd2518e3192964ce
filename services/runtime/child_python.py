"""How a Python program of ours is started as a child: never out of the folder one stands in."""

from __future__ import annotations

import sys


def module_command(module: str) -> list[str]:
    """Return the command that runs a module of ours.

    Python puts the current folder first among those that it imports from when it is given `-m`, so a `services/` or a
    `redis.py` beside somebody's tick files would be run instead of what is installed. `-P` leaves that folder out.
    """
    return [sys.executable, "-P", "-m", module]


def bare_command(program: str) -> list[str]:
    """Return the command that runs a text which needs the standard library alone: no folder, variable or package has a say."""
    return [sys.executable, "-I", "-S", "-c", program]
