package deploy

import (
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestDifferences(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		want           []Change
	}{
		{"equal", "{a: 1, b: [x, {c: 2}]}", "{b: [x, {c: 2}], a: 1}", nil},
		{"a value", "spec: {horizon: 4d}", "spec: {horizon: 5d}", []Change{{"spec.horizon", `"4d"`, `"5d"`}}},
		{"another type", "a: 1", `a: "1"`, []Change{{"a", "1", `"1"`}}},
		{"a field that is new", "a: {}", "a: {b: true}", []Change{{"a.b", "", "true"}}},
		{"a field that is gone", "a: {b: {c: 1}}", "a: {}", []Change{{"a.b", `{"c":1}`, ""}}},
		{"null is not nothing", "{a: null}", "{}", []Change{{"a", "null", ""}}},
		{"a mapping for a list", "a: [1]", "a: {b: 1}", []Change{{"a", "[1]", `{"b":1}`}}},
		{"characters that HTML knows", "a: x", "a: <y&z>", []Change{{"a", `"x"`, `"<y&z>"`}}},
		{"a scalar of a list", "a: [x, y]", "a: [x, z]", []Change{{"a[1]", `"y"`, `"z"`}}},
		{"a list of scalars that grows", "a: [x, y]", "a: [w, x, y]", []Change{{"a", `["x","y"]`, `["w","x","y"]`}}},
		{"a list of mappings without names", "a: [{b: 1}]", "a: [{b: 2}, {b: 3}]", []Change{{"a[0].b", "1", "2"}, {"a[1]", "", `{"b":3}`}}},
		{"names that are not unique", "a: [{name: x, b: 1}, {name: x}]", "a: [{name: x, b: 2}, {name: x}]", []Change{{"a[0].b", "1", "2"}}},
		{"a list by names", "a: [{name: x, b: 1}, {name: y, b: 2}]", "a: [{name: w, b: 0}, {name: x, b: 1}, {name: y, b: 3}]",
			[]Change{{"a[y].b", "2", "3"}, {"a[w]", "", `{"b":0,"name":"w"}`}}},
		{"an item that is gone", "a: [{name: x}, {name: y}]", "a: [{name: y}]", []Change{{"a[x]", `{"name":"x"}`, ""}}},
		{"another order", "a: [{name: x}, {name: y}]", "a: [{name: y}, {name: x}, {name: z}]",
			[]Change{{"a", `["x","y"]`, `["y","x","z"]`}, {"a[z]", "", `{"name":"z"}`}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var from, to any
			if err := yaml.Unmarshal([]byte(c.from), &from); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal([]byte(c.to), &to); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, differences(from, to)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// Documents have no differences if and only if they are equal; and the way back
// has as many, with the values changed over.
func TestDifferencesRules(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		scalar := rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.IntRange(0, 2), func(i int) any { return i }), rapid.Map(rapid.SampledFrom([]string{"x", "y"}), func(s string) any { return s }))
		if depth == 0 {
			return scalar
		}
		key := rapid.SampledFrom([]string{"name", "a", "b"})
		return rapid.OneOf(scalar,
			rapid.Map(rapid.MapOfN(key, value(depth-1), 0, 3), func(m map[string]any) any { return m }),
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(l []any) any { return l }))
	}
	rapid.Check(t, func(rt *rapid.T) {
		from, to := value(3).Draw(rt, "from"), value(3).Draw(rt, "to")
		there, back := differences(from, to), differences(to, from)
		if equal := reflect.DeepEqual(from, to); equal != (len(there) == 0) {
			rt.Fatalf("equal: %v, changes: %v", equal, there)
		}
		if len(there) != len(back) {
			rt.Fatalf("%v there, %v back", there, back)
		}
		seen := map[Change]bool{}
		for _, c := range there {
			if c.From == c.To || seen[c] {
				rt.Fatalf("no change, or one twice: %v", there)
			}
			seen[c] = true
		}
		for _, c := range back {
			if !seen[Change{Path: c.Path, From: c.To, To: c.From}] {
				rt.Fatalf("%v is not among %v", c, there)
			}
		}
	})
}

func flights(t *testing.T) *jobspecs.StreamJob {
	t.Helper()
	set, err := jobspecs.Load([]string{"../jobspecs/examples/flights/stream.yaml"}, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	return set.StreamJobs[0]
}

func TestChanges(t *testing.T) {
	from := flights(t)
	to := *from
	to.Metadata.Description, to.Ignore = "for people", []string{"topic-source"}
	to.Spec.Update.DrainTimeout *= 2
	if got, err := changes(from, &to); err != nil || len(got) > 0 {
		t.Errorf("what makes no other job: %v, %v", got, err)
	}
	to.Spec.Horizon += to.Spec.Horizon
	to.Spec.Tuning.ServiceOptions = []string{"enable_prime"}
	to.Spec.Aggregations = append([]jobspecs.Aggregation{}, to.Spec.Aggregations...)
	to.Spec.Aggregations[0].Window *= 2
	got, err := changes(from, &to)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{"spec.aggregations[" + to.Spec.Aggregations[0].Name + "].window", literal(from.Spec.Aggregations[0].Window.String()), literal(to.Spec.Aggregations[0].Window.String())},
		{"spec.horizon", `"4d"`, `"8d"`},
		{"spec.tuning.serviceOptions", "", `["enable_prime"]`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// A spec that an older version has written lacks the fields of today: they have
// their defaults then, and are no changes.
func TestChangesFromAnOlderVersion(t *testing.T) {
	job := flights(t)
	doc, err := jobspecs.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, line := range strings.Split(string(doc), "\n") {
		if !strings.Contains(line, "streamingEngine") && !strings.Contains(line, "publicIPs") && !strings.Contains(line, "autoscaling") {
			kept = append(kept, line)
		}
	}
	old, err := resolved("old.yaml", []byte(strings.Join(kept, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := changes(old, job); err != nil || len(got) > 0 || len(kept) == strings.Count(string(doc), "\n")+1 {
		t.Errorf("changes %v, %v", got, err)
	}
}
