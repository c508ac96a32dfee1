package transform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/goldentest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// An event of a list becomes what it becomes as a record of its own, whether
// its fields are kept or decoded again, and in whatever order events are asked
// for.
func TestEventsAreRecords(t *testing.T) {
	spec := jobspecs.Transform{
		Decode: "json",
		Filter: `!has(record.a) || record.a != 1`,
		Rename: map[string]string{"a": "A", "b.c": "C"},
		Drop:   []string{"b.a"},
		Set:    map[string]string{"s": `string(size(record)) + "é"`, "t": `[size(record)]`},
	}
	needed := Options{Needed: []string{"A", "b.C"}}
	single, err := New(spec, needed)
	if err != nil {
		t.Fatal(err)
	}
	spec.Events = "x.l"
	list, err := New(spec, needed)
	if err != nil {
		t.Fatal(err)
	}
	path, err := list.Path("b.C")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var texts []string
		for range 5 {
			text, _ := drawObject(t, 2)
			texts = append(texts, text)
		}
		one, all := single.NewMachine(), list.NewMachine()
		var items, want, fields []string
		var numbers []int
		for i := range rapid.SampledFrom([]int{0, 1, indexed - 1, indexed, indexed + 1, 3 * indexed}).Draw(t, "items") {
			text := texts[i*i%len(texts)]
			n, err := one.Apply(t.Context(), []byte(text))
			if err != nil {
				continue
			}
			items = append(items, text)
			if n == 0 {
				continue
			}
			out, err := one.AppendData(nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			want, numbers = append(want, string(out)), append(numbers, len(items)-1)
			fields = append(fields, plain(one, 0, path))
		}
		n, err := all.Apply(t.Context(), []byte(`{"x":{"l":[`+strings.Join(items, ",")+`]}}`))
		if err != nil || n != len(want) || all.Dropped() != len(items)-n {
			t.Fatalf("%d events, %d dropped, %v; want %d of %d", n, all.Dropped(), err, len(want), len(items))
		}
		for range 2 * n {
			i := rapid.IntRange(0, n-1).Draw(t, "event")
			if f := plain(all, i, path); f != fields[i] {
				t.Fatalf("event %d: field %q, want %q", i, f, fields[i])
			}
			got, err := all.AppendData(nil, i)
			if err != nil || string(got) != want[i] || all.Ordinal(i) != numbers[i] {
				t.Fatalf("event %d: %s, number %d, %v; want %s, number %d", i, got, all.Ordinal(i), err, want[i], numbers[i])
			}
		}
	})
}

func plain(m *Machine, i int, path *Path) string {
	v, ok := m.Field(i, path)
	if !ok {
		return "not there"
	}
	text, err := v.AppendPlain(nil)
	return fmt.Sprintf("%s %v", text, err)
}

