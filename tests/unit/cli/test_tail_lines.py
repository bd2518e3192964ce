"""How `midstream tail` shows records: every kind has a line and an object, and nothing in them acts upon a terminal."""

from __future__ import annotations

import json
import math

import pytest

from clients.rpc.records import Mid, Tick
from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, Marker, MidBatch, Rejection
from services.cli.tail_command import Wanted, _Printer
from services.cli.tail_lines import Lines, figures, number

pytestmark = pytest.mark.quick

WANTED = Wanted(
    mids=True,
    session="",
    tickers=(),
    from_oldest=True,
    after="",
    epoch="",
    last=None,
    count=None,
    latest=False,
    since="",
    policy="",
    every="",
    lag_records_max=0,
    with_lag=False,
)


def test_a_mid_of_several_partitions_says_whose_number_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"sequence": [7], "tickers": ["BTC"], "ticker_index": [0], "mid_price": [1.5]}
    columns |= {"event_time_ns": [1], "arrival_time_ns": [2]}
    of_one = MidBatch(epoch="e", mode=MODE_LIVE, first_sequence=7, last_sequence=7, **columns)  # type: ignore[arg-type]
    of_first, of_third = MidBatch(partition=0), MidBatch(partition=2)
    for each in (of_first, of_third):
        each.MergeFrom(of_one)
    printer = _Printer(WANTED, as_json=True)

    for each in (of_one, of_first, of_third):
        assert printer.take(each)

    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.pop("partition", None) for each in said] == [None, 0, 2]
    assert said[0] == said[1] == said[2]


DAY_NS = 86_400 * 10**9
TICK = Tick(7, MODE_LIVE, "BTC", 1_000_000_000, 1_020_500_000, 100.5, 2.0, math.nan, math.nan)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (None, "7  1970-01-01 00:00:01.020500  1970-01-01 00:00:01.000  BTC  100.5  x 2.0  -  x -"),
        (120, "7  1970-01-01 00:00:01.020500  1970-01-01 00:00:01.000  BTC  100.5  x 2.0  -  x -"),
        (110, "7  1970-01-01 00:00:01.020500  1970-01-01 00:00:01.000  BTC  100.5  -"),
        (96, "7  00:00:01.020500  00:00:01.000  BTC  100.5  -"),
        (80, "00:00:01.020500  +20.5 ms  BTC  100.5  -"),
        (40, "00:00:01.020500  BTC  100.5  -"),
    ],
)
def test_a_tick_has_what_the_terminal_has_room_for(columns: int | None, line: str) -> None:
    assert Lines(columns).of(TICK)[-1] == line


def test_another_day_is_told_where_lines_do_not_say_it() -> None:
    lines = Lines(80)
    later = Tick(8, MODE_LIVE, "BTC", DAY_NS, DAY_NS, 1.0, 1.0, 2.0, 1.0)

    shown = [*lines.of(TICK), *lines.of(TICK), *lines.of(later)]

    assert [line for line in shown if line.startswith("--")] == ["-- 1970-01-01", "-- 1970-01-02"]


@pytest.mark.parametrize(
    ("marker", "line"),
    [
        (
            Marker(kind=Marker.KIND_SEAM, previous_mode=MODE_HISTORICAL, mode=MODE_LIVE, revision=3),
            "-- seam: historical to live, revision 3",
        ),
        (Marker(kind=Marker.KIND_DISCONNECTED, reason="closed\x1b[2J"), r"-- live feed disconnected: closed\x1b[2J"),
        (Marker(kind=Marker.KIND_RECONNECTED), "-- live feed connected again"),
        (Marker(kind=Marker.KIND_GAP, lost_frames=1_200, reason="paused"), "-- gap: 1,200 live frames missing: paused"),
        (Marker(kind=Marker.KIND_GAP), "-- gap: live records missing"),
    ],
)
def test_what_happened_between_records_has_a_line(marker: Marker, line: str) -> None:
    assert Lines(None).of(marker) == [line]


def test_a_rejected_row_names_its_place() -> None:
    rejected = Rejection(sequence=4, source="a.csv", line=9, reason="no\nprice", raw=b"\xff,1")

    assert Lines(40).of(rejected) == ["-- rejected a.csv:9: no\\nprice"]
    assert figures(rejected, "e")["raw"] == "\\xff,1"


def test_numbers_read_back_and_none_is_a_dash() -> None:
    assert [number(value) for value in (2.7315e-05, 200.0, math.nan)] == ["2.7315e-05", "200.0", "-"]


@pytest.mark.parametrize(
    "record",
    [TICK, Mid(1, MODE_LIVE, "A", 1, 2, 3.5), Marker(kind=Marker.KIND_GAP), Rejection(sequence=1)],
    ids=lambda record: type(record).__name__,
)
def test_every_record_is_one_object_of_strict_json(record: Tick | Mid | Marker | Rejection) -> None:
    told = json.dumps(figures(record, "e"), allow_nan=False)

    assert json.loads(told)["epoch"] == "e"
    assert json.loads(told)["type"] in ("tick", "mid", "marker", "rejection")
