"""Follows the mids stream: the latest mid of every ticker, and a ring of the newest batches that all subscribers share.

The stream is derived data of one epoch at a time. When its numbering starts over, the engine deletes it; the tail
notices by the epoch of what it reads or, on a quiet stream, by a top entry that is not the one it knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final, NamedTuple

import redis

from fastpath.mids import MidFrame
from services.runtime.backoff import Backoff
from services.runtime.connection import redacted
from services.runtime.session.keys import SessionKeys
from services.runtime.session.latest_mid import LatestMid
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

RING_BYTES_MAX: Final = 8 * 1024 * 1024
"""Subscribers that fall further behind read from Redis, each at its own pace."""
READ_COUNT: Final = 16
BLOCK_MS: Final = 1000
_BEGINNING: Final = b"0-0"


class MidsEntry(NamedTuple):
    """One entry of the mids stream."""

    id: bytes
    epoch: str
    first_sequence: int
    last_sequence: int
    payload: bytes
    overlaps: bool
    """The payload begins before `first_sequence`, with mids that an entry before this one holds."""


class FellBehind(Exception):
    """Mids after `last_sequence` are no longer retained."""

    def __init__(self, last_sequence: int, oldest_sequence: int) -> None:
        super().__init__(f"mids after {last_sequence} are no longer retained, the oldest is {oldest_sequence}")
        self.last_sequence = last_sequence
        self.oldest_sequence = oldest_sequence


class Position(NamedTuple):
    """Where a subscriber stands: it has everything up to `sequence` of `epoch`."""

    epoch: str
    sequence: int


class MidsTail:
    """The reader of one mids stream in one event loop; `on_trouble` hears why it cannot read, and "" when it can."""

    def __init__(self, client: Any, keys: SessionKeys, *, random: Random, on_trouble: Callable[[str], None]) -> None:
        self._client = client
        self._keys = keys
        self._on_trouble = on_trouble
        self._backoff = Backoff(random)
        self._latest: dict[str, LatestMid] = {}
        self._ring: deque[MidsEntry] = deque()
        self._ring_bytes = 0
        self._floor = 0
        """Everything of the epoch after this sequence is in the ring."""
        self._end = Position("", 0)
        self._last_id = _BEGINNING
        self._grown = asyncio.Event()
        self._ready = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="mids-tail")

    async def stop(self) -> None:
        await end_task(self._task)

    @property
    def ready(self) -> bool:
        """Whether the stream was read at least once."""
        return self._ready

    @property
    def end(self) -> Position:
        """The newest mids that were seen."""
        return self._end

    def latest(self, ticker: str) -> LatestMid | None:
        """The latest mid of a ticker; None when there was none yet."""
        return self._latest.get(ticker)

    async def oldest(self) -> Position:
        """Return the position before the oldest retained mids."""
        entries = await self._entries("xrange", count=1)
        return Position(entries[0].epoch, entries[0].first_sequence - 1) if entries else self._end

    async def position_after(self, sequence: int) -> tuple[Position, MidsEntry | None]:
        """Return the position of a client that has everything up to `sequence`, and the entry that this position cuts, if any.

        Raises FellBehind when mids after it may be gone.
        """
        before = await self._entries("xrevrange", max=f"0-{sequence}", count=1)
        if before:
            entry = before[0]
            if entry.last_sequence > sequence:
                return Position(entry.epoch, entry.last_sequence), entry
            return Position(entry.epoch, sequence), None
        await self._check_retained(sequence)
        return Position(self._end.epoch, sequence), None

    async def follow(self, position: Position) -> AsyncIterator[MidsEntry]:
        """Yield every entry behind `position`, for ever; another epoch begins at its own beginning. Raises FellBehind."""
        while True:
            grown = self._grown
            if position.epoch != self._end.epoch:
                position = Position(self._end.epoch, 0)
            entries = self._ring_after(position)
            if entries is None:
                entries = await self._read_after(position)
            for entry in entries:
                if entry.epoch == position.epoch and entry.last_sequence > position.sequence:
                    yield entry
                    position = Position(entry.epoch, entry.last_sequence)
            if not entries or entries[-1].epoch != position.epoch:
                # Nothing new, or the first batches of a numbering that the tail has not met yet.
                await grown.wait()

    def _ring_after(self, position: Position) -> list[MidsEntry] | None:
        """Return the entries behind `position`; None when they have to be read from the stream."""
        if position.sequence < self._floor:
            return None
        found: list[MidsEntry] = []
        for entry in reversed(self._ring):
            if entry.last_sequence <= position.sequence:
                break
            found.append(entry)
        found.reverse()
        return found

    async def _read_after(self, position: Position) -> list[MidsEntry]:
        entries = await self._entries("xrange", min=f"(0-{position.sequence}", count=READ_COUNT)
        # Batches without a mid leave no entry, so only what is before tells whether something was trimmed.
        skips = bool(entries) and entries[0].first_sequence > position.sequence + 1
        if skips and not await self._entries("xrevrange", max=f"0-{position.sequence}", count=1):
            await self._check_retained(position.sequence, entries[0].first_sequence)
        if not entries and position.epoch == self._end.epoch and position.sequence < self._floor:
            # Redis lost what was seen here; only the ring is left.
            raise FellBehind(position.sequence, self._floor + 1)
        return entries

    async def _check_retained(self, sequence: int, oldest_sequence: int | None = None) -> None:
        """Raise FellBehind unless everything after `sequence` is surely there."""
        if oldest_sequence is None:
            oldest = await self._entries("xrange", count=1)
            if not oldest:
                return
            oldest_sequence = oldest[0].first_sequence
        if oldest_sequence <= sequence + 1:
            return
        try:
            facts = await self._client.xinfo_stream(self._keys.mids)
        except redis.ResponseError:
            return
        # Since Redis 7 a stream knows how many entries it ever had; before, what is not there counts as trimmed.
        if facts.get("entries-added", facts.get(b"entries-added")) != facts.get("length", facts.get(b"length")):
            raise FellBehind(sequence, oldest_sequence)

    async def _entries(self, command: str, **arguments: Any) -> list[MidsEntry]:
        answer = await getattr(self._client, command)(self._keys.mids, **arguments)
        return [_decode(entry_id, fields)[0] for entry_id, fields in answer]

    async def _run(self) -> None:
        while True:
            try:
                await self._tail()
            except (redis.RedisError, OSError) as exc:
                reason = redacted(f"the mids stream cannot be read: {exc}")
                logger.warning("mids tail interrupted: %s", reason)
                self._on_trouble(reason)
                await asyncio.sleep(self._backoff.next_s())

    async def _tail(self) -> None:
        """Read on until the connection breaks or the numbering turns out to have started over."""
        await self._synchronise()
        self._ready = True
        self._on_trouble("")
        while True:
            answer = await self._client.xread({self._keys.mids: self._last_id}, count=READ_COUNT, block=BLOCK_MS)
            self._backoff.reset()
            if not answer:
                await self._synchronise()
                continue
            for entry_id, fields in answer[0][1]:
                entry, frame = _decode(entry_id, fields)
                if entry.epoch != self._end.epoch:
                    await self._start_over(entry.epoch)
                    break
                if entry.first_sequence > self._end.sequence + 1 and not await self._still_there(self._last_id):
                    # Retention overtook this reader: what the ring holds does not reach up to this entry.
                    self._ring.clear()
                    self._ring_bytes = 0
                    self._floor = entry.first_sequence - 1
                self._last_id = entry_id
                self._append(entry, frame)

    async def _still_there(self, entry_id: bytes) -> bool:
        """Tell whether an entry is retained; then everything behind it is, because the oldest go first."""
        return entry_id == _BEGINNING or bool(await self._client.xrange(self._keys.mids, min=entry_id, max=entry_id))

    async def _synchronise(self) -> None:
        """Compare what is known with the top of the stream, and start over where they do not fit."""
        top = await self._entries("xrevrange", count=1)
        if top and top[0].id == self._last_id:
            return
        if not top:
            self._last_id = _BEGINNING
        elif top[0].epoch == self._end.epoch:
            # A Redis that lost its last second has an older top; what was seen is not taken twice.
            self._last_id = min(top[0].id, self._last_id, key=_number)
        elif self._end.epoch:
            await self._start_over(top[0].epoch)
        else:
            await self._read_latest()
            self._last_id = top[0].id
            self._floor = top[0].last_sequence
            self._end = Position(top[0].epoch, top[0].last_sequence)

    async def _start_over(self, epoch: str) -> None:
        logger.warning("mids start over: epoch=%s new_epoch=%s", self._end.epoch or "-", epoch)
        self._latest.clear()
        self._ring.clear()
        self._ring_bytes = 0
        self._floor = 0
        self._last_id = _BEGINNING
        self._end = Position(epoch, 0)
        await self._read_latest()
        self._wake()

    async def _read_latest(self) -> None:
        for ticker, packed in (await self._client.hgetall(self._keys.latest)).items():
            self._latest[ticker.decode()] = LatestMid.decode(ticker.decode(), packed)

    def _append(self, entry: MidsEntry, frame: MidFrame) -> None:
        if entry.last_sequence <= self._end.sequence:
            return
        for ticker, (sequence, event_time_ns, arrival_time_ns, mid) in frame.latest().items():
            known = self._latest.get(ticker)
            if known is None or known.sequence < sequence:
                self._latest[ticker] = LatestMid(sequence, event_time_ns, arrival_time_ns, mid, frame.mode)
        self._end = Position(entry.epoch, entry.last_sequence)
        self._ring.append(entry)
        self._ring_bytes += len(entry.payload)
        while self._ring_bytes > RING_BYTES_MAX and len(self._ring) > 1:
            dropped = self._ring.popleft()
            self._ring_bytes -= len(dropped.payload)
            self._floor = dropped.last_sequence
        self._wake()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


def _decode(entry_id: bytes, fields: dict[bytes, bytes]) -> tuple[MidsEntry, MidFrame]:
    payload = fields[b"b"]
    frame = MidFrame(payload)
    # After a recovery a batch may be cut in another way than before: the id says where its new mids begin.
    first = _number(entry_id)
    return MidsEntry(entry_id, frame.epoch, first, frame.last_sequence, payload, frame.first_sequence < first), frame


def _number(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[2])
