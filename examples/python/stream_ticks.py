"""Stream the ticks of a session and print how many arrived: `stream_ticks.py ADDRESS LAST_SEQUENCE`.

A connection that breaks is made again, and the stream goes on behind the last record that arrived. For servers with TLS set
MIDSTREAM_TLS_CA (and MIDSTREAM_TLS_CLIENT_CERT, MIDSTREAM_TLS_CLIENT_KEY, MIDSTREAM_API_KEY as they want).
"""

import os
import sys
import time
from pathlib import Path

import grpc

from protos.common.v1.market_pb2 import PartitionPosition, TickBatch
from protos.replay.v1.replay_pb2 import StreamTicksRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub


class Reader:
    """What has arrived so far."""

    def __init__(self) -> None:
        self.epoch = ""
        self.first = self.last = self.ticks = self.rejected = 0
        self.positions: list[PartitionPosition] = []  # of a session of several partitions, where in each of them

    def note(self, batch: TickBatch) -> None:
        """Count a batch; records are numbered without holes within an epoch."""
        if batch.epoch != self.epoch:  # the numbering begins, or began again
            self.epoch, self.first = batch.epoch, batch.first_sequence
        elif batch.first_sequence != self.last + 1:
            raise SystemExit(f"a hole: {batch.first_sequence} follows {self.last}")
        self.last = batch.last_sequence
        self.positions = list(batch.positions)
        self.ticks += len(batch.bid_price)
        self.rejected += len(batch.rejections)

    def stream(self, stub: ReplayServiceStub, wanted: int) -> None:
        """Read until `wanted` has arrived or the connection breaks."""
        request = StreamTicksRequest()  # from the oldest record that is retained
        if self.positions:
            request = StreamTicksRequest(after=self.positions)
        elif self.epoch:
            request = StreamTicksRequest(after_sequence=self.last, epoch=self.epoch)
        key = os.environ.get("MIDSTREAM_API_KEY")
        call = stub.StreamTicks(request, metadata=[("authorization", f"Bearer {key}")] if key else None)
        for batch in call:
            self.note(batch)
            if self.last >= wanted:
                call.cancel()
                return


def connect(address: str) -> grpc.Channel:
    """Return a new channel; it keeps the certificates that are there now, so a longer life needs a new one at times."""
    names = ("MIDSTREAM_TLS_CA", "MIDSTREAM_TLS_CLIENT_KEY", "MIDSTREAM_TLS_CLIENT_CERT")
    ca, key, cert = (Path(os.environ[name]).read_bytes() if name in os.environ else None for name in names)
    if ca is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert))


def main(address: str, wanted: int) -> None:
    reader = Reader()
    while reader.last < wanted:
        with connect(address) as channel:
            try:
                reader.stream(ReplayServiceStub(channel), wanted)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise SystemExit(f"{error.code().name}: {error.details()}") from error
                print("again after", reader.last, error.details(), file=sys.stderr)
                time.sleep(1)
    print(f"ticks={reader.ticks} rejections={reader.rejected} first={reader.first} last={reader.last}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("usage: stream_ticks.py ADDRESS LAST_SEQUENCE", file=sys.stderr)
        sys.exit(2)
    main(sys.argv[1], int(sys.argv[2]))
