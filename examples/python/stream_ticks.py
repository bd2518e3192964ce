"""Stream the ticks of a session and print how many arrived: `stream_ticks.py ADDRESS LAST_SEQUENCE`.

A connection that breaks is made again, and the stream goes on behind the last record that arrived.
"""

import sys
import time

import grpc

from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1.replay_pb2 import StreamTicksRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub


class Reader:
    """What has arrived so far."""

    def __init__(self) -> None:
        self.epoch = ""
        self.first = self.last = self.ticks = self.rejected = 0

    def note(self, batch: TickBatch) -> None:
        """Count a batch; records are numbered without holes within an epoch."""
        if batch.epoch != self.epoch:  # the numbering begins, or began again
            self.epoch, self.first = batch.epoch, batch.first_sequence
        elif batch.first_sequence != self.last + 1:
            raise SystemExit(f"a hole: {batch.first_sequence} follows {self.last}")
        self.last = batch.last_sequence
        self.ticks += len(batch.bid_price)
        self.rejected += len(batch.rejections)

    def stream(self, stub: ReplayServiceStub, wanted: int) -> None:
        """Read until `wanted` has arrived or the connection breaks."""
        request = StreamTicksRequest()  # from the oldest record that is retained
        if self.epoch:
            request = StreamTicksRequest(after_sequence=self.last, epoch=self.epoch)
        call = stub.StreamTicks(request)
        for batch in call:
            self.note(batch)
            if self.last >= wanted:
                call.cancel()
                return


def main(address: str, wanted: int) -> None:
    reader = Reader()
    with grpc.insecure_channel(address) as channel:
        stub = ReplayServiceStub(channel)
        while reader.last < wanted:
            try:
                reader.stream(stub, wanted)
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
