package main

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testIDs = map[string][16]byte{topicIn: {1}, topicTx: {2}}

const testCluster = "c"

var part = tp{topicIn, 0}

// scene is an oracle with ten records of which none has arrived: 0–8 are good,
// 9 is poison.
func scene() *oracle {
	o := newOracle(testCluster, maps.Clone(testIDs))
	for i := range int64(10) {
		f := due
		if i == 9 {
			f = poison
		}
		o.produced(part, i, f, uint64(100+i))
	}
	return o
}

// message is the message of a record as a right bridge publishes it.
func message(member uint32, offset int64) arrival {
	a := arrival{member: member, from: part, offset: offset, id: eventID(testCluster, testIDs[topicIn], 0, offset),
		content: uint64(100 + offset), full: uint64(1000 + offset), begun: time.Now(), dead: offset == 9}
	return a
}

func deliver(o *oracle, member uint32, offsets ...int64) {
	for _, i := range offsets {
		o.stored(message(member, i), false)
	}
}

func all(o *oracle, member uint32) { deliver(o, member, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9) }

// The oracle names what a bridge did wrong, and nothing else: each scene has
// one fault of one kind, or none.
func TestOracleNotices(t *testing.T) {
	tests := []struct {
		name string
		play func(o *oracle)
		want string // field of tally with 1; "" for none
	}{
		{"everything arrives once", func(o *oracle) { all(o, 1); o.commits(part, 10, time.Now()) }, ""},
		{"one is missing", func(o *oracle) { deliver(o, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9) }, "Missing"},
		{"a dead letter is missing", func(o *oracle) { deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8) }, "Missing"},
		{"one has the id of another", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 7, 9)
			m := message(1, 8)
			m.id = message(1, 7).id
			o.stored(m, false)
		}, "WrongID"},
		{"one has no id", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 7, 9)
			m := message(1, 8)
			m.id = ""
			o.stored(m, false)
		}, "WrongID"},
		{"a dead letter has no id", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			m := message(1, 9)
			m.id = ""
			o.stored(m, false)
		}, ""},
		{"one has other content than was produced", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 7, 9)
			m := message(1, 8)
			m.content++
			o.stored(m, false)
		}, "WrongContent"},
		{"its copy has other content", func(o *oracle) {
			all(o, 1)
			o.hide([]place{{part, 8}})
			m := message(1, 8)
			m.content, m.full = m.content+1, m.full+1
			o.stored(m, false)
		}, "TwoContents"},
		{"a good record is in the dead letters", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 7, 9)
			m := message(1, 8)
			m.dead = true
			o.stored(m, false)
		}, "Misplaced"},
		{"poison is published", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			m := message(1, 9)
			m.dead = false
			o.stored(m, false)
		}, "Misplaced"},
		{"in the order of its key", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 9)
			for i, order := range []string{"a", "b", "a"} {
				m := message(1, []int64{7, 6, 8}[i])
				m.order = order
				o.stored(m, false)
			}
		}, ""},
		{"not in the order of its key", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 9)
			for _, i := range []int64{8, 7} {
				m := message(1, i)
				m.order = "a"
				o.stored(m, false)
			}
		}, "Disordered"},
		{"a copy does not count for the order", func(o *oracle) {
			deliver(o, 1, 0, 1, 2, 3, 4, 5, 6, 9)
			for _, i := range []int64{7, 8} {
				m := message(1, i)
				m.order = "a"
				o.stored(m, true)
			}
			m := message(1, 7)
			m.order = "a"
			o.stored(m, false)
		}, ""},
		{"no ordering key where there has to be one", func(o *oracle) {
			all(o, 1)
			o.topics[topicCut] = [16]byte{9}
			o.produced(tp{topicCut, 0}, 0, due, 5)
			o.stored(arrival{member: 1, from: tp{topicCut, 0}, id: eventID(testCluster, [16]byte{9}, 0, 0), content: 5, full: 6, begun: time.Now()}, false)
		}, "Disordered"},
		{"what nobody produced arrives", func(o *oracle) { all(o, 1); deliver(o, 1, 10) }, "Phantoms"},
		{"of a topic that nobody reads", func(o *oracle) {
			all(o, 1)
			m := message(1, 1)
			m.from.topic = "other"
			o.stored(m, false)
		}, "Phantoms"},
		{"it arrives before its producer hears of it", func(o *oracle) {
			all(o, 1)
			deliver(o, 1, 10)
			o.produced(part, 10, due, 110)
		}, ""},
		{"it arrives before its producer hears of it, and is wrong", func(o *oracle) {
			all(o, 1)
			deliver(o, 1, 10)
			o.produced(part, 10, due, 111)
		}, "WrongContent"},
		{"an aborted record arrives", func(o *oracle) { all(o, 1); o.produced(part, 10, aborted, 110); deliver(o, 1, 10) }, "Phantoms"},
		{"an aborted record does not", func(o *oracle) { all(o, 1); o.produced(part, 10, aborted, 110); o.commits(part, 11, time.Now()) }, ""},

		{"committed before it arrived", func(o *oracle) {
			deliver(o, 1, 0, 1, 2)
			o.asks(part, 4)
			deliver(o, 1, 3, 4, 5, 6, 7, 8, 9)
		}, "CommittedEarly"},
		{"committed before its producer hears of it", func(o *oracle) {
			all(o, 1)
			o.commits(part, 11, time.Now())
			o.produced(part, 10, due, 110)
			deliver(o, 1, 10)
		}, "CommittedEarly"},
		{"committed backwards", func(o *oracle) {
			all(o, 1)
			o.commits(part, 10, time.Now())
			o.commits(part, 5, time.Now())
		}, "CommittedEarly"},

		{"a copy for no reason", func(o *oracle) { all(o, 1); deliver(o, 1, 4) }, "Duplicates.Unexplained"},
		{"a copy after a hidden answer", func(o *oracle) { all(o, 1); o.hide([]place{{part, 4}}); deliver(o, 1, 4) }, ""},
		{"two copies after one hidden answer", func(o *oracle) { all(o, 1); o.hide([]place{{part, 4}}); deliver(o, 1, 4, 4) }, "Duplicates.Unexplained"},
		{"a copy after a kill", func(o *oracle) { all(o, 1); o.killed(1, map[tp]int64{part: 4}); deliver(o, 1, 4) }, ""},
		{"two copies after one kill", func(o *oracle) { all(o, 1); o.killed(1, map[tp]int64{part: 4}); deliver(o, 2, 4); deliver(o, 2, 4) }, "Duplicates.Unexplained"},
		{"a copy of what was committed before the kill", func(o *oracle) { all(o, 1); o.killed(1, map[tp]int64{part: 4}); deliver(o, 1, 3) }, "Duplicates.Unexplained"},
		{"a copy after the kill of another", func(o *oracle) { all(o, 1); o.killed(2, map[tp]int64{part: 0}); deliver(o, 1, 3) }, "Duplicates.Unexplained"},
		{"a copy by the next owner", func(o *oracle) { all(o, 1); deliver(o, 2, 4) }, ""},
		{"two copies by the next owner", func(o *oracle) { all(o, 1); deliver(o, 2, 4, 4) }, "Duplicates.Unexplained"},
		{"a copy after the partition was away", func(o *oracle) { all(o, 1); o.moved(part); deliver(o, 1, 4) }, ""},
		{"a copy after the bridge gave the partition away", func(o *oracle) { all(o, 1); o.left(1, []tp{part}, 0); deliver(o, 1, 4) }, ""},
		{"two copies of what the bridge had not done when it gave the partition away", func(o *oracle) { o.left(1, []tp{part}, 1); all(o, 1); deliver(o, 1, 4) }, ""},
		{"more copies than the bridge had not done", func(o *oracle) { o.left(1, []tp{part}, 1); all(o, 1); deliver(o, 1, 4); deliver(o, 1, 3) }, "Duplicates.Unexplained"},
		{"a copy long after it was committed", func(o *oracle) {
			all(o, 1)
			o.commits(part, 10, time.Now().Add(-time.Minute))
			deliver(o, 2, 4)
		}, "AfterCommit"},
		{"a copy that was on its way when it was committed", func(o *oracle) {
			all(o, 1)
			o.commits(part, 10, time.Now())
			deliver(o, 2, 4)
		}, ""},
		{"a copy by a bridge that had been paused", func(o *oracle) {
			all(o, 1)
			o.paused(map[tp]int64{part: 4}, map[tp]int64{part: 10})
			o.commits(part, 10, time.Now().Add(-time.Minute))
			deliver(o, 2, 4)
		}, ""},

		{"compacted away before it was read", func(o *oracle) {
			o.compacts(part, 3)
			deliver(o, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9)
			o.commits(part, 10, time.Now())
			o.compactedAway(part, map[int64]bool{0: true})
		}, ""},
		{"compaction left it", func(o *oracle) {
			o.compacts(part, 3)
			deliver(o, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9)
			o.compactedAway(part, map[int64]bool{3: true})
		}, "Missing"},
		{"compaction left it, and it is committed", func(o *oracle) {
			o.compacts(part, 3)
			deliver(o, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9)
			o.commits(part, 10, time.Now())
			o.compactedAway(part, map[int64]bool{3: true})
			deliver(o, 1, 3)
		}, "CommittedEarly"},
		{"compaction left it, and it is committed later", func(o *oracle) {
			o.compacts(part, 3)
			deliver(o, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9)
			o.compactedAway(part, map[int64]bool{3: true})
			o.asks(part, 10)
			deliver(o, 1, 3)
		}, "CommittedEarly"},
		{"it arrives while it may be compacted away", func(o *oracle) {
			o.compacts(part, 0)
			all(o, 1)
			o.compactedAway(part, nil)
			o.commits(part, 10, time.Now())
		}, ""},
		{"compacted away, but it was committed before", func(o *oracle) {
			o.compacts(part, 4)
			deliver(o, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9)
			o.compactedAway(part, nil)
		}, "Missing"},

		{"truncated and reported", func(o *oracle) { deliver(o, 1, 0, 1, 2, 8, 9); o.gone(part, 3, 8); o.commits(part, 10, time.Now()) }, ""},
		{"truncated, and one more is missing", func(o *oracle) { deliver(o, 1, 0, 1, 2, 9); o.gone(part, 3, 8) }, "Missing"},
		{"reported as lost, and it arrives", func(o *oracle) { deliver(o, 1, 0, 1, 2, 8, 9); o.gone(part, 3, 8); deliver(o, 1, 3) }, "Phantoms"},
		{"it had arrived before it was truncated", func(o *oracle) { deliver(o, 1, 0, 1, 2, 3, 8, 9); o.gone(part, 3, 8) }, ""},

		{"an aborted transaction had been committed", func(o *oracle) {
			all(o, 1)
			o.produced(part, 10, aborted, 110)
			deliver(o, 1, 10)
			visible := map[int64]bool{}
			for i := range int64(11) {
				visible[i] = true
			}
			o.transactions(part, visible)
		}, ""},
		{"Kafka lost what it had acknowledged", func(o *oracle) {
			all(o, 1)
			visible := map[int64]bool{9: true}
			for i := range int64(8) {
				visible[i] = true
			}
			o.transactions(part, visible)
		}, "Soak+Phantoms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := scene()
			tt.play(o)
			got, words := o.finish()
			found := violated(got)
			if want := tt.want; strings.Join(found, "+") != want {
				t.Errorf("violations %q, want %q: %v", found, want, words)
			}
			if got.violated() != (tt.want != "") {
				t.Errorf("violated() = %v", got.violated())
			}
			if len(words) != strings.Count(tt.want, "+")+min(len(tt.want), 1) {
				t.Errorf("in words: %q", words)
			}
		})
	}
}

