package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/bigtable/bttest"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// openTable makes a table with one family in a Bigtable of its own.
func openTable(t testing.TB, family string) *bigtable.Table {
	t.Helper()
	srv, err := bttest.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	t.Setenv("BIGTABLE_EMULATOR_HOST", srv.Addr)
	admin, err := bigtable.NewAdminClient(t.Context(), "p", "i")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.CreateTableFromConf(t.Context(), &bigtable.TableConf{TableID: "t", Families: map[string]bigtable.GCPolicy{family: bigtable.NoGcPolicy()}}); err != nil {
		t.Fatal(err)
	}
	client, err := bigtable.NewClientWithConfig(t.Context(), "p", "i", bigtable.ClientConfig{MetricsProvider: bigtable.NoopMetricsProvider{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client.Open("t")
}

// Writing panes again, in any order, changes nothing in Bigtable: there is one
// cell for each pane, of one version. (P1)
func TestBigtableCellsAreIdempotent(t *testing.T) {
	ctx, table := t.Context(), openTable(t, tables.Family)
	plan, err := NewPlan(spec(t, nil), "flights-0", 1)
	if err != nil {
		t.Fatal(err)
	}
	f := &paneCellsFn{Plan: plan, rt: &runtime{log: slog.New(slog.DiscardHandler), cells: bigtableCells{table: table}}}
	var panes [][]byte
	for i := range 60 {
		r := paneRow{start: int64(i/6) * 3600e6, pane: int64(i % 3), key: appendValue(nil, Value{Valid: true, Str: fmt.Sprint("A", i%6/3)}, String),
			partials: []partial{{true, int64(i)}, {i%4 > 0, int64(-i)}, {true, 1 << 40}}}
		panes = append(panes, r.append(nil))
	}
	write := func(panes [][]byte) {
		t.Helper()
		var data []byte
		for _, p := range panes {
			data = appendPane(data, p)
		}
		if err := f.ProcessElement(ctx, data, nil); err != nil {
			t.Fatal(err)
		}
	}
	read := func() map[string]int64 {
		t.Helper()
		out := map[string]int64{}
		err := table.ReadRows(ctx, bigtable.InfiniteRange(""), func(r bigtable.Row) bool {
			for _, cell := range r[tables.Family] { // all versions
				v, err := tables.DecodeValue(cell.Value)
				if err != nil {
					t.Error(err)
				}
				out[fmt.Sprint(cell.Row, " ", cell.Column, " ", cell.Timestamp)] = v
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	write(panes)
	want := read()
	if len(want) != 60*2+45 {
		t.Fatalf("%d cells, want one for each value of a pane", len(want))
	}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(panes), func(i, j int) { panes[i], panes[j] = panes[j], panes[i] })
		write(panes[:20+r.IntN(40)])
		if diff := cmp.Diff(want, read()); diff != "" {
			t.Fatalf("after writing again (-want +got)\n%s", diff)
		}
	}
}

// The columns of the rows are those of the tables.
func TestRowsFitTables(t *testing.T) {
	s := spec(t, nil)
	plan, err := NewPlan(s, "flights-0", 1)
	if err != nil {
		t.Fatal(err)
	}
	rt := &runtime{log: slog.New(slog.DiscardHandler)}
	plan.Run = t.Name()
	defer install(plan, rt)()
	fits := func(name string, table tables.Table, row *Row) {
		t.Helper()
		v, _, err := row.Save()
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, c := range table.Schema {
			known[c.Name] = true
			got, ok := v[c.Name]
			if !ok && c.Required {
				t.Errorf("%s: required column %s is missing", name, c.Name)
			}
			_, isInt := numeric(got)
			if ok && isInt != (c.Type == bigquery.IntegerFieldType) {
				t.Errorf("%s: column %s of type %s holds %T", name, c.Name, c.Type, got)
			}
		}
		for c := range v {
			if !known[c] {
				t.Errorf("%s: column %s is not in the table", name, c)
			}
		}
	}
	e := &Event{ID: "e", MessageID: "m", Values: []Value{{true, 0, "ATL"}, {true, 5, ""}, {}}}
	for _, late := range []bool{false, true} {
		f := &eventRowsFn{Plan: plan, Late: late}
		if err := f.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		row := f.row(e, formatMicros(0))
		if late {
			fits("late", tables.Late("late_flights", s.Spec.Event), row)
		} else {
			fits("raw", tables.Raw("raw_flights", s.Spec.Event), row)
		}
	}
	f := &paneRowsFn{Plan: plan}
	if err := f.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	row, err := f.row(&plan.Aggregations[0], &paneRow{key: appendValue(nil, Value{}, String), partials: make([]partial, 3)}, formatMicros(0))
	if err != nil {
		t.Fatal(err)
	}
	fits("aggregate", tables.Aggregate(s.Spec.Aggregations[0], s.Spec.Event), row)
}

func numeric(v bigquery.Value) (int64, bool) {
	n, ok := v.(int64)
	return n, ok
}

func TestPermanent(t *testing.T) {
	api := func(code int, reason string) error {
		return fmt.Errorf("insert: %w", &googleapi.Error{Code: code, Errors: []googleapi.ErrorItem{{Reason: reason}}})
	}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{api(http.StatusNotFound, "notFound"), true},
		{api(http.StatusForbidden, "accessDenied"), true},
		{api(http.StatusBadRequest, "invalid"), true},
		{api(http.StatusForbidden, "rateLimitExceeded"), false},
		{api(http.StatusForbidden, "quotaExceeded"), false},
		{api(http.StatusTooManyRequests, ""), false},
		{api(http.StatusServiceUnavailable, "backendError"), false},
		{api(http.StatusInternalServerError, ""), false},
		{bigquery.PutMultiError{{RowIndex: 1}}, true},
		{status.Error(codes.NotFound, "table"), true},
		{status.Error(codes.PermissionDenied, "table"), true},
		{status.Error(codes.Unavailable, "moment"), false},
		{status.Error(codes.DeadlineExceeded, "slow"), false},
		{context.DeadlineExceeded, false},
		{errors.New("connection refused"), false},
	} {
		if got := permanent(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

// Errors that may pass are retried without end, with growing pauses.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &runtime{log: slog.New(slog.DiscardHandler)}
		start, n := time.Now(), 0
		err := rt.retry(t.Context(), "insert", func() error {
			if n++; time.Since(start) < 24*time.Hour {
				return errFlaky
			}
			return nil
		})
		if err != nil || n < 1000 || n > 10_000 {
			t.Errorf("after a day and %d attempts: %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := rt.retry(ctx, "insert", func() error { return errFlaky }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
