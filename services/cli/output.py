"""How every command ends: one exit code, one line on stderr about what went wrong, and with --json one object on stdout."""

from __future__ import annotations

import enum
import json
from typing import Any

from services.cli.terminal import say, write


class ExitCode(enum.IntEnum):
    """The same for all commands; docs/command_line.md lists them."""

    COMPLETE = 0
    FAILED = 1
    REFUSED = 2
    POSTPONED = 75
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    TERMINATED = 143


def show(sentence: str, figures: dict[str, Any], *, as_json: bool) -> int:
    """Print what came of a command, to people or to machines."""
    write(json.dumps(figures) if as_json else sentence)
    return ExitCode.COMPLETE


def fail(message: str, code: int, *, as_json: bool, command: str = "midstream", status: str = "") -> int:
    """Say what went wrong; return the exit code. `status` is the status code of the server that refused, where one did."""
    say(f"{command}: {message}")
    if as_json:
        write(json.dumps(error_object(message, code, status)))
    return code


def error_object(message: str, code: int, status: str = "") -> dict[str, Any]:
    """Return what --json prints instead of figures."""
    return {"error": {"message": message, "exit_code": int(code), **({"status": status} if status else {})}}
