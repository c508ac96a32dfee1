package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
)

// deployments are the deployments of the journal, the newest first: outcome and
// how many commands have gone on with it.
func (f *fixture) deployments() []string {
	f.Helper()
	records, err := f.journal.Deployments(f.Context(), 0)
	if err != nil {
		f.Fatal(err)
	}
	var out []string
	for _, r := range records {
		resumed := 0
		for _, e := range r.Entries {
			if e.Kind == journal.KindResume {
				resumed++
			}
		}
		out = append(out, fmt.Sprintf("%q resumed %d", r.Outcome(), resumed))
	}
	return out
}

// applyWith has fn called right before or right after a step of an apply is recorded, and
// applies.
func (f *fixture) applyWith(ctx context.Context, step deploy.Step, appended bool, fn func()) error {
	f.Helper()
	d := f.deployer()
	d.SetSeam(func(e journal.Entry, a bool) {
		if e.Kind == journal.KindStep && e.Step == string(step) && a == appended {
			fn()
		}
	})
	p, err := d.Plan(ctx)
	if err != nil {
		f.Fatal(err)
	}
	_, err = d.Apply(ctx, p, nil)
	return err
}

// invariant D2: a step that cannot be recorded is not taken.
func TestUnrecordedStep(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs = 1
	err := f.applyWith(t.Context(), deploy.Launching, false, func() {
		r, _, err := f.journal.Unfinished(t.Context())
		if err != nil {
			t.Error(err)
		}
		theirs := filepath.Join(f.journal.String(), "deployments", r.ID, fmt.Sprintf("%06d.json", len(r.Entries)+1))
		if err := os.WriteFile(theirs, fmt.Appendf(nil, `{"deployment":%q,"seq":%d,"kind":"resume"}`, r.ID, len(r.Entries)+1), 0o644); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, journal.ErrTaken) || exit.Of(err) != exit.Failed {
		t.Errorf("got %v", err)
	}
	if f.jobs.launches != 0 {
		t.Errorf("%d launches", f.jobs.launches)
	}
	if diff := cmp.Diff([]string{`"" resumed 1`}, f.deployments()); diff != "" {
		t.Errorf("deployments (-want +got):\n%s", diff)
	}
}

// What is left is gone on with by the same command for the same spec; what has
// failed is begun anew.
func TestLeftUnfinished(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs = 1
	check := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, f.deployments()); diff != "" {
			t.Errorf("%s: deployments (-want +got):\n%s", when, diff)
		}
	}
	f.jobs.launch = func(func() (*pb.Job, error)) (*pb.Job, error) {
		return nil, status.Error(codes.ResourceExhausted, "quota")
	}
	if _, err := deploy.Apply(t.Context(), f.config(), nil); err == nil {
		t.Error("no error")
	}
	check("failed", `"failed" resumed 0`)
	f.jobs.launch = nil
	ctx, leave := context.WithCancel(t.Context())
	if err := f.applyWith(ctx, deploy.Recording, false, leave); !errors.Is(err, context.Canceled) {
		t.Errorf("left: %v", err)
	}
	check("left", `"" resumed 0`, `"failed" resumed 0`)
	f.apply()
	check("resumed", `"done" resumed 1`, `"failed" resumed 0`)

	// Killed behind the last step: nothing is to be done but to say so.
	records, err := f.journal.Deployments(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	last := filepath.Join(f.journal.String(), "deployments", records[0].ID, fmt.Sprintf("%06d.json", len(records[0].Entries)))
	if err := os.Remove(last); err != nil {
		t.Fatal(err)
	}
	check("killed", `"" resumed 1`, `"failed" resumed 0`)
	f.apply()
	check("ended", `"done" resumed 2`, `"failed" resumed 0`)
	f.apply()
	check("nothing to do", `"done" resumed 2`, `"failed" resumed 0`)

	// Another spec takes the place of what was left.
	f.job.Spec.Horizon *= 2
	ctx, leave = context.WithCancel(t.Context())
	if err := f.applyWith(ctx, deploy.Creating, false, leave); !errors.Is(err, context.Canceled) {
		t.Errorf("left: %v", err)
	}
	f.job.Spec.Horizon *= 2
	f.apply()
	check("superseded", `"done" resumed 0`, `"superseded" resumed 1`, `"done" resumed 2`, `"failed" resumed 0`)

	// All of it can be queried.
	want := map[string]int64{}
	records, err = f.journal.Deployments(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		want[r.ID] = int64(len(r.Entries))
	}
	it, err := f.clients.BigQuery.Query("SELECT deployment, COUNT(DISTINCT seq) AS entries FROM " + f.job.Spec.Sinks.BigQuery.Dataset + ".deployments WHERE job_group = 'flights' GROUP BY deployment").Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[row[0].(string)] = row[1].(int64)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mirrored entries (-want +got):\n%s", diff)
	}
}
