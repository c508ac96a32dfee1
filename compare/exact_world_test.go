package compare

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// sidesWorld is two plain tables, without writers and control tables.
type sidesWorld struct {
	t             testing.TB
	spec          *jobspecs.Comparison
	columns       [2]bigquery.Schema // batch, stream
	rows          [2][]record
	from          Range
	unpartitioned bool
}

func field(name string, typ bigquery.FieldType) *bigquery.FieldSchema {
	return &bigquery.FieldSchema{Name: name, Type: typ}
}

// newSides has one key, name, and one metric, n, of a type.
func newSides(t testing.TB, value string) *sidesWorld {
	columns := func() bigquery.Schema {
		return bigquery.Schema{field("window_start", bigquery.TimestampFieldType), field("name", bigquery.StringFieldType), field("n", fieldTypes[value])}
	}
	w := &sidesWorld{t: t, columns: [2]bigquery.Schema{columns(), columns()}, from: span(0, 24)}
	w.spec = &jobspecs.Comparison{
		Header:   jobspecs.Header{APIVersion: jobspecs.APIVersion, Kind: jobspecs.KindComparison},
		Metadata: jobspecs.Metadata{Name: "sides"},
		Spec: jobspecs.ComparisonSpec{
			Platform: jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"},
			Dataset:  fmt.Sprintf("kappa_%d", datasets.Add(1)),
			Batch:    jobspecs.BatchSide{Side: jobspecs.Side{Table: "old", Time: "window_start", Unique: true}, SettledBy: jobspecs.SettledByClock},
			Stream:   jobspecs.StreamSide{Side: jobspecs.Side{Table: "new", Time: "window_start", Unique: true}},
			Keys:     []jobspecs.CompareKey{{Name: "name", Type: "STRING"}},
			Window:   jobspecs.Duration(time.Hour),
			Metrics:  []jobspecs.Metric{{Name: "n", Type: "sum", Value: value, Nulls: "null"}},
			Limits:   jobspecs.CompareLimits{MaxBytesBilled: 10 << 30, Samples: 20, JobTimeout: jobspecs.Duration(time.Minute), Unpruned: "refuse"},
		},
	}
	return w
}

func (w *sidesWorld) metric() *jobspecs.Metric { return &w.spec.Spec.Metrics[0] }

const (
	theOld = 0
	theNew = 1
)

// add writes a row of the first hour; nil is no value.
func (w *sidesWorld) add(side int, name, n any) {
	r := record{"window_start": hours(0)}
	if name != nil {
		r["name"] = name
	}
	if n != nil {
		r["n"] = n
	}
	w.rows[side] = append(w.rows[side], r)
}

// create makes the tables that the spec names.
func (w *sidesWorld) create() {
	w.t.Helper()
	ds := client.Dataset(w.spec.Spec.Dataset)
	if err := ds.Create(ctxBackground, nil); err != nil {
		w.t.Fatal(err)
	}
	for i, name := range []string{"old", "new"} {
		md := &bigquery.TableMetadata{Schema: w.columns[i]}
		if !w.unpartitioned {
			md.TimePartitioning = &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: w.columns[i][0].Name}
		}
		if err := ds.Table(name).Create(ctxBackground, md); err != nil {
			w.t.Fatal(err)
		}
		if len(w.rows[i]) > 0 {
			if err := ds.Table(name).Inserter().Put(ctxBackground, w.rows[i]); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *sidesWorld) compare() (*Result, error) {
	return Run(ctxBackground, Config{Spec: w.spec, Client: client, Range: w.from, Now: func() time.Time { return hours(200) }})
}

func (w *sidesWorld) run() *Result {
	w.t.Helper()
	w.create()
	r, err := w.compare()
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func shown(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}
