"""docs/order_proof.md as it says: real runs recomputed and compared, also filtered, compressed, killed and resumed ones."""

from __future__ import annotations

import gzip
import json
import random
import shlex
import signal
from pathlib import Path

import pytest

from protos.replay.v1.replay_pb2 import GetSessionRequest
from tests.support.cli import ROOT, interrupt_replay, midstream, replay
from tests.support.history_files import Quirks, history_text, tardis_text
from tests.support.made_ticks import write_made_ticks
from tests.support.pages import run_program, shell_lines
from tests.support.serving import serving

PAGE = (ROOT / "docs" / "order_proof.md").read_text(encoding="utf-8")
QUIRKS = Quirks(rows=1500, bad=0.05, negative=0.1, quoted=0.1, sort_by="arrival")


@pytest.mark.quick
def test_page_compares_and_recomputes(tmp_path: Path) -> None:
    write_made_ticks(tmp_path / "ticks.csv", 1500)

    for line in shell_lines(PAGE):
        program, *arguments = shlex.split(line)
        assert program == "midstream"
        done = midstream(*arguments, cwd=tmp_path)
        assert done.code == 0, done.stderr

    assert "1,500 records are what one says" in done.stdout


def test_options_are_recomputed_as_they_were_replayed(tmp_path: Path) -> None:
    random_ = random.Random(11)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(history_text(random_, QUIRKS)))
    (tmp_path / "b.csv").write_bytes(tardis_text(random_, 900, negative=True))
    options = (
        *(
            "--negative-latency",
            "shift",
            "--log-timestamp",
            "arrival",
            "--latency-threshold-ms",
            "7.5",
            "--unsorted",
            "sort",
        ),
        *("--mids-csv", "--start", "2025-01-01 00:00:00.1", "--end", "2025-01-01 00:20:00"),
    )
    outputs = replay(["a.csv.gz", "b.csv"], tmp_path / "out", *options, cwd=tmp_path)
    assert outputs.report["skipped"] > 0 < outputs.report["rejected"]

    done = midstream("verify", "out", "--json", cwd=tmp_path)

    assert done.code == 0, done.stdout
    assert json.loads(done.stdout)["records"] == outputs.report["rows_in"]


@pytest.mark.long
def test_run_that_was_killed_and_resumed_is_what_it_has_to_be(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(history_text(random.Random(12), Quirks(rows=6000, bad=0.05)))
    out = tmp_path / "out"
    interrupt_replay([path], out, "--speed", "2", number=signal.SIGKILL, after_bytes=50_000)
    outputs = replay([path], out, "--resume")

    done = midstream("verify", out)

    assert done.code == 0, done.stderr
    assert outputs.report["order_digest"] in done.stdout


@pytest.mark.nightly
def test_first_block_in_which_two_runs_differ_is_named(tmp_path: Path) -> None:
    one = write_made_ticks(tmp_path / "one.csv", 150_000)
    two = tmp_path / "two.csv"
    two.write_text(one.read_text().replace(",100001,100000,", ",100001,99999,"))
    for path in (one, two):
        interrupt_replay([path], path.with_suffix(""), number=signal.SIGKILL, after_bytes=1_000_000)
        replay([path], path.with_suffix(""), "--resume")

    done = midstream("verify", "one", "--against", "two", cwd=tmp_path)
    right = midstream("verify", "one", cwd=tmp_path)

    assert (done.code, right.code) == (1, 0)
    assert "the first 65,536 records are the same; the first difference is in records 65,537 to 131,072" in done.stdout
    assert [line.split(":")[1].split()[0] for line in right.stdout.splitlines()[:3]] == ["OK", "OK", "OK"]


def test_latency_models_are_recomputed(tmp_path: Path) -> None:
    random_ = random.Random(12)
    (tmp_path / "a.csv").write_bytes(history_text(random_, QUIRKS))
    (tmp_path / "b.csv").write_bytes(history_text(random_, QUIRKS))
    (tmp_path / "c.csv").write_bytes(tardis_text(random_, 900, negative=True))
    models = ("scale:1.5,offset=-2ms", "b.csv=empirical:a.csv,seed=3", "c.csv=lognormal:p50=5ms,p99=40ms")
    options = ("--negative-latency", "shift", "--min-latency-ms", "-5000")
    latency = [option for model in models for option in ("--latency", model)]
    outputs = replay(["a.csv", "b.csv", "c.csv"], tmp_path / "out", *options, *latency, cwd=tmp_path)

    done = midstream("verify", "out", "--json", cwd=tmp_path)

    assert done.code == 0, done.stdout
    assert json.loads(done.stdout)["records"] == outputs.report["rows_in"]
    assert outputs.report["latency"]


def test_a_reader_checks_the_stream_and_gets_the_string_that_the_sink_has(tmp_path: Path) -> None:
    [section] = [part for part in PAGE.split("\n## ") if part.startswith("Check the stream")]
    with serving(tmp_path / "out", ("replay", "control", "price"), ORDER_PROOF="4096") as servers:
        last = servers.wait_state("COMPLETED")["last_sequence"]
        sink = servers.wait_committed(last)

        said = run_program(section, place="127.0.0.1:50051", at=servers.address("replay"), folder=tmp_path)

        filtered = servers.stream(to=last, after_sequence=0, tickers=["BTC-USDT-SWAP@BYBIT"])
        session = servers.replay.GetSession(GetSessionRequest(), timeout=10.0).session
    places = [4096 * number for number in range(1, 5)]
    assert said.splitlines() == [
        *(f"records 1 to {place:,} are right" for place in places),
        f"records 1 to {last:,} are right {sink['digest']}",
    ]
    assert (session.proof.digest, session.proof.records) == (sink["digest"], last)
    assert not any(batch.HasField("proof") for batch in filtered)
