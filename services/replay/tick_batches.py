"""Batches of ticks, as whoever follows a session's queue has to know them."""

from __future__ import annotations

from typing import Final

from fastpath.frame import peek, select_tickers
from fastpath.latest import LatestTicks
from protos.common.v1.market_pb2 import TickBatch
from services.runtime.session.batch_format import Batch, BatchFormat
from services.runtime.session.columns import keep_records


def batch_head(first_sequence: int, payload: bytes) -> Batch:
    """Read epoch and sequences out of an encoded TickBatch, which itself says with which it begins."""
    head = peek(payload)
    arrival_time_ns = head.last_arrival_time_ns if head.tick_count else None
    # Lost numbers belong to the marker that names them: who has one of them, and be it the marker's own, still gets the marker.
    return Batch(
        head.epoch, head.first_sequence, max(head.last_sequence, head.next_sequence - 1), payload, arrival_time_ns
    )


def cut_batch(payload: bytes, after_sequence: int) -> bytes | None:
    """Drop the records up to `after_sequence`; None when nothing is left. Happens once per subscription at most, so the slow runtime does.

    A gap marker among what is dropped stays when the hole that it names reaches beyond `after_sequence`: a client whose last
    records are among the lost ones gets it in their place, under the number after its last.
    """
    batch = TickBatch.FromString(payload)
    sequences = _tick_sequences(batch)
    keep = [index for index, sequence in enumerate(sequences) if sequence > after_sequence]
    keep_records(batch, keep)
    for marker in batch.markers:
        if marker.sequence <= after_sequence and marker.next_sequence > after_sequence + 1:
            marker.sequence = after_sequence + 1
    for name in ("rejections", "markers"):
        records = getattr(batch, name)
        kept = [record for record in records if record.sequence > after_sequence]
        del records[:]
        records.extend(kept)
    if not (keep or batch.rejections or batch.markers):
        return None
    if batch.proof.last_sequence <= after_sequence:
        batch.ClearField("proof")
    batch.first_sequence = after_sequence + 1
    batch.last_sequence = max(batch.last_sequence, batch.first_sequence)
    return batch.SerializeToString(deterministic=True)


def _tick_sequences(batch: TickBatch) -> list[int]:
    """The number of every tick: rejections and markers carry theirs, the ticks take the others in order."""
    if batch.tick_sequence:
        return list(batch.tick_sequence)
    taken = {record.sequence for record in batch.rejections} | {marker.sequence for marker in batch.markers}
    jumps = {marker.sequence: marker.next_sequence for marker in batch.markers if marker.next_sequence}
    sequences: list[int] = []
    sequence = batch.first_sequence
    while len(sequences) < len(batch.ticker_index):
        if sequence not in taken:
            sequences.append(sequence)
        sequence = jumps.get(sequence, sequence + 1)
    return sequences


def first_tick_since(payload: bytes, time_ns: int) -> int | None:
    """Sequence of the first tick that arrived at a time or later. Once per subscription, so the slow runtime does."""
    batch = TickBatch.FromString(payload)
    pairs = zip(_tick_sequences(batch), batch.arrival_time_ns, strict=True)
    return next((sequence for sequence, arrival_time_ns in pairs if arrival_time_ns >= time_ns), None)


TICKS: Final = BatchFormat(
    message=TickBatch,
    head=batch_head,
    cut=cut_batch,
    is_dense=True,
    select=select_tickers,
    first_since=first_tick_since,
    table=LatestTicks,
    # An empty `tick_sequence`, field 17: what is missing was filtered out, not lost.
    nothing_left=b"\x8a\x01\x00",
)
"""What the queue of a session holds."""
