"""Subscribers of a stream: how many there may be, what they may ask for, what each is sent, and what one is told that fell behind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import aclosing
from typing import Final

from protos.common.v1.market_pb2 import Lag, Skipped
from services.runtime.errors import InvalidRequest, ResourceExhausted
from services.runtime.figures import Figure
from services.runtime.metrics import Metrics
from services.runtime.session.delivery import Begin, Delivery, Sent, deliver
from services.runtime.session.hold import Hold
from services.runtime.session.stream_entries import FellBehind
from services.runtime.session.stream_tail import StreamTail
from services.runtime.subscriber_lag import LAG_FIGURES, Lagging, Progress, lags

SUBSCRIBERS: Final = "midstream_subscribers"
DISCONNECTED: Final = "midstream_subscribers_disconnected_total"
SKIPPED: Final = "midstream_subscribers_skipped_records_total"
SUBSCRIBER_FIGURES: Final = (
    Figure(SUBSCRIBERS, "gauge", "Streams being served"),
    Figure(DISCONNECTED, "counter", "Streams ended because the client was too slow"),
    Figure(SKIPPED, "counter", "Records left out of streams whose client was too slow and wanted them left out"),
    *LAG_FIGURES,
)

TICKERS_MAX: Final = 10_000
SUBSCRIBERS_MAX: Final = 1_000
LAST_SEQUENCE_TRAILER: Final = "midstream-last-sequence"
"""Trailing metadata of a subscription that ends because its client fell behind."""


class Subscribers:
    """The subscribers of one server. `advice` says how one that fell behind can go on."""

    def __init__(self, metrics: Metrics, *, advice: str) -> None:
        metrics.declare(SUBSCRIBER_FIGURES)
        self._metrics = metrics
        self._advice = advice
        self._count = 0
        self._progress: dict[int, Lagging] = {}
        for place, figure in enumerate(LAG_FIGURES):
            metrics.measured(figure).follow(lambda place=place: lags(list(self._progress.values()), place))  # type: ignore[misc]

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a subscriber while it is there. Raises ResourceExhausted when there are too many, or when it fell behind."""
        if self._count >= SUBSCRIBERS_MAX:
            raise ResourceExhausted(f"{SUBSCRIBERS_MAX} subscribers are connected already; try again when one has left")
        self._change(1)
        try:
            yield
        except FellBehind as exc:
            self._metrics.add(DISCONNECTED)
            raise ResourceExhausted(
                f"the client fell behind what is retained: the last sequence sent is {exc.last_sequence}, "
                f"the oldest retained is {exc.oldest_sequence}; {self._advice}",
                metadata=((LAST_SEQUENCE_TRAILER, str(exc.last_sequence)),),
            ) from exc
        finally:
            self._change(-1)

    async def serve(
        self, tail: StreamTail, begin: Begin, delivery: Delivery, tickers: frozenset[str], hold: Hold | None
    ) -> AsyncGenerator[bytes, None]:
        """Yield encoded batches, for ever; whoever iterates asks for the next one when the client has taken the one before."""
        progress = Progress(tail, begin)
        with self.following(progress):
            if hold is not None and begin.position is not None:
                newest = await tail.newest()
                if newest is not None and begin.position == newest.last_sequence:
                    # Nothing follows yet, so nothing will be taken: without this the session would wait for ever.
                    hold.take(begin.position)
            async with aclosing(deliver(tail, begin, delivery, hold)) as sent:
                async for each in sent:
                    behind = progress.got(each.batch)
                    self.count_skipped(each.skipped)
                    payload = _payload(tail, each, tickers)
                    if payload:
                        if delivery.with_lag:
                            lag = Lag(records=behind.records, bytes=behind.bytes, data_time_ns=behind.data_time_ns)
                            payload += tail.batches.message(lag=lag).SerializeToString()
                        if hold is not None:
                            hold.offer()
                        yield payload
                    if hold is not None:
                        hold.take(each.batch.last_sequence)

    @contextlib.contextmanager
    def following(self, progress: Lagging) -> Iterator[None]:
        """Measure how far a subscriber is behind while it is there."""
        self._progress[id(progress)] = progress
        try:
            yield
        finally:
            del self._progress[id(progress)]

    def count_skipped(self, skipped: Skipped | None) -> None:
        """Count what a policy left out."""
        if skipped is not None:
            self._metrics.add(SKIPPED, skipped.records)

    def _change(self, by: int) -> None:
        self._count += by
        self._metrics.set(SUBSCRIBERS, self._count)


def _payload(tail: StreamTail, sent: Sent, tickers: frozenset[str]) -> bytes | None:
    """What a subscriber gets of a batch; None where it gets nothing. A field of a message may stand behind all others."""
    batches, payload = tail.batches, sent.batch.payload
    wanted = batches.select(payload, tickers) if tickers else payload
    if sent.skipped is None:
        return wanted
    return (wanted or batches.head_alone(payload)) + batches.message(skipped=sent.skipped).SerializeToString()


def wanted_tickers(tickers: Collection[str]) -> frozenset[str]:
    """Return the tickers that a subscriber asks for; none are all. Raises InvalidRequest when they are too many."""
    if len(tickers) > TICKERS_MAX:
        raise InvalidRequest("tickers", f"must name at most {TICKERS_MAX} tickers (got {len(tickers)})")
    return frozenset(tickers)
