package bridge

import (
	"testing"

	"pgregory.net/rapid"
)

// modelPart is the ledger's model for one assignment: what was fetched, in
// order, and what of it is done.
type modelPart struct {
	offsets []int64
	epochs  []int32
	done    []bool
	tickets []ticket
	start   int64
	commit  int64
}

func (m *modelPart) committable() (mark, bool) {
	var at mark
	for i := range m.offsets {
		if !m.done[i] {
			break
		}
		at = mark{m.offsets[i] + 1, m.epochs[i]}
	}
	return at, at.offset > m.commit
}

// Rules B1 and B5 against a model: offsets with gaps (compaction, transaction
// markers), acknowledgements in any order and repeated, commits at any time,
// partitions that go and come back while acknowledgements are under way.
func TestLedgerModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		ids := []partitionID{{"a", 0}, {"a", 1}, {"b", 0}}
		model := make(map[partitionID]*modelPart)
		var late []ticket // of assignments that are over
		log := map[partitionID]int64{}
		t.Repeat(map[string]func(*rapid.T){
			"assign": func(t *rapid.T) {
				id := rapid.SampledFrom(ids).Draw(t, "id")
				if m := model[id]; m != nil {
					late = append(late, m.tickets...)
				}
				l.assign(id, log[id])
				model[id] = &modelPart{start: log[id], commit: log[id]}
			},
			"revoke": func(t *rapid.T) {
				id := rapid.SampledFrom(ids).Draw(t, "id")
				if m := model[id]; m != nil {
					late = append(late, m.tickets...)
				}
				l.revoke(id)
				delete(model, id)
			},
			"fetch": func(t *rapid.T) {
				id := rapid.SampledFrom(ids).Draw(t, "id")
				m := model[id]
				if m == nil {
					return
				}
				gaps := rapid.SliceOfN(rapid.Int64Range(0, 3), 0, 200).Draw(t, "gaps")
				next := m.start
				if n := len(m.offsets); n > 0 {
					next = m.offsets[n-1] + 1
				}
				offsets := make([]int64, len(gaps))
				for i, gap := range gaps {
					offsets[i] = next + gap
					next = offsets[i] + 1
				}
				epoch := rapid.Int32Range(0, 3).Draw(t, "epoch")
				first, err := l.current(id).fetched(len(offsets), func(i int) entry { return entry{offset: offsets[i], leaderEpoch: epoch} })
				if err != nil {
					t.Fatal(err)
				}
				for i, o := range offsets {
					m.offsets, m.epochs, m.done = append(m.offsets, o), append(m.epochs, epoch), append(m.done, false)
					m.tickets = append(m.tickets, ticket{first.to, first.seq + uint64(i)})
				}
			},
			"refetch": func(t *rapid.T) {
				id := rapid.SampledFrom(ids).Draw(t, "id")
				m := model[id]
				if m == nil || len(m.offsets) == 0 {
					return
				}
				if _, err := l.current(id).fetched(1, func(int) entry { return entry{offset: m.offsets[len(m.offsets)-1]} }); err == nil {
					t.Fatal("an offset that was fetched before was taken")
				}
			},
			"ack": func(t *rapid.T) {
				id := rapid.SampledFrom(ids).Draw(t, "id")
				m := model[id]
				if m == nil || len(m.tickets) == 0 {
					return
				}
				from := rapid.IntRange(0, len(m.tickets)-1).Draw(t, "from")
				n := rapid.IntRange(1, 50).Draw(t, "n")
				to := min(from+n, len(m.tickets))
				for _, tk := range m.tickets[from:to] {
					tk.to.ack([]uint64{tk.seq})
				}
				for i := from; i < to; i++ {
					m.done[i] = true
				}
			},
			"late ack": func(t *rapid.T) {
				if len(late) == 0 {
					return
				}
				for _, tk := range late {
					tk.to.ack([]uint64{tk.seq})
				}
			},
			"commit": func(t *rapid.T) {
				marks := l.committable()
				l.committedTo(marks)
				for id, m := range marks {
					want, ok := model[id].committable()
					if !ok || want != m {
						t.Fatalf("%v: committed %+v, model %+v %v", id, m, want, ok)
					}
					model[id].commit = m.offset
					log[id] = m.offset
				}
			},
			"": func(t *rapid.T) {
				outstanding := 0
				marks := l.committable()
				for id, m := range model {
					for _, d := range m.done {
						if !d {
							outstanding++
						}
					}
					want, ok := m.committable()
					got, has := marks[id]
					if ok != has || ok && got != want {
						t.Fatalf("%v: committable %+v %v, model %+v %v", id, got, has, want, ok)
					}
				}
				for id := range marks {
					if model[id] == nil {
						t.Fatalf("%v is not assigned and yet committable", id)
					}
				}
				if got := l.outstanding(); got != outstanding {
					t.Fatalf("outstanding %d, model %d", got, outstanding)
				}
			},
		})
	})
}

