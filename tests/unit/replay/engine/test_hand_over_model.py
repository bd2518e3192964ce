"""Joins against a model: a source, a recorder of it, and a feed that drops, repeats, reorders and is lost, with kills in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastpath.frame import MARKER_DISCONNECTED, MARKER_GAP, MARKER_RECONNECTED, MARKER_SEAM, MODE_HISTORICAL, MODE_LIVE
from fastpath.records import Marker
from services.runtime.session.hand_over import HandOverKind
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage

BASE_NS, MS = 1_000_000_000_000, 1_000_000


@dataclass
class Life:
    """One engine and what happens while it runs."""

    connected: int
    """Records that the feed had sent before it connected, of which it sends the last ones again."""
    resent: int
    killed_at: int = 0
    events: list[tuple[float, Callable[[Stage], object]]] = field(default_factory=list)
    seconds: float = 0.0


class Joining(RuleBasedStateMachine):
    """Writes a script life by life; `teardown` plays it and holds what was published against the model."""

    def __init__(self) -> None:
        super().__init__()
        self.emitted = 0
        self.history: list[Row] = []
        self.unwritten: list[int] = []
        self.dropped: set[int] = set()
        """Left out by the feed: who has joined cannot know of them."""
        self.deliveries: list[Counter[int]] = [Counter()]
        """By connection, how often each record was sent."""
        self.lives = [Life(0, 0)]
        self.is_open = True

    def then(self, wait_s: float, action: Callable[[Stage], object]) -> None:
        life = self.lives[-1]
        life.seconds += wait_s
        life.events.append((life.seconds, action))

    @rule(
        count=st.integers(1, 5),
        fault=st.sampled_from(["", "", "", "drop", "repeat", "swap"]),
        wait_s=st.sampled_from([0.05, 1.0, 15.0]),
    )
    def source_emits(self, count: int, fault: str, wait_s: float) -> None:
        numbers = list(range(self.emitted + 1, self.emitted + count + 1))
        self.emitted += count
        self.unwritten += numbers
        sent = list(numbers)
        if fault == "drop":
            self.dropped.add(sent.pop(len(sent) // 2))
        elif fault == "repeat":
            sent.append(sent[-1])
        elif fault == "swap" and count > 1:
            sent[0], sent[1] = sent[1], sent[0]
        if self.is_open:
            self.deliveries[-1].update(sent)
            self.then(wait_s, lambda stage: stage.feed.put(*map(received, sent)))

    @rule(wait_s=st.sampled_from([0.05, 1.0, 15.0]))
    def recorder_writes(self, wait_s: float) -> None:
        numbers, self.unwritten = self.unwritten, []
        self.then(wait_s, lambda _: self.history.extend(map(recorded, numbers)))

    @precondition(lambda self: self.is_open)
    @rule()
    def feed_is_lost(self) -> None:
        self.is_open = False
        self.then(1.0, lambda stage: stage.feed.put(Marker(kind=MARKER_DISCONNECTED, reason="gone")))

    @precondition(lambda self: not self.is_open)
    @rule(resent=st.integers(0, 3))
    def feed_is_back(self, resent: int) -> None:
        self.is_open = True
        again = list(range(max(1, self.emitted - resent + 1), self.emitted + 1))
        self.deliveries.append(Counter(again))
        self.then(1.0, lambda stage: stage.feed.put(Marker(kind=MARKER_RECONNECTED), *map(received, again)))

    @rule(call=st.integers(1, 40), resent=st.integers(0, 3))
    def engine_is_killed(self, call: int, resent: int) -> None:
        self.lives[-1].killed_at = call
        self.is_open = True
        self.lives.append(Life(self.emitted, resent))
        self.deliveries.append(Counter(range(max(1, self.emitted - resent + 1), self.emitted + 1)))

    @invariant()
    def bounded(self) -> None:
        assert len(self.lives) < 100

    def teardown(self) -> None:
        queue = FakeQueue()
        for life in self.lives:
            self.live(queue, life)
        self.check(queue)

    def live(self, queue: FakeQueue, life: Life) -> None:
        feed = FakeFeed()
        feed.put(*map(received, range(max(1, life.connected - life.resent + 1), life.connected + 1)))
        stage = Stage(self.history, feed=feed, queue=queue, hand_over=HandOverKind.JOIN)
        for at_s, action in life.events:
            stage.at(at_s, lambda action=action: action(stage))  # type: ignore[misc]
        if life.killed_at:
            # What it did not live to see happened nevertheless.
            done: set[int] = set()
            stage.waiter._events.clear()
            for number, (at_s, action) in enumerate(life.events):
                stage.at(at_s, lambda number=number, action=action: (done.add(number), action(stage)))  # type: ignore[misc]
            stage.play_until_killed(life.killed_at)
            for number, (_, action) in enumerate(life.events):
                if number not in done:
                    action(stage)
        else:
            stage.play()

    def check(self, queue: FakeQueue) -> None:
        """No gap and no repeat but where a marker stands, and history in its order."""
        segments: list[list[int]] = [[]]
        history: list[int] = []
        for frame in queue.frames():
            if any(map(tells_a_break, frame.markers)) and not any(
                marker.kind == MARKER_SEAM and marker.mode == MODE_HISTORICAL for marker in frame.markers
            ):
                segments.append([])
            numbers = [int(tick[4]) for tick in frame.ticks()]
            segments[-1] += numbers
            if frame.mode == MODE_HISTORICAL:
                history += numbers

        assert history == sorted(set(history)), "history repeats or goes back"
        seen: set[int] = set()
        published: Counter[int] = Counter()
        for breaks, segment in enumerate(segments):
            published.update(segment)
            seen.update(segment)
            for number in range(min(segment, default=1), max(segment, default=0) - 1):
                assert number in seen | self.dropped, f"{number} is missing and no marker tells it: {segments}"
            for number, times in published.items():
                allowed = max(1, *(sent[number] for sent in self.deliveries))
                assert times <= allowed + breaks, f"{number} is there {times} times: {segments}"


def tells_a_break(marker: Marker) -> bool:
    if marker.kind == MARKER_SEAM:
        return marker.mode == MODE_LIVE and marker.gap_ns != 0
    return marker.kind in (MARKER_GAP, MARKER_RECONNECTED)


def recorded(number: int) -> Row:
    return Row(BASE_NS + number * MS, price=float(number))


def received(number: int) -> Row:
    return Row(BASE_NS + number * MS + 5 * MS, price=float(number), event_time_ns=BASE_NS + number * MS)


TestJoining: Any = Joining.TestCase
TestJoining.settings = settings(max_examples=25, stateful_step_count=12, deadline=None, print_blob=True)