// A machine that has seen a huge record is not huge for ever.
func TestMemoryIsLetGo(t *testing.T) {
	p, err := New(jobspecs.Transform{Decode: "json", Events: "l", Drop: []string{"n.x"}}, Options{Needed: []string{"n.a"}})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	var wide strings.Builder
	wide.WriteString(`{"n":{`)
	for i := range 10_000 {
		fmt.Fprintf(&wide, `"f%d":1,`, i)
	}
	wide.WriteString(`"x":1}}`)
	for _, in := range []string{
		`{"l":[` + strings.Repeat(`{"n":{}},`, 50_000) + `{}]}`,
		`{"l":[` + wide.String() + `]}`,
		`{"l":[` + strings.Repeat(`{"n":{}},`, indexed) + wide.String() + `]}`,
		`{"l":[` + strings.Replace(wide.String(), `"n":{`, "", 1)[:wide.Len()-6] + `]}`,
	} {
		if _, err := m.Apply(t.Context(), []byte(in)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := m.Apply(t.Context(), []byte(`{"l":[{}]}`)); err != nil {
			t.Fatal(err)
		}
	}
	m.reset()
	held := cap(m.list) + cap(m.items) + cap(m.scratch) + cap(m.found) + cap(m.spare.fields) + cap(m.more)
	for _, e := range m.events[:cap(m.events)] {
		held += cap(e.fields)
	}
	for _, s := range m.subs {
		held += cap(s.fields)
	}
	if held > 5*4096 {
		t.Errorf("the machine holds %d fields", held)
	}
}

// An ordinary record costs no allocation, and neither does one that is dropped.
func TestNoAllocations(t *testing.T) {
	in := benchRecord()
	for name, filter := range map[string]string{"kept": benchSpec.Filter, "dropped": `record.country in ["FR", "IT"] || record.amount < 1.0`} {
		spec := benchSpec
		spec.Filter = filter
		p, err := New(spec, Options{Needed: []string{"event_id"}})
		if err != nil {
			t.Fatal(err)
		}
		m := p.NewMachine()
		path, err := p.Path("event_id")
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 0, 2*len(in))
		ctx := t.Context()
		got := testing.AllocsPerRun(100, func() {
			n, err := m.Apply(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if out, err = m.AppendData(out[:0], i); err != nil {
					t.Fatal(err)
				}
				v, _ := m.Field(i, path)
				if out, err = v.AppendPlain(out); err != nil {
					t.Fatal(err)
				}
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// waiting is a format whose schema cannot be had.
type waiting struct {
	jsonFormat
	err error
}

func (w waiting) open(ctx context.Context, _ []byte, blocked func(string)) ([]byte, any, error) {
	if w.err != nil {
		return nil, nil, w.err
	}
	blocked("the registry is away")
	<-ctx.Done()
	return nil, nil, ctx.Err()
}

// A registry that is away is not the record's fault.
func TestContextEndsWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := (&Program{format: waiting{}}).NewMachine()
	m.Blocked = func(problem string) {
		if problem == "the registry is away" {
			cancel()
		}
	}
	_, err := m.Apply(ctx, []byte(`{}`))
	var bad *DataError
	if !errors.Is(err, context.Canceled) || errors.As(err, &bad) {
		t.Errorf("error %v", err)
	}
	m = (&Program{format: waiting{err: errors.New("no such schema")}}).NewMachine()
	if _, err = m.Apply(t.Context(), []byte(`{}`)); !errors.As(err, &bad) || err.Error() != "decode: no such schema" {
		t.Errorf("error %v", err)
	}
}

// After a bad record, nothing of it or of the one before is left.
func TestBadRecordLeavesNothing(t *testing.T) {
	p, err := New(jobspecs.Transform{Decode: "json", Events: "l", Filter: `record.a > 0`}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	if n, err := m.Apply(t.Context(), []byte(`{"l":[{"a":1},{"a":0}]}`)); n != 1 || m.Dropped() != 1 || err != nil {
		t.Fatal(n, m.Dropped(), err)
	}
	if n, err := m.Apply(t.Context(), []byte(`{"l":[{"a":1},{"a":0},{}]}`)); n != 0 || m.Dropped() != 0 || err == nil {
		t.Errorf("%d events, %d dropped, %v", n, m.Dropped(), err)
	}
}

// Doubles are written as encoding/json writes them, so that both read back the
// same.
func TestDoubles(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, d float64) {
		got, err := appendDouble(nil, d)
		want, wantErr := json.Marshal(d)
		if (err != nil) != (wantErr != nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%v is written %s, %v; encoding/json %s, %v", d, got, err, want, wantErr)
		}
	}
	for _, d := range []float64{0, math.Copysign(0, -1), 1, 1e21, 1e20, 1e-6, 1e-7, 1e-10, 1e300, 5e-324, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1)} {
		check(t, d)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Float64().Draw(t, "d")) })
}

// Numbers of a few digits take a short way to the same value.
func TestShortNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?`).Draw(t, "text")
		var r result
		if !shortNumber([]byte(text), &r) {
			return
		}
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		if strings.Contains(text, ".") {
			var f float64
			if err := d.Decode(&f); err != nil {
				t.Fatal(err)
			}
			want = math.Float64bits(f)
			if r.kind != kindDouble || r.num != want {
				t.Fatalf("%s is %v", text, r.double())
			}
			return
		}
		var n int64
		if err := d.Decode(&n); err != nil || r.kind != kindInt || int64(r.num) != n {
			t.Fatalf("%s is %v, %v", text, int64(r.num), err)
		}
	})
}

// Records of one topic that differ: each is read as if it were the first.
func TestShapes(t *testing.T) {
	p, err := New(jobspecs.Transform{Decode: "json", Drop: []string{"c"}, Rename: map[string]string{"b": "B"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	for _, c := range []struct{ in, want string }{
		{`{"a":1,"b":2,"c":3}`, `{"a":1,"B":2}`},
		{`{"a":4,"b":5,"c":6}`, `{"a":4,"B":5}`},
		{`{"a":4,"c":6}`, `{"a":4}`},
		{`{"c":6,"b":1}`, `{"B":1}`},
		{`{"a":4,"b":5,"c":6}`, `{"a":4,"B":5}`},
		{`{"a":4,"b":5,"c":6,"a":7}`, `error: decode: a field comes twice, the second time as number 4`},
		{`{"a":4,"a":5,"c":6}`, `error: decode: a field comes twice, the second time as number 2`},
		{`{"a":4,"b":5,"c":6,"B":7}`, `error: rename: field "B" comes twice`},
		{`{"a":4,"b":5,"c":6,"B":7}`, `error: rename: field "B" comes twice`},
		{`{"c":6,"b":5,"a":4}`, `{"B":5,"a":4}`},
		{`{"\u0063":6,"\u0062":5,"a":4}`, `{"B":5,"a":4}`},
		{`{"\u0063":6,"\u0062":5,"a":4}`, `{"B":5,"a":4}`},
		{`{"":1,"ab":2,"abc":3}`, `{"":1,"ab":2,"abc":3}`},
		{`{"":1,"ab":2,"abc":3}`, `{"":1,"ab":2,"abc":3}`},
		{`{"":1,"ab:2}`, `error: decode: JSON ends too early`},
		{`{"`, `error: decode: JSON ends too early`},
		{`{}`, `{}`},
	} {
		got := apply(t, m, c.in)
		if strings.HasPrefix(c.want, "error") && strings.HasPrefix(got, "error: decode:") && !strings.Contains(c.want, "twice") {
			continue // where the text ends does not matter here
		}
		if got != c.want {
			t.Errorf("%s became %s, want %s", c.in, got, c.want)
		}
	}
	for i := range 200 { // no record is like the one before
		in := fmt.Sprintf(`{"x%d":1,"b":2,"c":3,"y%d":4}`, i, i)
		if got, want := apply(t, m, in), fmt.Sprintf(`{"x%d":1,"B":2,"y%d":4}`, i, i); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

// TestGolden holds the bytes that a transform makes of records: readers, ids
// and comparisons depend on them.
func TestGolden(t *testing.T) {
	const dir = "testdata/golden/"
	spec := jobspecs.Transform{
		Decode: "json",
		Events: "body.events",
		Filter: `record.kind != "heartbeat" && record.value < 1000.0`,
		Rename: map[string]string{"user.id": "uid", "ts": "time", `x\.y`: "z"},
		Drop:   []string{"debug", "user.email"},
		Set: map[string]string{
			"user.domain": `record.user.name.split("@")[1]`, "total": `double(record.value) * 2.0`, "copy": `record.big`,
			"made": `{"list": [1, 2.5, "é\n", null, b"\x00\xff"], "at": timestamp("2026-01-31T00:00:00.5Z"), "for": duration("90m")}`,
		},
	}
	p, err := New(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.ReadFile(dir + "records.json")
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	var got strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(in)), "\n") {
		got.WriteString(apply(t, m, line) + "\n")
		fmt.Fprintf(&got, "-- %d dropped\n", m.Dropped())
	}
	goldentest.Check(t, dir+"events.json", got.String())
}
