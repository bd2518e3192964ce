"""Subscribers of a stream: how many there may be, what they may ask for, and what one is told that fell behind."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Final

from services.runtime.errors import InvalidRequest, ResourceExhausted
from services.runtime.figures import Figure
from services.runtime.metrics import Metrics
from services.runtime.session.stream_entries import FellBehind

SUBSCRIBERS: Final = "midstream_subscribers"
DISCONNECTED: Final = "midstream_subscribers_disconnected_total"
SUBSCRIBER_FIGURES: Final = (
    Figure(SUBSCRIBERS, "gauge", "Streams being served"),
    Figure(DISCONNECTED, "counter", "Streams ended because the client was too slow"),
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

    def _change(self, by: int) -> None:
        self._count += by
        self._metrics.set(SUBSCRIBERS, self._count)


def wanted_tickers(tickers: Collection[str]) -> frozenset[str]:
    """Return the tickers that a subscriber asks for; none are all. Raises InvalidRequest when they are too many."""
    if len(tickers) > TICKERS_MAX:
        raise InvalidRequest("tickers", f"must name at most {TICKERS_MAX} tickers (got {len(tickers)})")
    return frozenset(tickers)
