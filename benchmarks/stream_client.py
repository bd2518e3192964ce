"""One subscriber of StreamTicks: `python -m benchmarks.stream_client ADDRESS TICKS`.

Says `ready` when connected, begins at a line on stdin, and prints {"begin", "end"} (monotonic seconds) after TICKS ticks
that came without a hole. It reads every message with the generated code, as anybody would.
"""

from __future__ import annotations

import json
import sys
import time

import grpc

from protos.replay.v1.replay_pb2 import StreamTicksRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub

CONNECT_S = 20.0


def main() -> None:
    """Subscribe once."""
    address, wanted = sys.argv[1], int(sys.argv[2])
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=CONNECT_S)
        print("ready", flush=True)
        sys.stdin.readline()
        begin, received, following = time.monotonic(), 0, 1
        stream = ReplayServiceStub(channel).StreamTicks(StreamTicksRequest(after_sequence=0))
        for batch in stream:
            if batch.first_sequence != following:
                raise SystemExit(f"sequence {following} is missing")
            following = batch.last_sequence + 1
            received += len(batch.bid_price)
            if received >= wanted:
                break
        end = time.monotonic()
        stream.cancel()
    print(json.dumps({"begin": begin, "end": end}), flush=True)


if __name__ == "__main__":
    main()
