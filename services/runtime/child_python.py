"""How a Python program of ours is started as a child: never out of the folder one stands in."""

from __future__ import annotations

import logging
import os
import runpy
import sys

from services.runtime.process_title import show_as


def module_command(module: str) -> list[str]:
    """Return the command that runs a module of ours.

    Python puts the current folder first among those that it imports from when it is given `-m`, so a `services/` or a
    `redis.py` beside somebody's tick files would be run instead of what is installed. `-P` leaves that folder out.
    """
    return [sys.executable, "-P", "-m", module]


def bare_command(program: str) -> list[str]:
    """Return the command that runs a text which needs the standard library alone: no folder, variable or package has a say."""
    return [sys.executable, "-I", "-S", "-c", program]


def run_module(module: str) -> None:
    """Be, from here on, what `module_command(module)` would have started in this environment; raises SystemExit at its end.

    For a process that was forked after it had imported what the module needs.
    """
    words = module_command(module)
    show_as(words, os.environ)
    sys.argv[:] = [module]
    sys.orig_argv[:] = words
    # What a command says in its own name is not what a server says.
    logging.getLogger().handlers.clear()
    # It is run, and not what was imported under its name.
    sys.modules.pop(module if _is_module(module) else f"{module}.__main__", None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _is_module(module: str) -> bool:
    return not hasattr(sys.modules.get(module), "__path__")
