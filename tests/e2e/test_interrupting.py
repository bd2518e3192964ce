"""Ctrl-C at any moment of a replay: no traceback, no leftover process, exit code 130, and what is committed continues."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.reference.history import expected_outputs
from tests.support.cli import ROOT, clean_environment, command, kill, replay
from tests.support.made_ticks import write_made_ticks

NOISE = ("Traceback", "never retrieved", "Exception ignored", "was destroyed", "KeyboardInterrupt", "SystemExit")
WHOLE_S = 4.0
"""What such a replay takes on a loaded machine, roughly: interruptions are spread over it."""


def interrupted_after(seconds: float, *arguments: str | Path, number: int = signal.SIGINT) -> tuple[int, str]:
    process = subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # The moment is what is tested, so there is nothing to wait for but time.
        time.sleep(seconds)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        kill(process)
    return process.returncode, stderr


@pytest.mark.cases(3)
@pytest.mark.parametrize("seed", range(8))
def test_a_replay_can_be_interrupted_at_any_moment(tmp_path: Path, seed: int) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 20_000)
    out = tmp_path / "out"
    # Before this the interpreter itself starts, and nothing of ours runs.
    moment_s = 0.12 + random.Random(seed).random() * WHOLE_S * (seed + 1) / 8

    code, stderr = interrupted_after(moment_s, "replay", path, "--out", out)

    told = f"after {moment_s:.3f} s: {stderr}"
    assert code in (130, 0), told
    assert not any(noise in stderr for noise in NOISE), told
    outputs = replay([path], out, "--resume")
    assert outputs.mid_log == expected_outputs([path]).mid_log


@pytest.mark.cases(1)
@pytest.mark.parametrize("seed", range(3))
def test_inspect_can_be_interrupted_at_any_moment(tmp_path: Path, seed: int) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 400_000)
    moment_s = 0.12 + random.Random(seed).random() * 1.5

    code, stderr = interrupted_after(moment_s, "inspect", path)

    assert code in (130, 0), f"after {moment_s:.3f} s: {stderr}"
    assert not any(noise in stderr for noise in NOISE), f"after {moment_s:.3f} s: {stderr}"
