"""Accumulate what the sink has taken and not committed yet: every record once, in sequence, or not at all."""

from __future__ import annotations

import logging
from typing import NamedTuple

from fastpath.frame import MARKER_DISCONTINUITY, MARKER_GAP, MODE_LIVE, TickFrame
from fastpath.midprice import PriceKernel
from fastpath.records import FrameError
from services.price.engine.committer import Commit, Tally
from services.price.engine.files import LogLengths
from services.price.engine.mids import MidsPublisher
from services.price.engine.position import Position
from services.price.engine.reader import QueueEntry
from services.price.engine.restated import Restating
from services.price.engine.stopped import SinkStopped
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)


class Hole(NamedTuple):
    """Records `missing`..`next_sequence` - 1 did not come."""

    missing: int
    next_sequence: int


class Accumulator:
    """Feeds the price kernel with the records that follow the last one, and hands over what waits for a commit."""

    def __init__(
        self, *, kernel: PriceKernel, position: Position, mids: MidsPublisher | None, latency_threshold_ns: int
    ) -> None:
        self._kernel = kernel
        self._restating = Restating(latency_threshold_ns)
        self._mids = mids
        self.epoch = position.epoch
        """The numbering that the records taken belong to; empty before the first."""
        self.sequence = position.sequence
        """The last record taken."""
        self._live_sequence = position.live_sequence
        self._gap_next_sequence = position.gap_next_sequence
        self._cursor = position.cursor
        self._proofs = position.proofs
        self._partition, self._partitions = position.partition, position.partitions
        self._publish_time_ns = 0
        self.records = 0
        """Records taken since the last commit was cut."""
        self.gap_noted = False
        """A gap was learnt from a batch that was seen before: worth a commit although there is no new record."""
        self.entry_ids: list[bytes] = []
        """Entries to acknowledge with the next commit."""

    def take(self, entry: QueueEntry) -> Hole | None:
        """Account for the new records of an entry, or return the hole before it.

        Raises SinkStopped when the entry cannot be read, or belongs to another numbering and is not its beginning.
        """
        if entry.payload is None:
            # Trimmed while it was pending. Were it not committed, the next entry would show a hole.
            self.entry_ids.append(entry.id)
            return None
        frame = self._decode(entry)
        if frame.epoch != self.epoch:
            self._change_epoch(frame, entry)
        if frame.first_sequence > self.sequence + 1 and frame.first_sequence != self._gap_next_sequence:
            return Hole(self.sequence + 1, frame.first_sequence)
        self._note_gap(frame)
        self.entry_ids.append(entry.id)
        if frame.last_sequence <= self.sequence:
            return None
        first_new = max(frame.first_sequence, self.sequence + 1)
        self.records += self._process(frame, entry)
        moved = any(marker.kind == MARKER_DISCONTINUITY for marker in frame.markers)
        if self._mids is not None:
            if moved:
                for restated in self._restating.of(frame, after_sequence=self.sequence):
                    self._mids.restate(frame.epoch, frame.mode, restated)
            self._mids.collect(frame.epoch, first_new, frame.last_sequence, self._kernel.take_mid_batch())
        self.sequence = frame.last_sequence
        if moved or frame.mode == MODE_LIVE:
            self._live_sequence = frame.last_sequence
        self._cursor = frame.cursor
        self._publish_time_ns = frame.publish_time_ns
        return None

    def _decode(self, entry: QueueEntry) -> TickFrame:
        assert entry.payload is not None
        try:
            return TickFrame(entry.payload)
        except FrameError as exc:
            raise SinkStopped(
                f"queue entry {entry.id.decode()} cannot be read ({exc}); nothing behind it was written. "
                "Find out who wrote it; to go on without its records, start over in another directory"
            ) from exc

    def _process(self, frame: TickFrame, entry: QueueEntry) -> int:
        try:
            return self._kernel.process(frame, after_sequence=self.sequence)
        except ValueError as exc:
            raise SinkStopped(
                f"queue entry {entry.id.decode()} cannot be logged ({exc}); nothing of it and behind it was written. "
                "Its source has more rows than a partition can have: split it into several files, or take one partition"
            ) from exc

    def _change_epoch(self, frame: TickFrame, entry: QueueEntry) -> None:
        if self.epoch and frame.first_sequence != 1:
            raise SinkStopped(
                f"queue entry {entry.id.decode()} belongs to epoch {frame.epoch}, but the log stands at sequence "
                f"{self.sequence} of epoch {self.epoch}, and another epoch can only be followed from its sequence 1. "
                "Records are missing in between; start over in another directory, or bring the old queue back"
            )
        if self.epoch:
            logger.warning(
                "epoch changed, the log goes on",
                extra=fields(epoch=self.epoch, sequence=self.sequence, new_epoch=frame.epoch),
            )
        self.epoch = frame.epoch
        self.sequence = 0
        self._live_sequence = 0
        self._gap_next_sequence = 0

    def _note_gap(self, frame: TickFrame) -> None:
        # Also of a batch that was seen: its gap may begin before, and end behind, what this sink has.
        for marker in frame.markers:
            if marker.kind == MARKER_GAP and marker.next_sequence > self.sequence:
                self.gap_noted = self.gap_noted or marker.next_sequence != self._gap_next_sequence
                self._gap_next_sequence = marker.next_sequence

    def cut(self, lengths: LogLengths) -> Commit:
        """Take everything that waits for a commit. All its lines were written: `lengths` count them."""
        kernel = self._kernel
        self._proofs = self._proofs.with_more(kernel.take_proofs())
        commit = Commit(
            position=Position(
                epoch=self.epoch,
                sequence=self.sequence,
                live_sequence=self._live_sequence,
                gap_next_sequence=self._gap_next_sequence,
                cursor=self._cursor,
                mid_bytes=lengths.mids,
                error_bytes=lengths.errors,
                csv_bytes=lengths.csv,
                index_bytes=lengths.order_index,
                partition=self._partition,
                partitions=self._partitions,
                kernel_state=kernel.state(),
                proofs=self._proofs,
            ),
            records=self.records,
            entry_ids=tuple(self.entry_ids),
            tally=Tally.of(kernel),
            publish_time_ns=self._publish_time_ns,
        )
        self.records = 0
        self.gap_noted = False
        self.entry_ids.clear()
        return commit
