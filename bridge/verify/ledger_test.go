package verify

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// testIDs are ids made from positions in a layout that is easy to read in a test.
type testIDs struct{}

func (testIDs) TopicHash(cluster string, topicID [16]byte) uint64 {
	return uint64(len(cluster)) + uint64(topicID[0])<<8
}

func (testIDs) Locate(id [16]byte) (Location, bool) {
	return Location{Hash: uint64(binary.BigEndian.Uint32(id[:])), Partition: int32(binary.BigEndian.Uint16(id[4:])),
		Ordinal: uint16(id[7]), Offset: int64(binary.BigEndian.Uint64(id[8:]))}, id[6] == 0x80
}

func makeID(at Location) (id [16]byte) {
	binary.BigEndian.PutUint32(id[:], uint32(at.Hash))
	binary.BigEndian.PutUint16(id[4:], uint16(at.Partition))
	id[6], id[7] = 0x80, byte(at.Ordinal)
	binary.BigEndian.PutUint64(id[8:], uint64(at.Offset))
	return id
}

// keptID is an id that does not follow from a position.
func keptID(n byte) [16]byte { return [16]byte{0: 0xee, 6: 0x50, 15: n} }

const testKey = "c/t/3"

func testSpan(from, to int64) Span {
	return Span{Cluster: "c", Topic: "t", TopicID: [16]byte{1}, Partition: 3, From: from, To: to}
}

func testLedger(from, to int64) *ledger {
	return newLedger(&meter{}, testIDs{}, testSpan(from, to))
}

// own is the id of an event of the test's partition.
func own(offset int64, ordinal uint16) [16]byte {
	return makeID(Location{Hash: 0x101, Partition: 3, Offset: offset, Ordinal: ordinal})
}

func published(ids ...[16]byte) *Expected {
	x := &Expected{}
	for i, id := range ids {
		x.Events = append(x.Events, Event{ID: id, Ordinal: uint16(i), Time: 1000})
	}
	return x
}

const someHour = 500_000 * hourMillis

