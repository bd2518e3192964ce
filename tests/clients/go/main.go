// A client in a second language: it streams ticks and prints how many arrived, with the first and last sequence.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	replayv1 "midstream/protos/replay/v1"
)

func run(address string, wanted uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	stream, err := replayv1.NewReplayServiceClient(connection).StreamTicks(ctx, &replayv1.StreamTicksRequest{})
	if err != nil {
		return err
	}
	var ticks, rejections, first, last uint64
	for last < wanted {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		if first == 0 {
			first = batch.FirstSequence
		} else if batch.FirstSequence != last+1 {
			return fmt.Errorf("a hole: %d follows %d", batch.FirstSequence, last)
		}
		last = batch.LastSequence
		ticks += uint64(len(batch.BidPrice))
		rejections += uint64(len(batch.Rejections))
	}
	fmt.Printf("ticks=%d rejections=%d first=%d last=%d\n", ticks, rejections, first, last)
	return nil
}

func main() {
	wanted, err := strconv.ParseUint(os.Args[2], 10, 64)
	if err == nil {
		err = run(os.Args[1], wanted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
