package count

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/bench/internal/wire"
)

const hash = 0xabcdef0123

func add(t *testing.T, l *Ledger, partition int, offsets ...int64) {
	t.Helper()
	b := l.Begin()
	defer b.End()
	for _, o := range offsets {
		if !b.Add(wire.AppendID(nil, hash, partition, o)) {
			t.Fatalf("%d/%d was refused", partition, o)
		}
	}
}

func check(t *testing.T, l *Ledger, ends ...int64) Report {
	t.Helper()
	r, err := l.Check(ends)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLedgerNamesWhatIsWrong(t *testing.T) {
	l := NewLedger(Expect{Hash: hash, Partitions: 2, Period: 4, Filtered: map[int64]bool{3: true}})
	add(t, l, 0, 0, 1, 2, 4, 5)
	add(t, l, 1, 1, 0, 2, 1, 7, 70_000)
	want := Report{
		Messages: 11, Distinct: 10, Duplicates: 1, Missing: 2 + 3, Unexpected: 2,
		Examples: []string{"missing 0/6", "missing 0/8", "duplicate 1/1", "filtered 1/7", "missing 1/4", "missing 1/5", "missing 1/6", "beyond the end 1/70000"},
	}
	if diff := cmp.Diff(want, check(t, l, 9, 8)); diff != "" {
		t.Error(diff)
	}
}

func TestLedgerIsContentWithExactlyOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		end := rapid.Int64Range(0, 300).Draw(rt, "end")
		offsets := make([]int64, end)
		for i := range offsets {
			offsets[i] = int64(i)
		}
		l := NewLedger(Expect{Hash: hash, Partitions: 1})
		add(t, l, 0, rapid.Permutation(offsets).Draw(rt, "order")...)
		want := Report{Messages: end, Distinct: end}
		if diff := cmp.Diff(want, check(t, l, end)); diff != "" {
			rt.Fatal(diff)
		}
		if diff := cmp.Diff(want, check(t, l, -1)); diff != "" {
			rt.Fatal(diff)
		}
		want.Missing = 1
		got := check(t, l, end+1)
		if got.Examples = nil; !cmp.Equal(want, got) {
			rt.Fatal(cmp.Diff(want, got))
		}
	})
}

func TestLedgerRefusesOtherIDs(t *testing.T) {
	l := NewLedger(Expect{Hash: hash, Partitions: 2})
	b := l.Begin()
	defer b.End()
	for _, id := range [][]byte{nil, []byte("x"), wire.AppendID(nil, hash+1, 0, 0), wire.AppendID(nil, hash, 2, 0), wire.AppendID(nil, hash, 0, maxOffset)} {
		if b.Add(id) {
			t.Errorf("%q was taken", id)
		}
	}
}

func TestPercentiles(t *testing.T) {
	var l Latencies
	for i := range 100 {
		l.Add(time.Duration(i)*time.Millisecond+50*time.Microsecond, 1)
	}
	want := Percentiles{N: 100, P50: 49.1, P90: 89.1, P99: 98.1, Max: 99.05}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 })
	if diff := cmp.Diff(want, l.Percentiles(), near); diff != "" {
		t.Error(diff)
	}
	l.Reset()
	l.Add(-time.Second, 2)
	l.Add(time.Hour, 1)
	want = Percentiles{N: 3, P50: 0.1, P90: 6_000.1, P99: 6_000.1, Max: 3_600_000}
	if diff := cmp.Diff(want, l.Percentiles(), near); diff != "" {
		t.Error(diff)
	}
}

func TestClock(t *testing.T) {
	var c Clock
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64Range(0, 4e12).Draw(t, "millis")
		text := time.UnixMilli(want).UTC().Format("2006-01-02T15:04:05.000Z")
		if got, ok := c.Millis([]byte(text)); !ok || got != want {
			t.Fatalf("%s is read as %d, %v", text, got, ok)
		}
	})
	for _, bad := range []string{"", "2026-01-02T03:04:05.678", "2026-01-02T03:04:05,678Z", "2026-01-02T03:04:0x.678Z", "2026-13-02T03:04:05.678Z"} {
		if _, ok := c.Millis([]byte(bad)); ok {
			t.Errorf("%q was read", bad)
		}
	}
}
