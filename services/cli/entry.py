"""The first thing that the `midstream` command imports: signals are looked after before anything that takes time is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from services.cli.signals import run_command


def main() -> None:
    """Run the command line."""
    # Before the library is loaded, which reads it then: every handshake that fails is a line of its own on stderr otherwise, here and
    # in the servers that `serve` starts.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    run_command(_load)


def _load() -> Callable[[Sequence[str]], int]:
    from services.cli.main import run

    return run
