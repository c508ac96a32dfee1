package bigquery_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"go.uber.org/goleak"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/kappa-migrate/kappa/sandbox/bigquery"
)

func TestMain(m *testing.M) {
	// A dependency of the Cloud Storage fake starts this one when it is imported.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const project = "kappa-test"

// start returns a client of a server of its own.
func start(t testing.TB, cfg ...func(*bigquery.Config)) *bq.Client {
	t.Helper()
	c := bigquery.Config{Log: quiet()}
	for _, f := range cfg {
		f(&c)
	}
	s, err := bigquery.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return connect(t, s)
}

// quiet is a log of what should not happen.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func connect(t testing.TB, s *bigquery.Server) *bq.Client {
	t.Helper()
	c, err := bq.NewClient(t.Context(), project, option.WithEndpoint("http://"+s.Addr()+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// within bounds a test that could wait for ever.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// read returns the rows of a query.
func read(t testing.TB, q *bq.Query) [][]bq.Value {
	t.Helper()
	rows, err := tryRead(t, q)
	if err != nil {
		t.Fatalf("%v\n%s", err, q.Q)
	}
	return rows
}

func tryRead(t testing.TB, q *bq.Query) ([][]bq.Value, error) {
	t.Helper()
	it, err := q.Read(within(t))
	if err != nil {
		return nil, err
	}
	return drain(it)
}

func drain(it *bq.RowIterator) ([][]bq.Value, error) {
	var rows [][]bq.Value
	for {
		var row []bq.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

// show writes rows one per line.
func show(rows [][]bq.Value) string {
	s := ""
	for _, r := range rows {
		s += fmt.Sprintln(r)
	}
	return s
}
