"""The latest tick of every ticker of all partitions, as one state: for who begins with it."""

from __future__ import annotations

from fastpath.frame import BATCH_BYTES_MAX, BATCH_ROWS_MAX
from fastpath.weave import joint_epoch
from protos.common.v1.market_pb2 import Marker, TickBatch
from services.replay.tick_batches import batch_head
from services.runtime.session.columns import columns_of
from services.runtime.session.woven_stream import Partitions, Position, WovenBatch

_TO_A_PARTITION = ("tick_sequence", "tie_order", "ticker_index")


async def latest_of(partitions: Partitions) -> tuple[list[WovenBatch], list[Position]]:
    """Return the state, and where the stream goes on behind it.

    Its ticks are in the order of their arrival. The numbers that they had in the one stream are not known any more: they take the last
    ones up to where it goes on.
    """
    batches: list[TickBatch] = []
    positions: list[Position] = []
    for tail in partitions.tails:
        news = await tail.latest.since(0, "")
        positions.append(Position(news.epoch, news.last_sequence) if news.epoch else Position())
        batches += [TickBatch.FromString(batch.payload) for batch in news.batches]
    rows = [(batch, index) for batch in batches for index in range(len(batch.ticker_index))]
    rows.sort(key=lambda row: row[0].arrival_time_ns[row[1]])
    parts = _parts(rows)
    markers = _united([marker for batch in batches for marker in batch.markers])
    if markers and not parts:
        parts = [TickBatch(mode=next(batch.mode for batch in batches if batch.markers))]
    if not parts:
        return [], positions
    parts[0].markers.extend(markers)
    _number(parts, sum(position.sequence or 0 for position in positions))
    epoch = joint_epoch([position.epoch.encode() for position in positions])
    for part in parts:
        part.epoch = epoch
    return [WovenBatch(batch_head(0, _encoded(part)), positions) for part in parts], positions


def _parts(rows: list[tuple[TickBatch, int]]) -> list[TickBatch]:
    """Batches of one mode, none too long."""
    columns = [name for name in columns_of(TickBatch) if name not in _TO_A_PARTITION]
    parts: list[TickBatch] = []
    for batch, index in rows:
        if not parts or parts[-1].mode != batch.mode or len(parts[-1].tickers) == BATCH_ROWS_MAX:
            parts.append(TickBatch(mode=batch.mode))
        part = parts[-1]
        part.ticker_index.append(len(part.tickers))
        part.tickers.append(batch.tickers[batch.ticker_index[index]])
        for name in columns:
            getattr(part, name).append(getattr(batch, name)[index])
    return parts


def _united(markers: list[Marker]) -> list[Marker]:
    """Of the markers those that say where replay time was moved to, as one of all partitions."""
    moved = [marker for marker in markers if marker.kind == Marker.KIND_DISCONTINUITY]
    if not moved:
        return []
    newest = max(marker.revision for marker in moved)
    like = [marker for marker in moved if marker.revision == newest]
    quotes = sorted((quote for marker in like for quote in marker.state), key=lambda quote: quote.ticker.encode())
    united = [_without_state(like[0])]
    for quote in quotes:
        if united[-1].ByteSize() >= BATCH_BYTES_MAX // 2:
            united.append(_without_state(like[0]))
        united[-1].state.append(quote)
    return united


def _without_state(marker: Marker) -> Marker:
    bare = Marker()
    bare.CopyFrom(marker)
    del bare.state[:]
    return bare


def _number(parts: list[TickBatch], last_sequence: int) -> None:
    """Give the records the last numbers up to where the stream goes on."""
    number = last_sequence - sum(len(part.tickers) + len(part.markers) for part in parts)
    for part in parts:
        part.first_sequence = number + 1
        for marker in part.markers:
            number += 1
            marker.sequence = number
        part.tick_sequence.extend(range(number + 1, number + 1 + len(part.tickers)))
        number += len(part.tickers)
        part.last_sequence = number


def _encoded(part: TickBatch) -> bytes:
    """An empty `tick_sequence` is written all the same: what is missing was left out."""
    encoded = part.SerializeToString(deterministic=True)
    return encoded if part.tick_sequence else encoded + b"\x8a\x01\x00"
