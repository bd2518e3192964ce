"""The first thing that the `midstream` command imports: signals are looked after before anything that takes time is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.cli.signals import run_command


def main() -> None:
    """Run the command line."""
    run_command(_load)


def _load() -> Callable[[Sequence[str]], int]:
    from services.cli.main import run

    return run
