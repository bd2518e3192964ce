"""What speed a session really has: replay time and records against the real time in which they left."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

WINDOW_NS: Final = 10_000_000_000
"""Of publishing, over which the rate of the moment is told."""
SAMPLES_MAX: Final = 128


class Distance(NamedTuple):
    """How far a session has come, up to the last batch that left. Time in which it was paused or live is not in it."""

    real_ns: int = 0
    replay_ns: int = 0
    records: int = 0


class Rate(NamedTuple):
    """Replay seconds and records per real second; 0 when not known."""

    speed: float = 0.0
    records_per_second: float = 0.0


class Achieved:
    """Adds up the way. The engine's thread writes, another one samples; what is shared is replaced, never changed."""

    def __init__(self) -> None:
        self.distance = Distance()
        self._mark_ns: int | None = None
        self._samples: deque[Distance] = deque(maxlen=SAMPLES_MAX)

    @property
    def going(self) -> bool:
        """Whether real time counts."""
        return self._mark_ns is not None

    def go(self, now_ns: int) -> None:
        """Have real time count from now on."""
        self._mark_ns = now_ns

    def rest(self, now_ns: int) -> None:
        """Have real time not count until `go`."""
        mark_ns, before = self._mark_ns, self.distance
        if mark_ns is not None:
            self._mark_ns = None
            self.distance = before._replace(real_ns=before.real_ns + now_ns - mark_ns)

    def left(self, records: int, replay_ns: int, now_ns: int) -> None:
        """Account for a batch that left now and took replay time that much further."""
        before, mark_ns = self.distance, self._mark_ns
        if mark_ns is None:
            return  # a step of a paused session has no pace
        self._mark_ns = now_ns
        self.distance = Distance(
            before.real_ns + now_ns - mark_ns,
            before.replay_ns + max(replay_ns, 0),
            before.records + records,
        )

    def sample(self) -> Rate:
        """Return the rate over the last WINDOW_NS; to be called now and then by one thread."""
        samples, now = self._samples, self.distance
        if not samples or now.real_ns > samples[-1].real_ns:
            samples.append(now)
        while len(samples) > 2 and now.real_ns - samples[1].real_ns >= WINDOW_NS:
            samples.popleft()
        return rate(samples[0] if len(samples) > 1 else Distance(), now)


def rate(before: Distance, now: Distance) -> Rate:
    """Return the rate between two distances."""
    real_ns = now.real_ns - before.real_ns
    if real_ns <= 0:
        return Rate()
    return Rate((now.replay_ns - before.replay_ns) / real_ns, (now.records - before.records) * 1e9 / real_ns)