func TestLedgerCounts(t *testing.T) {
	l := testLedger(10, 30)
	for o := int64(10); o < 20; o++ {
		l.record(o, someHour+(o-10)*hourMillis/5, published(own(o, 0))) // five records in each of two hours
	}
	l.record(20, someHour+2*hourMillis, &Expected{Outcome: Filtered, Dropped: 1})
	l.record(21, someHour+2*hourMillis, &Expected{Outcome: DeadLettered, Reason: "transform"})
	l.record(25, someHour+2*hourMillis, published(own(25, 0), own(25, 1), keptID(7), keptID(7))) // 22 to 24 are gaps

	arrive := func(id [16]byte, offset int64, message uint64) {
		l.arrive(&Arrival{ID: id, Partition: testKey, Offset: offset, Count: 1, Message: message, Content: 99})
	}
	for _, o := range []int64{19, 10, 11, 14, 17, 18} { // 12, 13, 15 and 16 are missing
		arrive(own(o, 0), o, uint64(o))
	}
	arrive(own(11, 0), 11, 11)  // the same message again
	arrive(own(11, 0), 11, 111) // another message
	arrive(own(11, 0), 11, 111)
	arrive(own(11, 0), 11, 112)
	arrive(own(25, 1), 25, 1)
	arrive(keptID(7), 25, 2)
	arrive(own(12, 0), 13, 3)                                                                               // an id at another's position: neither arrived
	arrive(keptID(9), 15, 4)                                                                                // an id from nowhere
	arrive(own(20, 0), 20, 5)                                                                               // filtered
	arrive(own(21, 0), 21, 6)                                                                               // a dead letter
	arrive(own(23, 0), 23, 7)                                                                               // Kafka has no such record any more
	arrive(own(25, 5), 25, 8)                                                                               // the record has no such event
	l.arrive(&Arrival{ID: own(14, 0), Partition: testKey, Offset: 14, Count: 1, Message: 114, Content: 98}) // another content

	got := l.finish(false)
	want := Partition{
		Partition: testKey, From: 10, To: 30, DeadLetters: map[string]int64{"transform": 1},
		Counts: Counts{Records: 13, Filtered: 1, DeadLettered: 1, Dropped: 1, Repeated: 1, Gaps: 7, Expected: 13, Arrived: 8, Missing: 5,
			Duplicated: 2, Duplicates: 3, Redelivered: 2, WrongIDs: 3, Conflicts: 1, Unexpected: 2, Unheld: 1},
		Hours: []Hour{
			{Hour: timeOf(someHour), Records: 5, Expected: 5, Arrived: 3, Missing: 2, Duplicates: 3},
			{Hour: timeOf(someHour + hourMillis), Records: 5, Expected: 5, Arrived: 3, Missing: 2},
			{Hour: timeOf(someHour + 2*hourMillis), Records: 3, Filtered: 1, DeadLettered: 1, Expected: 3, Arrived: 2, Missing: 1},
		},
		Missing:    []Offsets{{First: 12, Last: 13, Count: 2}, {First: 15, Last: 16, Count: 2}, {First: 25, Last: 25, Count: 1}},
		Duplicated: []Offsets{{First: 11, Last: 11, Count: 1}, {First: 14, Last: 14, Count: 1}}, LettersMissing: []Offsets{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wrong := []Finding{
		{"c/t/3/13", formatID(own(12, 0)), "another id than the record's events have: it is of offset 12"},
		{"c/t/3/15", formatID(keptID(9)), "another id than the record's events have"},
		{"c/t/3/25", formatID(own(25, 5)), "another id than the record's events have: it is of event 5 of the record"},
	}
	if diff := cmp.Diff(wrong, l.wrong); diff != "" {
		t.Errorf("wrong ids (-want +got):\n%s", diff)
	}
	if len(l.unexpected) != 2 || len(l.conflicts) != 1 || l.conflicts[0].Position != "c/t/3/14" {
		t.Errorf("unexpected %v, conflicts %v", l.unexpected, l.conflicts)
	}
	var missing []int64
	l.missing(func(o int64, k int) { missing = append(missing, o, int64(k)) })
	if diff := cmp.Diff([]int64{12, 0, 13, 0, 15, 0, 16, 0, 25, 0}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

// TestIDOfAnotherTopic: offsets and partition are right, the topic is not the
// one that this name had when the event was published.
func TestIDOfAnotherTopic(t *testing.T) {
	l := testLedger(0, 10)
	l.record(1, someHour, published(own(1, 0)))
	l.arrive(&Arrival{ID: makeID(Location{Hash: 0x999, Partition: 3, Offset: 1}), Partition: testKey, Offset: 1, Count: 1})
	l.arrive(&Arrival{ID: makeID(Location{Hash: 0x101, Partition: 4, Offset: 1}), Partition: testKey, Offset: 5, Count: 1})
	want := []Finding{
		{"c/t/3/1", formatID(makeID(Location{Hash: 0x999, Partition: 3, Offset: 1})), "another id than the record's events have: it is of another topic, or of an earlier topic of this name"},
		{"c/t/3/5", formatID(makeID(Location{Hash: 0x101, Partition: 4, Offset: 1})), "the id belongs to another position: it is of partition 4, offset 1"},
	}
	if diff := cmp.Diff(want, l.wrong); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAKeptIDHidesThePositions: a record whose id was given by an earlier hop
// does not arrive under the id that its position would have given it.
func TestAKeptIDHidesThePositions(t *testing.T) {
	l := testLedger(0, 10)
	l.record(1, someHour, published(keptID(1)))
	l.arrive(&Arrival{ID: own(1, 0), Partition: testKey, Offset: 1, Count: 1})
	if l.total.Arrived != 0 || l.total.WrongIDs != 1 {
		t.Errorf("%+v", l.total)
	}
	l.arrive(&Arrival{ID: keptID(1), Partition: testKey, Offset: 1, Count: 3})
	if l.total.Arrived != 1 || l.total.Duplicates != 2 || !l.complete() {
		t.Errorf("%+v", l.total)
	}
}

// TestLedgerAgainstModel: whatever is lost, repeated and redelivered, exactly
// that is named.
func TestLedgerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 300
		l := testLedger(0, n)
		type key struct {
			offset  int64
			ordinal int
		}
		copies := map[key]int{}
		var order []key
		kept := rapid.Bool().Draw(t, "kept")
		id := func(k key) [16]byte {
			if kept {
				return [16]byte{0: byte(k.ordinal), 6: 0x50, 14: byte(k.offset >> 8), 15: byte(k.offset)}
			}
			return own(k.offset, uint16(k.ordinal))
		}
		for o := int64(0); o < n; o += rapid.Int64Range(1, 3).Draw(t, "gap") {
			x := &Expected{}
			for i := range rapid.IntRange(1, 3).Draw(t, "events") {
				k := key{o, i}
				x.Events = append(x.Events, Event{ID: id(k), Ordinal: uint16(i)})
				copies[k] = rapid.SampledFrom([]int{0, 1, 1, 1, 1, 2, 3}).Draw(t, "copies")
				for range copies[k] {
					order = append(order, k)
				}
			}
			l.record(o, someHour, x)
		}
		for i, k := range rapid.Permutation(order).Draw(t, "order") {
			a := Arrival{ID: id(k), Partition: testKey, Offset: k.offset, Count: 1, Message: uint64(i + 1), Content: 5}
			l.arrive(&a)
			if rapid.IntRange(0, 4).Draw(t, "redelivered") == 0 {
				l.arrive(&a)
			}
		}
		p := l.finish(false)
		var missing, duplicates, listed int64
		for _, c := range copies {
			switch {
			case c == 0:
				missing++
			default:
				duplicates += int64(c - 1)
			}
		}
		for _, m := range p.Missing {
			listed += m.Count
		}
		if p.Counts.Missing != missing || listed != missing || p.Duplicates != duplicates || p.WrongIDs+p.Conflicts+p.Unheld != 0 {
			t.Fatalf("%+v, %d of them listed; want %d missing, %d duplicates", p.Counts, listed, missing, duplicates)
		}
		for _, m := range p.Missing {
			for o := m.First; o <= m.Last; o++ {
				if c, ok := copies[key{o, m.Ordinal}]; ok && c > 0 {
					t.Fatalf("%v is listed as missing, and arrived at %d", m, o)
				}
			}
		}
	})
}

func TestHoursBeforeTheEpoch(t *testing.T) {
	l := testLedger(0, 3)
	l.record(0, -1, published(own(0, 0)))
	l.record(1, 0, published(own(1, 0)))
	l.arrive(&Arrival{ID: own(0, 0), Partition: testKey, Offset: 0, Count: 1})
	h := l.finish(false).Hours
	if len(h) != 2 || !h[0].Hour.Equal(time.Unix(-3600, 0)) || h[0].Arrived != 1 || h[1].Arrived != 0 {
		t.Errorf("%+v", h)
	}
}

func BenchmarkLedger(b *testing.B) {
	l := testLedger(0, 1<<40)
	a := Arrival{Partition: testKey, Count: 1, Message: 1, Content: 1}
	x := published(own(0, 0))
	b.ReportAllocs()
	o := int64(0)
	for b.Loop() {
		x.Events[0].ID = own(o, 0)
		l.record(o, someHour+o, x)
		a.ID, a.Offset = x.Events[0].ID, o
		l.arrive(&a)
		o++
	}
	b.ReportMetric(float64(l.m.used)/float64(o), "bytes/event")
}
