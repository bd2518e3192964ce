"""Latency models through the whole path: the logs of the reference, whatever the speed and whoever is killed on the way."""

from __future__ import annotations

import json
import random
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protos.common.v1.market_pb2 import Marker, TickBatch
from tests.reference.history import ExpectedTick, expected_outputs
from tests.support.cli import ROOT, assert_exact, clean_environment, interrupt_replay, midstream, read_outputs, replay
from tests.support.history_files import Quirks, history_text, tardis_text
from tests.support.latencies import chosen_options
from tests.support.pages import shell_lines
from tests.support.serving import serving, ticks

MODELS = ("lognormal:p50=4ms,p99=90ms,seed=3", "scale:2.5,offset=1ms", "constant:7ms")
QUIRKS = Quirks(rows=3000, bad=0.05, negative=0.1, hour_long=0.01, quoted=0.1)


PAGE = ROOT / "docs" / "latency_models.md"


def files(directory: Path, seed: int, rows: int) -> list[str]:
    """Write one file for each model."""
    random_ = random.Random(seed)
    contents = [history_text(random_, QUIRKS), history_text(random_, QUIRKS), tardis_text(random_, rows, negative=True)]
    paths = []
    for number, content in enumerate(contents):
        path = directory / f"history-{number}.csv"
        path.write_bytes(content)
        paths.append(str(path))
    return paths


def moves(batches: list[TickBatch]) -> list[Marker]:
    """Return the markers of seeks."""
    return [marker for batch in batches for marker in batch.markers if marker.kind == Marker.KIND_DISCONTINUITY]


def arguments(paths: list[str]) -> list[str]:
    """Return what gives each file its model."""
    return [
        part for path, model in zip(paths, MODELS, strict=True) for part in ("--latency", f"{Path(path).name}={model}")
    ]


@pytest.mark.quick
def test_files_under_models_give_the_logs_of_the_reference_at_any_speed(tmp_path: Path) -> None:
    paths = files(tmp_path, 1, 300)
    expected = expected_outputs(paths, chosen_options(paths, MODELS)[1])
    assert expected.counts.latency_filtered > 100

    flat_out = replay(paths, tmp_path / "flat-out", *arguments(paths))
    paced = replay(paths, tmp_path / "paced", *arguments(paths), "--speed", "1000")

    assert_exact(flat_out, expected)
    assert_exact(paced, expected)
    assert flat_out.report["latency"] == arguments(paths)[1::2]


@pytest.mark.long
def test_killed_and_resumed_run_has_the_same_arrivals(tmp_path: Path) -> None:
    paths = files(tmp_path, 2, 3000)
    expected = expected_outputs(paths, chosen_options(paths, MODELS)[1])
    size, out = len(expected.mid_log) + len(expected.error_log), tmp_path / "out"

    for share in (0.01, 0.3, 0.7):
        interrupt_replay(
            paths,
            out,
            *arguments(paths),
            "--resume",
            "--speed",
            "5",
            number=signal.SIGKILL,
            after_bytes=int(share * size),
        )
    done = midstream("replay", *paths, "--out", out, "--json", *arguments(paths), "--resume")

    assert done.code == 0, done.stderr
    assert_exact(read_outputs(out, done), expected)


