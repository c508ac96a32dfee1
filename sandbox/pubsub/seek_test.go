package pubsub

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Snapshots and seeks, for the model of the backlog.

// unacknowledged is what a snapshot must hold: everything that is in the
// subscription, and dead letters on their way.
func (m *model) unacknowledged() []*modelMessage {
	out := slices.Concat(m.messages, m.dying)
	slices.SortFunc(out, func(a, b *modelMessage) int { return cmp.Compare(a.id, b.id) })
	return out
}

// seek makes exactly some messages waiting, and retains all others.
func (m *model) seek(waiting []*modelMessage) {
	others := slices.Concat(m.messages, m.dying, m.acked)
	m.messages, m.dying, m.acked, m.dead = nil, nil, nil, 0
	for _, msg := range waiting {
		m.messages = append(m.messages, &modelMessage{name: msg.name, id: msg.id, published: msg.published, key: msg.key, state: "waiting"})
	}
	for _, msg := range others {
		if !slices.ContainsFunc(waiting, func(w *modelMessage) bool { return w.id == msg.id }) {
			m.retain(msg)
		}
	}
}

// checkAcked compares the acknowledged messages that are retained.
func (m *model) checkAcked(t *rapid.T, b *backlog) {
	var want, got []string
	var bytes int64
	for _, msg := range m.acked {
		want = append(want, msg.name)
		bytes += int64(len(msg.name))
	}
	for _, msg := range b.acked {
		got = append(got, string(msg.encoded))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || b.ackedBytes != bytes {
		t.Fatalf("retains %v of %d bytes, want %v of %d", got, b.ackedBytes, want, bytes)
	}
}

// seekSteps returns the steps of snapshots, seeks and dead letters.
func (m *model) seekSteps(b *backlog) map[string]func(*rapid.T) {
	type pair struct {
		want []*modelMessage
		got  []message
	}
	var snapshots []pair
	var taken []*held // dead letters that are being published
	return map[string]func(*rapid.T){
		"snapshot": func(t *rapid.T) {
			p := pair{m.unacknowledged(), b.unacknowledged(m.now)}
			var want, got []string
			for _, msg := range p.want {
				want = append(want, msg.name)
			}
			for _, msg := range p.got {
				got = append(got, string(msg.encoded))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("the snapshot holds %v, want %v", got, want)
			}
			snapshots = append(snapshots, p)
		},
		"seek to a snapshot": func(t *rapid.T) {
			if len(snapshots) == 0 {
				t.Skip("no snapshot")
			}
			p := rapid.SampledFrom(snapshots).Draw(t, "snapshot")
			b.reset(seekSnapshot(p.got)(b.unacknowledged(m.now), b.acked))
			m.seek(p.want)
		},
		"seek to a time": func(t *rapid.T) {
			at := m.now.Add(time.Duration(rapid.IntRange(-300, 10).Draw(t, "seconds")) * time.Second).UnixNano()
			b.reset(seekTime(at)(b.unacknowledged(m.now), b.acked))
			m.seek(slices.DeleteFunc(slices.Concat(m.unacknowledged(), m.acked), func(msg *modelMessage) bool { return msg.published < at }))
			slices.SortFunc(m.messages, func(a, b *modelMessage) int { return cmp.Compare(a.id, b.id) })
		},
		"take out dead letters": func(*rapid.T) {
			taken = append(taken, b.dead...)
			b.dead, m.dead = nil, 0
		},
		"dead letter is published": func(t *rapid.T) {
			if len(taken) == 0 {
				t.Skip("no dead letter")
			}
			h := taken[0]
			taken = taken[1:]
			b.bury(h)
			if i := m.dyingAt(h); i >= 0 {
				m.retain(m.dying[i])
				m.dying = slices.Delete(m.dying, i, i+1)
			}
		},
		"dead letter comes back": func(t *rapid.T) {
			if len(taken) == 0 || m.policy.ordered {
				t.Skip("no dead letter") // or one whose place is not defined: others of its key may be out
			}
			h := taken[0]
			taken = taken[1:]
			b.restore(h)
			if i := m.dyingAt(h); i >= 0 {
				m.dying[i].state = "waiting"
				m.messages = append(m.messages, m.dying[i])
				m.dying = slices.Delete(m.dying, i, i+1)
			}
		},
	}
}

// dyingAt returns the place of h among the dying, or -1 if a seek has decided
// on its message since.
func (m *model) dyingAt(h *held) int {
	return slices.IndexFunc(m.dying, func(msg *modelMessage) bool { return msg.held == h })
}

// TestSeekDecidesOnDeadLetters seeks while a dead letter is being published: it
// is in a snapshot, and comes neither back nor to rest once the seek is over.
func TestSeekDecidesOnDeadLetters(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, ordered := range []bool{false, true} {
		for _, published := range []bool{false, true} {
			for _, sought := range []bool{false, true} {
				b := newBacklog(policy{retention: time.Hour, maxAttempts: 1, retainAcked: true, ordered: ordered})
				b.add(message{encoded: []byte("m"), orderingKey: "k", published: now.UnixNano()})
				b.take(now, &consumer{}, 1, time.Minute, func(h *held) bool { return true })
				b.modify(1, now, 0)
				if len(b.dead) != 1 || b.count != 0 {
					t.Fatalf("%d dead letters and %d messages, want 1 and 0", len(b.dead), b.count)
				}
				h, wantPending, wantAcked := b.dead[0], 1, 0
				b.dead = nil
				snapshot := b.unacknowledged(now)
				if len(snapshot) != 1 {
					t.Fatalf("the snapshot holds %d messages, want 1", len(snapshot))
				}
				if sought {
					b.reset(seekSnapshot(snapshot)(snapshot, b.acked))
				}
				if published {
					b.bury(h)
				} else {
					b.restore(h)
				}
				if published && !sought {
					wantPending, wantAcked = 0, 1
				}
				if int(b.count) != wantPending || len(b.unacknowledged(now)) != wantPending || len(b.acked) != wantAcked {
					t.Errorf("ordered %v, published %v, sought %v: %d pending and %d acknowledged, want %d and %d",
						ordered, published, sought, b.count, len(b.acked), wantPending, wantAcked)
				}
			}
		}
	}
}

func TestSinceEpoch(t *testing.T) {
	for _, tt := range []struct {
		at   time.Time
		want int64
	}{
		{time.Unix(1_700_000_000, 123), 1_700_000_000_000_000_123},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), math.MaxInt64},
		{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), math.MinInt64},
	} {
		if got := sinceEpoch(tt.at); got != tt.want {
			t.Errorf("%v is %d, want %d", tt.at, got, tt.want)
		}
	}
}
