package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	datatransfer "cloud.google.com/go/bigquery/datatransfer/apiv1"
	pb "cloud.google.com/go/bigquery/datatransfer/apiv1/datatransferpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// ScheduleConfig is what the schedule of a comparison needs.
type ScheduleConfig struct {
	Spec     *jobspecs.Comparison
	Client   *bigquery.Client
	Transfer *datatransfer.Client

	Recurrence     Recurrence // of Install alone
	ServiceAccount string     // as which the query runs; "": as whoever installs it
	DryRun         bool       // say what would be done, and do nothing

	Log *slog.Logger     // nil: discarded
	Now func() time.Time // nil: time.Now
}

// What became of a schedule.
const (
	ScheduleCreated   = "created"
	ScheduleUpdated   = "updated"
	ScheduleUnchanged = "unchanged"
	ScheduleRemoved   = "removed"
	ScheduleInstalled = "installed" // it was looked at alone
	ScheduleAbsent    = "absent"
)

// Schedule is the scheduled query of a comparison.
type Schedule struct {
	Version        int            `json:"version"`
	Comparison     string         `json:"comparison"`
	State          string         `json:"state"` // one of the above
	DryRun         bool           `json:"dry_run"`
	Name           string         `json:"display_name"`
	Config         string         `json:"config,omitempty"` // PROJECT's resource name; "": it is not there
	Location       string         `json:"location"`
	Schedule       string         `json:"schedule,omitempty"` // as the service has it, in UTC
	Start          *time.Time     `json:"start,omitempty"`    // of an interval
	NextRun        *time.Time     `json:"next_run,omitempty"`
	Paused         bool           `json:"paused"`
	ServiceAccount string         `json:"service_account,omitempty"`
	SpecHash       string         `json:"spec_hash"`                   // of the spec
	Installed      string         `json:"installed_spec_hash"`         // of the spec that the query was made from
	Bytes          int64          `json:"bytes_estimated,omitempty"`   // of a run now, by dry run
	Accuracy       string         `json:"estimate_accuracy,omitempty"` // of that
	Runs           []ScheduledRun `json:"runs"`                        // the newest first
	SQL            string         `json:"sql,omitempty"`
}

// ScheduledRun is a run of a scheduled query.
type ScheduledRun struct {
	Time  time.Time `json:"time"`
	State string    `json:"state"` // as the service names it, in small letters
	Error string    `json:"error,omitempty"`
}

// runsShown bounds the runs of a Schedule.
const runsShown = 5

// marker begins the query of a schedule that is ours; what else is named so is not
// touched.
const marker = "-- Made by kappa compare schedule from the spec "

// scheduler installs, removes and shows the schedule of one comparison.
type scheduler struct {
	cfg      ScheduleConfig
	runner   *runner
	history  *history
	parent   string // projects/PROJECT/locations/LOCATION
	schedule Schedule
}

