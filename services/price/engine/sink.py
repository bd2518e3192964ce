"""The sink: queue to logs, exactly once.

Order of every commit: write to the logs, sync them, commit the position, acknowledge. Whatever dies in between, a
restart cuts the logs back to the committed position and reads again what was not acknowledged. This thread owns Redis and
writes, the committer's thread syncs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import chain
from random import Random
from threading import Event
from typing import Final

from redis.exceptions import RedisError

from fastpath.frame import peek
from fastpath.records import FrameError, FrameHead
from services.price.engine.accumulator import Accumulator, Hole
from services.price.engine.claim import Hold, SinkFenced, Unclaimed
from services.price.engine.committer import Tally
from services.price.engine.disk import Disk
from services.price.engine.files import FileSystem
from services.price.engine.mids import MidsPublisher
from services.price.engine.options import EngineOptions
from services.price.engine.position import Position
from services.price.engine.progress import Progress
from services.price.engine.reader import NoGroup, QueueEntry, QueueReader
from services.price.engine.stopped import OtherParts, SinkStopped
from services.price.engine.wake import Waker
from services.runtime.backoff import Backoff
from services.runtime.clock import Clock
from services.runtime.connection import redacted
from services.runtime.errors import MidstreamError
from services.runtime.faults import fault
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.session import partitions_stored
from services.runtime.session.announcement import HandOver, LogReport, SinkAnnouncement, SinkPosition, rows_of

logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 0.5
ALIVE_NS: Final = 1_000_000_000
"""How often the host hears that there is nothing to tell."""

Report = Callable[..., None]
"""Tells the host: `report(event, **fields)`."""


class Sink:
    """One sink on one directory, whose lock the caller holds."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        report: Report,
        stopping: Event,
        waker: Waker,
        clock: Clock,
        random: Random,
        files: FileSystem | None = None,
        hold: Hold | None = None,
        begin: Position | None = None,
    ) -> None:
        """Open position and logs; raises StartRefused when they do not belong together. New logs begin at `begin`."""
        self._hold: Hold = Unclaimed() if hold is None else hold
        self._options = options
        self._report = report
        self._stopping = stopping
        self._waker = waker
        self._clock = clock
        self._backoff = Backoff(random)
        self._disk = Disk(options, files=FileSystem() if files is None else files, wake=waker.wake, begin=begin)
        kernel, position = self._disk.kernel, self._disk.position
        keys = options.keys
        self._mids = (
            MidsPublisher(keys=keys, retain_bytes=options.retain_bytes, hold=self._hold) if options.with_mids else None
        )
        self._accumulator = Accumulator(
            kernel=kernel, position=position, mids=self._mids, latency_threshold_ns=options.latency_threshold_ns
        )
        self._reader = QueueReader(
            url=options.redis_url,
            keys=keys,
            group=options.sink,
            read_count=options.entries_per_read,
            waker=waker,
            hold=self._hold,
        )
        self._tally = Tally.of(kernel)
        self._counts_at_start = kernel.counts
        self._durable_monotonic_ns = 0
        self._uncommitted_since_ns = 0
        self._last_entry_ns = 0
        self._submitted_ns = 0
        self._alive_ns = 0
        self._complaint = LogLimit(REPEAT_S)
        self._progress = Progress(kernel.counts)

    def run(self) -> int:
        """Consume until told to stop; return the exit code."""
        try:
            while not self._stopping.is_set():
                self._consume_while_connected()
            self._finish()
            return 0
        except SinkFenced as fenced:
            logger.warning("sink fenced", extra=fields(reason=fenced))
            self._report("stopped", message=str(fenced))
            return 0
        except SinkStopped as stopped:
            if isinstance(stopped, OtherParts):
                # Nothing is wrong where the session was published for the first time a moment ago: its server learns of it, too.
                logger.info("sink gives way", extra=fields(reason=stopped.message))
            else:
                logger.error("sink stopped", extra=fields(reason=stopped.message))
                self._announce_stop(stopped.message)
            self._report("stopped", message=stopped.message)
            return 1
        finally:
            self._reader.close()
            self._disk.close()

    def _consume_while_connected(self) -> None:
        try:
            self._attach()
            self._complaint.over()
            self._report("consuming")
            while not self._stopping.is_set():
                self._step()
        except NoGroup as exc:
            logger.warning("consumer group lost, creating it again", extra=fields(reason=exc))
            self._waker.wait(self._backoff.next_s())
        except (RedisError, OSError) as exc:
            # Whatever Redis says, waiting and connecting again is the answer; the reason shows in the health report.
            reason = redacted(f"Redis at {self._options.redis_url}: {exc}")
            if self._complaint.passes() is not None:
                logger.warning("redis unavailable", extra=fields(reason=reason))
            self._report("connecting", reason=reason)
            self._reader.disconnect()
            self._waker.wait(self._backoff.next_s())

    def _attach(self) -> None:
        """Connect, announce the position, and catch up with what was delivered before and not acknowledged."""
        self._reader.connect()
        self._hold.confirm()
        # Entries of an older connection are delivered again; their ids may mean something else in another Redis.
        self._accumulator.entry_ids.clear()
        if self._mids is not None:
            self._mids.attach(self._reader.client)
        if not self._accumulator.epoch:
            self._check_partitions()
        self._publish_mids()
        self._commit_everything(acknowledge=False)
        self._reader.announce(self._announcement())
        self._reader.create_group()
        self._take_pending()
        self._catch_up()

    def _catch_up(self) -> None:
        """Take what the group was given and these logs do not have: they are new here, or older than the group."""
        delivered = self._reader.delivered_sequence()
        newest = self._newest_head()
        if newest is None or not delivered:
            return
        missing = self._accumulator.sequence + 1 if newest.epoch == self._accumulator.epoch else 1
        if delivered < missing:
            return
        logger.info(
            "catching up with what the group was given", extra=fields(first_sequence=missing, last_sequence=delivered)
        )
        for entries in self._reader.retained(missing, delivered):
            self._take(entries)
            self._collect()
            self._commit_when_due()
            self._keep_hold()

    def _take_pending(self) -> None:
        for entries in self._reader.own_pending():
            self._take(entries)
            self._collect()
            self._commit_when_due()
            self._keep_hold()

    def _step(self) -> None:
        entries = self._reader.poll(self._patience_s())
        self._collect()
        if entries:
            self._backoff.reset()
            self._take(entries)
        elif entries is not None:
            # A quiet stream may hide an entry that Redis handed to a connection of ours that was dying.
            self._take_pending()
        self._commit_when_due()
        self._keep_hold()
        self._report_progress()

    def _keep_hold(self) -> None:
        """Say that this sink lives, but not while its disk does not answer: then another one may have the partition."""
        now_ns = self._clock.monotonic_ns()
        if not self._waits_for_disk(now_ns):
            self._hold.renew(now_ns)

    def _patience_s(self) -> float:
        waiting = self._accumulator.records or self._accumulator.entry_ids
        return self._options.idle_linger_s if waiting and not self._disk.busy else HEARTBEAT_S

    def _take(self, entries: Iterable[QueueEntry]) -> None:
        for entry in entries:
            hole = self._take_one(entry)
            if hole is not None:
                self._fill(hole, entry)
        self._last_entry_ns = self._clock.monotonic_ns()
        self._publish_mids()

    def _take_one(self, entry: QueueEntry) -> Hole | None:
        if self._accumulator.records >= 2 * self._options.commit_records:
            self._publish_mids()
            self._collect(wait=True)
            self._submit()
        if not self._accumulator.records:
            self._uncommitted_since_ns = self._clock.monotonic_ns()
        if not self._accumulator.epoch:
            self._check_partitions()
        hole = self._accumulator.take(entry)
        self._disk.write_early()
        return hole

    def _check_partitions(self) -> None:
        """Before the first record: who publishes several partitions has said so before it."""
        options = self._options
        try:
            stored = partitions_stored.decode(options.keys, self._reader.partitions())
        except MidstreamError as exc:
            raise SinkStopped(str(exc)) from exc
        if stored.count != options.partitions:
            raise OtherParts(
                f"session `{options.session}` has {stored.count} partitions, and this sink is one of {options.partitions}; its server "
                "begins with sinks for all of them once it has seen that"
            )

    def _fill(self, hole: Hole, entry: QueueEntry) -> None:
        """Find the records before `entry` among the pending and the retained ones; stop when they are nowhere."""
        logger.warning(
            "records missing, looking for them", extra=fields(first_sequence=hole.missing, before=hole.next_sequence)
        )
        for entries in chain(
            self._reader.own_pending(), self._reader.retained(hole.missing, hole.next_sequence - 1), ((entry,),)
        ):
            for candidate in entries:
                rest = self._take_one(candidate)
                if candidate.id == entry.id:
                    if rest is None:
                        return
                    break
        raise SinkStopped(
            f"records {self._accumulator.sequence + 1} to {hole.next_sequence - 1} are missing from the queue and nothing "
            f"explains it; the log ends with record {self._accumulator.sequence}. Publish them again (delete the stream, so "
            "that replay continues from this sink's position), or start over in another directory and session"
        )

    def _publish_mids(self) -> None:
        if self._mids is not None:
            self._mids.publish(self._reader.client)

    def _commit_when_due(self) -> None:
        accumulator, options = self._accumulator, self._options
        if self._disk.busy or not (accumulator.records or accumulator.entry_ids):
            return
        now_ns = self._clock.monotonic_ns()
        idle = now_ns - self._last_entry_ns >= options.idle_linger_s * 1e9
        old = now_ns - self._uncommitted_since_ns >= options.commit_due_s * 1e9
        if accumulator.records >= options.commit_records or idle or (old and accumulator.records):
            if accumulator.records or accumulator.gap_noted:
                self._submit()
            else:
                # Only repeats of what is committed: nothing to store.
                self._reader.announce(self._announcement(), tuple(accumulator.entry_ids))
                accumulator.entry_ids.clear()

    def _submit(self) -> None:
        self._submitted_ns = self._clock.monotonic_ns()
        self._disk.submit(self._accumulator.cut(self._disk.write()))

    def _collect(self, *, wait: bool = False, acknowledge: bool = True) -> None:
        """Acknowledge the commit in flight once it is durable."""
        committed = self._disk.collect(wait=wait)
        if committed is None:
            return
        self._tally = committed.commit.tally
        self._durable_monotonic_ns = committed.durable_monotonic_ns
        self._progress.note(committed, self._clock.time_ns())
        if acknowledge:
            fault("sink_before_ack")
            self._reader.announce(self._announcement(), committed.commit.entry_ids)
            fault("sink_after_ack")

    def _commit_everything(self, *, acknowledge: bool) -> None:
        self._collect(wait=True, acknowledge=acknowledge)
        # Mids go out before the commit that covers them; without Redis these records are read again instead.
        mids_wait = self._mids is not None and self._mids.waiting
        if self._accumulator.records and not mids_wait and not self._disk.failed:
            self._submit()
            self._collect(wait=True, acknowledge=acknowledge)

    def _finish(self) -> None:
        """Commit what was taken; acknowledge it if Redis is there."""
        try:
            self._commit_everything(acknowledge=True)
        except (RedisError, OSError) as exc:
            logger.warning("stopping without acknowledging", extra=fields(reason=redacted(str(exc))))
            self._commit_everything(acknowledge=False)
        try:
            self._report_progress(at_once=True)
        except (RedisError, OSError) as exc:
            logger.info("last figures not reported", extra=fields(reason=redacted(str(exc))))

    def _announce_stop(self, message: str) -> None:
        try:
            self._commit_everything(acknowledge=True)
        except (SinkStopped, SinkFenced, RedisError, OSError) as exc:
            logger.warning("not committed before stopping", extra=fields(reason=redacted(str(exc))))
        try:
            self._reader.announce(self._announcement(finished_error=message))
        except (SinkFenced, RedisError, OSError) as exc:
            logger.warning("stop not announced", extra=fields(reason=redacted(str(exc))))

    def _announcement(self, finished_error: str | None = None) -> str:
        position, tally = self._disk.position, self._tally
        announcement = SinkAnnouncement(
            SinkPosition(
                name=self._options.sink,
                epoch=position.epoch,
                sequence=position.sequence,
                live_sequence=position.live_sequence,
                cursor=position.cursor,
                run_id=self._reader.run_id,
            ),
            LogReport(
                counts=tally.counts,
                first_arrival_time_ns=tally.first_arrival_time_ns,
                last_arrival_time_ns=tally.last_arrival_time_ns,
                digest=tally.digest,
                digest_version=tally.digest_version,
                proofs_every=position.proofs.every,
                proofs=position.proofs.digests,
                mid_bytes=position.mid_bytes,
                error_bytes=position.error_bytes,
                durable_monotonic_ns=self._durable_monotonic_ns,
                latency_threshold_ns=self._options.latency_threshold_ns,
                log_timestamp="arrival" if self._options.log_arrival else "event",
            ),
            rows_at_start=rows_of(self._counts_at_start),
            time_ns=self._clock.time_ns(),
            finished_error=finished_error,
            hand_over=(
                HandOver(position.gap_next_sequence, position.kernel_state) if self._options.with_index else None
            ),
        )
        return announcement.encode()

    def _report_progress(self, *, at_once: bool = False) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._progress.is_due(now_ns, at_once=at_once):
            self._report(
                "progress",
                **self._progress.fields(self._disk.position, self._tally, self._newest_head(), self._mids_dropped()),
            )
        elif now_ns - self._alive_ns > ALIVE_NS and not self._waits_for_disk(now_ns):
            self._alive_ns = now_ns
            self._report("alive")

    def _waits_for_disk(self, now_ns: int) -> bool:
        """Tell whether a commit takes longer than one should: then nothing is said, and the host tells that."""
        return self._disk.busy and now_ns - self._submitted_ns > ALIVE_NS

    def _newest_head(self) -> FrameHead | None:
        """Return the head of the newest entry; None when nothing can be told from it."""
        try:
            newest = self._reader.newest()
            return None if newest is None or newest.payload is None else peek(newest.payload)
        except FrameError:
            # Whoever reads it in its turn says what is wrong with it.
            return None

    def _mids_dropped(self) -> int:
        return 0 if self._mids is None else self._mids.dropped
