package deploy

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestPermissionProblem(t *testing.T) {
	c := permissionCheck{what: "bucket b", permissions: []string{"create", "delete", "get"}, why: "the lease", role: "roles/x"}
	for _, x := range []struct {
		name    string
		granted []string
		err     error
		want    *Problem
	}{
		{"all", []string{"get", "delete", "create", "more"}, nil, nil},
		{"some", []string{"get"}, nil, &Problem{Error, "bucket b", "whoever deploys lacks create, delete, for the lease", "grant roles/x on it"}},
		{"none", nil, nil, &Problem{Error, "bucket b", "whoever deploys lacks create, delete, get, for the lease", "grant roles/x on it"}},
		{"not known", nil, errors.New("down"), &Problem{Warning, "bucket b", "whether it may be used for the lease cannot be asked: down", ""}},
	} {
		if d := cmp.Diff(x.want, c.problem(x.granted, x.err)); d != "" {
			t.Errorf("%s (-want +got)\n%s", x.name, d)
		}
	}
	for _, x := range []struct {
		err                    error
		unasked, unimplemented bool
	}{
		{nil, false, false},
		{errors.New("down"), false, false},
		{status.Error(codes.Unimplemented, ""), true, true},
		{status.Error(codes.NotFound, ""), true, false},
		{status.Error(codes.PermissionDenied, ""), false, false},
		{&googleapi.Error{Code: http.StatusNotImplemented}, true, true},
		{&googleapi.Error{Code: http.StatusNotFound}, true, false},
		{&googleapi.Error{Code: http.StatusForbidden}, false, false},
	} {
		if a, b := unasked(x.err), unimplemented(x.err); a != x.unasked || b != x.unimplemented {
			t.Errorf("%v: unasked %v, unimplemented %v", x.err, a, b)
		}
	}
}

func TestCheckRetention(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name                             string
		retention, drain, start, horizon time.Duration
		want                             string
	}{
		{"the default", 7 * day, time.Hour, time.Hour, 4 * day, ""},
		{"the default, and a long horizon", 7 * day, time.Hour, time.Hour, 30 * day, ""},
		{"as long as a drain and a start", 2 * time.Hour, time.Hour, time.Hour, time.Hour, ""},
		{"a little less", 2*time.Hour - 1, time.Hour, time.Hour, time.Hour, Warning},
		{"as long as a drain", time.Hour, time.Hour, time.Minute, 0, Warning},
		{"shorter than a drain", time.Hour - 1, time.Hour, time.Minute, 0, Error},
		{"shorter than the horizon", day, time.Hour, time.Hour, 2 * day, Warning},
		{"as long as the horizon", 2 * day, time.Hour, time.Hour, 2 * day, ""},
		{"a pipeline without a horizon", day, time.Hour, time.Hour, 0, ""},
	} {
		f := &findings{plan: &Plan{}}
		spec := &jobspecs.StreamJobSpec{Horizon: jobspecs.Duration(c.horizon), Update: jobspecs.Update{
			DrainTimeout: jobspecs.Duration(c.drain), StartTimeout: jobspecs.Duration(c.start)}}
		checkRetention(f, "subscription s", c.retention, spec)
		got := ""
		for _, p := range f.plan.Problems {
			got += p.Severity
			if p.Mend == "" {
				t.Errorf("%s: not said how to mend it", c.name)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q (%+v)", c.name, got, c.want, f.plan.Problems)
		}
	}
	if r := retentionOf(&pubsubpb.Subscription{}); r != 7*day {
		t.Errorf("without one: %s", r)
	}
	if r := retentionOf(&pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(time.Hour)}); r != time.Hour {
		t.Errorf("an hour: %s", r)
	}
}
