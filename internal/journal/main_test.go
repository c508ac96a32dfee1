package journal_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	// The Storage client's opencensus starts this one in an init function.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// world is a place where journals are kept.
type world struct {
	*testing.T
	open func(by string) *journal.Journal // every one in the same folder
}

// everywhere runs a test over a folder of this machine and over one of Cloud
// Storage.
func everywhere(t *testing.T, test func(w world)) {
	t.Run("local", func(t *testing.T) { test(local(t)) })
	t.Run("bucket", func(t *testing.T) { test(bucket(t)) })
}

func local(t *testing.T) world {
	dir := t.TempDir()
	return world{t, func(by string) *journal.Journal { return must(journal.Open(dir, nil, by))(t) }}
}

func bucket(t *testing.T) world {
	sandboxtest.Start(t)
	p := must(gcp.Open(jobspecs.Platform{Environment: "sandbox", Project: "kappa-test"}))(t)
	client := must(p.Storage(t.Context()))(t)
	t.Cleanup(func() { client.Close() })
	if err := client.Bucket("journals").Create(t.Context(), "kappa-test", nil); err != nil {
		t.Fatal(err)
	}
	return world{t, func(by string) *journal.Journal {
		return must(journal.Open("gs://journals/jobs/flights", client, by))(t)
	}}
}

// must is a value that came without an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// acquire takes the lease until the test ends.
func (w world) acquire(j *journal.Journal) *journal.Lease {
	w.Helper()
	l, _, err := j.Acquire(w.Context(), journal.CommandApply)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// at is a clock that stands still.
func at(t time.Time) func() time.Time { return func() time.Time { return t } }