// violated names what is not zero and ought to be, last things first.
func violated(t tally) (names []string) {
	v := reflect.ValueOf(t.violations)
	for i := v.NumField() - 1; i >= 0; i-- {
		if n := v.Field(i).Int(); n != 0 {
			names = append(names, v.Type().Field(i).Name)
		}
		if n := v.Field(i).Int(); n > 1 {
			names = append(names, fmt.Sprintf("(%d times)", n))
		}
	}
	if t.Duplicates.Unexplained == 1 {
		names = append(names, "Duplicates.Unexplained")
	}
	return names
}

// A kill exposes what its bridge had published and not committed.
func TestKilledCounts(t *testing.T) {
	o := scene()
	deliver(o, 1, 0, 1, 2, 5, 6)
	deliver(o, 2, 3, 4)
	if got := o.killed(1, map[tp]int64{part: 2}); got != 3 {
		t.Errorf("exposed %d, want 3: 2, 5 and 6", got)
	}
}

// What is not finished is named, and why.
func TestUnfinished(t *testing.T) {
	o := scene()
	deliver(o, 1, 0, 1, 2, 4, 5, 6, 7, 8, 9)
	want := []string{"in/0: 1 records have not arrived, the first is 3; committed 3 of 10"}
	if diff := cmp.Diff(want, o.unfinished(map[tp]int64{part: 3})); diff != "" {
		t.Error(diff)
	}
	deliver(o, 1, 3)
	want = []string{"in/0: all arrived, committed only 3 of 10"}
	if diff := cmp.Diff(want, o.unfinished(map[tp]int64{part: 3})); diff != "" {
		t.Error(diff)
	}
	if left := o.unfinished(map[tp]int64{part: 10}); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Golden ids, computed with a pocket calculator's means: the layout of the bits
// is written out.
func TestEventID(t *testing.T) {
	// SHA-256("c" 0x00 topic id) begins with 40 bits, printed first.
	id := eventID("c", [16]byte{1}, 0x1234, 0)
	bits := strings.ReplaceAll(id, "-", "")
	if bits[12] != '8' || !strings.ContainsRune("89ab", rune(bits[16])) {
		t.Errorf("%s is not a UUIDv8 of the RFC's variant", id)
	}
	if bits[10:12]+bits[13:15] != "1234" {
		t.Errorf("%s: the partition is not in bits 40 to 55", id)
	}
	if one := eventID("c", [16]byte{1}, 0x1234, 1); one[:24] != id[:24] || one[24:] != "000000010000" {
		t.Errorf("offset 1 is %s", one)
	}
	if a, b := eventID("c", [16]byte{1}, 0, 0), eventID("c", [16]byte{2}, 0, 0); a == b {
		t.Error("two topics have one id")
	}
}

// The documented values of the split.
func TestSplitOf(t *testing.T) {
	for text, want := range map[string]int{"ATL": 4, "MSY": 1, "ATL\x1fMSY": 2} {
		if got := splitOf(text, 6); got != want {
			t.Errorf("%q goes to %d, want %d", text, got, want)
		}
	}
}
