"""How far stamps of signed requests have come, in memory instead of the database."""

from __future__ import annotations

import asyncio

from services.runtime.errors import Unavailable


class MemoryFloors:
    """Survives what a server forgets; can die before or after writing."""

    def __init__(self) -> None:
        self.floors: dict[str, int] = {}
        self.writes = 0
        self.dies = ""

    async def read(self, key_id: str) -> int:
        return self.floors.get(key_id, 0)

    async def write(self, key_id: str, floor_ms: int) -> None:
        await asyncio.sleep(0)
        if self.dies == "before":
            raise Unavailable("died")
        self.floors[key_id] = max(self.floors.get(key_id, 0), floor_ms)
        self.writes += 1
        if self.dies == "after":
            raise Unavailable("died")
