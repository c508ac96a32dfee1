package tables

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/goldentest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// TestContractIsUnchanged holds the tables to their version: a change here
// breaks every reader that is already deployed.
func TestContractIsUnchanged(t *testing.T) {
	ev := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "delay", Type: "INT64"}, {Name: "seen", Type: "TIMESTAMP"}}}
	agg := jobspecs.Aggregation{
		Name: "by_origin", Dimensions: []string{"origin"}, Table: "stream",
		Measures: []jobspecs.Measure{{Name: "n", Type: "count"}, {Name: "delay_sum", Type: "sum", Field: "delay"}},
	}
	load := jobspecs.BatchLoadSpec{Table: "batch", Keys: []jobspecs.Field{{Name: "origin", Type: "STRING"}}, Metrics: []jobspecs.Field{{Name: "n", Type: "INT64"}}}
	all := []Table{Raw("raw", ev), Late("late", ev), Aggregate(agg, ev), Batch(load), GenerationsTable(), WatermarksTable(), BatchLoadsTable(), DeploymentsTable()}
	got, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, "testdata/tables_v1.golden.json", append(got, '\n'))
}

// The tables of a comparison's history.
func TestHistoryContract(t *testing.T) {
	got, err := json.MarshalIndent([]Table{CompareRunsTable(), CompareKeysTable()}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, "testdata/compare_v1.golden.json", append(got, '\n'))
	for table, of := range map[string]any{CompareRuns: CompareRun{}, CompareKeys: CompareKey{}} {
		inferred, err := bigquery.InferSchema(of)
		if err != nil {
			t.Fatal(err)
		}
		want := CompareRunsTable().Schema
		if table == CompareKeys {
			want = CompareKeysTable().Schema
		}
		for _, f := range want {
			f.Description = ""
		}
		if diff := cmp.Diff(want, inferred); diff != "" {
			t.Errorf("%s: the type is not the table (-table +type):\n%s", table, diff)
		}
	}
}

// The table and the row keys of an aggregation with rollups.
func TestRollupContract(t *testing.T) {
	ev := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "carrier", Type: "STRING"}}}
	agg := jobspecs.Aggregation{
		Name: "flights", Dimensions: []string{"origin", "carrier"}, Rollups: [][]string{{"carrier"}, {}}, Table: "stream",
		Measures: []jobspecs.Measure{{Name: "n", Type: "count", Expression: "true"}},
	}
	hour, atl := time.Date(2001, 1, 8, 13, 0, 0, 0, time.UTC), "ATL:a,b"
	var keys []string
	for _, set := range agg.Sets() {
		dims := []*string{&atl, nil}[:len(set)]
		keys = append(keys, RowKey(KeySpace(agg, set), dims, hour))
	}
	got, err := json.MarshalIndent(map[string]any{"table": Aggregate(agg, ev), "row keys": keys}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, "testdata/rollups_v1.golden.json", append(got, '\n'))
}

// A row of one set of dimensions is never in the range of a key, or in the
// space, of another.
func TestKeySpacesAreApart(t *testing.T) {
	text := func(s string) *string { return &s }
	dims := []string{"a", "ab", "b"}
	agg := jobspecs.Aggregation{Name: "agg", Dimensions: dims, Rollups: [][]string{{"a"}, {"ab"}, {"b"}, {"a", "b"}, {"a", "ab"}, {}}}
	other := jobspecs.Aggregation{Name: "agg_a", Dimensions: dims, Rollups: agg.Rollups}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]*string{nil, text(""), text(":"), text("a"), text("#"), text(":a#"), text(",")})
		draw := func(label string) (string, []*string) {
			a := rapid.SampledFrom([]jobspecs.Aggregation{agg, other}).Draw(t, label)
			set := rapid.SampledFrom(a.Sets()).Draw(t, label)
			return KeySpace(a, set), rapid.SliceOfN(value, len(set), len(set)).Draw(t, label)
		}
		space1, key1 := draw("one")
		space2, key2 := draw("two")
		row := RowKey(space1, key1, day)
		if space, dims, _, err := ParseRowKey(row); err != nil || space != space1 || !cmp.Equal(dims, key1) && len(key1) > 0 {
			t.Fatalf("%s reads back as %s, %v, %v", row, space, dims, err)
		}
		from, to := Rows(space2, key2, Span{})
		if in, want := row >= from && row < to, space1 == space2 && cmp.Equal(key1, key2); in != want {
			t.Fatalf("%s is between %s and %s: %v", row, from, to, in)
		}
		if in := strings.HasPrefix(row, space2+"#"); in != (space1 == space2) {
			t.Fatalf("%s is in the space %s: %v", row, space2, in)
		}
	})
}

