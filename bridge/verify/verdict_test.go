package verify

import (
	"bytes"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
)

func TestDecide(t *testing.T) {
	pubsub, bigQuery := Destination{Kind: kindPubSub}, Destination{Kind: kindBigQuery}
	for _, c := range []struct {
		name string
		r    Result
		want string
		code exit.Code
	}{
		{"all there", Result{Totals: Counts{Expected: 2, Arrived: 2}}, Complete, exit.OK},
		{"duplicates are no failure", Result{Totals: Counts{Expected: 2, Arrived: 2, Duplicates: 5, Duplicated: 2}}, Complete, exit.OK},
		{"all there, though cut short", Result{Totals: Counts{Expected: 2, Arrived: 2}, cutShort: "x"}, Complete, exit.OK},
		{"missing", Result{Totals: Counts{Expected: 2, Arrived: 1, Missing: 1}}, Incomplete, exit.GateNotMet},
		{"missing, but cut short", Result{Totals: Counts{Expected: 2, Arrived: 1, Missing: 1}, cutShort: "x"}, Inconclusive, exit.NoData},
		{"wrong, and cut short", Result{Totals: Counts{Expected: 2, Arrived: 1, Missing: 1, WrongIDs: 1}, cutShort: "x"}, Incomplete, exit.GateNotMet},
		{"two contents", Result{Totals: Counts{Expected: 2, Arrived: 2, Conflicts: 1}}, Incomplete, exit.GateNotMet},
		{"nothing at all came by a subscription", Result{Arrived: pubsub, Totals: Counts{Expected: 2, Missing: 2}}, Inconclusive, exit.NoData},
		{"nothing at all is in the table", Result{Arrived: bigQuery, Totals: Counts{Expected: 2, Missing: 2}}, Incomplete, exit.GateNotMet},
		{"nothing expected", Result{Totals: Counts{Records: 3, Filtered: 3}}, NoData, exit.NoData},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.decide()
			if c.r.Verdict != c.want || c.r.ExitCode() != c.code || c.r.Reason == "" {
				t.Errorf("%s (%s), code %d; want %s, code %d", c.r.Verdict, c.r.Reason, c.r.ExitCode(), c.want, c.code)
			}
		})
	}
}

// sample is a result with something of everything.
func sample() *Result {
	l := testLedger(10, 2_030)
	for o := int64(10); o < 2_010; o++ {
		l.record(o, someHour+(o-10)*hourMillis/1000, published(own(o, 0)))
	}
	l.record(2_010, someHour+2*hourMillis, &Expected{Outcome: Filtered, Dropped: 1})
	l.record(2_011, someHour+2*hourMillis, &Expected{Outcome: DeadLettered, Reason: "transform"})
	l.record(2_012, someHour+2*hourMillis, published(own(2_012, 0), own(2_012, 1)))
	for o := int64(10); o < 2_010; o++ {
		if o == 77 || o >= 100 && o < 600 || o%500 == 1 {
			continue
		}
		a := Arrival{ID: own(o, 0), Partition: testKey, Offset: o, Count: 1 + max(0, o-2_007), Content: 5}
		l.arrive(&a)
	}
	l.arrive(&Arrival{ID: own(2_012, 0), Partition: testKey, Offset: 2_012, Count: 1})
	l.arrive(&Arrival{ID: own(77, 0), Partition: testKey, Offset: 100, Count: 1})
	l.arrive(&Arrival{ID: own(99, 0), Partition: testKey, Offset: 99, Count: 2, Conflict: true})
	l.arrive(&Arrival{ID: own(2_010, 0), Partition: testKey, Offset: 2_010, Count: 1})
	p := l.finish(true)
	r := &Result{
		Version: ResultVersion, Bridge: "flights", Started: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), Seconds: 1.5,
		Arrived: Destination{Kind: kindBigQuery, Table: "p.d.raw", BytesBilled: 10 << 20}, Outside: 12, Unreadable: 1, Letters: true,
		Partitions: []Partition{p}, WrongIDs: l.wrong, Conflicts: l.conflicts, Unexpected: l.unexpected,
		Warnings: []string{"c/t/4: group g has committed no offset: not judged"},
	}
	r.Totals.add(&p.Counts)
	r.decide()
	return r
}

func TestViews(t *testing.T) {
	r := sample()
	var text, js bytes.Buffer
	if err := r.WriteText(&text, 3); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, "testdata/result.txt", text.Bytes())
	goldentest.Check(t, "testdata/result.json", js.Bytes())
}
