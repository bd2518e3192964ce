"""Batches of mids, as whoever follows a session's mids stream has to know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from fastpath.latest import LatestMids
from fastpath.mids import MidFrame, select_mids
from protos.common.v1.market_pb2 import MODE_HISTORICAL, MidBatch
from services.runtime.session.batch_format import Batch, BatchFormat
from services.runtime.session.columns import keep_records
from services.runtime.session.latest_mid import LatestMid


def mids_head(first_sequence: int, payload: bytes) -> Batch:
    """Read epoch and sequences out of an encoded MidBatch.

    After a recovery a batch may be cut in another way than before: where the entry says that its new mids begin later than its
    payload, those before are dropped, because an entry before this one holds them.
    """
    frame = MidFrame(payload)
    if frame.first_sequence < first_sequence:
        payload = cut_mids(payload, first_sequence - 1) or b""
    return Batch(frame.epoch, first_sequence, frame.last_sequence, payload, frame.last_arrival_time_ns)


def cut_mids(payload: bytes, after_sequence: int) -> bytes | None:
    """Drop the mids up to a sequence; None when nothing is left. Rare, so the slow runtime does."""
    batch = MidBatch.FromString(payload)
    keep = [index for index, sequence in enumerate(batch.sequence) if sequence > after_sequence]
    if not keep:
        return None
    keep_records(batch, keep)
    batch.first_sequence = max(batch.first_sequence, after_sequence + 1)
    return batch.SerializeToString(deterministic=True)


def first_mid_since(payload: bytes, time_ns: int) -> int | None:
    """Sequence of the first mid whose tick arrived at a time or later. Once per subscription, so the slow runtime does."""
    batch = MidBatch.FromString(payload)
    pairs = zip(batch.sequence, batch.arrival_time_ns, strict=True)
    return next((sequence for sequence, arrival_time_ns in pairs if arrival_time_ns >= time_ns), None)


def select_tickers(payload: bytes, tickers: Collection[str]) -> bytes | None:
    """Keep the mids of these tickers; None when nothing is left. That replay time was moved is for everybody, with the state of these."""
    chosen = select_mids(payload, tickers) if payload else None
    if chosen is not None or not payload or len(MidFrame(payload)):
        return chosen
    batch = MidBatch.FromString(payload)
    if not batch.HasField("state"):
        return None
    kept = [mid for mid in batch.state.mids if mid.ticker in tickers]
    del batch.state.mids[:]
    batch.state.mids.extend(kept)
    return batch.SerializeToString(deterministic=True)


class MidTable:
    """The latest mid of each ticker; where replay time was moved, the batches with the state there and what came since."""

    def __init__(self) -> None:
        self._mids = LatestMids()
        self._states: list[tuple[int, bytes]] = []
        """Of the last time it was moved: numbers and batches."""

    @classmethod
    def of(cls, epoch: str, known: Mapping[str, LatestMid], last_sequence: int) -> MidTable:
        """Begin with what is known from elsewhere. Several of one number are a state."""
        table = cls()
        of_one = Counter(latest.sequence for latest in known.values())
        states: dict[int, MidBatch] = {}
        mids: list[tuple[str, int, int, int, float, int]] = []
        for ticker, latest in known.items():
            sequence = latest.sequence
            if of_one[sequence] == 1:
                mids.append((ticker, *latest))
                continue
            batch = states.setdefault(
                sequence,
                MidBatch(epoch=epoch, mode=latest.mode, first_sequence=sequence, last_sequence=sequence),  # type: ignore[arg-type]
            )
            batch.state.mids.add(
                ticker=ticker,
                event_time_ns=latest.event_time_ns,
                arrival_time_ns=latest.arrival_time_ns,
                mid_price=latest.mid,
            )
            # Where exactly it was moved to is not known here; nothing of the state arrived later.
            batch.state.position_arrival_time_ns = max(batch.state.position_arrival_time_ns, latest.arrival_time_ns)
        for sequence in sorted(states):
            states[sequence].state.continues = bool(table._states)
            table._states.append((sequence, states[sequence].SerializeToString(deterministic=True)))
        newest = max(known.values(), default=None, key=lambda latest: latest.sequence)
        mode = newest.mode if newest is not None else MODE_HISTORICAL
        table._mids.begin(epoch, mids, mode=mode, last_sequence=last_sequence)
        return table

    @property
    def epoch(self) -> str:
        return self._mids.epoch

    @property
    def last_sequence(self) -> int:
        return self._mids.last_sequence

    def take(self, buffer: bytes, /) -> None:
        """Take one more batch; what was taken before is passed over. Raises FrameError."""
        epoch, last_sequence = self._mids.epoch, self._mids.last_sequence
        if self._mids.take(buffer) and epoch == self._mids.epoch:
            return
        if epoch != self._mids.epoch:
            self._states.clear()
        elif self._mids.last_sequence == last_sequence:
            return
        batch = MidBatch.FromString(buffer)
        if batch.HasField("state"):
            # Mids from before it stay where they are: `since` gives none of them.
            if not batch.state.continues:
                self._states.clear()
            self._states.append((batch.first_sequence, buffer))

    def since(self, after: int, /) -> list[tuple[int, int, bytes]]:
        """What is new since a sequence: (first sequence, last sequence, encoded batch)."""
        news = [(sequence, sequence, payload) for sequence, payload in self._states if sequence > after]
        return news + self._mids.since(max(after, news[-1][0]) if news else after)


MIDS: Final = BatchFormat(
    message=MidBatch,
    head=mids_head,
    cut=cut_mids,
    is_dense=False,
    select=select_tickers,
    first_since=first_mid_since,
    table=MidTable,
)
"""What the mids stream of a session holds. Sparse: batches without mids leave no entry."""
