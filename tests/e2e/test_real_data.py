"""Files as recorders leave them, made and real, through the whole path."""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from protos.common.v1.market_pb2 import MODE_LIVE
from tests.reference.history import expected_outputs
from tests.support.cli import assert_exact, replay, until
from tests.support.serving import serving, ticks
from tests.support.tick_files import live_file, over_sources, quote_files

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@over_sources()
def test_quote_files_give_the_logs_of_the_reference(source: str, tmp_path: Path) -> None:
    paths = quote_files(source, tmp_path)
    expected = expected_outputs(paths)
    assert expected.counts.rejected == 0

    assert_exact(replay(paths, tmp_path / "out"), expected)


@pytest.mark.parametrize("start", ["live", pytest.param("switched", marks=pytest.mark.long)])
@over_sources()
def test_a_live_file_over_a_websocket_comes_out_complete_and_in_order(source: str, tmp_path: Path, start: str) -> None:
    live = live_file(source, tmp_path)
    with live.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 30_000
    settings = {"SIM_FEED_FILE": str(live), "SIM_FEED_SPEED": "max", "START_MODE": "live"}
    if start == "switched":
        # So slow that only the first historical record is ever due.
        settings |= {"START_MODE": "historical", "SPEED": "0.000001"}
    with serving(tmp_path / "out", ("replay", "control", "price", "sim-feed"), **settings) as servers:
        if start == "switched":
            with servers.control() as control:
                control.set_mode("live")
        historical = 1 if start == "switched" else 0
        until(lambda: accounted(servers.sink()) >= historical + len(rows), what="the last live row")
        sink = servers.sink()
        batches = servers.stream(after_sequence=0, to=sink["sequence"])

    found = ticks(batches, mode=MODE_LIVE)
    assert [(tick[0], tick[2], show(tick[3]), show(tick[4])) for tick in found] == [
        (event_time_ns(row["timestamp"]), row["ticker"], show(row["bid_price"]), show(row["ask_price"])) for row in rows
    ]
    arrivals = [tick[1] for tick in found]
    assert arrivals == sorted(arrivals)
    one_sided = sum(1 for row in rows if is_missing(row, "bid") or is_missing(row, "ask"))
    assert one_sided > 0
    errors = (tmp_path / "out" / "errors.log").read_text().splitlines()
    assert len(errors) == one_sided == sink["counts"]["missing_side"]
    assert all(line.endswith(" price is missing") for line in errors)
    assert len((tmp_path / "out" / "mid_prices.log").read_text().splitlines()) == historical + len(rows) - one_sided


def accounted(sink: dict[str, Any]) -> int:
    """Rows that the sink has committed."""
    return sum(sink["counts"][name] for name in ("mids", "latency_filtered", "missing_side", "rejected")) if sink else 0


def event_time_ns(text: str) -> int:
    """Read `2025-10-02 23:59:57.290000`."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1000


def show(price: str | float) -> str:
    """One spelling per price; all that is missing is alike."""
    value = math.nan if price == "" else float(price)
    return "missing" if math.isnan(value) else repr(value)


def is_missing(row: dict[str, str], side: str) -> bool:
    price, amount = row[f"{side}_price"], row[f"{side}_amount"]
    return show(price) == "missing" or (float(price) == 0 and bool(amount) and float(amount) == 0)
