"""A feed into Redis as it is usually written: `python -m benchmarks.competitors.naive_live PORT REDIS_URL FRAMES`.

websockets, json, one awaited XADD per tick. Prints {"end": s}, the monotonic time at which the last one was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import redis.asyncio
from websockets.asyncio.client import connect

STREAM = "live"


async def ingest(port: int, redis_url: str, frames: int) -> None:
    """Append every tick of the feed."""
    client: Any = redis.asyncio.Redis.from_url(redis_url)
    received = 0
    async with connect(f"ws://127.0.0.1:{port}", compression=None) as feed:
        async for message in feed:
            tick = json.loads(message)
            tick["received"] = time.time_ns()
            await client.xadd(STREAM, tick)
            received += 1
            if received == frames:
                break
        print(json.dumps({"end": time.monotonic()}), flush=True)
    await client.aclose()


if __name__ == "__main__":
    asyncio.run(ingest(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
