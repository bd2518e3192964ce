"""How fast refused calls give back their place on their connection, so that a flood of them is refused by the library instead.

A refusal takes a fifth of a millisecond of the event loop: three thousand a second leave nothing for the calls that there is room for.
What has no place among the calls of its connection takes a tenth of that, and no code of ours runs: the library resets it
(REFUSED_STREAM, UNAVAILABLE to its caller, who may be certain that nothing was done). So everybody is told at once and nobody waits, but
the place is given back at a pace. Telling them later instead would have clients wait in their own library, first come, first served: a
flood that lasts longer than its deadlines then brings nothing but calls that are about to expire.

Over HTTP/1.1, where a connection has one request at a time, what waits for its turn is its next placement (`services.runtime.web.held`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Final

from prometheus_client import Counter

from services.runtime.figures import Figure
from services.runtime.metrics import Metrics

__all__ = ["PACE_FIGURES", "RefusalPace"]

_FACE: Final = ("face",)
PACED: Final = Figure(
    "midstream_refusals_paced_total", "counter",
    "Refusals after which a connection waits: for the place of the call (grpc), or before its next placement (rest)", _FACE,
)  # fmt: skip
WAITING: Final = Figure(
    "midstream_refusals_waiting", "gauge", "Refusals whose connection waits for its turn now", _FACE
)
PACE_FIGURES: Final = (PACED, WAITING)

PER_S: Final = 100.0
"""Refusals a second while there is a flood: two to seven per cent of a core, as they come in crowds or one by one."""
AT_ONCE: Final = 100.0
"""Refusals without a pause that give their place back at once: what a burst leaves behind keeps nobody out. With what four connections of
the orders server hold, a flood begins with six hundred, a tenth of a second of one core."""
HELD_MAX: Final = 4_096
"""Calls that keep their place, up to 18 KiB each: thirty-two connections of the orders server full."""
LOOK_S: Final = 0.05
FASTER_MAX: Final = 1_024


class RefusalPace:
    """Of one face of a server. Connections take turns, so that one that floods does not keep the places of another."""

    def __init__(self, *, per_s: float = PER_S, at_once: float = AT_ONCE, held_max: int = HELD_MAX) -> None:
        self.held = 0
        """Calls that were told and keep their place."""
        self._per_s = per_s
        self._at_once = at_once
        self._held_max = held_max
        self._left = at_once
        self._since_s: float | None = None
        self._turns: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False
        self._faster = 1
        self._ended = False
        self._paced: Counter | None = None

    def count_in(self, metrics: Metrics, face: str) -> None:
        """Show in the metrics of a process what is paced, as that of one of its faces."""
        self._paced = metrics.counter(PACED).labels(face)
        metrics.gauge(WAITING).labels(face).set_function(lambda: float(self.held))

    def turn(self, peer: str) -> asyncio.Future[None] | None:
        """Return what a refused call of a connection waits for once it was told; None when it may end."""
        if self._ended:
            return None
        loop = asyncio.get_running_loop()
        if not self.held and self._may_go(loop.time()):
            return None
        if self.held >= self._held_max:
            self._release()
        turn: asyncio.Future[None] = loop.create_future()
        self._turns.setdefault(peer, deque()).append(turn)
        self.held += 1
        if self._paced is not None:
            self._paced.inc()
        self._refused = True
        if self._timer is None:
            self._timer = loop.call_later(LOOK_S, self._look, loop)
        return turn

    def end(self) -> None:
        """Let all of them go, and hold none any more: a server does not stop while there are calls."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self.held:
            self._release()

    def _may_go(self, now_s: float) -> bool:
        if self._since_s is not None:
            self._left = min(self._at_once, self._left + (now_s - self._since_s) * self._per_s)
        self._since_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        # A flood takes at once what is given back. When nobody has, it is over, and soon everybody has their places again.
        self._faster = 1 if self._refused else min(2 * self._faster, FASTER_MAX)
        self._refused = False
        for _ in range(min(self.held, max(1, round(self._faster * self._per_s * LOOK_S)))):
            self._release()
        self._since_s = loop.time()
        self._timer = loop.call_later(LOOK_S, self._look, loop) if self.held else None

    def _release(self) -> None:
        peer, turns = self._turns.popitem(last=False)
        turn = turns.popleft()
        self.held -= 1
        if turns:
            self._turns[peer] = turns
        if not turn.done():
            # Done already: the task was cancelled.
            turn.set_result(None)
