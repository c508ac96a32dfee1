package transfer

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/bigquery/datatransfer/apiv1/datatransferpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// dataSource is the only one that is emulated.
const dataSource = "scheduled_query"

// config is a transfer configuration with its runs.
type config struct {
	pb             *pb.TransferConfig // never handed out, but copied
	project        string
	serviceAccount string
	runs           []*pb.TransferRun // in order of creation
}

var parentPattern = regexp.MustCompile(`^projects/([^/]+)(/locations/([^/]+))?$`)

// parent reads projects/PROJECT[/locations/LOCATION]; without a location it is us,
// as on the real service.
func parent(name string) (project, location string, err error) {
	m := parentPattern.FindStringSubmatch(name)
	if m == nil {
		return "", "", invalid("Parent %q is not projects/PROJECT or projects/PROJECT/locations/LOCATION.", name)
	}
	if m[3] == "" {
		m[3] = "us"
	}
	return m[1], strings.ToLower(m[3]), nil
}

// CreateTransferConfig makes a configuration.
func (s *Server) CreateTransferConfig(_ context.Context, r *pb.CreateTransferConfigRequest) (*pb.TransferConfig, error) {
	project, location, err := parent(r.GetParent())
	if err != nil {
		return nil, err
	}
	if r.GetVersionInfo() != "" {
		return nil, unsupported("authorization codes")
	}
	c := proto.CloneOf(r.GetTransferConfig())
	if err := s.check(c, r.GetServiceAccountName()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter++
	c.Name = fmt.Sprintf("projects/%s/locations/%s/transferConfigs/%08x-0000-2000-0000-000000000000", project, location, s.counter)
	c.DatasetRegion = location
	s.touch(c)
	s.configs = append(s.configs, &config{pb: c, project: project, serviceAccount: r.GetServiceAccountName()})
	return proto.CloneOf(c), nil
}

// touch fills in what the service says of a configuration.
func (s *Server) touch(c *pb.TransferConfig) {
	now := s.cfg.Now()
	c.UpdateTime, c.NextRunTime = timestamppb.New(now), nil
	if next := nextRun(c, now); !next.IsZero() {
		c.NextRunTime = timestamppb.New(next)
	}
}

// check refuses what the real service refuses, and what is not emulated.
func (s *Server) check(c *pb.TransferConfig, serviceAccount string) error {
	switch {
	case c == nil:
		return invalid("The request has no transfer configuration.")
	case c.GetDataSourceId() != dataSource:
		return unsupported(fmt.Sprintf("the data source %q", c.GetDataSourceId()))
	case c.GetDisplayName() == "":
		return invalid("The transfer configuration has no display name.")
	case c.GetDestinationDatasetId() != "":
		return unsupported("destination datasets of scheduled queries")
	case c.GetNotificationPubsubTopic() != "", c.GetEmailPreferences().GetEnableFailureEmail():
		return unsupported("notifications")
	case c.GetEncryptionConfiguration() != nil:
		return unsupported("encryption configurations")
	case c.GetScheduleOptionsV2() != nil:
		return unsupported("schedule_options_v2")
	case c.GetDataRefreshWindowDays() != 0:
		return invalid("Data source scheduled_query does not support data refresh windows.")
	case serviceAccount != "" && !strings.HasSuffix(serviceAccount, ".gserviceaccount.com"):
		return invalid("Service account %q is not the email address of one.", serviceAccount)
	}
	for name, v := range c.GetParams().GetFields() {
		switch {
		case name != "query":
			return unsupported("the parameter " + name + " of scheduled queries")
		case strings.TrimSpace(v.GetStringValue()) == "":
			return invalid("Parameter query is empty.")
		}
	}
	if c.GetParams().GetFields()["query"] == nil {
		return invalid("Parameter query is missing.")
	}
	if c.GetScheduleOptions().GetDisableAutoScheduling() && c.GetSchedule() == "" {
		return nil
	}
	_, err := parseSchedule(c.GetSchedule())
	return err
}

// find returns a configuration. The caller holds the lock.
func (s *Server) find(name string) (*config, error) {
	i := slices.IndexFunc(s.configs, func(c *config) bool { return c.pb.Name == name })
	if i < 0 {
		return nil, status.Errorf(codes.NotFound, "Requested entity was not found: %s.", name)
	}
	return s.configs[i], nil
}

// GetTransferConfig returns a configuration.
func (s *Server) GetTransferConfig(_ context.Context, r *pb.GetTransferConfigRequest) (*pb.TransferConfig, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.GetName())
	if err != nil {
		return nil, err
	}
	out := proto.CloneOf(c.pb)
	if c.serviceAccount != "" {
		out.OwnerInfo = &pb.UserInfo{Email: proto.String(c.serviceAccount)}
	}
	return out, nil
}

