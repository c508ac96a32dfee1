package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/bigquery/datatransfer/apiv1/datatransferpb"
	"cloud.google.com/go/civil"
	"google.golang.org/api/option"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// StartManualTransferRuns runs the query of a configuration once, for one time.
func (s *Server) StartManualTransferRuns(_ context.Context, r *pb.StartManualTransferRunsRequest) (*pb.StartManualTransferRunsResponse, error) {
	if r.GetRequestedTimeRange() != nil {
		return nil, unsupported("runs for a range of times")
	}
	at := r.GetRequestedRunTime()
	if at == nil || at.CheckValid() != nil {
		return nil, invalid("The request has no run time.")
	}
	now := s.cfg.Now()
	if at.AsTime().After(now) {
		return nil, invalid("The requested run time %s is in the future.", at.AsTime().Format(time.RFC3339))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.GetParent())
	if err != nil {
		return nil, err
	}
	s.counter++
	run := &pb.TransferRun{
		Name:         fmt.Sprintf("%s/runs/%08x-0000-2000-0000-000000000000", c.pb.Name, s.counter),
		ScheduleTime: timestamppb.New(now), RunTime: at, UpdateTime: timestamppb.New(now),
		Params: proto.CloneOf(c.pb.Params), DataSourceId: dataSource, State: pb.TransferState_PENDING,
	}
	c.runs = append(c.runs, run)
	query, project := c.pb.Params.Fields["query"].GetStringValue(), c.project
	s.work.Go(func() {
		s.note(c, run, pb.TransferState_RUNNING, nil)
		err := s.query(project, query, at.AsTime())
		state := pb.TransferState_SUCCEEDED
		if err != nil {
			state = pb.TransferState_FAILED
		}
		s.note(c, run, state, err)
	})
	return &pb.StartManualTransferRunsResponse{Runs: []*pb.TransferRun{proto.CloneOf(run)}}, nil
}

// note records the state of a run; that of the newest is the configuration's.
func (s *Server) note(c *config, run *pb.TransferRun, state pb.TransferState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := timestamppb.New(s.cfg.Now())
	run.State, run.UpdateTime = state, now
	switch state {
	case pb.TransferState_RUNNING:
		run.StartTime = now
	default:
		run.EndTime = now
	}
	if err != nil {
		run.ErrorStatus = &spb.Status{Code: int32(codes.Unknown), Message: err.Error()}
	}
	if run == c.runs[len(c.runs)-1] {
		c.pb.State = state
	}
}

// query runs a query as the service does: with the time of the run and its date,
// and nothing else.
func (s *Server) query(project, sql string, at time.Time) error {
	client, err := bigquery.NewClient(s.ctx, project, option.WithEndpoint("http://"+s.cfg.BigQuery+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		return err
	}
	defer client.Close()
	q := client.Query(sql)
	q.Parameters = []bigquery.QueryParameter{{Name: "run_time", Value: at.UTC()}, {Name: "run_date", Value: civil.DateOf(at.UTC())}}
	job, err := q.Run(s.ctx)
	if err != nil {
		return err
	}
	done, err := job.Wait(s.ctx)
	if err != nil {
		return err
	}
	return done.Err()
}

// findRun returns a run. The caller holds the lock.
func (s *Server) findRun(name string) (*pb.TransferRun, error) {
	parent, _, _ := strings.Cut(name, "/runs/")
	c, err := s.find(parent)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.runs, func(r *pb.TransferRun) bool { return r.Name == name })
	if i < 0 {
		return nil, status.Errorf(codes.NotFound, "Requested entity was not found: %s.", name)
	}
	return c.runs[i], nil
}

// GetTransferRun returns a run.
func (s *Server) GetTransferRun(_ context.Context, r *pb.GetTransferRunRequest) (*pb.TransferRun, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run, err := s.findRun(r.GetName())
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(run), nil
}

// ListTransferRuns returns the runs of a configuration, the newest first, by pages.
func (s *Server) ListTransferRuns(_ context.Context, r *pb.ListTransferRunsRequest) (*pb.ListTransferRunsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.GetParent())
	if err != nil {
		return nil, err
	}
	if r.GetRunAttempt() != pb.ListTransferRunsRequest_RUN_ATTEMPT_UNSPECIFIED {
		return nil, unsupported("run attempts")
	}
	var all []*pb.TransferRun
	for _, run := range slices.Backward(c.runs) {
		if len(r.GetStates()) == 0 || slices.Contains(r.GetStates(), run.State) {
			all = append(all, proto.CloneOf(run))
		}
	}
	page, next, err := paged(all, r.GetPageToken(), r.GetPageSize())
	return &pb.ListTransferRunsResponse{TransferRuns: page, NextPageToken: next}, err
}
