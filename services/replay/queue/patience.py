"""Have the producer wait: announced, bounded, and never longer than the process may live."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from random import Random
from typing import Final

from services.replay.queue.errors import Stopped
from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.clock import Clock
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

WAIT_S_MIN: Final = 0.001
WAIT_S_MAX: Final = 0.008
"""A reader frees room by its commits, every few milliseconds; sleeping much longer leaves it without work. Looking costs 0.1 ms."""
SHARED_WAIT_S: Final = 0.016
"""The same, at first and at most twice as long, for one of several partitions: those look more often together than one does, and a reader
that holds a partition up has hundreds of thousands of its records to work on."""
_HEARTBEAT_NS: Final = 250_000_000
_RECONNECT: Final = BackoffPolicy(base_s=0.02, cap_s=1.0)


class Patience:
    """Waits on behalf of the publisher and says so.

    `on_state` gets "BACKPRESSURED" when a wait begins and every 250 ms while it lasts, "RUNNING" when it is over.
    """

    def __init__(
        self, *, stopping: threading.Event, clock: Clock, random: Random, on_state: Callable[[str], None]
    ) -> None:
        self._stopping = stopping
        self._clock = clock
        self._on_state = on_state
        self._backoff = Backoff(random, _RECONNECT)
        self._heartbeat_ns = 0
        self._waits = (0, 0)
        """How long past waits were together, and when the present one began; 0: there is none. Another thread reads it as a whole."""
        self.waiting = False
        self.problem = ""
        """What is waited for, for people; empty when nothing is."""

    @property
    def waited_s(self) -> float:
        """Time spent in waits so far, the present one included."""
        past_ns, begun_ns = self._waits
        return (past_ns + (self._clock.monotonic_ns() - begun_ns if begun_ns else 0)) / 1e9

    def wait(self, problem: str, event: threading.Event, seconds: float) -> None:
        """Wait once, at most until `event` is set."""
        self.announce(problem)
        event.wait(seconds)

    def announce(self, problem: str) -> None:
        """Say that there is something to wait for."""
        now_ns = self._clock.monotonic_ns()
        if not self.waiting:
            logger.info("publishing waits", extra=fields(reason=problem))
            self._waits = (self._waits[0], now_ns)
        if not self.waiting or problem != self.problem or now_ns - self._heartbeat_ns >= _HEARTBEAT_NS:
            self.waiting, self.problem, self._heartbeat_ns = True, problem, now_ns
            self._on_state("BACKPRESSURED")

    def wait_or_stop(self, problem: str, seconds: float) -> None:
        """Wait once, at most until the process is told to stop; raises Stopped then."""
        self.wait(problem, self._stopping, seconds)
        self.raise_if_stopping()

    def pause(self, problem: str) -> None:
        """Wait before the next attempt to reach Redis, longer from time to time; raises Stopped."""
        self.wait_or_stop(problem, self._backoff.next_s())

    def reached(self) -> None:
        """Begin with short pauses again: Redis did what it was asked for."""
        self._backoff.reset()

    def resume(self) -> None:
        """Say that the wait is over; nothing happens without one."""
        if self.waiting:
            self.waiting, self.problem = False, ""
            past_ns, begun_ns = self._waits
            self._waits = (past_ns + self._clock.monotonic_ns() - begun_ns, 0)
            self._on_state("RUNNING")

    def raise_if_stopping(self) -> None:
        """Raise Stopped when the process was told to stop."""
        if self._stopping.is_set():
            raise Stopped("told to stop")