// newScheduler looks for no more than what finds a schedule: one is shown and
// removed whatever has become of the spec that it was made from.
func newScheduler(ctx context.Context, cfg ScheduleConfig) (*scheduler, error) {
	if cfg.Spec == nil || cfg.Client == nil || cfg.Transfer == nil {
		return nil, errors.New("compare: a schedule needs a spec and clients")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	spec := &cfg.Spec.Spec
	if spec.History.Dataset == "" {
		return nil, exit.Usagef("the spec names no history.dataset, by which a scheduled query of the comparison is known").
			WithHint("set history.dataset; to look at or remove a schedule, to the dataset that it writes to")
	}
	hash, err := specHash(cfg.Spec)
	if err != nil {
		return nil, err
	}
	name := cfg.Spec.Metadata.Name
	s := &scheduler{cfg: cfg, runner: &runner{client: cfg.Client, log: cfg.Log, labels: labels(name, cfg.Spec.Metadata.Labels), timeout: spec.Limits.JobTimeout.D()}}
	if s.history, err = openHistory(s.runner, spec); err != nil {
		return nil, err
	}
	md, err := s.history.dataset.Metadata(ctx)
	if err != nil {
		return nil, classify("look at the dataset of the history, "+spec.History.Dataset, err)
	}
	s.schedule = Schedule{Version: ResultVersion, Comparison: name, DryRun: cfg.DryRun, SpecHash: hash, Location: strings.ToLower(md.Location), Runs: []ScheduledRun{},
		Name: fmt.Sprintf("kappa compare %s (%s)", name, spec.History.Dataset)}
	s.parent = fmt.Sprintf("projects/%s/locations/%s", spec.Project, s.schedule.Location)
	return s, nil
}

// InstallSchedule makes the comparison a scheduled query of BigQuery, or changes
// the one that there is. Doing it again changes nothing.
func InstallSchedule(ctx context.Context, cfg ScheduleConfig) (*Schedule, error) {
	s, err := newScheduler(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.write(ctx); err != nil {
		return nil, err
	}
	found, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return s.create(ctx)
	case 1:
		return s.update(ctx, found[0])
	}
	return nil, exit.Environmentf("there are %d scheduled queries %q, and each would run", len(found), s.schedule.Name).
		WithHint("remove them with --remove, then install it again")
}

// RemoveSchedule removes the scheduled query; what it has written stays.
func RemoveSchedule(ctx context.Context, cfg ScheduleConfig) (*Schedule, error) {
	s, err := newScheduler(ctx, cfg)
	if err != nil {
		return nil, err
	}
	found, err := s.find(ctx)
	if err != nil || len(found) == 0 {
		s.schedule.State = ScheduleAbsent
		return &s.schedule, err
	}
	for _, c := range found {
		s.note(c)
		if cfg.DryRun {
			continue
		}
		err := cfg.Transfer.DeleteTransferConfig(ctx, &pb.DeleteTransferConfigRequest{Name: c.Name})
		if err != nil && status.Code(err) != codes.NotFound { // somebody else was faster
			return nil, transferError("remove the scheduled query", err)
		}
	}
	s.schedule.State = ScheduleRemoved
	s.cfg.Log.Info("schedule removed", "comparison", s.schedule.Comparison, "config", s.schedule.Config)
	return &s.schedule, nil
}

// ShowSchedule says what there is.
func ShowSchedule(ctx context.Context, cfg ScheduleConfig) (*Schedule, error) {
	s, err := newScheduler(ctx, cfg)
	if err != nil {
		return nil, err
	}
	found, err := s.find(ctx)
	if err != nil || len(found) == 0 {
		s.schedule.State = ScheduleAbsent
		return &s.schedule, err
	}
	s.schedule.State = ScheduleInstalled
	return s.show(ctx, found[0])
}

// write makes the statement, and the table that it writes to, and asks what a run
// would read: a scheduled query has no byte cap of its own.
func (s *scheduler) write(ctx context.Context) error {
	spec := &s.cfg.Spec.Spec
	if err := cmp.Or(CheckSchedulable(spec), checkSpec(spec)); err != nil {
		return err
	}
	q, err := newQueries(spec)
	if err != nil {
		return err
	}
	if err := s.runner.preflight(ctx, &q); err != nil {
		return err
	}
	runs := tables.CompareRunsTable()
	there, err := s.history.exists(ctx, runs.Name)
	if err == nil && !there && !s.cfg.DryRun {
		there, err = true, s.history.create(ctx, runs.Name, runs.Metadata())
	}
	if err != nil {
		return err
	}
	of := scheduled{q: q, name: s.schedule.Comparison, hash: s.schedule.SpecHash}
	sql, err := of.statement(s.history.table(runs.Name))
	if err != nil {
		return err
	}
	s.schedule.SQL = marker + s.schedule.SpecHash + "\n" + sql
	if !there {
		return nil // nothing to try the statement on
	}
	now := bigquery.QueryParameter{Name: "run_time", Value: s.cfg.Now().UTC()}
	s.schedule.Bytes, s.schedule.Accuracy, err = s.runner.estimate(ctx, query{purpose: "scheduled", sql: s.schedule.SQL, params: []bigquery.QueryParameter{now}})
	if err != nil {
		return err
	}
	return q.checkEstimate(s.schedule.Bytes)
}

// find returns the scheduled queries of the comparison.
func (s *scheduler) find(ctx context.Context) ([]*pb.TransferConfig, error) {
	var out []*pb.TransferConfig
	it := s.cfg.Transfer.ListTransferConfigs(ctx, &pb.ListTransferConfigsRequest{Parent: s.parent, DataSourceIds: []string{dataSource}})
	for {
		c, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		if err != nil {
			return nil, transferError("list the scheduled queries of "+s.parent, err)
		}
		if c.GetDisplayName() != s.schedule.Name {
			continue
		}
		if _, ours := strings.CutPrefix(queryOf(c), marker); !ours {
			return nil, exit.Environmentf("there is a scheduled query %q that kappa has not made", s.schedule.Name).
				WithHint("rename it or remove it; it is %s", c.GetName())
		}
		out = append(out, c)
	}
}

// dataSource is that of scheduled queries.
const dataSource = "scheduled_query"

func queryOf(c *pb.TransferConfig) string { return c.GetParams().GetFields()["query"].GetStringValue() }

func (s *scheduler) params() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"query": structpb.NewStringValue(s.schedule.SQL)}}
}

// options are when an interval begins; times of the day need none.
func (s *scheduler) options(old *pb.ScheduleOptions) *pb.ScheduleOptions {
	r := s.cfg.Recurrence
	if r.Interval == 0 {
		return nil
	}
	if t := old.GetStartTime(); t != nil && t.AsTime().Minute() == r.Minute {
		return old // the interval goes on as it began
	}
	return &pb.ScheduleOptions{StartTime: timestamppb.New(r.start(s.cfg.Now()))}
}