// Rows holds exactly the windows of a key that start in a span, in order of time.
func TestRows(t *testing.T) {
	text := func(s string) *string { return &s }
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.SampledFrom([]*string{nil, text(""), text("a"), text("a#"), text("%null"), text(":"), text("ab"), text("é/")})
		key := []*string{dim.Draw(t, "first"), dim.Draw(t, "second")}
		half := func(name string) time.Time {
			n := rapid.IntRange(-5, 5).Draw(t, name)
			if n == -5 {
				return time.Time{}
			}
			return day.Add(time.Duration(n) * time.Second / 2)
		}
		span := Span{half("from"), half("to")}
		from, to := Rows("agg", key, span)
		for _, other := range [][]*string{key, {dim.Draw(t, "third"), dim.Draw(t, "fourth")}} {
			for n := -3; n <= 3; n++ {
				at := day.Add(time.Duration(n) * time.Second)
				row := RowKey("agg", other, at)
				in := cmp.Equal(key, other) && !at.Before(span.From) && (span.To.IsZero() || at.Before(span.To))
				if got := row >= from && row < to; got != in {
					t.Fatalf("%s is between %s and %s: %v, want %v", row, from, to, got, in)
				}
			}
		}
	})
	first, last := RowKey("agg", nil, time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)), RowKey("agg", nil, time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC))
	from, to := Rows("agg", nil, Span{time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
	if from > first || to <= last {
		t.Errorf("%s and %s are not between %s and %s", first, last, from, to)
	}
}

func TestDimension(t *testing.T) {
	for _, c := range []struct{ typ, value, want, err string }{
		{"STRING", " 7 ", " 7 ", ""},
		{"INT64", "-007", "-7", ""},
		{"INT64", "7.0", "", "not an INT64"},
		{"TIMESTAMP", "2001-01-08T08:00:00.25+02:00", "2001-01-08T06:00:00.250000Z", ""},
		{"TIMESTAMP", "yesterday", "", "not a TIMESTAMP"},
	} {
		got, err := Dimension(c.typ, c.value)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %q: %q, %v", c.typ, c.value, got, err)
		}
	}
}

// TestRowStructsMatchTheirTables: a field that the table does not have would
// be refused by BigQuery at the first insert.
func TestRowStructsMatchTheirTables(t *testing.T) {
	for _, c := range []struct {
		table Table
		row   any
	}{
		{GenerationsTable(), Generation{}},
		{WatermarksTable(), Watermark{}},
		{BatchLoadsTable(), BatchLoad{}},
	} {
		inferred := mustInfer(t, c.row)
		var want, got []string
		for _, f := range c.table.Schema {
			want = append(want, f.Name+" "+string(f.Type))
		}
		for _, f := range inferred {
			got = append(got, f.Name+" "+string(f.Type))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: (-table +struct)\n%s", c.table.Name, d)
		}
	}
}

func TestRowKey(t *testing.T) {
	s := func(v string) *string { return &v }
	hour := time.Date(2001, 1, 8, 13, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		dims []*string
		want string
	}{
		{[]*string{s("ATL")}, "flights_by_origin#ATL#20010108T130000Z"},
		{[]*string{s("A#T/L"), nil, s("")}, "flights_by_origin#A%23T%2FL#%null##20010108T130000Z"},
		{nil, "flights_by_origin#20010108T130000Z"},
	} {
		if got := RowKey("flights_by_origin", c.dims, hour); got != c.want {
			t.Errorf("RowKey(%v) = %s, want %s", c.dims, got, c.want)
		}
	}
}

func TestRowKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		agg := rapid.StringMatching(`[a-z][a-z0-9_]{0,20}`).Draw(t, "aggregation")
		dims := rapid.SliceOfN(rapid.Ptr(rapid.String(), true), 0, 4).Draw(t, "dims")
		window := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "window"), 0).UTC()
		a, d, w, err := ParseRowKey(RowKey(agg, dims, window))
		if err != nil {
			t.Fatal(err)
		}
		if len(d) == 0 {
			d = dims[:0]
		}
		if diff := cmp.Diff([]any{agg, dims, window}, []any{a, d, w}); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func TestQualifierRoundTrip(t *testing.T) {
	want := Cell{Measure: "delay_sum", Job: "flights-2", Generation: 7, Pane: 31}
	if want.Qualifier() != "delay_sum/flights-2/7/31" {
		t.Errorf("qualifier = %s", want.Qualifier())
	}
	got, err := ParseQualifier(want.Qualifier())
	if err != nil || got != want {
		t.Errorf("ParseQualifier = %+v, %v", got, err)
	}
	for _, bad := range []string{"", "a/b/c", "m/j/x/1", "m/j/1/x", "m/j/1/2/3"} {
		if _, err := ParseQualifier(bad); err == nil {
			t.Errorf("ParseQualifier(%q): no error", bad)
		}
	}
}

func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64().Draw(t, "value")
		got, err := DecodeValue(EncodeValue(want))
		if err != nil || got != want {
			t.Fatalf("got %d, %v; want %d", got, err, want)
		}
	})
	if _, err := DecodeValue([]byte{1, 2}); err == nil {
		t.Error("a short value was read")
	}
}
