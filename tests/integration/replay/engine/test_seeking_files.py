"""Seeking in real files, against the reference reader: every position, every state, every record behind it."""

from __future__ import annotations

import bisect
import random
from pathlib import Path

import pytest

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.frame import MARKER_DISCONTINUITY
from fastpath.quotes import Quote, read_quotes
from fastpath.records import Cursor
from services.replay.sources import HistoricalOptions, HistoricalSource
from tests.reference.history import ExpectedRecord, ExpectedTick, HistoryOptions, expected_outputs
from tests.support.engine import Stage
from tests.support.history_files import Quirks, history_text

SEEKS = 25


def files_of(seed: int, directory: Path, *, sort_by: str) -> list[str]:
    """Two files with ties, negative latencies and rows that cannot be used."""
    paths = []
    for number in range(2):
        path = directory / f"{number}.csv"
        quirks = Quirks(rows=400, negative=0.3, hour_long=0.01, tie=0.7, sort_by=sort_by)
        path.write_bytes(history_text(random.Random(f"{seed}{number}"), quirks))
        paths.append(str(path))
    return paths


def state_before(records: list[ExpectedRecord]) -> list[Quote]:
    """The last quote per ticker, by the names' bytes."""
    last = {}
    for record in records:
        if isinstance(record, ExpectedTick):
            prices = (record.bid_price, record.bid_amount, record.ask_price, record.ask_amount)
            last[record.ticker] = Quote(record.ticker, record.event_time_ns, record.key[0], *prices)
    return [last[ticker] for ticker in sorted(last, key=lambda name: name.encode())]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("policy", "sort_by"), [("keep", "event"), ("shift", "event"), ("clamp", "arrival")])
def test_positions_and_states_are_those_of_the_reference(
    seed: int, policy: str, sort_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.replay.engine.history.ANCHOR_ROWS", 50)
    rng = random.Random(seed)
    paths = files_of(seed, tmp_path, sort_by=sort_by)
    records = expected_outputs(paths, HistoryOptions(negative_latency=policy)).sequence  # type: ignore[arg-type]
    keys = [record.key for record in records]

    def open_files(resume: Cursor | None, *, growing: bool = False) -> HistoricalSource:
        source = HistoricalSource(
            paths,
            HistoricalOptions(negative_latency=policy),
            resume=resume,
            cache_dir=tmp_path,  # type: ignore[arg-type]
        )
        source.open()
        return source

    stage = Stage(open_historical=open_files)
    stage.journal.add("pause")
    wanted = []
    for second in range(SEEKS):
        key = rng.choice(keys)
        if key[0] == BEFORE_EVERYTHING or rng.random() < 0.3:
            stage.at(second + 1, lambda key=key: stage.journal.add("seek", to="key", key=key))  # type: ignore[misc]
            wanted.append(bisect.bisect_right(keys, key))
        else:
            time_ns = key[0] + rng.choice([-1, 0, 1])
            stage.at(second + 1, lambda at=time_ns: stage.journal.add("seek", to="time", at=at))  # type: ignore[misc]
            wanted.append(bisect.bisect_left(keys, (time_ns, 0, 0)))
    stage.at(SEEKS + 1, lambda: stage.journal.add("resume"))

    queue = stage.play()

    markers = [marker for marker in queue.markers() if marker.kind == MARKER_DISCONTINUITY]
    assert len(markers) == SEEKS
    for before, marker in zip(wanted, markers, strict=True):
        assert repr(read_quotes(marker.state)) == repr(state_before(records[:before]))
        assert marker.first_key == (keys[before] if before < len(keys) else None)
    played = [repr(tick[1:]) for frame in queue.frames() for tick in frame.ticks()]
    assert played == [
        repr((
            record.ticker, record.event_time_ns, record.key[0],
            record.bid_price, record.bid_amount, record.ask_price, record.ask_amount,
        ))
        for record in records[wanted[-1] :]
        if isinstance(record, ExpectedTick)
    ]  # fmt: skip
