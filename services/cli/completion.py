"""Completion of command lines in bash, zsh and fish: the script that a shell reads, and putting it where the shell looks for it."""

from __future__ import annotations

import enum
from typing import Final

import typer

from services.cli.terminal import say, write

PROGRAM: Final = "midstream"
VARIABLE: Final = "_MIDSTREAM_COMPLETE"
"""Set by the script when the shell asks what could come next."""


class Shell(enum.StrEnum):
    """Shells that the command completes in."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def prepare() -> None:
    """Let the framework answer a shell that asks; without it, it knows no shell."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # used by its own options alone

    completion_init()


def show(shell: Shell | None) -> None:
    """Print the script: `eval "$(midstream --show-completion bash)"` turns completion on until the shell ends."""
    if shell is None:
        return
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # used by its own options alone

    write(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value))
    raise typer.Exit


def install(shell: Shell | None) -> None:
    """Write the script into the home directory, where the shell reads it at its next start."""
    if shell is None:
        return
    from typer.completion import install as write_script  # type: ignore[attr-defined]  # used by its own options alone

    _, path = write_script(shell=shell.value, prog_name=PROGRAM, complete_var=VARIABLE)
    say(f"completion for {shell} is in {path}; open a new terminal to have it")
    raise typer.Exit
