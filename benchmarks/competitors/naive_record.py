"""A feed into a file as it is usually written: `python -m benchmarks.competitors.naive_record PORT FILE FRAMES`.

websockets, json, one row of csv.writer per tick, with the time of its receipt; nothing is flushed before the end. Prints {"end": s,
"cpu": s}: the monotonic time at which the last row was handed to the system, and the CPU time since the connection stood.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from pathlib import Path

from websockets.asyncio.client import connect


async def record(port: int, path: Path, frames: int) -> None:
    """Write every tick of the feed."""
    received = 0
    async with connect(f"ws://127.0.0.1:{port}", compression=None) as feed:
        before = time.process_time()
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            async for message in feed:
                writer.writerow([time.time_ns(), *json.loads(message).values()])
                received += 1
                if received == frames:
                    break
        print(json.dumps({"end": time.monotonic(), "cpu": time.process_time() - before}), flush=True)


if __name__ == "__main__":
    asyncio.run(record(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