// UpdateTransferConfig changes the fields of the mask.
func (s *Server) UpdateTransferConfig(_ context.Context, r *pb.UpdateTransferConfigRequest) (*pb.TransferConfig, error) {
	if len(r.GetUpdateMask().GetPaths()) == 0 {
		return nil, invalid("The request has no update mask.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.GetTransferConfig().GetName())
	if err != nil {
		return nil, err
	}
	next, in, account := proto.CloneOf(c.pb), proto.CloneOf(r.GetTransferConfig()), c.serviceAccount
	for _, path := range r.GetUpdateMask().GetPaths() {
		switch path {
		case "display_name":
			next.DisplayName = in.DisplayName
		case "params":
			next.Params = in.Params
		case "schedule":
			next.Schedule = in.Schedule
		case "schedule_options":
			next.ScheduleOptions = in.ScheduleOptions
		case "disabled":
			next.Disabled = in.Disabled
		case "service_account_name":
			account = r.GetServiceAccountName()
		default:
			return nil, unsupported("updating " + path)
		}
	}
	if err := s.check(next, account); err != nil {
		return nil, err
	}
	s.touch(next)
	c.pb, c.serviceAccount = next, account
	return proto.CloneOf(next), nil
}

// DeleteTransferConfig removes a configuration with its runs.
func (s *Server) DeleteTransferConfig(_ context.Context, r *pb.DeleteTransferConfigRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.GetName())
	if err != nil {
		return nil, err
	}
	s.configs = slices.DeleteFunc(s.configs, func(o *config) bool { return o == c })
	return &emptypb.Empty{}, nil
}

// ListTransferConfigs returns the configurations of a project and location, by pages.
func (s *Server) ListTransferConfigs(_ context.Context, r *pb.ListTransferConfigsRequest) (*pb.ListTransferConfigsResponse, error) {
	project, location, err := parent(r.GetParent())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*pb.TransferConfig
	for _, c := range s.configs {
		if c.project == project && c.pb.DatasetRegion == location && (len(r.GetDataSourceIds()) == 0 || slices.Contains(r.GetDataSourceIds(), c.pb.DataSourceId)) {
			all = append(all, proto.CloneOf(c.pb))
		}
	}
	page, next, err := paged(all, r.GetPageToken(), r.GetPageSize())
	return &pb.ListTransferConfigsResponse{TransferConfigs: page, NextPageToken: next}, err
}

// maxPage bounds a page; the real service's default.
const maxPage = 100

// paged returns a page of all, and the token of the next one.
func paged[T any](all []T, token string, size int32) ([]T, string, error) {
	from := 0
	if token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(all) {
			return nil, "", invalid("Page token %q is not one of this service.", token)
		}
		from = n
	}
	if size <= 0 || size > maxPage {
		size = maxPage
	}
	to := min(from+int(size), len(all))
	next := ""
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, nil
}

// nextRun is when a configuration runs next; zero: by itself never.
func nextRun(c *pb.TransferConfig, now time.Time) time.Time {
	if c.Disabled || c.GetScheduleOptions().GetDisableAutoScheduling() {
		return time.Time{}
	}
	sched, err := parseSchedule(c.GetSchedule())
	if err != nil {
		return time.Time{} // refused before
	}
	start := now
	if t := c.GetScheduleOptions().GetStartTime(); t != nil {
		start = t.AsTime()
	}
	return sched.next(start.UTC(), now.UTC())
}
