// Stream the ticks of a session and print how many arrived: `node built/stream_ticks.js ADDRESS LAST_SEQUENCE`.
//
// A connection that breaks is made again, and the stream goes on behind the last record that arrived.
import { credentials, ServiceError, status } from "@grpc/grpc-js";

import { PartitionPosition, TickBatch } from "./generated/protos/common/v1/market";
import { ReplayServiceClient, StreamTicksRequest } from "./generated/protos/replay/v1/replay";

class Reader {
  epoch = "";
  first = 0n;
  last = 0n;
  ticks = 0;
  rejected = 0;
  /** Of a session of several partitions, where in each of them. */
  positions: PartitionPosition[] = [];

  /** Count a batch; records are numbered without holes within an epoch. */
  note(batch: TickBatch): void {
    if (batch.epoch !== this.epoch) {
      // The numbering begins, or began again.
      this.epoch = batch.epoch;
      this.first = batch.firstSequence;
    } else if (batch.firstSequence !== this.last + 1n) {
      throw new Error(`a hole: ${batch.firstSequence} follows ${this.last}`);
    }
    this.last = batch.lastSequence;
    this.positions = batch.positions;
    this.ticks += batch.bidPrice.length;
    this.rejected += batch.rejections.length;
  }

  /** Read until `wanted` has arrived or the connection breaks. */
  async stream(client: ReplayServiceClient, wanted: bigint): Promise<void> {
    // Without a position from the oldest record that is retained.
    const behind = this.epoch ? { afterSequence: this.last, epoch: this.epoch } : {};
    const position = this.positions.length > 0 ? { after: this.positions } : behind;
    const call = client.streamTicks(StreamTicksRequest.fromPartial(position));
    for await (const batch of call as AsyncIterable<TickBatch>) {
      this.note(batch);
      if (this.last >= wanted) {
        return; // which cancels the call
      }
    }
  }
}

async function main(address: string, wanted: bigint): Promise<void> {
  const client = new ReplayServiceClient(address, credentials.createInsecure());
  const reader = new Reader();
  while (reader.last < wanted) {
    try {
      await reader.stream(client, wanted);
    } catch (error) {
      if ((error as ServiceError).code !== status.UNAVAILABLE) {
        throw error;
      }
      console.error("again after", reader.last, (error as ServiceError).details);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
  client.close();
  console.log(
    `ticks=${reader.ticks} rejections=${reader.rejected} first=${reader.first} last=${reader.last}`,
  );
}

if (process.argv.length !== 4) {
  console.error("usage: node built/stream_ticks.js ADDRESS LAST_SEQUENCE");
  process.exit(2);
}
main(process.argv[2], BigInt(process.argv[3])).catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
