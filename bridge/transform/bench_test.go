package transform

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// benchRecord is a record of 1 KB with 20 fields.
func benchRecord() []byte {
	var b strings.Builder
	b.WriteString(`{"event_id":"5f0c1d2e-aaaa-bbbb-cccc-0123456789ab","user_id":123456789,"country":"DE","ts":"2026-11-22T03:11:49.123Z","amount":42.75`)
	for i := range 14 {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, `,"counter_%02d":%d`, i, 1_000_000+i*7919)
		case 1:
			fmt.Fprintf(&b, `,"flag_%02d":%v`, i, i%3 == 0)
		default:
			fmt.Fprintf(&b, `,"description_%02d":"%s"`, i, strings.Repeat("lorem ipsum ", 6)[:68])
		}
	}
	b.WriteString(`,"tail":"`)
	b.WriteString(strings.Repeat("x", 1024-b.Len()-2))
	b.WriteString(`"}`)
	return []byte(b.String())
}

var benchSpec = jobspecs.Transform{
	Decode: "json",
	Filter: `record.country == "DE" && record.amount > 10.0`,
	Rename: map[string]string{"user_id": "userId", "ts": "time"},
	Drop:   []string{"description_02"},
	Set:    map[string]string{"double_amount": `record.amount * 2.0`},
	Encode: "same",
}

func benchmark(b *testing.B, spec jobspecs.Transform, in []byte) {
	p, err := New(spec, Options{Needed: []string{"event_id"}})
	if err != nil {
		b.Fatal(err)
	}
	m := p.NewMachine()
	ctx := b.Context()
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	b.ResetTimer()
	for range b.N {
		n, err := m.Apply(ctx, in)
		if err != nil || n != 1 {
			b.Fatal(n, err)
		}
		if out, err = m.AppendData(out[:0], 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJSONRemap is the work on one ordinary record: a filter on two
// fields, two renames, one drop, one set.
func BenchmarkJSONRemap(b *testing.B) { benchmark(b, benchSpec, benchRecord()) }

// BenchmarkJSONRemapCEL is the same where the expressions are left to CEL.
func BenchmarkJSONRemapCEL(b *testing.B) {
	spec := benchSpec
	spec.Filter += ` && [1].exists(x, x == 1)`
	spec.Set = map[string]string{"double_amount": `[record.amount * 2.0][0]`}
	benchmark(b, spec, benchRecord())
}

func BenchmarkJSONFilter(b *testing.B) {
	benchmark(b, jobspecs.Transform{Decode: "json", Filter: benchSpec.Filter}, benchRecord())
}

func BenchmarkJSONRename(b *testing.B) {
	benchmark(b, jobspecs.Transform{Decode: "json", Rename: benchSpec.Rename}, benchRecord())
}

// BenchmarkJSONEvents is the remap of a record that holds 10 events of 1 KB.
func BenchmarkJSONEvents(b *testing.B) {
	spec := benchSpec
	spec.Events = "list"
	p, err := New(spec, Options{})
	if err != nil {
		b.Fatal(err)
	}
	one := string(benchRecord())
	in := []byte(`{"list":[` + strings.Repeat(one+",", 9) + one + `]}`)
	m := p.NewMachine()
	ctx := b.Context()
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	b.ResetTimer()
	for range b.N {
		n, err := m.Apply(ctx, in)
		if err != nil || n != 10 {
			b.Fatal(n, err)
		}
		for i := range n {
			if out, err = m.AppendData(out[:0], i); err != nil {
				b.Fatal(err)
			}
		}
	}
}
