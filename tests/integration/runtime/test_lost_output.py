"""What a process does whose stderr cannot be written: nothing else than without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli import ROOT, clean_environment, kill, until

FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")


@contextmanager
def unheard(
    how: str, module: str, *arguments: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a module whose stderr is a full disk, a pipe that nobody reads, or closed."""
    command = [sys.executable, "-m", module, *arguments]
    if how == "closed":
        command = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    reading, writing = os.pipe()
    os.close(reading)
    with FULL.open("wb") as full, os.fdopen(writing, "wb") as pipe:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment(environment),
            stdout=subprocess.PIPE,
            stderr={"full": full, "gone": pipe, "closed": None}[how],
        )
    try:
        yield process
    finally:
        kill(process)


HOWS = pytest.mark.parametrize("how", ["full", "gone", "closed"])


def pid_in(path: Path) -> int:
    try:
        return int(json.loads(path.read_text())["pid"])
    except (OSError, ValueError):
        return 0


@pytest.mark.cases(1)
@HOWS
def test_serve_restarts_a_server_and_ends_in_order_although_nobody_hears_it(how: str, tmp_path: Path) -> None:
    environment = {"MIDSTREAM_OUT": str(tmp_path), "MIDSTREAM_CONTROL_PORT": "0", "MIDSTREAM_CONTROL_METRICS_PORT": "0"}
    ready = tmp_path / ".midstream/ready/control.json"
    with unheard(how, "services.cli", "serve", "control", environment=environment) as process:
        until(lambda: pid_in(ready), what="the server")
        first = pid_in(ready)
        os.kill(first, signal.SIGKILL)
        until(lambda: pid_in(ready) not in (0, first), what="another server")

        process.send_signal(signal.SIGTERM)

        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")


@pytest.mark.cases(3)
@HOWS
@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("services.control",), {}, 2),
        (("services.simulators.feed",), {"MIDSTREAM_SIM_FEED_PORT": "x"}, 2),
        (("services.cli", "replay", "nowhere.csv"), {}, 2),
    ],
    ids=["server", "simulator", "command"],
)
def test_an_exit_code_is_true_although_nobody_hears_why(
    how: str, arguments: tuple[str, ...], environment: dict[str, str], code: int
) -> None:
    with unheard(how, *arguments, environment=environment) as process:
        out, _ = process.communicate(timeout=60)

    assert (process.returncode, out) == (code, b"")


@pytest.mark.cases(1)
@HOWS
def test_a_server_that_logs_ends_with_0(how: str, tmp_path: Path) -> None:
    # What could not be written must not be tried again at the very end: that would change the exit code.
    ready = tmp_path / "ready.json"
    environment = {"MIDSTREAM_SIM_FEED_PORT": "0", "MIDSTREAM_READY_FILE": str(ready), "MIDSTREAM_REFLECTON": "off"}
    with unheard(how, "services.simulators.feed", environment=environment) as process:
        until(lambda: pid_in(ready), what="the simulator")

        process.send_signal(signal.SIGTERM)

        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")