def test_a_place_that_is_sought_has_the_arrivals_of_the_first_reading(tmp_path: Path) -> None:
    paths = files(tmp_path, 3, 1000)
    expected = expected_outputs(paths, chosen_options(paths, MODELS)[1])
    settings = {"HISTORICAL": json.dumps(paths), "LATENCY": "; ".join(arguments(paths)[1::2]), "SPEED": "max"}
    with serving(tmp_path / "out", **settings) as servers:
        first_end = servers.wait_state("COMPLETED")["last_sequence"]
        with servers.control() as control:
            control.pause()
            for sequence in (4001, 1001):
                control.seek(sequence=sequence)
            control.resume()
        last = servers.wait_state("COMPLETED")["last_sequence"]
        servers.wait_committed(last)
        batches = servers.stream(after_sequence=0, to=last)

    [second_move] = [move for move in moves(batches) if move.sequence == first_end + 2]
    read = ticks(batches)
    arrivals = [tick[1] for tick in read]
    whole = [record.key[0] for record in expected.sequence if isinstance(record, ExpectedTick)]
    assert arrivals[: len(whole)] == whole
    again = arrivals[len(whole) :]
    assert again == whole[len(whole) - len(again) :]
    assert last == first_end + 2 + first_end - 1000
    assert all(quote.arrival_time_ns <= second_move.position_arrival_time_ns for quote in second_move.state)


def test_run_is_not_continued_under_another_model(tmp_path: Path) -> None:
    path, other = tmp_path / "a.csv", tmp_path / "other.csv"
    for written in (path, other):
        written.write_bytes(history_text(random.Random(1), Quirks(rows=50)))
    out, model = tmp_path / "out", f"empirical:{other}"
    replay([path], out, "--latency", model)

    changed = midstream("replay", path, "--out", out, "--resume", "--latency", "file")
    other.write_bytes(history_text(random.Random(2), Quirks(rows=50)))
    drawn_otherwise = midstream("replay", path, "--out", out, "--resume", "--latency", model)

    assert changed.code == 2
    assert f"latency: ['{model}'] then, ['file'] now" in changed.error_line
    assert drawn_otherwise.code == 2
    assert "a file that they name has changed; use the same, unchanged file" in drawn_otherwise.error_line


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("end", "rows", "code"),
    [("00:00:02.005", 0, 1), ("00:00:02.005000001", 1, 0), ("00:00:03.005", 1, 0), ("00:00:03.005000001", 2, 0)],
)
@pytest.mark.parametrize("speed", ["max", "1000"])
def test_rows_that_are_delayed_past_the_end_are_left_out_and_the_run_ends(
    tmp_path: Path, end: str, rows: int, code: int, speed: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
        "1,2025-01-01 00:00:00,A,1,2,1,1,5\n1,2025-01-01 00:00:01,A,1,2,1,1,5\n"
    )
    options = ("--latency", "offset:2s", "--end", f"2025-01-01 {end}", "--speed", speed)

    outputs = replay([path], tmp_path / "out", *options, code=code)

    assert (outputs.counts["rows_in"], outputs.counts["skipped"]) == (rows, 2 - rows)
    # What is said of the rows goes by the model, too.
    said = "the rows arrive from 2025-01-01 00:00:02.005 to 2025-01-01 00:00:03.005"
    assert (said in outputs.completed.stderr) is (rows == 0)


def test_model_for_a_file_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(history_text(random.Random(1), Quirks(rows=50)))

    refused = midstream("replay", path, "--out", tmp_path / "out", "--latency", "b.csv=offset:5ms")

    assert refused.code == 2
    assert "--latency: no source is named `b.csv`" in refused.error_line
    assert not (tmp_path / "out").exists()


@pytest.mark.quick
def test_two_feeds_are_compared_as_the_page_says(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8").partition("## Compare two feed latencies")[2]
    (tmp_path / "data").symlink_to(ROOT / "data")
    environment = clean_environment({"PYTHONPATH": str(ROOT)})
    del environment["COLUMNS"]
    shown = []

    for line in shell_lines(page):
        done = subprocess.run(
            ["bash", "-c", line.replace("midstream ", f"{shlex.quote(sys.executable)} -m services.cli ", 1)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout)

    [printed] = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown[2] == printed
    assert (tmp_path / "slower.html").stat().st_size > 50_000
    report = json.loads((tmp_path / "slower" / "report.json").read_text())
    assert (report["rows_in"], report["latency"]) == (8736, ["bybit.csv=offset:5ms"])
    assert "4,427" in printed
    assert report["latency_filtered"] == 4907
