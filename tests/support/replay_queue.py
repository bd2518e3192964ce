"""What an engine leaves in Redis of a session, made by a test; and what a subscriber of StreamTicks reads."""

from __future__ import annotations

import json
import time
from typing import Any

import redis

from fastpath.frame import TickFrame, peek
from services.runtime.session.keys import SESSIONS, SessionKeys
from tests.support.price_batches import START_NS, make_batches


class Queue:
    """What an engine leaves in Redis."""

    def __init__(self, client: redis.Redis, session: str) -> None:
        self.client = client
        self.keys = SessionKeys(session)
        self.payloads: list[bytes] = []
        """All that ever was in the queue."""

    @property
    def last_sequence(self) -> int:
        """Of the newest record."""
        return peek(self.payloads[-1]).last_sequence

    def report(self, **changes: Any) -> None:
        report = {
            "name": self.keys.session,
            "epoch": "epoch-1",
            "state": "RUNNING",
            "mode": 1,
            "speed": 2.0,
            "sources": [],
        }
        self.client.sadd(SESSIONS, self.keys.session)
        self.client.set(self.keys.state, json.dumps(report | {"reported_time_ns": time.time_ns()} | changes))

    def append(self, rows: int, *, first_sequence: int = 1, epoch: str = "epoch-1", **how: Any) -> None:
        if self.payloads and first_sequence > 1:
            # What comes later arrives later.
            how.setdefault("start_ns", max(peek(self.payloads[-1]).last_arrival_time_ns, START_NS))
        for batch in make_batches(rows, first_sequence=first_sequence, epoch=epoch, **how):
            self.add(batch.payload)

    def add(self, payload: bytes) -> None:
        """Append one batch."""
        self.client.xadd(self.keys.ticks, {"b": payload}, id=f"0-{peek(payload).first_sequence}")
        self.payloads.append(payload)

    def trim(self, first_kept: int) -> None:
        self.client.xtrim(self.keys.ticks, minid=f"0-{first_kept}", approximate=False)


async def read(call: Any, *, to: int) -> list[TickFrame]:
    """Read on in a stream up to the record `to`."""
    frames: list[TickFrame] = []
    while not frames or frames[-1].last_sequence < to:
        frames.append(TickFrame((await anext(aiter(call))).SerializeToString()))
    return frames


def numbers(frames: list[TickFrame]) -> list[int]:
    return sorted(
        [tick[0] for frame in frames for tick in frame.ticks()]
        + [rejection.sequence for frame in frames for rejection in frame.rejections]
        + [marker.sequence for frame in frames for marker in frame.markers]
    )
