"""The first thing that the `midstream` command imports: signals are looked after before anything that takes time is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from services.cli.signals import run_command

PROBE: Final = "healthcheck"
"""What is asked every few seconds does not wait for the imports of all other commands."""


def main() -> None:
    """Run the command line."""
    # Before the library is loaded, which reads it then: every handshake that fails is a line of its own on stderr otherwise, here and
    # in the servers that `serve` starts.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    run_command(_load)


def _load() -> Callable[[Sequence[str]], int]:
    if sys.argv[1:2] == [PROBE]:
        from services.cli import healthcheck

        if healthcheck.parse(sys.argv[2:]) is not None:
            return lambda arguments: healthcheck.run(arguments[1:])
    from services.cli.late_logs import log_when_needed
    from services.cli.main import run

    log_when_needed()

    return run
