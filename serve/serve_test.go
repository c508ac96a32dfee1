package serve_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/bigtable/bttest"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/serve"
)

var start = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func at(hour int) time.Time { return start.Add(time.Duration(hour) * time.Hour) }

func text(s string) *string { return &s }

// open makes a Bigtable in this process, with a table.
func open(t *testing.T) *bigtable.Table {
	t.Helper()
	srv, err := bttest.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	conn, err := grpc.NewClient(srv.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	admin, err := bigtable.NewAdminClient(t.Context(), "p", "i", option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.CreateTableFromConf(t.Context(), &bigtable.TableConf{TableID: "aggregates", Families: map[string]bigtable.GCPolicy{tables.Family: bigtable.NoGcPolicy(), "x": bigtable.NoGcPolicy()}}); err != nil {
		t.Fatal(err)
	}
	client, err := bigtable.NewClientWithConfig(t.Context(), "p", "i", bigtable.ClientConfig{MetricsProvider: bigtable.NoopMetricsProvider{}}, option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client.Open("aggregates")
}

// cell is what a writer writes.
type cell struct {
	key     []*string
	hour    int
	measure string
	writer  string // JOB@GENERATION
	pane    int64
	value   int64
}

func write(t testing.TB, table *bigtable.Table, aggregation string, cells ...cell) {
	t.Helper()
	for _, c := range cells {
		w, err := tables.ParseWriter(c.writer)
		if err != nil {
			t.Fatal(err)
		}
		m := bigtable.NewMutation()
		m.Set(tables.Family, tables.Cell{Measure: c.measure, Job: w.Job, Generation: w.Generation, Pane: c.pane}.Qualifier(), bigtable.Time(at(c.hour)), tables.EncodeValue(c.value))
		if err := table.Apply(t.Context(), tables.RowKey(aggregation, c.key, at(c.hour)), m); err != nil {
			t.Fatal(err)
		}
	}
}

func generation(writer, kind, state string) tables.Generation {
	w, err := tables.ParseWriter(writer)
	if err != nil {
		panic(err)
	}
	return tables.Generation{Job: w.Job, Generation: w.Generation, Kind: kind, State: state, Group: "flights", RecordedAt: start}
}

func backfill(writer, state string, from, to int) tables.Generation {
	g := generation(writer, tables.WriterBackfill, state)
	g.WindowFrom = bigquery.NullTimestamp{Timestamp: at(from), Valid: true}
	g.WindowTo = bigquery.NullTimestamp{Timestamp: at(to), Valid: true}
	return g
}

var byOrigin = jobspecs.Aggregation{Name: "by_origin", Dimensions: []string{"origin"}, Measures: []jobspecs.Measure{
	{Name: "flights", Type: "count"}, {Name: "delay_sum", Type: "sum"}, {Name: "least", Type: "min"}, {Name: "most", Type: "max"}}}

func reader(t testing.TB, table serve.Table, aggregation jobspecs.Aggregation, rows ...tables.Generation) *serve.Reader {
	t.Helper()
	r, err := serve.New(table, tables.Standings(rows), aggregation, aggregation.Dimensions)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lines are windows as text: key, hour and values.
func lines(ws []serve.Window) []string {
	var out []string
	for _, w := range ws {
		line := ""
		for _, k := range w.Key {
			if k == nil {
				line += "null "
			} else {
				line += fmt.Sprintf("%q ", *k)
			}
		}
		line += fmt.Sprintf("%.0f", w.Start.Sub(start).Hours())
		for _, v := range w.Values {
			if v == nil {
				line += " null"
			} else {
				line += fmt.Sprint(" ", *v)
			}
		}
		out = append(out, line)
	}
	return out
}

func scan(t testing.TB, r *serve.Reader, from, to time.Time) []string {
	t.Helper()
	var ws []serve.Window
	if err := r.Scan(t.Context(), from, to, func(w serve.Window) bool { ws = append(ws, w); return true }); err != nil {
		t.Fatal(err)
	}
	return lines(ws)
}

func TestQuery(t *testing.T) {
	table := open(t)
	atl, null, odd := []*string{text("ATL")}, []*string{nil}, []*string{text("A#/%null")}
	write(t, table, "by_origin",
		cell{atl, 0, "flights", "f-0@1", 0, 3}, cell{atl, 0, "delay_sum", "f-0@1", 0, -5}, cell{atl, 0, "least", "f-0@1", 0, -7}, cell{atl, 0, "most", "f-0@1", 0, 2},
		cell{atl, 0, "flights", "f-0@1", 1, 1}, cell{atl, 0, "least", "f-0@1", 1, -6}, cell{atl, 0, "most", "f-0@1", 1, 1}, // a late pane
		cell{atl, 0, "flights", "f-1@2", 0, 10}, cell{atl, 0, "delay_sum", "f-1@2", 0, 7}, // another job, later resharded
		cell{atl, 0, "flights", "f-0@2", 0, 100},                                       // void
		cell{atl, 0, "flights", "ghost@1", 0, 1000},                                    // unlisted
		cell{atl, 1, "flights", "f-0@2", 0, 100},                                       // none that counts
		cell{atl, 2, "flights", "f-0@1", 0, 1}, cell{atl, 2, "removed", "f-0@1", 0, 9}, // a measure that the spec no longer has
		cell{atl, 3, "flights", "f-0@1", 0, 1}, cell{atl, 3, "flights", "fill@1", 0, 20}, // replaced
		cell{atl, 4, "flights", "f-0@1", 0, 1}, cell{atl, 4, "flights", "fill@1", 0, 20}, // not replaced
		cell{null, 0, "flights", "f-0@1", 0, 1}, cell{odd, 0, "flights", "f-0@1", 0, 1}, cell{[]*string{text("ATLX")}, 0, "flights", "f-0@1", 0, 1})
	write(t, table, "by_origin", cell{atl, 0, "flights", "f-0@1", 0, 4}) // a pane written again: it replaces the cell
	old := bigtable.NewMutation()                                        // an older version of a cell, and another family
	old.Set(tables.Family, tables.Cell{Measure: "flights", Job: "f-0", Generation: 1}.Qualifier(), bigtable.Time(at(0))-1000, tables.EncodeValue(1000))
	old.Set("x", tables.Cell{Measure: "flights", Job: "f-0", Generation: 1, Pane: 7}.Qualifier(), bigtable.Time(at(0)), tables.EncodeValue(1000))
	if err := table.Apply(t.Context(), tables.RowKey("by_origin", atl, at(0)), old); err != nil {
		t.Fatal(err)
	}
	write(t, table, "by_origin_2", cell{atl, 0, "flights", "f-0@1", 0, 1000})
	r := reader(t, table, byOrigin, generation("f-0@1", "stream", "drained"), generation("f-0@2", "stream", "void"), generation("f-1@2", "stream", "open"), backfill("fill@1", "drained", 3, 4))

	all := []string{`"ATL" 0 15 2 -7 2`, `"ATL" 2 1 null null null`, `"ATL" 3 20 null null null`, `"ATL" 4 1 null null null`}
	for _, c := range []struct {
		name     string
		key      []*string
		from, to time.Time
		want     []string
	}{
		{"all windows of a key", atl, time.Time{}, time.Time{}, all},
		{"from, inclusive", atl, at(2), time.Time{}, all[1:]},
		{"to, exclusive", atl, time.Time{}, at(3), all[:2]},
		{"both", atl, at(1), at(3), all[1:2]},
		{"within a second", atl, at(2).Add(time.Nanosecond), at(3).Add(time.Nanosecond), all[2:3]},
		{"nothing between", atl, at(3), at(3), nil},
		{"backwards", atl, at(4), at(2), nil},
		{"null is a key", null, time.Time{}, time.Time{}, []string{`null 0 1 null null null`}},
		{"characters that row keys escape", odd, time.Time{}, time.Time{}, []string{`"A#/%null" 0 1 null null null`}},
		{"no such key", []*string{text("")}, time.Time{}, time.Time{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := r.Query(t.Context(), c.key, c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, lines(got)); diff != "" {
				t.Errorf("windows (-want +got):\n%s", diff)
			}
		})
	}
	everything := slices.Concat([]string{`null 0 1 null null null`, `"A#/%null" 0 1 null null null`}, all, []string{`"ATLX" 0 1 null null null`})
	if diff := cmp.Diff(everything, scan(t, r, time.Time{}, time.Time{})); diff != "" {
		t.Errorf("all keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all[1:3], scan(t, r, at(1), at(4))); diff != "" {
		t.Errorf("all keys in a range (-want +got):\n%s", diff)
	}
	seen := 0
	if err := r.Scan(t.Context(), time.Time{}, time.Time{}, func(serve.Window) bool { seen++; return seen < 2 }); err != nil || seen != 2 {
		t.Errorf("a scan that is ended saw %d windows: %v", seen, err)
	}
	if _, err := r.Query(t.Context(), nil, time.Time{}, time.Time{}); exit.Of(err) != exit.Usage {
		t.Errorf("a key without its dimension: %v", err)
	}
}

// What is not as the contract says is an error, never left out.
func TestErrors(t *testing.T) {
	table := open(t)
	one := []*string{text("ATL")}
	set := func(aggregation, row, qualifier string, value []byte) {
		m := bigtable.NewMutation()
		m.Set(tables.Family, qualifier, 0, value)
		if err := table.Apply(t.Context(), row, m); err != nil {
			t.Fatal(aggregation, err)
		}
	}
	set("key", "key#ATL#yesterday", "flights/f-0/1/0", tables.EncodeValue(1))
	set("dims", tables.RowKey("dims", []*string{text("ATL"), text("X")}, start), "flights/f-0/1/0", tables.EncodeValue(1))
	set("qualifier", tables.RowKey("qualifier", one, start), "flights/f-0/1", tables.EncodeValue(1))
	set("value", tables.RowKey("value", one, start), "flights/f-0/1/0", []byte{1})
	write(t, table, "sum", cell{one, 0, "delay_sum", "f-0@1", 0, math.MaxInt64}, cell{one, 0, "delay_sum", "f-0@1", 1, 1})
	write(t, table, "below", cell{one, 0, "delay_sum", "f-0@1", 0, math.MinInt64}, cell{one, 0, "delay_sum", "f-0@1", 1, -1})
	write(t, table, "fits", cell{one, 0, "delay_sum", "f-0@1", 0, math.MaxInt64}, cell{one, 0, "delay_sum", "f-0@1", 1, 5}, cell{one, 0, "delay_sum", "f-0@1", 2, -6})
	for name, want := range map[string]string{
		"key": `row key "key#ATL#yesterday": bad window`, "dims": "is not of aggregation dims with 1 dimensions", "qualifier": "is not MEASURE/JOB/GENERATION/PANE",
		"value": "cell value of 1 bytes", "sum": "delay_sum is beyond an INT64", "below": "delay_sum is beyond an INT64", "fits": "",
	} {
		agg := byOrigin
		agg.Name = name
		var got []serve.Window
		err := reader(t, table, agg, generation("f-0@1", "stream", "open")).Scan(t.Context(), time.Time{}, time.Time{}, func(w serve.Window) bool { got = append(got, w); return true })
		switch {
		case want == "":
			if err != nil || len(got) != 1 || *got[0].Values[1] != math.MaxInt64-1 {
				t.Errorf("%s: %v, %v", name, lines(got), err)
			}
		case exit.Of(err) != exit.Failed || !strings.Contains(err.Error(), want) || len(got) > 0:
			t.Errorf("%s: %v", name, err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reader(t, table, byOrigin).Query(ctx, one, time.Time{}, time.Time{}); exit.Of(err) != exit.Interrupted {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := serve.New(nil, nil, byOrigin, byOrigin.Dimensions); err == nil {
		t.Error("no table is taken")
	}
	if _, err := serve.New(table, nil, jobspecs.Aggregation{}, nil); err == nil {
		t.Error("no aggregation is taken")
	}
}

func TestMissingTable(t *testing.T) {
	srv, err := bttest.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	t.Setenv("BIGTABLE_EMULATOR_HOST", srv.Addr)
	client, err := bigtable.NewClientWithConfig(t.Context(), "p", "i", bigtable.ClientConfig{MetricsProvider: bigtable.NoopMetricsProvider{}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = reader(t, client.Open("nothing"), byOrigin).Query(t.Context(), []*string{nil}, time.Time{}, time.Time{})
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("error %v, code %d", err, exit.Of(err))
	}
}
