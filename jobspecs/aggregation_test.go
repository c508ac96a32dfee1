package jobspecs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSets(t *testing.T) {
	a := Aggregation{Dimensions: []string{"a", "b", "c"}, Rollups: [][]string{{"c", "a"}, {}, {"b"}}}
	if diff := cmp.Diff([][]string{{"a", "b", "c"}, {"a", "c"}, {}, {"b"}}, a.Sets()); diff != "" {
		t.Errorf("sets (-want +got)\n%s", diff)
	}
	for _, c := range []struct {
		names []string
		want  []string // nil: there is none
	}{
		{[]string{"c", "b", "a"}, []string{"a", "b", "c"}},
		{[]string{"c", "a"}, []string{"a", "c"}},
		{nil, []string{}},
		{[]string{"b"}, []string{"b"}},
		{[]string{"a"}, nil},
		{[]string{"a", "a"}, nil},
		{[]string{"b", "b"}, nil},
		{[]string{"b", "x"}, nil},
	} {
		got, ok := a.Set(c.names)
		if ok != (c.want != nil) || ok && !cmp.Equal(got, c.want) {
			t.Errorf("%v: %v, %v, want %v", c.names, got, ok, c.want)
		}
	}
	if got := Rollup(a.Sets()[1]); got != "a,c" {
		t.Errorf("rollup %q", got)
	}
	if _, ok := (Aggregation{Dimensions: []string{"a"}}).Set(nil); ok {
		t.Error("an aggregation without rollups has a total")
	}
}

func TestMerge(t *testing.T) {
	for typ, want := range map[string]string{"count": MergeAdd, "sum": MergeAdd, "min": MergeLeast, "max": MergeGreatest} {
		if got, metric := (Measure{Type: typ}).Merge(), (Metric{Type: typ}).Merge(); got != want || metric != want {
			t.Errorf("%s merges by %s, of a metric by %s, want %s", typ, got, metric, want)
		}
	}
}

// An event touches 500 values of an aggregation at most.
func TestMostValues(t *testing.T) {
	text := func(sets, measures int) string {
		var fields, dims, rollups, values []string
		for i := range 9 {
			fields = append(fields, fmt.Sprintf("{name: d%d, type: STRING}", i))
			dims = append(dims, fmt.Sprintf("d%d", i))
		}
		for i := range sets - 1 {
			var set []string
			for d := range 9 {
				if i&(1<<d) != 0 {
					set = append(set, dims[d])
				}
			}
			rollups = append(rollups, "["+strings.Join(set, ", ")+"]")
		}
		for i := range measures {
			values = append(values, fmt.Sprintf("{name: m%d, type: count}", i))
		}
		join := func(list []string) string { return "[" + strings.Join(list, ", ") + "]" }
		s := strings.Replace(lintJob, "event: {fields: [", "event: {fields: ["+strings.Join(fields, ", ")+", ", 1)
		s = strings.Replace(s, "dimensions: [origin]", "dimensions: "+join(dims)+", rollups: "+join(rollups), 1)
		return strings.Replace(s, "measures: [{name: trips, type: count}]", "measures: "+join(values), 1)
	}
	for _, c := range []struct {
		sets, measures int
		want           string
	}{
		{500, 1, ""},
		{501, 1, "501 sets of dimensions with 1 measures each are 501 values for an event: the most is 500"},
		{100, 5, ""},
		{101, 5, "505 values"},
		{1, 500, ""},
	} {
		_, err := Parse("spec.yaml", []byte(text(c.sets, c.measures)), Vars{Lookup: noEnv})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d sets with %d measures: %v", c.sets, c.measures, err)
		}
	}
}

// Lists of lists go through YAML and back, the empty ones too.
func TestRollupsRoundTrip(t *testing.T) {
	s := strings.Replace(lintJob, "dimensions: [origin]", "dimensions: [origin, km], rollups: [[km, origin2], [], [origin]]", 1)
	s = strings.Replace(s, "{name: origin, type: STRING}", "{name: origin, type: STRING}, {name: origin2, type: STRING}", 1)
	s = strings.Replace(s, "dimensions: [origin, km]", "dimensions: [origin, km, origin2]", 1)
	set, err := Parse("spec.yaml", []byte(s), Vars{Lookup: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"km", "origin2"}, nil, {"origin"}}
	if diff := cmp.Diff(want, set.StreamJobs[0].Spec.Aggregations[0].Rollups); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	out, err := Marshal(set.StreamJobs[0])
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("again.yaml", out, Vars{Lookup: noEnv})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(set.StreamJobs[0], again.StreamJobs[0]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	x, err := Explain("StreamJob.spec.aggregations.rollups", false)
	if err != nil || x.Type != "list of lists of strings" {
		t.Errorf("explained as %+v, %v", x, err)
	}
}
