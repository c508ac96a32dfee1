package transfer_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	datatransfer "cloud.google.com/go/bigquery/datatransfer/apiv1"
	pb "cloud.google.com/go/bigquery/datatransfer/apiv1/datatransferpb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
	"github.com/kappa-migrate/kappa/sandbox/transfer"
	"github.com/kappa-migrate/kappa/sandbox/transfer/transfertest"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

const parent = "projects/kappa-demo/locations/us"

func start(t *testing.T) (*bigquery.Client, *datatransfer.Client) {
	t.Helper()
	bq, addr := bigquerytest.Start(t, "kappa-demo", "kappa")
	s, err := transfer.New(transfer.Config{Log: slog.New(slog.DiscardHandler), BigQuery: addr, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := datatransfer.NewClient(t.Context(), option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return bq, c
}

func scheduled(query, schedule string) *pb.TransferConfig {
	return &pb.TransferConfig{DisplayName: "flights", DataSourceId: "scheduled_query", Schedule: schedule,
		Params: &structpb.Struct{Fields: map[string]*structpb.Value{"query": structpb.NewStringValue(query)}}}
}

func create(t *testing.T, c *datatransfer.Client, tc *pb.TransferConfig) *pb.TransferConfig {
	t.Helper()
	got, err := c.CreateTransferConfig(t.Context(), &pb.CreateTransferConfigRequest{Parent: parent, TransferConfig: tc})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLifeOfAConfiguration(t *testing.T) {
	_, c := start(t)
	made := create(t, c, scheduled("SELECT 1", "every day 04:17"))
	if got, want := made.NextRunTime.AsTime(), time.Date(2026, 3, 5, 4, 17, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("next run %s, want %s", got, want)
	}
	change := &pb.TransferConfig{Name: made.Name, Schedule: "every 6 hours", ScheduleOptions: &pb.ScheduleOptions{StartTime: timestamppb.New(now.Add(time.Minute))}}
	changed, err := c.UpdateTransferConfig(t.Context(), &pb.UpdateTransferConfigRequest{TransferConfig: change, ServiceAccountName: "a@p.iam.gserviceaccount.com",
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"schedule", "schedule_options", "service_account_name"}}})
	if err != nil {
		t.Fatal(err)
	}
	if changed.DisplayName != "flights" || changed.Schedule != "every 6 hours" || !changed.NextRunTime.AsTime().Equal(now.Add(time.Minute)) {
		t.Errorf("changed: %v", changed)
	}
	got, err := c.GetTransferConfig(t.Context(), &pb.GetTransferConfigRequest{Name: made.Name})
	if err != nil || got.GetOwnerInfo().GetEmail() != "a@p.iam.gserviceaccount.com" {
		t.Errorf("error %v, got %v", err, got)
	}
	if err := c.DeleteTransferConfig(t.Context(), &pb.DeleteTransferConfigRequest{Name: made.Name}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetTransferConfig(t.Context(), &pb.GetTransferConfigRequest{Name: made.Name}); status.Code(err) != codes.NotFound {
		t.Errorf("error %v", err)
	}
}

func TestListsByLocationAndPage(t *testing.T) {
	_, c := start(t)
	for range 5 {
		create(t, c, scheduled("SELECT 1", "every day 04:17"))
	}
	if _, err := c.CreateTransferConfig(t.Context(), &pb.CreateTransferConfigRequest{Parent: "projects/kappa-demo/locations/EU", TransferConfig: scheduled("SELECT 1", "every day 04:17")}); err != nil {
		t.Fatal(err)
	}
	count := func(parent string) int {
		n := 0
		it := c.ListTransferConfigs(t.Context(), &pb.ListTransferConfigsRequest{Parent: parent, PageSize: 2, DataSourceIds: []string{"scheduled_query"}})
		for {
			_, err := it.Next()
			if err == iterator.Done {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	for p, want := range map[string]int{parent: 5, "projects/kappa-demo": 5, "projects/kappa-demo/locations/eu": 1, "projects/other": 0} {
		if got := count(p); got != want {
			t.Errorf("%s has %d, want %d", p, got, want)
		}
	}
}

func TestRuns(t *testing.T) {
	bq, c := start(t)
	table := bq.Dataset("kappa").Table("runs")
	if err := table.Create(t.Context(), &bigquery.TableMetadata{Schema: bigquery.Schema{{Name: "ran", Type: bigquery.TimestampFieldType}, {Name: "date", Type: bigquery.DateFieldType}}}); err != nil {
		t.Fatal(err)
	}
	made := create(t, c, scheduled("INSERT INTO kappa.runs (ran, date) VALUES (@run_time, @run_date)", "every day 04:17"))
	at := now.Add(-time.Hour)
	run := transfertest.Fire(t, c, made.Name, at)
	if run.State != pb.TransferState_SUCCEEDED {
		t.Fatalf("run %v", run)
	}
	it, err := bq.Query("SELECT ran, CAST(date AS STRING) FROM kappa.runs").Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var row []bigquery.Value
	if err := it.Next(&row); err != nil || !row[0].(time.Time).Equal(at) || row[1] != "2026-03-04" {
		t.Errorf("error %v, row %v", err, row)
	}

	failing := create(t, c, scheduled("SELECT * FROM kappa.none", "every day 04:17"))
	run = transfertest.Fire(t, c, failing.Name, at)
	if run.State != pb.TransferState_FAILED || !strings.Contains(run.GetErrorStatus().GetMessage(), "none") {
		t.Errorf("run %v", run)
	}
	got, err := c.GetTransferConfig(t.Context(), &pb.GetTransferConfigRequest{Name: failing.Name})
	if err != nil || got.State != pb.TransferState_FAILED {
		t.Errorf("error %v, got %v", err, got)
	}
	transfertest.Fire(t, c, failing.Name, at.Add(time.Minute))
	runs := c.ListTransferRuns(t.Context(), &pb.ListTransferRunsRequest{Parent: failing.Name})
	first, err := runs.Next()
	if err != nil || !first.RunTime.AsTime().Equal(at.Add(time.Minute)) {
		t.Errorf("error %v; the newest run is not the first: %v", err, first)
	}
}

func TestRefusals(t *testing.T) {
	_, c := start(t)
	made := create(t, c, scheduled("SELECT 1", "every day 04:17"))
	change := func(f func(*pb.TransferConfig)) func() error {
		return func() error {
			tc := scheduled("SELECT 1", "every day 04:17")
			f(tc)
			_, err := c.CreateTransferConfig(t.Context(), &pb.CreateTransferConfigRequest{Parent: parent, TransferConfig: tc})
			return err
		}
	}
	update := func(mask ...string) func() error {
		return func() error {
			_, err := c.UpdateTransferConfig(t.Context(), &pb.UpdateTransferConfigRequest{TransferConfig: &pb.TransferConfig{Name: made.Name}, UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}})
			return err
		}
	}
	run := func(r *pb.StartManualTransferRunsRequest) func() error {
		return func() error { _, err := c.StartManualTransferRuns(t.Context(), r); return err }
	}
	future := &pb.StartManualTransferRunsRequest_RequestedRunTime{RequestedRunTime: timestamppb.New(now.Add(time.Second))}
	tests := map[string]struct {
		call func() error
		code codes.Code
	}{
		"parent": {func() error {
			_, err := c.CreateTransferConfig(t.Context(), &pb.CreateTransferConfigRequest{Parent: "kappa-demo", TransferConfig: scheduled("SELECT 1", "every day 04:17")})
			return err
		}, codes.InvalidArgument},
		"service account": {func() error {
			_, err := c.CreateTransferConfig(t.Context(), &pb.CreateTransferConfigRequest{Parent: parent, ServiceAccountName: "ada", TransferConfig: scheduled("SELECT 1", "every day 04:17")})
			return err
		}, codes.InvalidArgument},
		"data source":     {change(func(c *pb.TransferConfig) { c.DataSourceId = "google_cloud_storage" }), codes.Unimplemented},
		"no display name": {change(func(c *pb.TransferConfig) { c.DisplayName = "" }), codes.InvalidArgument},
		"no query":        {change(func(c *pb.TransferConfig) { c.Params = nil }), codes.InvalidArgument},
		"empty query":     {change(func(c *pb.TransferConfig) { c.Params.Fields["query"] = structpb.NewStringValue(" ") }), codes.InvalidArgument},
		"parameter":       {change(func(c *pb.TransferConfig) { c.Params.Fields["write_disposition"] = structpb.NewStringValue("x") }), codes.Unimplemented},
		"destination": {change(func(c *pb.TransferConfig) {
			c.Destination = &pb.TransferConfig_DestinationDatasetId{DestinationDatasetId: "d"}
		}), codes.Unimplemented},
		"notification":       {change(func(c *pb.TransferConfig) { c.NotificationPubsubTopic = "t" }), codes.Unimplemented},
		"schedule":           {change(func(c *pb.TransferConfig) { c.Schedule = "now and then" }), codes.InvalidArgument},
		"no schedule":        {change(func(c *pb.TransferConfig) { c.Schedule = "" }), codes.InvalidArgument},
		"every minute":       {change(func(c *pb.TransferConfig) { c.Schedule = "every 1 minutes" }), codes.InvalidArgument},
		"no mask":            {update(), codes.InvalidArgument},
		"mask of the source": {update("data_source_id"), codes.Unimplemented},
		"mask of an emptied": {update("params"), codes.InvalidArgument},
		"run of the future":  {run(&pb.StartManualTransferRunsRequest{Parent: made.Name, Time: future}), codes.InvalidArgument},
		"run of no time":     {run(&pb.StartManualTransferRunsRequest{Parent: made.Name}), codes.InvalidArgument},
		"unknown method": {func() error {
			_, err := c.GetDataSource(t.Context(), &pb.GetDataSourceRequest{Name: parent + "/dataSources/scheduled_query"})
			return err
		}, codes.Unimplemented},
	}
	for name, tt := range tests {
		if err := tt.call(); status.Code(err) != tt.code {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
}