func (s *scheduler) create(ctx context.Context) (*Schedule, error) {
	want := &pb.TransferConfig{DisplayName: s.schedule.Name, DataSourceId: dataSource, Params: s.params(), Schedule: s.cfg.Recurrence.Text, ScheduleOptions: s.options(nil)}
	s.schedule.State = ScheduleCreated
	if s.cfg.DryRun {
		s.note(want)
		s.schedule.ServiceAccount = s.cfg.ServiceAccount
		return &s.schedule, nil
	}
	made, err := s.cfg.Transfer.CreateTransferConfig(ctx, &pb.CreateTransferConfigRequest{Parent: s.parent, TransferConfig: want, ServiceAccountName: s.cfg.ServiceAccount})
	if err != nil {
		return nil, transferError("make the scheduled query", err)
	}
	s.cfg.Log.Info("schedule created", "comparison", s.schedule.Comparison, "config", made.GetName())
	return s.show(ctx, made)
}

func (s *scheduler) update(ctx context.Context, found *pb.TransferConfig) (*Schedule, error) {
	// Whom it runs as is told of a single one alone.
	old, err := s.cfg.Transfer.GetTransferConfig(ctx, &pb.GetTransferConfigRequest{Name: found.GetName()})
	if err != nil {
		return nil, transferError("look at the scheduled query", err)
	}
	want := &pb.TransferConfig{Name: old.GetName(), Params: s.params(), Schedule: s.cfg.Recurrence.Text}
	var mask []string
	if queryOf(old) != s.schedule.SQL {
		mask = append(mask, "params")
	}
	if old.GetSchedule() != want.Schedule {
		mask = append(mask, "schedule")
		old.ScheduleOptions = nil
		want.ScheduleOptions = s.options(nil)
		mask = append(mask, "schedule_options")
	} else if want.ScheduleOptions = s.options(old.GetScheduleOptions()); want.ScheduleOptions.GetStartTime().AsTime() != old.GetScheduleOptions().GetStartTime().AsTime() {
		mask = append(mask, "schedule_options")
	}
	if account := s.cfg.ServiceAccount; account != "" && old.GetOwnerInfo().GetEmail() != account {
		mask = append(mask, "service_account_name")
	}
	s.schedule.State = ScheduleUnchanged
	if len(mask) == 0 {
		return s.show(ctx, old)
	}
	s.schedule.State = ScheduleUpdated
	if s.cfg.DryRun {
		out, err := s.show(ctx, old)
		if err == nil {
			out.Schedule = want.Schedule
		}
		return out, err
	}
	made, err := s.cfg.Transfer.UpdateTransferConfig(ctx, &pb.UpdateTransferConfigRequest{TransferConfig: want, ServiceAccountName: s.cfg.ServiceAccount,
		UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}})
	if err != nil {
		return nil, transferError("change the scheduled query", err)
	}
	s.cfg.Log.Info("schedule updated", "comparison", s.schedule.Comparison, "config", made.GetName(), "changed", mask)
	return s.show(ctx, made)
}

// note writes what a configuration says into the outcome.
func (s *scheduler) note(c *pb.TransferConfig) {
	out := &s.schedule
	out.Config, out.Schedule, out.Paused = c.GetName(), c.GetSchedule(), c.GetDisabled()
	if t := c.GetScheduleOptions().GetStartTime(); t != nil {
		out.Start = instant(t)
	}
	if t := c.GetNextRunTime(); t != nil {
		out.NextRun = instant(t)
	}
	if c.GetName() != "" {
		out.Installed, _, _ = strings.Cut(strings.TrimPrefix(queryOf(c), marker), "\n")
	}
	if out.SQL == "" {
		out.SQL = queryOf(c)
	}
}

func instant(t *timestamppb.Timestamp) *time.Time {
	at := t.AsTime().UTC()
	return &at
}

// show adds to the outcome what the service says of a configuration and its runs.
func (s *scheduler) show(ctx context.Context, c *pb.TransferConfig) (*Schedule, error) {
	c, err := s.cfg.Transfer.GetTransferConfig(ctx, &pb.GetTransferConfigRequest{Name: c.GetName()})
	if err != nil {
		return nil, transferError("look at the scheduled query", err)
	}
	s.note(c)
	s.schedule.ServiceAccount = c.GetOwnerInfo().GetEmail()
	runs := s.cfg.Transfer.ListTransferRuns(ctx, &pb.ListTransferRunsRequest{Parent: c.GetName(), PageSize: runsShown})
	for len(s.schedule.Runs) < runsShown {
		r, err := runs.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, transferError("list the runs of the scheduled query", err)
		}
		s.schedule.Runs = append(s.schedule.Runs, ScheduledRun{r.GetRunTime().AsTime().UTC(), strings.ToLower(r.GetState().String()), r.GetErrorStatus().GetMessage()})
	}
	return &s.schedule, nil
}

// transferError tells what the Data Transfer API refuses for good from what fails.
func transferError(what string, err error) error {
	wrapped := fmt.Errorf("%s: %w", what, err)
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated:
		return exit.With(exit.Environment, wrapped).WithHint("whoever installs needs bigquery.transfers.update on the project, and iam.serviceAccounts.actAs on the service account: docs/iam.md")
	case codes.Unavailable, codes.NotFound, codes.FailedPrecondition:
		return exit.With(exit.Environment, wrapped).WithHint("check the connection, and that the BigQuery Data Transfer API is enabled in the project")
	case codes.InvalidArgument:
		return exit.With(exit.Usage, wrapped)
	}
	return wrapped
}
