// Stream the ticks of a session and print how many arrived: `StreamTicks ADDRESS LAST_SEQUENCE`.
//
// A connection that breaks is made again, and the stream goes on behind the last record that arrived.

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.List;
import midstream.common.v1.PartitionPosition;
import midstream.common.v1.TickBatch;
import midstream.replay.v1.ReplayServiceGrpc;
import midstream.replay.v1.ReplayServiceGrpc.ReplayServiceBlockingStub;
import midstream.replay.v1.StreamTicksRequest;

public final class StreamTicks {
  private String epoch = "";
  private long first;
  private long last;
  private long ticks;
  private long rejected;
  private List<PartitionPosition> positions = List.of(); // of a session of several partitions, where in each of them

  /** Counts a batch; records are numbered without holes within an epoch. */
  private void note(TickBatch batch) {
    if (!batch.getEpoch().equals(epoch)) { // the numbering begins, or began again
      epoch = batch.getEpoch();
      first = batch.getFirstSequence();
    } else if (batch.getFirstSequence() != last + 1) {
      throw new IllegalStateException("a hole: " + batch.getFirstSequence() + " follows " + last);
    }
    last = batch.getLastSequence();
    positions = batch.getPositionsList();
    ticks += batch.getBidPriceCount();
    rejected += batch.getRejectionsCount();
  }

  /** Reads until `wanted` has arrived or the connection breaks. */
  private void stream(ReplayServiceBlockingStub stub, long wanted) {
    // Without a position from the oldest record that is retained.
    StreamTicksRequest.Builder request = StreamTicksRequest.newBuilder();
    if (!positions.isEmpty()) {
      request.addAllAfter(positions);
    } else if (!epoch.isEmpty()) {
      request.setAfterSequence(last).setEpoch(epoch);
    }
    Iterator<TickBatch> batches = stub.streamTicks(request.build());
    while (last < wanted && batches.hasNext()) {
      note(batches.next());
    }
  }

  private void run(String address, long wanted) throws InterruptedException {
    ManagedChannel channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    try {
      ReplayServiceBlockingStub stub = ReplayServiceGrpc.newBlockingStub(channel);
      while (last < wanted) {
        try {
          stream(stub, wanted);
        } catch (StatusRuntimeException error) {
          if (error.getStatus().getCode() != Status.Code.UNAVAILABLE) {
            throw error;
          }
          System.err.println("again after " + last + ": " + error.getMessage());
          Thread.sleep(1000);
        }
      }
    } finally {
      channel.shutdownNow();
    }
    System.out.printf("ticks=%d rejections=%d first=%d last=%d%n", ticks, rejected, first, last);
  }

  public static void main(String[] arguments) throws InterruptedException {
    if (arguments.length != 2) {
      System.err.println("usage: StreamTicks ADDRESS LAST_SEQUENCE");
      System.exit(2);
    }
    new StreamTicks().run(arguments[0], Long.parseLong(arguments[1]));
  }
}
