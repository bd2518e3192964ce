"""An event loop with two queues, so that what is short and urgent does not wait behind what is long and many.

A loop runs whatever is ready in the order in which it became ready. With dozens of orders under way each turn of it takes
milliseconds, and the library takes six turns to let one call in: calls come faster than they are even refused, health and the kill
switch among them. Here the steps of tasks that have called `step_aside` are run a few at a time, between everything else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from typing import Any, Final, cast

__all__ = ["patient_loop", "step_aside"]

PATIENT_IN_A_TURN: Final = 8
"""Patient steps between two looks for what has arrived. A step takes some ten microseconds and a look five; with one step for each look
an order took a third longer."""
PATIENT_BESIDE_URGENT: Final = 1
"""The same while there is something urgent, which has to do with several turns before it is done."""
URGENT_IN_A_ROW: Final = 8
"""Urgent steps for each patient one while there are both. A call is let in by several, one call after the other: with two, calls for
which there was room waited to be let in, and orders were a quarter fewer. Floods are kept few elsewhere (`refusal_pace`)."""

_steps_aside: ContextVar[bool] = ContextVar("midstream_steps_aside", default=False)


def step_aside() -> None:
    """Have what this task does from now on, and the tasks that it makes, wait for everything else. Harmless in a loop of one queue."""
    _steps_aside.set(True)


def patient_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop with two queues."""
    loop = asyncio.SelectorEventLoop()
    # The queue of the standard library's loop, by its name since Python 3.4. Replacing it leaves all of the loop as it is otherwise; what
    # is asked of it here is tested on each version of Python.
    made: Any = loop
    assert isinstance(made._ready, deque)
    made._ready = _Ready()
    return loop


class _Ready:
    """As much of a queue as a loop uses. A loop asks for the length once in a turn, and runs so many."""

    def __init__(self) -> None:
        self._urgent: deque[asyncio.Handle] = deque()
        self._patient: deque[asyncio.Handle] = deque()
        self._in_a_row = 0

    def append(self, handle: asyncio.Handle) -> None:
        context = cast("Any", handle)._context
        (self._patient if context.get(_steps_aside) else self._urgent).append(handle)

    def popleft(self) -> asyncio.Handle:
        if self._urgent and (self._in_a_row < URGENT_IN_A_ROW or not self._patient):
            self._in_a_row += 1
            return self._urgent.popleft()
        self._in_a_row = 0
        return self._patient.popleft()

    def clear(self) -> None:
        self._urgent.clear()
        self._patient.clear()

    def __len__(self) -> int:
        if self._urgent:
            return len(self._urgent) + min(len(self._patient), PATIENT_BESIDE_URGENT)
        return min(len(self._patient), PATIENT_IN_A_TURN)
