"""Replaying a recording gives a price consumer the bytes that the live session gave it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from clients.exchanges.quote_relay import QuoteSink
from fastpath.columns import Block, Tickers
from services.replay.engine.exchange_address import exchange_address
from services.replay.engine.exchange_feed import Close, ExchangeDialer
from services.replay.engine.feed_connection import FeedLink, OnMessages
from services.replay.engine.live import LiveSource
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.replay.sources.inspect import inspect
from tests.support.fake_exchange import FakeExchange, quote
from tests.support.recordings import NEVER_LATE_NS, SOURCE, followed, live_logs, recorder_of, script, segments
from tests.support.replayed import replay, resume_at, write_logs


@pytest.mark.parametrize("log_arrival", [False, True], ids=["event", "arrival"])
@pytest.mark.parametrize("seed", range(4))
def test_a_replay_has_the_logs_and_the_digest_of_the_live_session(tmp_path: Path, seed: int, log_arrival: bool) -> None:
    plan = script(seed, 120)
    expected = live_logs(followed(plan), log_arrival=log_arrival)
    recorder = recorder_of(followed(plan), tmp_path / "day")
    recorder.run(lambda: True)

    got = write_logs(segments(tmp_path / "day"), threshold_ns=NEVER_LATE_NS, log_arrival=log_arrival)

    assert len(segments(tmp_path / "day")) == recorder.figures.segments > 1
    assert got.mid_log == expected.mid_log
    assert got.error_log == expected.error_log
    assert f"Rejected {SOURCE}:".encode() in got.error_log
    assert got.digest == expected.digest
    assert got.counts == expected.counts._replace(markers=0)
    assert expected.counts.markers == recorder.figures.disconnects + recorder.figures.reconnects
    assert (recorder.figures.rejected, recorder.figures.ticks) == (
        expected.counts.rejected,
        expected.counts.mids + expected.counts.missing_side,
    )


class _QuotingExchange(FakeExchange):
    """Brings quotes that need all of their digits, without sides, amounts or times now and then, and is lost."""

    def __init__(self, seed: int, losses: int) -> None:
        super().__init__("binance")
        self._random = random.Random(seed)
        self._now_ns = 1_759_449_600_000_000_000
        self.losses = losses

    async def follow_quotes(self, symbols: Sequence[str], sink: QuoteSink) -> None:
        chosen = self._random
        self._now_ns += 1000
        sink.connected()
        for _ in range(chosen.randrange(1, 80)):
            self._now_ns += chosen.choice([0, 1, 999, 5_000_000])
            bid, ask = (chosen.choice([None, "0.1", "3.9E-8", f"{chosen.random() * 1e5:.9f}"]) for _ in range(2))
            sink.put(
                quote(
                    self.name,
                    chosen.choice(symbols),
                    bid,
                    ask,
                    # A clock that goes back within a connection is held by the feed itself.
                    receive_time_ns=self._now_ns - chosen.choice([0, 0, 1000]),
                    event_time_ns=chosen.choice([None, self._now_ns - 3_000_000]),
                    ask_quantity=chosen.choice([None, Decimal("1E+3")]),
                )
            )
        self.losses -= 1
        raise ConnectionError("the exchange\nhas closed")

    async def open(self, name: str) -> tuple[FakeExchange, Close]:
        return self, self._close

    async def _close(self) -> None:
        pass


def quoted(seed: int) -> LiveSource:
    """A live source on an exchange, with everything received that it brings over three connections."""
    address = exchange_address("binance://BTC/USDT,ETH/USDT:USDT")
    assert address is not None
    exchange = _QuotingExchange(seed, 3)
    dialer = ExchangeDialer(address, exchange.open)

    async def dial(on_messages: OnMessages) -> FeedLink:
        if exchange.losses == 0:
            raise asyncio.CancelledError
        return await dialer(on_messages)

    return followed(url=address.url, dial=dial)


@pytest.mark.parametrize("seed", range(4))
def test_an_exchange_is_recorded_and_replayed_to_the_byte(tmp_path: Path, seed: int) -> None:
    expected = live_logs(quoted(seed), log_arrival=True)
    recorder = recorder_of(quoted(seed), tmp_path / "day", segment_bytes=1 << 20)
    recorder.run(lambda: True)

    got = write_logs(segments(tmp_path / "day"), threshold_ns=NEVER_LATE_NS, log_arrival=True)

    assert (recorder.figures.disconnects, recorder.figures.reconnects) == (3, 2)
    assert got.mid_log == expected.mid_log
    assert got.error_log == expected.error_log
    assert got.digest == expected.digest
    assert got.counts == expected.counts._replace(markers=0)
    assert min(got.counts.mids, got.counts.missing_side) > 0
    assert got.counts.rejected == 0


def test_a_replay_of_a_recording_resumes_after_any_row_also_inside_of_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 8)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MIN", 3)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MAX", 5)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_MIN", 1)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_PER_SOURCE", 1)
    monkeypatch.setattr("services.replay.sources.file_source.MARK_ROWS", 2)
    recorder_of(followed(script(5, 25)), tmp_path / "day").run(lambda: True)
    paths = segments(tmp_path / "day")
    whole = replay(paths, limit=7)

    for poll in range(0, len(whole.cursors), 3):
        following = whole.cursors[poll + 1][0] if poll + 1 < len(whole.cursors) else len(whole.rows)
        for rows_of_poll in range(following - whole.cursors[poll][0] + 1):
            emitted, cursor = resume_at(whole, poll, rows_of_poll=rows_of_poll)

            assert replay(paths, limit=5, resume=cursor).rows == whole.rows[emitted:]


def test_spilled_and_sorted_rejections_are_called_by_their_frames_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 64)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MIN", 8)
    recorder_of(followed(script(6, 60)), tmp_path / "day").run(lambda: True)
    paths = segments(tmp_path / "day")
    # Another source in the midst of it, so that most of what was read has to wait.
    other = tmp_path / "other.csv"
    rows = "".join(f"{1_759_449_600_000_000_000 + at * 9_000_000},0,X,1,1,2,1\n" for at in range(12))
    other.write_text("timestamp,latency,ticker,bid_price,bid_amount,ask_price,ask_amount\n" + rows)
    expected = write_logs([*paths, str(other)], threshold_ns=NEVER_LATE_NS)

    spilled = write_logs([*paths, str(other)], threshold_ns=NEVER_LATE_NS, in_flight_rows_max=5)
    is_sorted = write_logs([*paths, str(other)], HistoricalOptions(unsorted="sort"), threshold_ns=NEVER_LATE_NS)

    assert replay([*paths, str(other)], in_flight_rows_max=5).spilled_rows > 0
    assert expected.counts.rejected > 50
    assert spilled == is_sorted == expected


@pytest.mark.parametrize(
    "options", [{"tickers": ("é/Ω",)}, {"start_time_ns": 1_759_449_600_050_000_000}], ids=["ticker", "start"]
)
def test_filters_leave_rows_out_and_count_them(tmp_path: Path, options: dict[str, object]) -> None:
    recorder_of(followed(script(7, 60)), tmp_path / "day").run(lambda: True)
    paths = segments(tmp_path / "day")
    everything = replay(paths)

    some = replay(paths, HistoricalOptions(**options))  # type: ignore[arg-type]

    assert 0 < len(some.rows) < len(everything.rows)
    assert len(some.rows) + some.skipped == len(everything.rows)
    assert [row for row in everything.rows if row in some.rows] == some.rows


@pytest.mark.parametrize("policy", ["clamp", "shift"])
def test_policies_and_models_apply_to_recordings_as_to_other_files(tmp_path: Path, policy: str) -> None:
    recorder_of(followed(script(8, 40)), tmp_path / "day", segment_bytes=1 << 20).run(lambda: True)
    [path] = segments(tmp_path / "day")
    as_is = [row for row in replay([path]).rows if len(row) > 2]
    latencies = [row[0][0] - row[1] for row in as_is]  # type: ignore[index,operator]

    changed = [row for row in replay([path], HistoricalOptions(negative_latency=policy)).rows if len(row) > 2]  # type: ignore[arg-type]

    shift = max(0, -min(latencies)) if policy == "shift" else 0
    assert min(latencies) < 0
    assert sorted(row[0][0] - row[1] for row in changed) == sorted(max(0, latency + shift) for latency in latencies)  # type: ignore[index,operator]


def test_inspect_and_the_report_tell_what_happened_while_it_was_recorded(tmp_path: Path) -> None:
    recorder = recorder_of(followed(script(9, 60)), tmp_path / "day", segment_bytes=1 << 20)
    recorder.run(lambda: True)

    [file] = inspect(segments(tmp_path / "day")).files

    assert recorder.figures.disconnects > 1
    assert file.remark == f"while it was recorded the feed was lost {recorder.figures.disconnects} times"
    assert (file.layout, file.figures.rejected) == ("recording", recorder.figures.rejected)


def test_live_bounds_of_names_do_not_reach_into_recordings(tmp_path: Path) -> None:
    recorder_of(followed(script(10, 20)), tmp_path / "day").run(lambda: True)
    source = HistoricalSource(segments(tmp_path / "day"), HistoricalOptions())
    source.open()
    block = Block(Tickers(live_names_max=1))

    while not source.poll(block, 1000).ended:
        pass
    source.stop()

    assert len(block.tickers) > 1
    assert not any("the session has" in row[1] for row in block.to_rows() if len(row) == 3)
