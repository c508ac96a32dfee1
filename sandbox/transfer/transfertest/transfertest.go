// Package transfertest starts a Data Transfer service for the time of a test, and
// fires its schedules.
package transfertest

import (
	"log/slog"
	"testing"
	"time"

	datatransfer "cloud.google.com/go/bigquery/datatransfer/apiv1"
	pb "cloud.google.com/go/bigquery/datatransfer/apiv1/datatransferpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/sandbox/transfer"
)

// Start starts a service that runs queries by the BigQuery at an address. It
// returns a client, and the service's address. Both end with the test.
func Start(t testing.TB, bigquery string) (*datatransfer.Client, string) {
	t.Helper()
	s, err := transfer.New(transfer.Config{Log: slog.New(slog.DiscardHandler), BigQuery: bigquery})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := datatransfer.NewClient(t.Context(), option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, s.Addr()
}

// Fire runs a configuration's query for a time, and waits for its end.
func Fire(t testing.TB, c *datatransfer.Client, config string, at time.Time) *pb.TransferRun {
	t.Helper()
	r, err := c.StartManualTransferRuns(t.Context(), &pb.StartManualTransferRunsRequest{Parent: config,
		Time: &pb.StartManualTransferRunsRequest_RequestedRunTime{RequestedRunTime: timestamppb.New(at)}})
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		run, err := c.GetTransferRun(t.Context(), &pb.GetTransferRunRequest{Name: r.Runs[0].Name})
		if err != nil {
			t.Fatal(err)
		}
		switch run.State {
		case pb.TransferState_PENDING, pb.TransferState_RUNNING:
		default:
			return run
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("the run has not ended: %v", run)
		}
	}
}
