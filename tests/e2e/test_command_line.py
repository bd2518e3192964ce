"""What `midstream` promises to scripts: exit codes, one-line errors, JSON, and what a directory allows."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path

import pytest

from tests.reference.history import HistoryOptions, expected_outputs
from tests.support.cli import (
    REPORT_KEYS,
    ROOT,
    assert_exact,
    kill,
    log_bytes,
    midstream,
    midstream_here,
    read_outputs,
    replay,
    start_replay,
)
from tests.support.made_ticks import HEADER, write_made_ticks
from tests.support.waiting import wait_until

FILTERS = ("--ticker", "AAA", "--latency-threshold-ms", "3")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(file, directory) of a complete run with filters, begun by --resume in an empty directory."""
    directory = tmp_path_factory.mktemp("finished")
    path = write_made_ticks(directory / "made.csv", 300)
    expected = expected_outputs([path], HistoryOptions(tickers=("AAA",), threshold_ns=3_000_000))

    (directory / "out").mkdir()
    outputs = replay([path], directory / "out", *FILTERS, "--resume")

    assert_exact(outputs, expected)
    assert outputs.report["skipped"] == 200
    return path, directory / "out"


@pytest.mark.quick
def test_report_has_the_documented_fields_and_json_is_all_there_is_on_stdout(finished: tuple[Path, Path]) -> None:
    _, out = finished

    report = json.loads((out / "report.json").read_text())

    assert set(REPORT_KEYS) <= set(report)
    assert report["first_arrival"] == "2025-01-01 00:00:00.008"
    assert report["last_arrival"] == "2025-01-01 00:00:00.305"


def test_resuming_a_finished_run_adds_nothing(finished: tuple[Path, Path]) -> None:
    path, out = finished
    before = read_outputs(out, midstream_here("--help"))

    again = replay([path], out, *FILTERS, "--resume")

    assert (again.mid_log, again.error_log) == (before.mid_log, before.error_log)
    for name in (*again.counts, "order_digest", "first_arrival", "last_arrival", "complete"):
        assert again.report[name] == before.report[name], name


def test_directory_with_logs_is_refused_naming_the_ways_out(finished: tuple[Path, Path]) -> None:
    path, out = finished

    done = midstream_here("replay", path, "--out", out, *FILTERS)

    assert (done.code, done.stdout) == (2, "")
    assert "--resume" in done.error_line
    assert "--overwrite" in done.error_line


def test_resuming_with_other_options_or_inputs_is_refused(finished: tuple[Path, Path]) -> None:
    path, out = finished
    logs = (out / "mid_prices.log").read_bytes()
    other = write_made_ticks(path.with_name("other.csv"), 3)

    options = midstream_here("replay", path, "--out", out, "--resume", "--ticker", "AAA")
    inputs = midstream_here("replay", path, other, "--out", out, "--resume", *FILTERS)

    assert (options.code, inputs.code) == (2, 2)
    assert "latency_threshold_ms" in options.error_line
    assert "inputs" in inputs.error_line
    assert (out / "mid_prices.log").read_bytes() == logs


def test_overwrite_replaces_what_resume_does_not_know(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 20)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mid_prices.log").write_text("left by somebody\n")
    assert midstream_here("replay", path, "--out", out, "--resume").code == 2

    outputs = replay([path], out, "--overwrite")

    assert_exact(outputs, expected_outputs([path]))


