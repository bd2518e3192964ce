"""Many subscribers of one session in one process: `python -m benchmarks.crowd_client ADDRESS SESSION SUBSCRIBERS AFTER UNTIL`.

Each begins behind AFTER. Says `ready` when each has a batch, and prints {"late_ms": [...]} once each has the record UNTIL: how long
every batch was on its way, from when it was published, of all of them together.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

import grpc

from fastpath.frame import peek
from protos.replay.v1.replay_pb2 import StreamTicksRequest

METHOD: Final = "/midstream.replay.v1.ReplayService/StreamTicks"
PER_CONNECTION: Final = 50


async def main() -> None:
    """Subscribe as often as asked for."""
    address, session = sys.argv[1:3]
    subscribers, after, until = map(int, sys.argv[3:])
    late_ms: list[float] = []
    waiting = subscribers
    everybody = asyncio.Event()

    async def subscribe(channel: grpc.aio.Channel) -> None:
        nonlocal waiting
        first = True
        # The bytes as they are: what is measured is the server's side, and decoding five hundred times is the clients' own work.
        method: Any = channel.unary_stream(METHOD, StreamTicksRequest.SerializeToString, None)
        call = method(StreamTicksRequest(session=session, after_sequence=after))
        async for payload in call:
            head, now_ns = peek(payload), time.time_ns()
            if first:
                first = False
                waiting -= 1
                if waiting == 0:
                    everybody.set()
            elif everybody.is_set():
                late_ms.append((now_ns - head.publish_time_ns) / 1e6)
            if head.last_sequence >= until:
                break
        call.cancel()

    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    channels = [
        grpc.aio.insecure_channel(address, options=options) for _ in range((subscribers - 1) // PER_CONNECTION + 1)
    ]
    tasks = [asyncio.create_task(subscribe(channels[number // PER_CONNECTION])) for number in range(subscribers)]
    await everybody.wait()
    print("ready", flush=True)
    await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    print(json.dumps({"late_ms": late_ms}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
