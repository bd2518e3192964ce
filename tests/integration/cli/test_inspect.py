"""`midstream inspect`: what people and machines get to see."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.support.cli import midstream_here
from tests.support.made_ticks import HEADER, write_made_ticks


@pytest.mark.quick
def test_figures_of_a_file_are_shown(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 300)
    with path.open("a") as out:
        out.write("301,2025-01-01 00:00:01,AAA,1,x,1,1,5\n")

    done = midstream_here("inspect", path)

    assert done.code == 0
    assert "301 = 300 ticks + 1 rejected" in done.stdout
    assert "2025-01-01 00:00:00.001" in done.stdout
    assert "AAA 100" in done.stdout
    assert "line 302" in done.stdout


def test_path_is_shown_as_it_is_even_if_it_looks_like_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_made_ticks(tmp_path / "[red]a.csv", 3)

    assert "[red]a.csv" in midstream_here("inspect", "[red]a.csv").stdout


def test_json_is_one_object(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 30)

    done = midstream_here("inspect", path, "--json")

    report = json.loads(done.stdout)
    assert (done.code, done.stderr) == (0, "")
    assert report["total"]["rows"] == 30
    assert report["files"][0]["path"] == str(path)


def test_unusable_file_exits_with_2_and_a_damaged_one_with_1(tmp_path: Path) -> None:
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(write_made_ticks(tmp_path / "made.csv", 3_000).read_bytes())[:-2000])

    missing = midstream_here("inspect", tmp_path / "missing.csv")
    damaged = midstream_here("inspect", cut)

    assert (missing.code, missing.stdout) == (2, "")
    assert "missing.csv" in missing.error_line
    assert damaged.code == 1
    assert str(cut) in damaged.stdout


def test_empty_file_has_no_span_and_no_latency(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(HEADER)

    done = midstream_here("inspect", path)

    assert done.code == 0
    assert "0 = 0 ticks + 0 rejected" in done.stdout
