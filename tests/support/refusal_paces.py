"""A pace of refusals that no machine's speed decides about."""

from __future__ import annotations

import asyncio

from services.runtime.refusal_pace import RefusalPace


class NeverYet(RefusalPace):
    """Gives nothing back at once, and nothing later before `end`."""

    def __init__(self) -> None:
        super().__init__(at_once=0)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        pass
