"""Programs of a process of their own, which may fork as pytest may not: it has threads and open files."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from services.runtime.process_title import can_be_shown
from tests.support.cli import ROOT

TIMEOUT_S = 60.0
NEEDS_FORKS = pytest.mark.skipif(not can_be_shown(), reason="children are forked on Linux only")


def command(program: str, *arguments: str) -> list[str]:
    """Return the command that runs a program, from what is installed or on PYTHONPATH."""
    return [sys.executable, "-P", "-c", textwrap.dedent(program), *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which the tree is found without the folder one stands in."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    # What is buffered must not be written twice.
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "", **variables}


def run(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        command(program, *arguments),
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def start(program: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a program whose output is read while it runs."""
    return subprocess.Popen(
        command(program, *arguments),
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
