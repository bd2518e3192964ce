"""The latest mid of every ticker: the hash when the tail begins to read, and every batch after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import cast

import redis.asyncio

from fastpath.mids import MidFrame
from protos.common.v1.market_pb2 import MidBatch
from services.price.mid_batches import MIDS, MidTable
from services.runtime.connection import redacted
from services.runtime.errors import Unavailable
from services.runtime.session.batch_format import Batch
from services.runtime.session.hold import Hold, holding
from services.runtime.session.keys import SessionKeys
from services.runtime.session.latest_mid import LatestMid
from services.runtime.session.stream_tail import StreamTail
from services.runtime.unreadable import Unreadable


class LatestMids:
    """Listens to the tail of a mids stream; `on_trouble` hears why it cannot read, and "" when it can."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: SessionKeys,
        *,
        on_trouble: Callable[[str], None],
        unreadable: Unreadable | None = None,
    ) -> None:
        self._client = client
        self._skipped = unreadable or Unreadable()
        self._keys = keys
        self._on_trouble = on_trouble
        self._epoch = ""
        self._latest: dict[str, LatestMid] = {}
        self._unreadable: dict[str, str] = {}
        """Tickers whose stored value cannot be read, and why."""
        self.ready = False
        """Whether the stream was read at least once."""

    def get(self, ticker: str) -> LatestMid | None:
        """The latest mid of a ticker; None when there was none yet. Raises Unavailable where there is one that cannot be read."""
        latest = self._latest.get(ticker)
        if latest is None and (problem := self._unreadable.get(ticker)):
            raise Unavailable(f"{problem}; its next mid takes its place")
        return latest

    async def begin(self, epoch: str) -> None:
        if epoch:
            if epoch != self._epoch:
                self._start_over(epoch)
            stored = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(self._keys.latest))
            self._unreadable = {}
            # Whoever writes the hash keeps all of them in it: one that is not there any more was before replay time was moved.
            kept = {name.decode("utf-8", "replace") for name in stored}
            self._latest = {ticker: latest for ticker, latest in self._latest.items() if ticker in kept}
            for name, packed in stored.items():
                self._take(name, packed)
            if stored and len(self._unreadable) == len(stored):
                # Not one value that is damaged: whoever writes them writes something else. So does a newer release, which raises.
                raise ValueError(next(iter(self._unreadable.values())))
        self.ready = True

    def _take(self, name: bytes, packed: bytes) -> None:
        ticker = name.decode("utf-8", "replace")
        try:
            latest = LatestMid.decode(ticker, packed)
        except ValueError as exc:
            # Of one ticker, whose next mid replaces it; the others are well.
            self._unreadable[ticker] = str(exc)
            self._skipped.note("latest", self._keys.latest, exc)
        else:
            self._keep(ticker, latest)

    def note(self, batch: Batch) -> None:
        if batch.epoch != self._epoch:
            self._start_over(batch.epoch)
        if not batch.payload:
            return
        frame = MidFrame(batch.payload)
        if len(frame) == 0:
            self._restate(MidBatch.FromString(batch.payload))
        for ticker, (sequence, event_time_ns, arrival_time_ns, mid) in frame.latest().items():
            self._keep(ticker, LatestMid(sequence, event_time_ns, arrival_time_ns, mid, frame.mode))

    def _restate(self, batch: MidBatch) -> None:
        """Replay time was moved: what was the latest before is none any more."""
        if not batch.HasField("state"):
            return
        sequence = batch.first_sequence
        if not batch.state.continues:
            self._latest = {ticker: latest for ticker, latest in self._latest.items() if latest.sequence >= sequence}
        for mid in batch.state.mids:
            self._keep(
                mid.ticker, LatestMid(sequence, mid.event_time_ns, mid.arrival_time_ns, mid.mid_price, batch.mode)
            )

    def table(self, epoch: str, last_sequence: int) -> MidTable | None:
        """What is known up to a sequence, which includes what retention trimmed; None where the stream was not read yet."""
        if not epoch or epoch != self._epoch:
            return None
        # A value that is newer is behind what the tail has read, and comes with it.
        known = {ticker: latest for ticker, latest in self._latest.items() if latest.sequence <= last_sequence}
        return MidTable.of(epoch, known, last_sequence)

    def trouble(self, reason: str) -> None:
        self._on_trouble(redacted(reason))

    def _start_over(self, epoch: str) -> None:
        self._epoch = epoch
        self._latest.clear()

    def _keep(self, ticker: str, latest: LatestMid) -> None:
        known = self._latest.get(ticker)
        if known is None or known.sequence < latest.sequence:
            self._latest[ticker] = latest


@dataclass(frozen=True)
class FollowedMids:
    """A session's mids: the stream's tail, and the latest per ticker that it brings."""

    tail: StreamTail
    latest: LatestMids
    holding: Callable[[Callable[[], int]], AbstractAsyncContextManager[Hold]]
    """Lets the session wait for a subscriber, told how far the sink is: batches without mids leave none. Raises FailedPrecondition."""

    @classmethod
    def of(
        cls,
        client: redis.asyncio.Redis,
        keys: SessionKeys,
        *,
        on_trouble: Callable[[str], None],
        unreadable: Unreadable | None = None,
    ) -> FollowedMids:
        """Put both together; the tail is not started."""
        latest = LatestMids(client, keys, on_trouble=on_trouble, unreadable=unreadable)
        tail = StreamTail(
            client,
            keys.mids,
            batches=MIDS,
            listener=latest,
            seed=lambda: latest.table(*tail.ring.end),
            unreadable=unreadable,
        )

        def hold(committed: Callable[[], int]) -> AbstractAsyncContextManager[Hold]:
            return holding(client, keys, end=lambda taken: committed() if taken >= tail.last_sequence else taken)

        return cls(tail, latest, hold)
