"""`make run`: what a newcomer sees first, to its end, and what it says held to what it leaves behind."""

from __future__ import annotations

import re
from pathlib import Path

from services.cli.demo_command import HISTORICAL_RECORDS, LIVE_RECORDS, SAMPLE_HISTORICAL, grpcurl_lines
from tests.reference.history import expected_outputs
from tests.support.cli import midstream


def _count(name: str, stdout: str) -> int:
    found = re.search(rf"^{name} +([\d,]+)", stdout, re.MULTILINE)
    assert found is not None, stdout
    return int(found[1].replace(",", ""))


def test_the_demonstration_switches_twice_and_its_figures_are_those_of_its_files(tmp_path: Path) -> None:
    done = midstream("demo", cwd=tmp_path)

    assert done.code == 0, done.stderr
    seams = re.search(r"record ([\d,]+): historical -> live; record ([\d,]+): live -> historical", done.stdout)
    assert seams is not None, done.stdout + done.stderr
    to_live, back = (int(number.replace(",", "")) for number in seams.groups())
    assert to_live > HISTORICAL_RECORDS
    assert back - to_live >= LIVE_RECORDS

    mids, rows = _count("mid prices", done.stdout), _count("rows in", done.stdout)
    failed = [
        _count(name, done.stdout) for name in ("over the latency threshold", "a side is missing", "rejected rows")
    ]
    assert rows == mids + sum(failed)
    out = tmp_path / "midstream-out" / "demo"
    mid_lines = (out / "mid_prices.log").read_text().splitlines()
    error_lines = (out / "errors.log").read_text().splitlines()
    assert (len(mid_lines), len(error_lines)) == (mids, sum(failed))
    # Everything historical comes out as if there had been no switch, with the live part in between.
    history = expected_outputs([str(SAMPLE_HISTORICAL)]).mid_log.decode().splitlines()
    head = next(i for i, (line, wanted) in enumerate(zip(mid_lines, history, strict=False)) if line != wanted)
    tail = len(history) - head
    assert mid_lines[-tail:] == history[head:]
    header_and_rows = len(SAMPLE_HISTORICAL.read_bytes().splitlines())
    # Markers take numbers, too: of a feed that was lost and found again on a busy machine.
    assert rows - (header_and_rows - 1) >= LIVE_RECORDS // 2

    assert all(line in done.stdout for line in grpcurl_lines())
    assert mid_lines[0] in done.stdout


def test_a_demonstration_that_cannot_write_says_so_and_fails(tmp_path: Path) -> None:
    (tmp_path / "midstream-out").touch()

    done = midstream("demo", cwd=tmp_path)

    assert done.code != 0
    assert "midstream-out" in done.stderr
    assert "Traceback" not in done.stderr
