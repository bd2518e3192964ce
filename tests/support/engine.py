"""Everything around a replay engine, in memory and in virtual time."""

from __future__ import annotations

import heapq
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastpath.columns import BEFORE_EVERYTHING, Block, Tickers
from fastpath.frame import MODE_HISTORICAL, MODE_LIVE, TickFrame, encode_cursor
from fastpath.records import Cursor, Marker, SourceCursor
from services.replay.engine.engine import Engine
from services.replay.engine.exchange_feed import spell_time
from services.replay.engine.figures import EngineFigures
from services.replay.engine.journal import JournalEntry, parse_entry
from services.replay.engine.pace import AS_RECORDED, Pace
from services.replay.engine.ports import Beginning, OpenRecorded
from services.replay.engine.proving import proving
from services.replay.queue import Adopted, Checkpoint, QueueLost, Stopped
from services.replay.queue.adoption import Evidence, decide
from services.replay.queue.model import Memory, StoredCheckpoint, Tail
from services.replay.sources import Complaints, Poll
from services.replay.sources.source_numbers import KnownNumbers, numbered_in
from services.runtime.session.announcement import SinkPosition
from services.runtime.session.effects import Effect
from services.runtime.session.hand_over import HandOverKind
from services.runtime.session.line_counts import LineCounts
from tests.support.clock import FakeClock


class Killed(BaseException):
    """The process ended here, without a word to anybody."""


@dataclass(frozen=True)
class Row:
    """A row of a fake source; `reason` makes it a rejection."""

    arrival_time_ns: int
    price: float = 1.0
    reason: str = ""
    ticker: str = "A"
    event_time_ns: int | None = None
    """None: that of the arrival."""
    number: int | None = None
    """What the source numbers it with."""

    def payload(self) -> bytes:
        """Return the frame in which a feed sends it."""
        event_ns = self.arrival_time_ns if self.event_time_ns is None else self.event_time_ns
        fields = {"id": self.number, "timestamp": spell_time(event_ns), "ticker": self.ticker}
        return json.dumps(fields | dict.fromkeys(("bid_price", "ask_price"), self.price) | AMOUNTS).encode()


AMOUNTS = {"bid_amount": 1.0, "ask_amount": 1.0}


def rows_every(interval_ns: int, count: int, *, start_ns: int = 1_000_000_000_000) -> list[Row]:
    """Return rows at a steady pace, told apart by their price."""
    return [Row(start_ns + index * interval_ns, price=float(index + 1)) for index in range(count)]


def append_row(into: Block, row: Row, number: int, *, source_rank: int = 0) -> None:
    """Put a fake row into a block."""
    if row.reason:
        into.append_rejection(
            arrival_time_ns=row.arrival_time_ns, source_rank=source_rank, row=number, reason=row.reason
        )
        return
    into.append_tick(
        row.ticker,
        arrival_time_ns=row.arrival_time_ns,
        event_time_ns=row.arrival_time_ns if row.event_time_ns is None else row.event_time_ns,
        bid_price=row.price,
        bid_amount=1.0,
        ask_price=row.price,
        ask_amount=1.0,
        source_rank=source_rank,
        row=number,
    )


class RowSource:
    """Rows from a list, as a recorded source; the cursor's offset is a position in the list."""

    mode = MODE_HISTORICAL
    names = files = ("rows.csv",)

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        resume: Cursor | None = None,
        rows_per_poll: int = 7,
        failure: Exception | None = None,
        fingerprint: str = "files:1 options:1",
    ) -> None:
        self._rows = rows
        self._end = len(rows)
        self._rows_per_poll = rows_per_poll
        self._failure = failure
        self._position = resume.sources[0].offset if resume is not None and resume.sources else 0
        self._skip_to = resume.last_key if resume is not None else None
        self._place = self._position
        self.fingerprint = fingerprint
        self.first_read_monotonic_ns = 1
        self.skipped = 0
        self.damaged: tuple[str, ...] = ()
        self.complaints = Complaints()
        self.line_counts: tuple[LineCounts, ...] = ()
        self.stopped = False

    @property
    def lowest_ns(self) -> int:
        return self._rows[self._position].arrival_time_ns if self._position < self._end else BEFORE_EVERYTHING

    def start(self, wake: Callable[[], None]) -> None:
        pass

    def poll(self, into: Block, limit: int) -> Poll:
        self._place = self._position
        count = 0
        while self._position < self._end and count < min(limit, self._rows_per_poll):
            row, number = self._rows[self._position], self._position + 2
            self._position += 1
            if self._skip_to is None or (row.arrival_time_ns, 0, number) > self._skip_to:
                append_row(into, row, number)
                count += 1
        if count == 0 and self._failure is not None:
            raise self._failure
        return Poll(rows=count, ended=self._position == self._end and self._failure is None)

    def has_grown(self) -> bool:
        return len(self._rows) > self._end

    def numbers(self) -> KnownNumbers:
        scratch = Block(Tickers(live_names_max=100))
        return KnownNumbers(
            record
            for row in self._rows[: self._end]
            for record in numbered_in(row.payload(), row.arrival_time_ns, scratch)
        )

    def cursor_sources(self) -> bytes:
        place = SourceCursor(
            offset=self._place,
            line=self._place + 2,
            previous_arrival_time_ns=BEFORE_EVERYTHING,
            skipped=0,
            previous_event_time_ns=BEFORE_EVERYTHING,
            order=0,
        )
        return encode_cursor(Cursor(None, (place,)))

    def stop(self) -> None:
        self.stopped = True


