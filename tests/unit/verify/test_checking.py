"""A run recomputed from its inputs: what is right is found right, and whatever is changed is found and named."""

from __future__ import annotations

import errno
import functools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.verify.checking import Block, Verdict, check
from services.verify.ordering import ordered
from services.verify.reading import Lines, ReadOptions, Unreadable, records
from services.verify.run import NotVerifiable, check_inputs, read_run
from tests.reference.history import HistoryOptions, expected_outputs
from tests.support.cli import ROOT, clean_environment, midstream_here
from tests.support.history_files import START_NS, TICKERS, Quirks, history_text, write_files
from tests.support.left_run import EVERY, change_report, leave_run
from tests.support.made_ticks import write_made_ticks


@pytest.fixture
def left(tmp_path: Path) -> tuple[Path, list[str]]:
    """(directory, files) of a run over two files with every quirk."""
    paths = []
    for number in range(2):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(history_text(random.Random(number), Quirks(rows=150, bad=0.1, negative=0.05)))
        paths.append(str(path))
    leave_run(tmp_path / "out", paths)
    return tmp_path / "out", paths


def verified(out: Path) -> tuple[Verdict, list[Block]]:
    blocks: list[Block] = []
    run = read_run(out)
    check_inputs(run)
    return check(run, blocks.append), blocks


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(30))
def test_random_runs_are_what_the_reference_says_they_are(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 5))
    chosen: dict[str, Any] = {
        "negative_latency": random_.choice(["keep", "clamp", "shift"]),
        "tickers": random_.choice([(), TICKERS[:2]]),
        "log_arrival": random_.random() < 0.5,
        "threshold_ns": random_.choice([0, 20_000_000, 5_500_000]),
    }
    if random_.random() < 0.4:
        chosen["start_time_ns"] = START_NS + random_.randrange(10**9)
    if random_.random() < 0.4:
        chosen["end_time_ns"] = START_NS + 10**9 + random_.randrange(10**9)
    report = leave_run(tmp_path / "out", paths, HistoryOptions(**chosen))

    verdict, blocks = verified(tmp_path / "out")

    assert verdict.differences == ()
    assert (verdict.digest, verdict.records) == (report["order_digest"], report["rows_in"])
    assert all(block.is_proven and not block.difference for block in blocks)
    assert [block.digest for block in blocks][: verdict.records // EVERY] == report["order_proofs"]["digests"]


@pytest.mark.parametrize("run_records", [1, 7, 100_000])
def test_order_does_not_depend_on_what_fits_into_memory(left: tuple[Path, list[str]], run_records: int) -> None:
    _, paths = left
    expected = expected_outputs(paths)
    rows = (row for rank, path in enumerate(paths) for row in records(path, rank, ReadOptions(), Lines()))

    keys = [record[:3] for record in ordered(rows, run_records=run_records)]

    assert keys == [record.key for record in expected.sequence]


def test_lines_of_a_file_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    header = "timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
    good = "2025-01-01 00:00:00,BTC,1,201,200,1,10\n"
    path.write_text(header + good + "\n" + "rubbish\n" + good.replace("BTC", "ETH") + "  \r\n" + good.rstrip())
    lines = Lines()

    list(records(str(path), 0, ReadOptions(tickers=frozenset({"BTC"})), lines))

    assert lines == Lines(lines_read=7, ticks=2, rejected=1, skipped=1, blank=2)


def swap_lines(out: Path) -> None:
    log = out / "mid_prices.log"
    lines = log.read_bytes().splitlines(keepends=True)
    lines[70], lines[71] = lines[71], lines[70]
    log.write_bytes(b"".join(lines))


def drop_last_line(out: Path) -> None:
    log = out / "errors.log"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


def append_line(out: Path) -> None:
    with (out / "mid_prices.log").open("ab") as log:
        log.write(b"2025-01-01 00:00:00.000, 1.0\n")


def change_proof(out: Path) -> None:
    proofs = json.loads((out / "report.json").read_text())["order_proofs"]
    proofs["digests"][1] = "0" * 64
    change_report(out, order_proofs=proofs)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap_lines, "mid_prices.log line 71 has to be"),
        (drop_last_line, "is not there"),
        (append_line, "mid_prices.log goes on behind line"),
        (change_proof, f"records {EVERY + 1} to {2 * EVERY}: the digest behind them has to be"),
        (lambda out: change_report(out, order_digest="0" * 64), "the report has 0000"),
        (lambda out: change_report(out, mids=1), "mids has to be"),
        (lambda out: change_report(out, skipped=9), "skipped has to be 0 and the report has 9"),
        (lambda out: change_report(out, order_proofs={"every": EVERY, "digests": []}), "the report has 0 proofs"),
    ],
    ids=["swapped", "dropped", "appended", "proof", "digest", "mids", "skipped", "proofs gone"],
)
def test_whatever_was_changed_is_found(left: tuple[Path, list[str]], change: Callable[[Path], None], said: str) -> None:
    out, _ = left
    change(out)

    verdict, _ = verified(out)

    assert said in "\n".join(verdict.differences)
    assert midstream_here("verify", out).code == 1


