"""Publish markers and rows as batches, under the next numbers."""

from __future__ import annotations

import threading
from dataclasses import replace

from fastpath.columns import BEFORE_EVERYTHING, Block
from fastpath.frame import MARKER_GAP, MODE_HISTORICAL, MODE_LIVE, encode_batch, peek
from fastpath.records import Marker
from services.replay.engine import markers as marking
from services.replay.engine.figures import EngineFigures
from services.replay.engine.lane import Lane
from services.replay.engine.lanes import Lanes
from services.replay.engine.playback import Playback
from services.replay.engine.ports import Publishing
from services.replay.engine.proving import Proving
from services.replay.queue.errors import Stopped
from services.replay.queue.model import Checkpoint
from services.runtime.clock import Clock


class Outlet:
    """Numbers, encodes and publishes."""

    def __init__(
        self,
        *,
        playback: Playback,
        lanes: Lanes,
        publisher: Publishing,
        report: EngineFigures,
        clock: Clock,
        partitioned: bool = False,
        proving: Proving | None = None,
    ) -> None:
        """`partitioned`: there are other partitions, and whoever merges them has to know in which order."""
        self._partitioned = partitioned
        self._playback = playback
        self._lanes = lanes
        self._publisher = publisher
        self._report = report
        self._clock = clock
        self._proving = proving

    def stand(self, next_sequence: int, order_state: bytes = b"") -> None:
        """Have proofs of the order go on before `next_sequence`."""
        if self._proving is not None:
            self._proving.stand(next_sequence, order_state)
            self._report.proof = None

    def prove(self) -> None:
        """Have the report say what all records so far come to, at the end of history."""
        if self._proving is not None:
            self._report.proof = self._proving.now(self._playback.next - 1)

    def save(self) -> None:
        """Store the checkpoint behind everything published so far."""
        playback = self._playback
        self._publisher.save(playback.checkpoint(self._lanes.inputs))
        playback.effects.clear()
        playback.markers_stored = bool(playback.markers)

    def publish(
        self, lane: Lane, stop: int, mode: int, wake: threading.Event, *, urgent: bool, save: bool = False
    ) -> bool:
        """Publish markers that are due and the rows up to `stop`; False: nothing was, because `wake` was set.

        `save`: the checkpoint goes with it.
        """
        playback = self._playback
        if playback.repeating:
            return self._publish_again(lane, stop, mode, wake, urgent=urgent)
        checkpoint = None
        if save or (playback.markers and playback.markers_stored):
            checkpoint = replace(playback.checkpoint(self._lanes.inputs), seams=())
        if not self._append(lane, stop, mode, playback.markers, wake, checkpoint=checkpoint, urgent=urgent):
            return False
        playback.markers, playback.urgent = [], False
        playback.markers_stored = playback.markers_stored and checkpoint is None
        return True

    def move(self, markers: list[Marker], stopping: threading.Event) -> None:
        """Publish the markers of a discontinuity at once; what led to it is saved with each of them. Raises Stopped."""
        playback = self._playback
        lane = self._lanes.historical
        assert lane is not None
        for number, marker in enumerate(markers, 1):
            playback.unrepeatable, playback.moving = playback.next, number < len(markers)
            checkpoint = replace(playback.checkpoint(self._lanes.inputs), sequence=playback.next)
            if not self._append(
                lane,
                lane.start,
                MODE_HISTORICAL,
                [marker],
                stopping,
                urgent=True,
                checkpoint=checkpoint,
                repeatable=False,
            ):
                raise Stopped("told to stop before the new position was published")

    def jump(self, gap: Marker, stopping: threading.Event) -> None:
        """Publish a gap behind which the numbers go on elsewhere, so it is a batch of its own. Raises Stopped."""
        lane = self._lanes.live or self._lanes.historical
        assert lane is not None
        if not self._append(lane, lane.start, MODE_LIVE, [gap], stopping, urgent=True):
            raise Stopped("told to stop before the gap was published")
        self._playback.next = gap.next_sequence
        # What is lost belongs to what others have seen, and nobody can read it again.
        self.stand(gap.next_sequence)

    def _publish_again(self, lane: Lane, stop: int, mode: int, wake: threading.Event, *, urgent: bool) -> bool:
        playback = self._playback
        due, rows_max = playback.repeats.take(playback.next)
        rows = min(stop - lane.start, rows_max)
        published = self._append(lane, lane.start + rows, mode, due, wake, urgent=urgent)
        if not published:
            playback.repeats.put_back(due)
        return published

    def _append(
        self,
        lane: Lane,
        stop: int,
        mode: int,
        markers: list[Marker],
        wake: threading.Event,
        *,
        urgent: bool,
        checkpoint: Checkpoint | None = None,
        repeatable: bool = True,
    ) -> bool:
        block, start, historical, playback = lane.block, lane.start, self._lanes.historical, self._playback
        first_sequence = playback.next
        batch, rows, last_sequence = encode_batch(
            block,
            start,
            stop,
            epoch=playback.epoch,
            mode=mode,
            first_sequence=first_sequence,
            sources=lane.source.names,
            markers=marking.addressed(markers, block.key(start) if stop > start else None) if markers else (),
            cursor_sources=historical.cursor_sources() if historical is not None else b"",
            last_key=historical.last_key if historical is not None else None,
            publish_time_ns=self._clock.time_ns(),
            tie_order=self._partitioned,
        )
        proof, proving = None, self._proving
        if proving is not None:
            batch, proof = proving.add(batch, block, start, start + rows, last_sequence)
        last_key = block.key(start + rows - 1) if rows else playback.last_key
        arrival_time_ns = last_key[0] if last_key is not None and last_key[0] != BEFORE_EVERYTHING else 0
        if checkpoint is not None:
            checkpoint = replace(checkpoint, sequence=last_sequence)
        if not self._publisher.publish(
            batch,
            first_sequence,
            last_sequence,
            wake=wake,
            arrival_time_ns=arrival_time_ns,
            checkpoint=checkpoint,
            urgent=urgent,
            repeatable=repeatable,
            watermark_ns=self._watermark_ns(lane, start + rows) if mode == MODE_HISTORICAL else None,
            order_state=proving.state_of_added() if proving is not None else b"",
        ):
            return False
        if proving is not None:
            proving.keep()
            self._report.proof = proof or self._report.proof
        if rows:
            playback.last_key = lane.advance(rows)
            if mode == MODE_HISTORICAL and arrival_time_ns:
                self._go_on(block, start, start + rows, arrival_time_ns)
        if markers or mode == MODE_LIVE:
            playback.countable = False
        if markers:
            playback.repeats.note(markers, first_sequence)
        playback.next = last_sequence + 1
        playback.numbered = max(playback.numbered, last_sequence)
        self._account(batch, rows, markers, last_sequence, arrival_time_ns)
        return True

    def _watermark_ns(self, lane: Lane, behind: int) -> int | None:
        """When the next row arrives, where that is more than the last one tells already."""
        if not self._partitioned or self._playback.repeating or not 0 < behind < len(lane.block):
            return None
        arrival_time_ns = lane.block.key(behind)[0]
        return arrival_time_ns if arrival_time_ns > lane.block.key(behind - 1)[0] else None

    def _go_on(self, block: Block, start: int, stop: int, arrival_time_ns: int) -> None:
        """Have replay time be that of the rows that left."""
        playback, now_ns = self._playback, self._clock.monotonic_ns()
        before_ns = playback.position_arrival_time_ns
        self._report.achieved.left(stop - start, arrival_time_ns - before_ns if before_ns else 0, now_ns)
        playback.pacing.sent(block, start, stop, now_ns)
        playback.position_arrival_time_ns = arrival_time_ns

    def _account(
        self, batch: bytes, rows: int, markers: list[Marker], last_sequence: int, arrival_time_ns: int
    ) -> None:
        report = self._report
        report.last_sequence = last_sequence
        report.position_arrival_time_ns = self._playback.position_arrival_time_ns
        if arrival_time_ns:
            report.last_arrival_time_ns = arrival_time_ns
        report.rows += rows
        report.rejected += rows - peek(batch).tick_count
        report.batches += 1
        report.published_bytes += len(batch)
        report.gaps += sum(marker.kind == MARKER_GAP for marker in markers)
