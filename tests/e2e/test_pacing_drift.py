"""An hour of replay time, really: how far from its plan it ends, while the wall clock is put forward and back every second."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from tests.support.cli import ROOT, replay

SEED, SPEED = 60, 60
HOUR_MS = 3_600_000
COLUMNS = ",index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"


def write_hour(path: Path) -> int:
    """Write ticks over exactly an hour; return how many."""
    random = Random(SEED)
    times_ms = sorted({0, HOUR_MS, *(random.randrange(HOUR_MS) for _ in range(2000))})
    with path.open("w") as file:
        file.write(COLUMNS)
        for row, at_ms in enumerate(times_ms):
            seconds, ms = divmod(at_ms, 1000)
            stamp = f"2025-10-02 {10 + seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}000"
            file.write(f"{row},{row},{stamp},T{row % 7},1.0,{100 + row % 9}.5,{100 + row % 9}.0,1.0,1.0\n")
    return len(times_ms)


@pytest.mark.nightly
@pytest.mark.needs("cc")
def test_an_hour_at_60x_ends_as_planned_whatever_the_wall_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_hour(tmp_path / "hour.csv")
    flat_out = replay([tmp_path / "hour.csv"], tmp_path / "max")
    shim = tmp_path / "stepping_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, ROOT / "tests" / "support" / "stepping_clock.c"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    shown = subprocess.run(
        ["python3", "-c", "import time; t = time.time(); time.sleep(1); print(abs(time.time() - t) > 3000)"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LD_PRELOAD": str(shim)},
    )
    assert shown.stdout == "True\n"  # the clock does step

    paced = replay([tmp_path / "hour.csv"], tmp_path / "paced", "--speed", str(SPEED))

    pacing = paced.report["pacing"]
    drift_ms = (SPEED / pacing["achieved_speed"] - 1) * HOUR_MS / SPEED
    with capsys.disabled():
        print(f"\n{rows} ticks of an hour at {SPEED}x: ended {drift_ms:.3f} ms from plan; {pacing}")  # noqa: T201
    assert (paced.mid_log, paced.error_log) == (flat_out.mid_log, flat_out.error_log)
    assert pacing["batches"] > 0
    # A stall at the very end is the machine's; a clock that follows the wall would be minutes away.
    assert abs(drift_ms) < 30_000
