"""A live feed that exists only in a script, seen by a live session and by a recorder."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_LIVE, TickFrame, encode_batch
from fastpath.midprice import PriceKernel
from services.replay.engine.feed_buffer import FeedLimits, Taken
from services.replay.engine.feed_connection import FeedDialer, FeedLink, OnMessages
from services.replay.engine.live import LiveSource
from services.replay.recording.recorder import Bounds, Recorder
from services.replay.recording.records import Head
from services.replay.recording.segments import Disk, Ending, Place, SegmentLimits, SegmentWriter, place_of
from tests.support.clock import FakeClock
from tests.support.replayed import Logs

URL = "ws://user:secret@feed.example:8443/quotes?key=1"
SOURCE = "ws://feed.example:8443/quotes"
GARBAGE = (
    b"not json at all",
    b'{"index":1,"timestamp":',
    b"[1,2,3]",
    b'{"ticker":"X"}',
    b"\xff\xfe\n\n",
    b"",
    b"\n",
    b"[]",
)
NEVER_LATE_NS = 2**63 - 1

Step = tuple[int, list[bytes]] | str
"""Messages that came at a time, or that the feed was lost."""


def quote(random_: random.Random, event_ns: int) -> dict[str, object]:
    """One object of the live layout, with prices that need all digits, and missing sides."""
    seconds, rest = divmod(event_ns, 1_000_000_000)
    prices = [
        random_.choice([random_.random() * 10 ** random_.randrange(-8, 6), None, "0.1", 3.9e-08]) for _ in range(4)
    ]
    return {
        "index": random_.randrange(100),
        "timestamp": random_.choice(
            [f"2025-10-02 23:{seconds % 3600 // 60:02d}:{seconds % 60:02d}.{rest:09d}", event_ns]
        ),
        "ticker": random_.choice(["BTC-USDT@BINANCE", "ETH-USDT@OKEX", "é/Ω", " padded "]),
        **dict(zip(("ask_amount", "ask_price", "bid_price", "bid_amount"), prices, strict=True)),
    }


def script(seed: int, steps: int) -> list[Step]:
    """A feed with bursts, losses, garbage, arrays, line ends inside of frames, and equal receive times."""
    print(f"seed {seed}")  # noqa: T201  (shown when a test fails)
    random_ = random.Random(seed)
    now_ns, plan = 1_759_449_600_000_000_000, list[Step]()
    for _ in range(steps):
        if random_.random() < 0.05:
            plan.append(random_.choice(["broken", "closed \n with words"]))
        now_ns += random_.choice([0, 1, 999, 5_000_000])
        messages = []
        for _ in range(random_.choice([1, 1, 2, 30])):
            quotes = [
                quote(random_, now_ns - random_.choice([-5_000, 0, 3_000_000]))
                for _ in range(random_.choice([1, 1, 4]))
            ]
            spelt = json.dumps(quotes[0] if len(quotes) == 1 else quotes, indent=random_.choice([None, None, 1]))
            messages.append(random_.choice(GARBAGE) if random_.random() < 0.1 else spelt.encode())
        plan.append((now_ns, messages))
    return plan


class _Link:
    is_refusal = False

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def wait_closed(self) -> None:
        pass

    def end(self) -> None:
        pass

    def reason(self) -> str:
        return self._reason


class _Dialer:
    """Plays the script up to the next loss; at its end it cancels who dials."""

    def __init__(self, plan: Sequence[Step]) -> None:
        self._plan = list(plan)

    async def __call__(self, on_messages: OnMessages) -> FeedLink:
        if not self._plan:
            raise asyncio.CancelledError
        while self._plan:
            step = self._plan.pop(0)
            if isinstance(step, str):
                return _Link(step)
            on_messages(*step)
        return _Link("the script is over")


def followed(
    plan: Sequence[Step] = (), *, limits: FeedLimits | None = None, url: str = URL, dial: FeedDialer | None = None
) -> LiveSource:
    """A live source that has received the whole script, or what `dial` brings until it cancels."""
    clock = FakeClock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    source = LiveSource(url, dial=dial or _Dialer(plan), clock=clock, random=Random(1), limits=limits, sleep=sleep)

    async def follow() -> None:
        await asyncio.gather(source.follow(), return_exceptions=True)

    asyncio.run(follow())
    return source


def live_logs(source: LiveSource, *, log_arrival: bool = False, limit: int = 100) -> Logs:
    """What a price consumer makes of a live session."""
    kernel = PriceKernel(latency_threshold_ns=20_000_000, log_arrival=log_arrival)
    block = Block(Tickers())
    mid_log, error_log, sequence = bytearray(), bytearray(), 1
    while True:
        polled = source.poll(block, limit)
        if not polled.rows and not polled.markers:
            break
        done, markers = 0, polled.markers
        while done < polled.rows or markers:
            encoded, count, last = encode_batch(
                block,
                done,
                polled.rows,
                epoch="epoch",
                mode=MODE_LIVE,
                first_sequence=sequence,
                sources=source.names,
                markers=markers,
            )
            kernel.process(TickFrame(encoded))
            mid_log += kernel.take_mid_text()
            error_log += kernel.take_error_text()
            done, sequence, markers = done + count, last + 1, ()
        block.clear()
    return Logs(bytes(mid_log), bytes(error_log), kernel.counts, kernel.digest(), 0)


@dataclass
class GivenFeed:
    """Implements the recorder's Feed with what another source has received already."""

    source: LiveSource
    problem: str = ""

    def start(self, wake: object) -> None:
        pass

    def stop(self) -> None:
        pass

    def take(self, limit: int) -> Taken:
        return self.source.take(limit)


def recorder_of(
    source: LiveSource,
    out: Path,
    *,
    segment_bytes: int = 20_000,
    bounds: Bounds | None = None,
    ending: Ending | None = None,
    disk: Disk | None = None,
    sync_s: float = 1.0,
) -> Recorder:
    """A recorder of what `source` has received."""
    clock = FakeClock()
    place = place_of(out)
    place.prepare()
    begin = Ending(Head(SOURCE, 1, 0, 0), 0, None) if ending is None else ending
    writer = SegmentWriter(
        place, begin.head, SegmentLimits(size=segment_bytes), sync_s=sync_s, monotonic_ns=clock.monotonic_ns, disk=disk
    )
    return Recorder(GivenFeed(source), writer, begin, bounds or Bounds(), clock=clock)


def segments(out: Path) -> list[str]:
    """The files of a recording, in order."""
    return [str(path) for _, path in Place(out, is_file=False).segments()]