def test_first_difference_names_sequence_key_and_line_of_the_file(tmp_path: Path) -> None:
    out, path = tmp_path / "out", write_made_ticks(tmp_path / "plain.csv", 200)
    leave_run(out, [str(path)])
    swap_lines(out)

    verdict, blocks = verified(out)

    arrival_ns = START_NS + (71 + 5) * 10**6
    assert verdict.differences[0].startswith(
        f"sequence 71, key ({arrival_ns}, 0, 72), {path}:72: mid_prices.log line 71 has to be '2025-01-01 00:00:00.071, 71.5"
    )
    assert [block.first for block in blocks if block.difference] == [51]


def rewrite(path: str, change: Callable[[bytes], bytes]) -> None:
    Path(path).write_bytes(change(Path(path).read_bytes()))


@pytest.mark.quick
def test_file_that_changed_where_no_fingerprint_sees_it_differs(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "long.csv", 2000)
    assert path.stat().st_size > 80_000
    leave_run(tmp_path / "out", [str(path)])
    rewrite(str(path), lambda text: text.replace(b",2001,2000,", b",2001,1990,"))

    verdict, _ = verified(tmp_path / "out")

    assert verdict.differences


@pytest.mark.quick
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda out, paths: rewrite(paths[1], lambda text: text + b"\n"), "1.csv changed since: it had"),
        (lambda out, paths: rewrite(paths[1], lambda text: b"n" + text[1:]), "it begins with something else"),
        (lambda out, paths: Path(paths[0]).unlink(), "0.csv, which was replayed, is not there"),
        (lambda out, paths: change_report(out, complete=False), "did not come to its end; finish it with"),
        (lambda out, paths: change_report(out, damaged_sources=1), "1 of its files are damaged"),
        (lambda out, paths: change_report(out, order_digest_version=3), "of version 3"),
        (lambda out, paths: (out / "report.json").unlink(), "holds no report.json"),
        (lambda out, paths: (out / "errors.log").unlink(), "errors.log cannot be read"),
        (lambda out, paths: (out / ".midstream" / "run.json").unlink(), "run.json cannot be read"),
        (
            lambda out, paths: rewrite(
                str(out / ".midstream" / "run.json"),
                lambda text: text.replace(b'"mids_csv"', b'"latency": ["gamma:5ms"], "mids_csv"'),
            ),
            "`gamma:5ms` is no latency model",
        ),
        (
            lambda out, paths: rewrite(
                str(out / ".midstream" / "run.json"), lambda text: text.replace(b'"keep"', b'"drop"')
            ),
            "'drop'",
        ),
    ],
    ids=[
        "grown",
        "other head",
        "gone",
        "not finished",
        "damaged",
        "version",
        "no report",
        "no log",
        "no manifest",
        "latency model",
        "unknown policy",
    ],
)
def test_what_cannot_be_verified_is_refused_by_name(
    left: tuple[Path, list[str]], spoil: Callable[[Path, list[str]], object], said: str
) -> None:
    out, paths = left
    spoil(out, paths)

    with pytest.raises(NotVerifiable, match=r".") as refused:
        verified(out)

    assert said in str(refused.value)
    done = midstream_here("verify", out, "--json")
    assert (done.code, said in done.error_line) == (2, True)
    assert json.loads(done.stdout)["error"]["exit_code"] == 2


def test_recording_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    recording = tmp_path / "live.rec"
    recording.write_bytes(b'# midstream recording 2 {"source": "ws://host/feed"}\nF 1759449600000123456 1 {}\n')

    with pytest.raises(Unreadable, match=r"live\.rec is neither .* --against"):
        list(records(str(recording), 0, ReadOptions(), Lines()))


def test_file_written_again_with_the_same_bytes_is_only_noted(left: tuple[Path, list[str]]) -> None:
    out, paths = left
    rewrite(paths[0], lambda text: text)

    done = midstream_here("verify", out)

    assert done.code == 0
    assert f"{paths[0]} was written at another time" in done.stderr


def test_full_disk_is_said_and_no_verdict(left: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("services.verify.checking.ordered", functools.partial(ordered, run_records=10))
    monkeypatch.setattr("services.verify.ordering.tempfile.TemporaryFile", no_room)
    out, _ = left

    done = midstream_here("verify", out)

    assert (done.code, "No space left on device; make room there" in done.error_line) == (1, True)


def test_nothing_of_the_kernels_is_loaded(left: tuple[Path, list[str]]) -> None:
    out, _ = left
    script = (
        "import sys; from services.cli.main import run; code = run(['verify', sys.argv[1]]);"
        "print(code, sorted(name for name in sys.modules if name.startswith('fastpath.')))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, out],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "0 []"
