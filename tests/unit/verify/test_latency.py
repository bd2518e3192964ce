"""Runs with latency models recomputed: models as they are written, their draws, and what becomes of the rows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from services.replay.sources.latency_kernels import source_latencies
from services.replay.sources.options import HistoricalOptions
from services.verify.checking import check
from services.verify.latency import UnknownModel, models_of
from services.verify.run import NotVerifiable, read_run
from services.verify.sources import latencies
from tests.reference.history import HistoryOptions
from tests.reference.latency import AS_RECORDED, Model
from tests.support.history_files import Quirks, history_text, write_files
from tests.support.left_run import leave_run
from tests.unit.fastpath.frame_support import seed_of_this_run

NAMES = ["x/a.csv", "b.csv", "c=d.csv"]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("latency") / "other.csv"
    path.write_bytes(history_text(random.Random(5), Quirks(rows=800, bad=0.1, negative=0.2)))
    return str(path)


@pytest.mark.parametrize(
    "entries",
    [
        ["file"],
        ["constant:5ms"],
        ["constant:-1ns", "b.csv=file"],
        ["offset:-3.5ms"],
        ["scale:1.5,offset=2ms", "*a.csv=constant:1us"],
        ["scale:0"],
        ["scale:2", "c=d.csv=offset:.5s"],
        ["lognormal:p50=5ms,p99=40ms,seed=7", "b.csv=lognormal:p50=5ms,p99=40ms"],
        ["lognormal:seed=3, median=5ms, sigma=0.8"],
        ["lognormal:median=1ns,sigma=2"],
        ["empirical:{other},seed=18446744073709551615", "a.csv=empirical:{other}"],
    ],
    ids=lambda entries: entries[0],
)
def test_models_are_those_of_the_kernel(entries: list[str], other: str) -> None:
    random_ = random.Random(seed_of_this_run())
    entries = [entry.replace("{other}", other) for entry in entries]

    ours = models_of(entries, NAMES, latencies)
    theirs = source_latencies(HistoricalOptions(latency=tuple(entries)), NAMES)

    assert ["" if model is None else model.digest for model in ours] == [source.digest for source in theirs]
    for model, source in zip(ours, theirs, strict=True):
        for _ in range(200 if model is not None else 0):
            assert model is not None
            latency_ns, line = random_.randrange(-(10**9), 10**10), random_.randrange(1, 10**8)
            assert model.latency_ns(latency_ns, line) == source.kernel.latency_ns(latency_ns, row=line)
            assert model.lowest_ns(latency_ns) == source.kernel.lowest_ns(latency_ns)


@pytest.mark.parametrize(
    "wrong", ["gamma:5ms", "constant:", "lognormal:p50=5ms", "scale:x", "=constant:5ms", "offset:5"]
)
def test_what_is_no_model_is_named(wrong: str) -> None:
    with pytest.raises(UnknownModel, match=wrong):
        models_of([wrong], NAMES, latencies)


def chosen_models(random_: random.Random, count: int) -> tuple[list[str], tuple[Model, ...]]:
    """Choose a model for each file: as it is asked for, and as the reference has it."""
    asked, models = [], []
    for rank in range(count):
        text, model = random_.choice(
            [
                ("file", AS_RECORDED),
                ("constant:7ms", Model(factor=0.0, offset_ns=7_000_000, follows_file=False)),
                ("constant:-7ms", Model(factor=0.0, offset_ns=-7_000_000, follows_file=False)),
                ("offset:-4ms", Model(offset_ns=-4_000_000)),
                ("scale:2.5,offset=1us", Model(factor=2.5, offset_ns=1_000)),
                ("lognormal:p50=5ms,p99=40ms,seed=9", None),
            ]
        )
        if model is None:
            [drawn] = models_of([text], ["a"], latencies)
            assert drawn is not None
            model = Model(quantiles=drawn.quantiles, seed=9, rank=rank, follows_file=False)
        asked.append(f"{rank}.csv={text}")
        models.append(model)
    return asked, tuple(models)


@pytest.mark.parametrize("seed", range(25))
def test_random_runs_with_models_are_what_the_reference_says(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    paths = []
    for rank in range(random_.randrange(1, 4)):
        paths.append(str(tmp_path / f"{rank}.csv"))
        quirks = Quirks(rows=150, bad=0.1, negative=0.1, sort_by=random_.choice(["event", "arrival"]))
        Path(paths[-1]).write_bytes(history_text(random_, quirks))
    asked, models = chosen_models(random_, len(paths))
    options: dict[str, Any] = {"negative_latency": random_.choice(["keep", "clamp", "shift"])}
    report = leave_run(tmp_path / "out", paths, HistoryOptions(latencies=models, **options), latency=asked)

    verdict = check(read_run(tmp_path / "out"), lambda block: None)

    assert verdict.differences == ()
    assert (verdict.digest, verdict.records) == (report["order_digest"], report["rows_in"])


def test_another_model_than_that_of_the_run_is_a_difference(tmp_path: Path) -> None:
    paths = write_files(tmp_path, random.Random(1), 1)
    model = Model(factor=0.0, offset_ns=5_000_000, follows_file=False)
    leave_run(tmp_path / "out", paths, HistoryOptions(latencies=(model,)), latency=["constant:6ms"])

    assert check(read_run(tmp_path / "out"), lambda block: None).differences


def test_a_file_that_was_drawn_from_and_has_changed_is_refused(tmp_path: Path, other: str) -> None:
    paths = write_files(tmp_path, random.Random(1), 1)
    leave_run(tmp_path / "out", paths, latency=[f"empirical:{other}"])
    manifest = tmp_path / "out" / ".midstream" / "run.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"latencies": ["0" * 32]}))

    with pytest.raises(NotVerifiable, match="a file that it draws from has changed"):
        check(read_run(tmp_path / "out"), lambda block: None)


def test_a_declared_minimum_decides_how_far_latencies_are_shifted(tmp_path: Path) -> None:
    path = tmp_path / "0.csv"
    path.write_text(
        "timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n2025-01-01 00:00:00,A,1,2,1,1,-3\n"
    )
    options = HistoryOptions(negative_latency="shift", latencies=(Model(offset_ns=7_000_000),))
    # With the minimum that is promised, -10 ms, what is added is 10 ms: 7 ms more than the reference finds to be needed.
    leave_run(
        tmp_path / "as_offset",
        [str(path)],
        HistoryOptions(latencies=(Model(offset_ns=10_000_000),)),
        latency=["offset:10ms"],
    )
    report = json.loads((tmp_path / "as_offset" / "report.json").read_text())
    manifest = tmp_path / "as_offset" / ".midstream" / "run.json"
    fields = json.loads(manifest.read_text())
    fields["options"] |= {"negative_latency": options.negative_latency, "min_latency_ms": "-10", "latency": []}
    manifest.write_text(json.dumps(fields))

    verdict = check(read_run(tmp_path / "as_offset"), lambda block: None)

    assert verdict.differences == ()
    assert verdict.digest == report["order_digest"]