class FakeFeed:
    """A live source whose rows and markers a test puts in."""

    mode = MODE_LIVE
    names = ("ws://feed",)

    def __init__(self) -> None:
        self.connected = False
        self.problem = ""
        self.reconnects = 0
        self.lost_frames = 0
        self.starts = 0
        self._number = itertools.count(1)
        self._waiting: list[Row | Marker] = []
        self._wake: Callable[[], None] = lambda: None
        self._note: Callable[[int, int, bytes], None] | None = None

    def note_numbers(self, note: Callable[[int, int, bytes], None] | None) -> None:
        self._note = note

    @property
    def queued_frames(self) -> int:
        return len(self._waiting)

    def put(self, *entries: Row | Marker) -> None:
        self._waiting += entries
        self._wake()

    def start(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.connected = True
        self.starts += 1

    def stop(self) -> None:
        self.connected = False

    def poll(self, into: Block, limit: int) -> Poll:
        markers: list[Marker] = []
        while self._waiting and isinstance(self._waiting[0], Marker):
            markers.append(self._waiting.pop(0))  # type: ignore[arg-type]
        rows = 0
        while self._waiting and rows < limit and isinstance(self._waiting[0], Row):
            row, number = self._waiting.pop(0), next(self._number)
            assert isinstance(row, Row)
            if self._note is not None:
                self._note(number, row.arrival_time_ns, row.payload())
            append_row(into, row, number)
            rows += 1
        return Poll(rows=rows, markers=tuple(markers), urgent=bool(markers) and not rows)

    def discard(self) -> int:
        lost, self._waiting = len(self._waiting), []
        return lost


@dataclass
class FakeQueue:
    """What survives an engine: entries, checkpoint, journal, and what sinks announced."""

    entries: list[bytes] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    epoch: str = ""
    journal: list[JournalEntry] = field(default_factory=list)
    sinks: list[SinkPosition] = field(default_factory=list)
    silent: tuple[str, ...] = ()
    """Expected sinks that announce nothing."""
    epochs: int = 0
    trimmed: list[bytes] = field(default_factory=list)
    """Entries that are not retained any more."""
    effects: list[Effect] = field(default_factory=list)
    order: tuple[str, int, bytes] = ("", 0, b"")
    """Epoch, sequence and state of what was stored about the order."""

    def store(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        known = self.effects[-1].number if self.effects else 0
        self.effects += [effect for effect in checkpoint.effects if effect.number > known]

    def new_epoch(self) -> str:
        self.epochs += 1
        return f"epoch{self.epochs}"

    def frames(self) -> list[TickFrame]:
        return [TickFrame(entry) for entry in self.entries]

    def prices(self, mode: int | None = None) -> list[float]:
        return [tick[4] for frame in self.frames() if mode in (None, frame.mode) for tick in frame.ticks()]

    def markers(self) -> list[Marker]:
        return [marker for frame in self.frames() for marker in frame.markers]

    def lose(self, entries: int) -> None:
        """Forget the newest entries, as a Redis does that lost its last second."""
        del self.entries[len(self.entries) - entries :]


class FakePublisher:
    """Appends to a FakeQueue. `room` bounds the entries; every call counts, and `killed_at` ends the process at one."""

    def __init__(self, queue: FakeQueue, stopping: threading.Event, clock: FakeClock) -> None:
        self._queue = queue
        self._stopping = stopping
        self._clock = clock
        self._memory: Memory | None = None
        self._next = (0, 0)
        self.room: int | None = None
        self.when_full: Callable[[], None] = lambda: None
        self.killed_at = 0
        self.calls = 0
        self.lost = False
        self.published_at: list[int] = []
        self.watermarks: list[tuple[int, int]] = []
        self.batch_sizes: list[int] = []
        self.closed = False
        self.flushed = 0
        self.waiting = False
        self.problem = ""
        self.redis_run_id = "run"
        self.backlog_records = 0
        self.backlog_bytes = 0
        self.oldest_sequence = 0

    def tell_watermark(self, arrival_time_ns: int) -> None:
        self.watermarks.append((self._next[0] - 1, arrival_time_ns))

    def adopt(self) -> Adopted:
        self.lost = False
        queue, tail = self._queue, None
        if queue.entries:
            frame = TickFrame(queue.entries[-1])
            tail = Tail(frame.epoch, frame.mode, frame.first_sequence, frame.last_sequence, frame.cursor, 0)
        stored = None
        if queue.checkpoint is not None:
            stored = StoredCheckpoint(epoch=queue.epoch, run_id="run", checkpoint=queue.checkpoint)
        evidence = Evidence(
            tail=tail,
            stored=stored,
            sinks=tuple(queue.sinks),
            silent=queue.silent,
            memory=self._memory,
            time_ns=self._clock.time_ns(),
        )
        adopted = decide(evidence, queue.new_epoch)
        queue.epoch = adopted.epoch
        if queue.order[:2] == (adopted.epoch, adopted.next_sequence - 1):
            adopted = replace(adopted, order_state=queue.order[2])
        jump = adopted.gap.next_sequence if adopted.gap is not None else 0
        self._next = (adopted.next_sequence, jump)
        if self._memory is None or self._memory.epoch != adopted.epoch:
            self._memory = Memory(adopted.epoch, adopted.next_sequence - 1, 0)
        return adopted

    def publish(
        self,
        batch: bytes,
        first_sequence: int,
        last_sequence: int,
        *,
        wake: threading.Event,
        arrival_time_ns: int,
        checkpoint: Checkpoint | None = None,
        urgent: bool = False,
        repeatable: bool = True,
        watermark_ns: int | None = None,
        order_state: bytes = b"",
    ) -> bool:
        while self.room is not None and len(self._queue.entries) >= self.room:
            if wake.is_set():
                return False
            self._pass()
            self.when_full()
        self._pass()
        frame = TickFrame(batch)
        assert frame.epoch == self._queue.epoch
        assert (frame.first_sequence, frame.last_sequence) == (first_sequence, last_sequence)
        assert first_sequence in self._next
        self._next = (last_sequence + 1, self._next[1])
        memory = self._memory
        assert memory is not None
        once = frame.mode == MODE_LIVE or not repeatable
        live = last_sequence if once else memory.live_sequence
        self._memory = Memory(frame.epoch, max(memory.sequence, last_sequence), live)
        self._queue.entries.append(batch)
        if order_state:
            self._queue.order = (frame.epoch, last_sequence, order_state)
        self.published_at.append(self._clock.monotonic_ns())
        self.batch_sizes.append(last_sequence - first_sequence + 1)
        if checkpoint is not None:
            self._queue.store(checkpoint)
        if watermark_ns is not None:
            self.watermarks.append((last_sequence, watermark_ns))
        return True

    def entries_around(self, sequence: int, count: int = 2) -> list[bytes]:
        self._pass()
        found = [entry for entry in self._queue.entries if TickFrame(entry).first_sequence <= sequence]
        return [entry for entry in reversed(found[-count:]) if entry not in self._queue.trimmed]

    def save(self, checkpoint: Checkpoint) -> None:
        self._pass()
        self._queue.store(checkpoint)

    def flush(self) -> None:
        self._pass()
        self.flushed = len(self._queue.entries)

    def tend(self) -> None:
        self._pass()

    def close(self) -> None:
        self.closed = True

    def _pass(self) -> None:
        self.calls += 1
        if self.calls == self.killed_at:
            raise Killed
        if self.lost:
            raise QueueLost("the test said so")


class FakeJournal:
    """Hands out the intents of a FakeQueue."""

    def __init__(self, queue: FakeQueue, wake: Callable[[], None]) -> None:
        self._queue = queue
        self._wake = wake
        self._after = 0
        self.started = False

    def start(self, after_revision: int) -> None:
        self._after = after_revision
        self.started = True

    def add(self, kind: str, **fields: Any) -> None:
        body = json.dumps({"kind": kind, **fields})
        self._queue.journal.append(parse_entry(len(self._queue.journal) + 1, body.encode()))
        self._wake()

    def take(self) -> list[JournalEntry]:
        taken = [intent for intent in self._queue.journal if intent.revision > self._after]
        self._after += len(taken)
        return taken


class ScriptedWaiter:
    """Lets virtual time pass while the engine waits, and has things happen at their time.

    When nothing is left to happen and the engine has only idled for a while, it is told to stop.
    """

    def __init__(self, clock: FakeClock, wake: threading.Event, stop: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._stop = stop
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._began_ns = clock.monotonic_ns()
        self._idle = 0
        self.progress: Callable[[], Any] = lambda: None
        self._seen: Any = None
        self.idle_max = 150

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` called so long after the beginning."""
        due_ns = self._began_ns + round(seconds * 1e9)
        heapq.heappush(self._events, (due_ns, next(self._order), action))

    def wait_until(self, deadline_ns: int) -> None:
        if self._wake.is_set():
            return
        now_ns = self._clock.monotonic_ns()
        if self._events and self._events[0][0] <= max(deadline_ns, now_ns):
            due_ns, _, action = heapq.heappop(self._events)
            self._clock.advance_ns(due_ns - now_ns)
            action()
            return
        self._clock.advance_ns(deadline_ns - now_ns)
        progress = self.progress()
        self._idle = 0 if self._events or progress != self._seen else self._idle + 1
        self._seen = progress
        if not self._events and self._idle > self.idle_max:
            self._stop()


class Stage:
    """One engine with everything around it. `play` runs it until nothing happens any more."""

    def __init__(
        self,
        rows: Sequence[Row] | None = (),
        *,
        queue: FakeQueue | None = None,
        feed: FakeFeed | None = None,
        speed: float = 0.0,
        mode: int = MODE_HISTORICAL,
        pace: Pace = AS_RECORDED,
        open_historical: OpenRecorded | None = None,
        hand_over: HandOverKind = HandOverKind.AT_ONCE,
        partitioned: bool = False,
        order_proof: int = 0,
        **source_options: Any,
    ) -> None:
        """`open_historical` opens recorded files in place of `rows`."""
        self.clock = FakeClock()
        self.queue = FakeQueue() if queue is None else queue
        self.feed = feed
        self.wake, self.interrupt, self.stopping = threading.Event(), threading.Event(), threading.Event()
        self.publisher = FakePublisher(self.queue, self.stopping, self.clock)
        self.journal = FakeJournal(self.queue, self.disturb)
        self.waiter = ScriptedWaiter(self.clock, self.wake, self.stop)
        self.waiter.progress = lambda: len(self.queue.entries)
        self.report = EngineFigures("default")
        self.states: list[str] = []
        self.sources: list[RowSource] = []
        self.at = self.waiter.at

        def open_rows(resume: Cursor | None, *, growing: bool = False) -> RowSource:
            assert rows is not None
            self.sources.append(RowSource(rows, resume=resume, **source_options))
            return self.sources[-1]

        self.engine = Engine(
            beginning=Beginning(mode, speed, hand_over),
            publisher=self.publisher,
            open_historical=open_historical or (None if rows is None else open_rows),
            live=feed,
            partitioned=partitioned,
            pace=pace,
            proving=proving(order_proof),
            journal=self.journal,
            report=self.report,
            changed=lambda: self.states.append(self.report.state),
            clock=self.clock,
            waiter=self.waiter,
            wake=self.wake,
            interrupt=self.interrupt,
            stopping=self.stopping,
        )

    def disturb(self) -> None:
        """Wake the engine as an intent does."""
        self.interrupt.set()
        self.wake.set()

    def stop(self) -> None:
        self.stopping.set()
        self.disturb()

    def play(self) -> FakeQueue:
        """Run the engine to its end; the queue is what it leaves behind."""
        self.engine.run()
        return self.queue

    def play_until_killed(self, call: int) -> bool:
        """Run the engine and kill it at a call of the publisher; False when it ended before."""
        self.publisher.killed_at = call
        try:
            self.engine.run()
        except Killed:
            return True
        return False


__all__ = [
    "FakeFeed",
    "FakeJournal",
    "FakePublisher",
    "FakeQueue",
    "Killed",
    "QueueLost",
    "Row",
    "RowSource",
    "ScriptedWaiter",
    "Stage",
    "Stopped",
    "rows_every",
]
