"""grpcurl, run as the README shows it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping

import pytest

from tests.support.cli import ROOT, Completed
from tests.support.missing_tools import tool
from tests.support.pages import shell_lines

PATIENCE_S = 30.0


def go_tool(name: str) -> str:
    """Path of a program that `go install` installs; skips the test where it is missing."""
    found = tool(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def grpcurl(*arguments: str) -> Completed:
    """Run grpcurl."""
    done = subprocess.run(
        [go_tool("grpcurl"), *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return Completed(done.returncode, done.stdout, done.stderr)


def readme_calls() -> list[str]:
    """Every grpcurl command of the README, as it is printed there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [line for line in shell_lines(text) if line.startswith("grpcurl ")]


def run_call(line: str, ports: Mapping[str, int]) -> Completed:
    """Run a line that was written for the default ports against other ones."""
    for documented, port in ports.items():
        line = line.replace(f"localhost:{documented}", f"localhost:{port}")
    return grpcurl(*shlex.split(line)[1:])
