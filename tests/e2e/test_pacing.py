"""Paces and debts through the real servers: the same logs, true exit codes, and the page that tells of them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT, clean_environment, midstream, replay
from tests.support.pages import shell_lines

PAGE = ROOT / "docs" / "pacing.md"
ROWS = 100
COLUMNS = ",index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    """A file whose rows are 10 ms apart, but for a gap of an hour in its middle."""
    path = tmp_path / "ticks.csv"
    lines = [
        f"{row},{row},2025-10-02 {10 + 2 * row // ROWS}:00:00.{row:02}0000,T{row % 3},1.0,{100 + row}.5,{100 + row}.0,1.0,1.0\n"
        for row in range(ROWS)
    ]
    path.write_text(COLUMNS + "".join(lines))
    return path


PACES = {
    "gap cap": ("--gap-cap", "20ms", "--time-debt", "fail", "--time-debt-limit", "60s"),
    "rate": ("--rate", "500", "--time-debt", "stretch"),
    "delay": ("--delay", "2ms", "--speed", "2"),
}


@pytest.mark.long
def test_logs_are_the_same_at_every_pace_also_of_one_that_failed_and_went_on(ticks: Path, tmp_path: Path) -> None:
    flat_out = replay([ticks], tmp_path / "max")
    assert flat_out.report["pacing"]["batches"] == 0

    for name, options in PACES.items():
        paced = replay([ticks], tmp_path / name, *options)

        assert (paced.mid_log, paced.error_log) == (flat_out.mid_log, flat_out.error_log), name
        assert paced.report["pacing"]["batches"] > 0
        assert paced.report["order_digest"] == flat_out.report["order_digest"]

    out = tmp_path / "out"
    # Nothing leaves within a nanosecond of its time.
    failed = midstream(
        *("replay", ticks, "--out", out, "--gap-cap", "20ms"), *("--time-debt", "fail", "--time-debt-limit", "1ns")
    )

    assert failed.code == 1
    assert "behind its clock, which may be 1e-09 s" in failed.stderr
    assert "raise --time-debt-limit, or set --time-debt to catch-up or stretch" in failed.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["complete"] is False
    assert report["pacing"]["time_debt"] == "fail"
    assert report["pacing"]["behind_max_s"] > 1e-9
    continued = replay([ticks], out, "--resume")
    assert (continued.mid_log, continued.error_log) == (flat_out.mid_log, flat_out.error_log)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--rate", "10", "--delay", "5ms"), "--rate and --delay exclude each other"),
        (("--gap-cap", "5s", "--rate", "10"), "--gap-cap and --rate exclude each other"),
        (("--gap-cap", "5"), "--gap-cap: '5' is no duration; write a number and ns, us, ms or s"),
        (("--gap-cap", "0s"), "--gap-cap: 0s is not above zero"),
        (("--delay", "10us"), "shorter than 1ms, in which records leave together; set --rate instead"),
        (("--rate", "-1"), "--rate: '-1' is no number of records per second"),
        (("--rate", "nan"), "--rate: 'nan' is no number of records per second"),
        (("--gap-cap", "5s", "--speed", "max"), "--gap-cap means nothing at speed max"),
        (("--time-debt", "stretch", "--speed", "max"), "--time-debt stretch means nothing at speed max"),
        (("--time-debt", "fail"), "--time-debt fail means nothing at speed max"),
        (("--delay", "5ms", "--time-debt", "fail"), "--time-debt: fail has no meaning with --delay"),
        (("--speed", "1", "--time-debt-limit", "5s"), "--time-debt-limit is for --time-debt=fail, which is catch-up"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_paces_that_mean_nothing_are_refused(
    ticks: Path, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    refused = midstream("replay", ticks, "--out", tmp_path / "out", *options)

    assert refused.code == 2
    assert reason in " ".join(refused.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")

    for line in shell_lines(PAGE.read_text(encoding="utf-8")):
        done = subprocess.run(
            ["bash", "-c", line.replace("midstream ", f"{shlex.quote(sys.executable)} -m services.cli ", 1)],
            cwd=tmp_path,
            env=clean_environment({"PYTHONPATH": str(ROOT)}),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