def test_unusable_inputs_are_refused_in_one_line_before_anything_is_written(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("time,price\n1,2\n")
    missing = tmp_path / "missing.csv"
    for unusable, part in ((missing, "missing.csv"), (tmp_path, str(tmp_path)), (wrong, "wrong.csv")):
        out = tmp_path / f"out-{unusable.name}"

        done = midstream_here("replay", unusable, "--out", out, "--json")

        assert (done.code, json.loads(done.stdout).keys()) == (2, {"error"}), done
        assert part in done.error_line
        assert log_bytes(out) == 0
        assert not (out / "report.json").exists()


def test_unsorted_file_is_refused_naming_row_and_fix_and_the_logs_stay_a_valid_prefix(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "late.csv", 20_000)
    with path.open("a") as out:
        out.write("20001,2024-12-31 00:00:00,AAA,1,2,1,1,5\n")

    done = midstream("replay", path, "--out", tmp_path / "out")

    assert done.code == 2, done
    assert "line 20002" in done.error_line
    assert "--unsorted sort" in done.error_line
    # Without the row that came too late, what was written is the beginning of the right log.
    lines = expected_outputs([path]).mid_log.split(b"\n", 1)[1]
    assert lines.startswith((tmp_path / "out" / "mid_prices.log").read_bytes())


def test_truncated_gzip_keeps_what_was_read_and_exits_with_1(tmp_path: Path) -> None:
    plain = write_made_ticks(tmp_path / "made.csv", 3000)
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(plain.read_bytes())[:-5000])
    expected = expected_outputs([path])
    assert expected.damaged
    assert 100 < expected.counts.mids < 3000

    outputs = replay([path], tmp_path / "out", code=1)

    assert_exact(outputs, expected)
    assert outputs.report["damaged_sources"] == 1
    assert "errors.log" in outputs.completed.error_line


def test_second_replay_into_the_same_directory_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 6000)
    out = tmp_path / "out"
    first = start_replay([path], out, "--speed", "0.1")
    try:
        wait_until(lambda: log_bytes(out) > 0 or first.poll() is not None, timeout_s=30, what="output of the first")

        second = midstream_here("replay", path, "--out", out, "--resume")
        overwriting = midstream_here("replay", path, "--out", out, "--overwrite")

        assert (second.code, overwriting.code) == (2, 2), (second, overwriting)
        assert str(out) in second.error_line
        assert str(out) in overwriting.error_line
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)
        assert first.returncode == 130
    finally:
        kill(first)
    assert_exact(replay([path], out, "--resume"), expected_outputs([path]))


def test_interrupt_before_anything_was_replayed_ends_in_order(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 20)
    process = start_replay([path], tmp_path / "out")
    try:
        wait_until((tmp_path / "out" / ".midstream" / "run.json").exists, timeout_s=30, what="the run's beginning")

        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    finally:
        kill(process)

    assert process.returncode == 130
    assert stdout == "" or json.loads(stdout)["complete"] is False
    assert "Traceback" not in stderr


def test_wrong_options_are_refused_with_their_legal_values(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    path.write_text(HEADER)
    for options, part in (
        (("--speed", "0"), "max"),
        (("--session", "no/body"), "A-Z"),
        (("--negative-latency", "drop"), "clamp"),
        (("--resume", "--overwrite"), "exclude"),
    ):
        done = midstream_here("replay", path, "--out", tmp_path / "out", *options)

        assert (done.code, done.stdout) == (2, ""), done
        assert part in done.error_line
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        pytest.param(("--latency-threshold-ms", "soon"), "--latency-threshold-ms", id="price"),
        pytest.param(("--start", "soon"), "--start", id="replay", marks=pytest.mark.long),
    ],
)
def test_values_that_only_a_server_understands_are_refused_in_one_line(
    tmp_path: Path, options: tuple[str, ...], part: str
) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 3)

    done = midstream("replay", path, "--out", tmp_path / "out", *options)

    assert (done.code, done.stdout) == (2, ""), done
    assert part in done.error_line
    assert "MIDSTREAM_" not in done.error_line


def test_sample_output_is_what_the_sample_data_gives(tmp_path: Path) -> None:
    sample = "data/historical_sample.csv"

    outputs = replay([sample], tmp_path / "out")

    assert outputs.mid_log == (ROOT / "data/sample_output/mid_prices.log").read_bytes()
    assert outputs.error_log == (ROOT / "data/sample_output/errors.log").read_bytes()
    expected = expected_outputs([ROOT / sample])
    assert outputs.mid_log == expected.mid_log
    assert outputs.report["order_digest"] == expected.digest


def test_console_script_is_the_same_command() -> None:
    import subprocess
    import sys

    script = Path(sys.executable).with_name("midstream")
    if not script.exists():
        pytest.skip("the package is not installed here: make build-ext")

    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)

    for name in ("replay", "serve", "mode", "status", "pause", "resume", "speed", "inspect"):
        assert f" {name} " in done.stdout
