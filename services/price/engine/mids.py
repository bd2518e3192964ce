"""The mids stream and the latest mid per ticker: derived data, published before the commit that covers them.

Explicit ids make publishing again harmless: what is in the stream already is left out, and what Redis refuses as older
than its newest entry is a repeat.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import redis
from redis.exceptions import ResponseError

from fastpath.mids import MidFrame
from services.price.engine.claim import Hold
from services.price.engine.restated import Restated
from services.runtime.faults import fault
from services.runtime.log_fields import fields
from services.runtime.session.keys import SessionKeys
from services.runtime.session.latest_mid import LatestMid

if TYPE_CHECKING:
    from protos.common.v1.market_pb2 import Mode

logger = logging.getLogger(__name__)

PAGE_ENTRIES: Final = 64
CHUNK_BYTES: Final = 64 * 1024
"""Retention is counted in chunks of this size, so that a stream of tiny entries needs no long list here."""


class MidsPublisher:
    """Collects the mids of processed batches and publishes them in one transaction per call of `publish`."""

    def __init__(self, *, keys: SessionKeys, retain_bytes: int, hold: Hold) -> None:
        self._keys = keys
        self._hold = hold
        self._retain_bytes = retain_bytes
        self._epoch = ""
        self._published_sequence = 0
        self._newest_id = b""
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._chunks_bytes = 0
        self._waiting: list[tuple[bytes, bytes, int]] = []
        self._starts_over = False
        self._latest: dict[str, bytes] = {}
        self._drops_latest = False
        """Replay time was moved: those that are in Redis are not the latest any more."""
        self.dropped = 0
        """Batches that a full Redis did not take."""

    @property
    def waiting(self) -> bool:
        """Whether something was collected that is not published yet."""
        return bool(self._waiting)

    def attach(self, client: Any) -> None:
        """Learn what the stream holds, after every (re)connection; what waits and is there already is left out."""
        newest = client.xrevrange(self._keys.mids, count=1)
        if newest and self._newest_id == newest[0][0]:
            return
        self._forget()
        found_epoch = ""
        self._published_sequence = 0
        if newest:
            frame = MidFrame(newest[0][1][b"b"])
            found_epoch, self._published_sequence = frame.epoch, frame.last_sequence
            start = b"-"
            while page := client.xrange(self._keys.mids, min=start, count=PAGE_ENTRIES):
                for entry_id, fields in page:
                    self._keep(entry_id, len(fields[b"b"]))
                start = b"(" + page[-1][0]
        self._starts_over = bool(self._waiting) and found_epoch not in ("", self._epoch)
        if self._starts_over:
            self._published_sequence = 0
        elif not self._waiting:
            self._epoch = found_epoch
        self._waiting = [waiting for waiting in self._waiting if waiting[2] > self._published_sequence]

    def collect(self, epoch: str, first_sequence: int, last_sequence: int, batch: bytes) -> None:
        """Take the mids of one processed batch; records before `first_sequence` were accounted for earlier."""
        self._follow(epoch)
        if not batch or last_sequence <= self._published_sequence:
            return
        first_sequence = max(first_sequence, self._published_sequence + 1)
        self._waiting.append((b"0-%d" % first_sequence, batch, last_sequence))
        frame = MidFrame(batch)
        for ticker, (sequence, event_time_ns, arrival_time_ns, mid) in frame.latest().items():
            self._latest[ticker] = LatestMid(sequence, event_time_ns, arrival_time_ns, mid, frame.mode).encode()

    def restate(self, epoch: str, mode: int, restated: Restated) -> None:
        """Take what the latest mids are where replay time was moved to: no other ones are any more."""
        self._follow(epoch)
        if restated.sequence <= self._published_sequence:
            return
        # Only here: replay time is moved rarely, and an engine starts sooner without the slow runtime.
        from protos.common.v1.market_pb2 import MidBatch, MidState

        state = MidState(position_arrival_time_ns=restated.position_arrival_time_ns, continues=restated.continues)
        if not restated.continues:
            self._latest.clear()
            self._drops_latest = True
        for quote, mid in restated.mids:
            state.mids.add(
                ticker=quote.ticker,
                event_time_ns=quote.event_time_ns,
                arrival_time_ns=quote.arrival_time_ns,
                mid_price=mid,
            )
            latest = LatestMid(restated.sequence, quote.event_time_ns, quote.arrival_time_ns, mid, mode)
            self._latest[quote.ticker] = latest.encode()
        sequence = restated.sequence
        batch = MidBatch(
            epoch=epoch, mode=cast("Mode", mode), first_sequence=sequence, last_sequence=sequence, state=state
        )
        self._waiting.append((b"0-%d" % sequence, batch.SerializeToString(deterministic=True), sequence))

    def _follow(self, epoch: str) -> None:
        if epoch != self._epoch:
            # The stream holds one numbering only: ids of an older one would be in the way of the new one's.
            self._starts_over = self._epoch != ""
            self._epoch = epoch
            self._published_sequence = 0
            self._waiting.clear()
            self._latest.clear()

    def publish(self, client: Any) -> None:
        """Publish what was collected, in one transaction; it stays collected when the connection breaks."""
        if not self._waiting:
            return
        fault("sink_before_mids")
        try:
            self._send(client)
        except redis.exceptions.OutOfMemoryError:
            self._make_room(client)
        fault("sink_after_mids")

    def _send(self, client: Any) -> None:
        if self._starts_over:
            self._forget()
        trims = not self._starts_over and self._drop_chunks(self._retain_bytes)

        def fill(pipeline: Any) -> None:
            if self._starts_over:
                pipeline.delete(self._keys.mids, self._keys.latest)
            elif trims:
                self._trim(pipeline)
            for entry_id, batch, _ in self._waiting:
                pipeline.xadd(self._keys.mids, {"b": batch}, id=entry_id.decode())
            if self._drops_latest:
                pipeline.delete(self._keys.latest)
            if self._latest:
                pipeline.hset(self._keys.latest, mapping=self._latest)

        for answer in self._hold.execute(client, fill, raise_on_error=False):
            if isinstance(answer, ResponseError) and "equal or smaller" not in str(answer):
                raise answer
        for entry_id, batch, _ in self._waiting:
            self._keep(entry_id, len(batch))
        self._starts_over = False
        self._settle()

    def _trim(self, pipeline: Any) -> None:
        pipeline.xtrim(self._keys.mids, minid=self._chunks[0][0].decode(), approximate=False)

    def _settle(self) -> None:
        self._published_sequence = self._waiting[-1][2]
        self._waiting.clear()
        self._latest.clear()
        self._drops_latest = False

    def _make_room(self, client: Any) -> None:
        """Give up retained mids to a full Redis; what does not fit even then is dropped, loudly: it is derived data,
        and waiting for room would stop the very sink that makes room."""
        if self._drop_chunks(self._chunks_bytes // 2):
            self._hold.execute(client, self._trim)
        try:
            self._send(client)
        except redis.exceptions.OutOfMemoryError:
            self.dropped += len(self._waiting)
            logger.error("mids not published, redis is out of memory", extra=fields(batches=len(self._waiting)))
            self._settle()

    def _forget(self) -> None:
        self._newest_id = b""
        self._chunks.clear()
        self._chunks_bytes = 0

    def _keep(self, entry_id: bytes, size: int) -> None:
        self._newest_id = entry_id
        self._chunks_bytes += size
        if self._chunks and self._chunks[-1][1] < CHUNK_BYTES:
            first_id, chunk_bytes = self._chunks[-1]
            self._chunks[-1] = (first_id, chunk_bytes + size)
        else:
            self._chunks.append((entry_id, size))

    def _drop_chunks(self, retain_bytes: int) -> bool:
        """Forget the oldest chunks beyond `retain_bytes`; True when the stream has to be trimmed. The newest stays."""
        dropped = False
        while self._chunks_bytes > retain_bytes and len(self._chunks) > 1:
            self._chunks_bytes -= self._chunks.popleft()[1]
            dropped = True
        return dropped