// fetch enters offsets, leader epoch 7, and returns their numbers.
func fetch(t testing.TB, a *assignment, offsets ...int64) []uint64 {
	t.Helper()
	first, err := a.fetched(len(offsets), func(i int) entry { return entry{offset: offsets[i], leaderEpoch: 7} })
	if err != nil {
		t.Fatal(err)
	}
	tickets := make([]uint64, len(offsets))
	for i := range offsets {
		tickets[i] = first.seq + uint64(i)
	}
	return tickets
}

// invariant B1: gaps left by compaction and by transaction markers neither
// hold a commit back nor let it run ahead.
func TestLedgerGaps(t *testing.T) {
	l := newLedger()
	id := partitionID{"in", 0}
	a := l.assign(id, 0)
	tk := fetch(t, a, 3, 4, 9, 20) // 0–2 compacted, 5–8 compacted, 10–19 aborted
	a.ack(tk[1:3])
	if m := l.committable(); len(m) != 0 {
		t.Errorf("committable %v while offset 3 is not done", m)
	}
	a.ack(tk[:1])
	if got, want := l.committable()[id], (mark{10, 7}); got != want {
		t.Errorf("committable %v, want %v: after 9, not up to 20", got, want)
	}
	a.ack(tk[3:])
	if got, want := l.committable()[id], (mark{21, 7}); got != want {
		t.Errorf("committable %v, want %v", got, want)
	}
	l.committedTo(l.committable())
	if m := l.committable(); len(m) != 0 {
		t.Errorf("committable %v again after the commit", m)
	}
}

// invariant B5: acknowledgements that come after the partition went away, and
// even after it came back, move nothing.
func TestLedgerLateAcks(t *testing.T) {
	l := newLedger()
	id := partitionID{"in", 0}
	before := l.assign(id, 0)
	old := fetch(t, before, 0, 1, 2)
	before.ack(old[:1])
	l.revoke(id)
	if m := l.committable(); len(m) != 0 {
		t.Errorf("committable %v after revoke", m)
	}
	again := l.assign(id, 0)
	fresh := fetch(t, again, 0, 1, 2)
	before.ack(old)
	if m := l.committable(); len(m) != 0 {
		t.Errorf("committable %v by late acknowledgements", m)
	}
	again.ack(fresh[:1])
	if got := l.committable()[id].offset; got != 1 {
		t.Errorf("committable %d, want 1", got)
	}
}

func BenchmarkLedger(b *testing.B) {
	const run = 500
	a := newLedger().assign(partitionID{"in", 0}, 0)
	var offset int64
	tickets := make([]uint64, run)
	b.ReportAllocs()
	for i := 0; i < b.N; i += run {
		first, err := a.fetched(run, func(i int) entry { return entry{offset: offset + int64(i)} })
		if err != nil {
			b.Fatal(err)
		}
		offset += run
		for j := range tickets {
			tickets[j] = first.seq + uint64((j+run/2)%run)
		}
		a.ack(tickets)
	}
	if _, ok := a.committable(); !ok {
		b.Fatal("nothing committable")
	}
}
