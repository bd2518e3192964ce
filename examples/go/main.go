// Stream the ticks of a session and print how many arrived: `client ADDRESS LAST_SEQUENCE`.
//
// A connection that breaks is made again, and the stream goes on behind the last record that arrived.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "example.com/client/midstream/midstreampb"
)

type reader struct {
	epoch                        string
	first, last, ticks, rejected uint64
	positions                    []*pb.PartitionPosition // of a session of several partitions, where in each of them
}

// note counts a batch; records are numbered without holes within an epoch.
func (r *reader) note(batch *pb.TickBatch) error {
	switch {
	case batch.Epoch != r.epoch: // the numbering begins, or began again
		r.epoch, r.first = batch.Epoch, batch.FirstSequence
	case batch.FirstSequence != r.last+1:
		return fmt.Errorf("a hole: %d follows %d", batch.FirstSequence, r.last)
	}
	r.last, r.positions = batch.LastSequence, batch.Positions
	r.ticks += uint64(len(batch.BidPrice))
	r.rejected += uint64(len(batch.Rejections))
	return nil
}

// stream reads until `wanted` has arrived or the connection breaks.
func (r *reader) stream(ctx context.Context, client pb.ReplayServiceClient, wanted uint64) error {
	request := &pb.StreamTicksRequest{} // from the oldest record that is retained
	if len(r.positions) > 0 {
		request.After = r.positions
	} else if r.epoch != "" {
		request.Epoch = r.epoch
		request.Position = &pb.StreamTicksRequest_AfterSequence{AfterSequence: r.last}
	}
	stream, err := client.StreamTicks(ctx, request)
	if err != nil {
		return err
	}
	for r.last < wanted {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := r.note(batch); err != nil {
			return err
		}
	}
	return nil
}

func run(address string, wanted uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := pb.NewReplayServiceClient(connection)
	r := &reader{}
	for err = r.stream(ctx, client, wanted); status.Code(err) == codes.Unavailable; err = r.stream(ctx, client, wanted) {
		fmt.Fprintln(os.Stderr, "again after", r.last, err)
		time.Sleep(time.Second)
	}
	if err != nil {
		return err
	}
	fmt.Printf("ticks=%d rejections=%d first=%d last=%d\n", r.ticks, r.rejected, r.first, r.last)
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: client ADDRESS LAST_SEQUENCE")
		os.Exit(2)
	}
	wanted, err := strconv.ParseUint(os.Args[2], 10, 64)
	if err == nil {
		err = run(os.Args[1], wanted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
