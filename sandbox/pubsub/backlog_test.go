package pubsub

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model: what a subscription must do, written down naively. A message is
// waiting, out (leased), done (acknowledged, but kept because an earlier one
// of its key is out) or gone.
type modelMessage struct {
	name      string
	id        uint64
	published int64
	key       string
	held      *held // as it was delivered

	state    string
	lease    uint64
	deadline int64
	owner    *consumer
	attempts int32
}

type model struct {
	policy   policy
	now      time.Time
	messages []*modelMessage
	dead     int             // to be taken out
	dying    []*modelMessage // taken out or to be so, and neither buried nor back
	acked    []*modelMessage // retained
}

// available reports whether c may be given m.
func (m *model) available(c *consumer, msg *modelMessage) bool {
	if msg.state != "waiting" {
		return false
	}
	if msg.key == "" {
		return true
	}
	for _, o := range m.messages {
		if o.key != msg.key {
			continue
		}
		if o == msg {
			break
		}
		if o.state == "waiting" || o.state == "out" && o.owner != c {
			return false
		}
	}
	return true
}

func (m *model) byLease(lease uint64) *modelMessage {
	for _, msg := range m.messages {
		if msg.state == "out" && msg.lease == lease {
			return msg
		}
	}
	return nil
}

func (m *model) ack(lease uint64) {
	msg := m.byLease(lease)
	if msg == nil {
		return
	}
	msg.state = "done"
	m.settle()
}

// settle lets go of what is done and not kept for its key's order.
func (m *model) settle() {
	kept := map[string]bool{}
	for _, msg := range m.messages {
		switch {
		case msg.key == "":
			if msg.state == "done" {
				msg.state = "gone"
				m.retain(msg)
			}
		case msg.state == "done" && !kept[msg.key]:
			msg.state = "gone"
			m.retain(msg)
		case msg.state == "out":
			kept[msg.key] = true
		}
	}
	m.messages = slices.DeleteFunc(m.messages, func(msg *modelMessage) bool { return msg.state == "gone" })
}

func (m *model) retain(msg *modelMessage) {
	if m.policy.retainAcked {
		m.acked = append(m.acked, msg)
	}
}

func (m *model) giveBack(msg *modelMessage) {
	at := slices.Index(m.messages, msg)
	for _, o := range m.messages[at:] {
		if o == msg || msg.key != "" && o.key == msg.key && (o.state == "out" || o.state == "done") {
			o.state, o.owner = "waiting", nil
		}
	}
	if m.policy.maxAttempts > 0 && msg.attempts >= m.policy.maxAttempts {
		msg.state = "gone"
		m.dead++
		m.dying = append(m.dying, msg)
	}
	m.settle()
}

func (m *model) expire() {
	all := slices.Clone(m.messages)
	slices.SortFunc(all, func(a, b *modelMessage) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.lease, b.lease))
	})
	for _, msg := range all {
		if msg.state == "out" && msg.deadline <= m.now.UnixNano() {
			m.giveBack(msg)
		}
	}
}

func (m *model) outstanding(c *consumer) (n, bytes int64) {
	for _, msg := range m.messages {
		if msg.state == "out" && msg.owner == c {
			n++
			bytes += int64(len(msg.name))
		}
	}
	return n, bytes
}

// TestBacklogAgainstModel drives a backlog and the model with the same steps.
func TestBacklogAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy{
			ordered:     rapid.Bool().Draw(t, "ordered"),
			maxAttempts: rapid.SampledFrom([]int32{0, 0, 3}).Draw(t, "max attempts"),
			retention:   100 * time.Hour,
			retainAcked: rapid.Bool().Draw(t, "retain acked"),
		}
		m := &model{policy: p, now: time.Unix(1_000_000, 0)}
		b := newBacklog(p)
		var consumers []*consumer
		var leases []uint64
		published := 0

		pick := func(t *rapid.T) uint64 {
			if len(leases) == 0 {
				t.Skip("nothing was leased yet")
			}
			return rapid.SampledFrom(leases).Draw(t, "lease")
		}
		steps := map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "messages") {
					key := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")
					msg := &modelMessage{name: fmt.Sprintf("m%d", published), state: "waiting", id: uint64(published), published: m.now.UnixNano()}
					published++
					if p.ordered {
						msg.key = key
					}
					m.messages = append(m.messages, msg)
					b.add(message{encoded: []byte(msg.name), orderingKey: key, id: msg.id, published: msg.published})
				}
			},
			"join": func(t *rapid.T) {
				if len(consumers) < 3 {
					consumers = append(consumers, &consumer{
						maxMessages: rapid.Int64Range(0, 5).Draw(t, "max messages"),
						maxBytes:    rapid.SampledFrom([]int64{0, 6}).Draw(t, "max bytes"),
					})
				}
			},
			"leave": func(t *rapid.T) {
				if len(consumers) == 0 {
					t.Skip("no consumer")
				}
				i := rapid.IntRange(0, len(consumers)-1).Draw(t, "consumer")
				b.leave(consumers[i])
				consumers = slices.Delete(consumers, i, i+1)
			},
			"take": func(t *rapid.T) {
				if len(consumers) == 0 {
					t.Skip("no consumer")
				}
				c := rapid.SampledFrom(consumers).Draw(t, "consumer")
				n := rapid.IntRange(1, 10).Draw(t, "limit")
				d := time.Duration(rapid.IntRange(10, 60).Draw(t, "seconds")) * time.Second
				expectReady := func(want bool) {
					if got := b.ready(c); got && !want {
						t.Fatalf("ready, but nothing is available")
					} else if !got && want {
						t.Fatalf("not ready, but something is available")
					}
				}
				full := func() bool {
					count, bytes := m.outstanding(c)
					return c.maxMessages > 0 && count >= c.maxMessages || c.maxBytes > 0 && bytes >= c.maxBytes
				}
				anything := func() bool {
					return slices.ContainsFunc(m.messages, func(msg *modelMessage) bool { return m.available(c, msg) })
				}
				expectReady(!full() && anything())
				taken := b.take(m.now, c, n, d, func(h *held) bool {
					if full() {
						t.Fatalf("%s was given to a full consumer", h.msg.encoded)
					}
					i := slices.IndexFunc(m.messages, func(msg *modelMessage) bool { return msg.name == string(h.msg.encoded) })
					if i < 0 {
						t.Fatalf("%s was given out, but it is gone", h.msg.encoded)
					}
					msg := m.messages[i]
					if !m.available(c, msg) {
						t.Fatalf("%s was given out, but it is %s or not the next of its key", msg.name, msg.state)
					}
					if slices.Contains(leases, h.lease) {
						t.Fatalf("ack id %d was given out twice", h.lease)
					}
					msg.attempts++
					if h.attempts != msg.attempts {
						t.Fatalf("%s: attempt %d, want %d", msg.name, h.attempts, msg.attempts)
					}
					msg.state, msg.lease, msg.deadline, msg.owner, msg.held = "out", h.lease, deadline(m.now, d), c, h
					leases = append(leases, h.lease)
					return true
				})
				if taken < n && !full() && anything() {
					t.Fatalf("took %d of up to %d, but more is available", taken, n)
				}
			},
			"ack": func(t *rapid.T) {
				lease := pick(t)
				b.ack(lease)
				m.ack(lease)
			},
			"refuse": func(t *rapid.T) {
				lease := pick(t)
				b.modify(lease, m.now, 0)
				if msg := m.byLease(lease); msg != nil {
					m.giveBack(msg)
				}
			},
			"extend": func(t *rapid.T) {
				lease := pick(t)
				d := time.Duration(rapid.IntRange(1, 100).Draw(t, "seconds")) * time.Second
				b.modify(lease, m.now, d)
				if msg := m.byLease(lease); msg != nil {
					msg.deadline = deadline(m.now, d)
				}
			},
			"wait": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 30_000).Draw(t, "milliseconds")) * time.Millisecond)
				b.expire(m.now)
				m.expire()
				if at, ok := b.nextDeadline(); ok && !at.After(m.now) {
					t.Fatalf("the next deadline %v is not after %v", at, m.now)
				}
			},
			"": func(t *rapid.T) {
				var bytes int64
				for _, msg := range m.messages {
					bytes += int64(len(msg.name))
				}
				if b.count != int64(len(m.messages)) || b.bytes != bytes {
					t.Fatalf("holds %d messages of %d bytes, want %d of %d", b.count, b.bytes, len(m.messages), bytes)
				}
				if len(b.dead) != m.dead {
					t.Fatalf("%d dead letters, want %d", len(b.dead), m.dead)
				}
				for _, c := range consumers {
					if n, bytes := m.outstanding(c); c.messages != n || c.bytes != bytes {
						t.Fatalf("a consumer has %d messages of %d bytes, want %d of %d", c.messages, c.bytes, n, bytes)
					}
				}
				for _, msg := range m.messages {
					if msg.state == "out" {
						if at, ok := b.nextDeadline(); !ok || at.UnixNano() > msg.deadline {
							t.Fatalf("the deadline of %s is not watched", msg.name)
						}
					}
				}
				m.checkAcked(t, b)
			},
		}
		maps.Copy(steps, m.seekSteps(b))
		t.Repeat(steps)
	})
}

// TestDeadlineHeapStaysSmall shows that leases that were acknowledged do not
// pile up in the heap until their deadlines.
func TestDeadlineHeapStaysSmall(t *testing.T) {
	b := newBacklog(policy{retention: time.Hour})
	now := time.Unix(1_000_000, 0)
	c := &consumer{}
	for range 100_000 {
		b.add(message{encoded: []byte("m"), published: now.UnixNano()})
		b.take(now, c, 1, 600*time.Second, func(h *held) bool { b.ack(h.lease); return true })
	}
	if n := len(b.deadlines); n > 2000 {
		t.Errorf("the heap has %d entries for %d leases", n, len(b.leases))
	}
	if b.count != 0 || b.bytes != 0 || c.messages != 0 || len(b.queue.ring) > 64 {
		t.Errorf("left behind: %d messages, %d bytes, %d outstanding, a ring of %d", b.count, b.bytes, c.messages, len(b.queue.ring))
	}
}

// TestRetention shows that a message past its retention is dropped, and that
// what follows it is delivered.
func TestRetention(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		b := newBacklog(policy{retention: time.Hour, ordered: ordered})
		start := time.Unix(1_000_000, 0)
		b.add(message{encoded: []byte("old"), orderingKey: "k", published: start.UnixNano()})
		b.add(message{encoded: []byte("new"), orderingKey: "k", published: start.Add(time.Hour).UnixNano()})
		var got []string
		b.take(start.Add(time.Hour+time.Second), &consumer{}, 10, time.Minute, func(h *held) bool {
			got = append(got, string(h.msg.encoded))
			return true
		})
		if !slices.Equal(got, []string{"new"}) || b.count != 1 {
			t.Errorf("ordered %v: got %v with %d held, want [new] with 1", ordered, got, b.count)
		}
	}
}

// TestExpiredGoFirstRefusedGoLast fixes the order of what is delivered again.
func TestExpiredGoFirstRefusedGoLast(t *testing.T) {
	b := newBacklog(policy{retention: time.Hour})
	now := time.Unix(1_000_000, 0)
	for _, name := range []string{"expired", "refused", "fresh"} {
		b.add(message{encoded: []byte(name), published: now.UnixNano()})
	}
	c := &consumer{}
	var leases []uint64
	b.take(now, c, 2, 10*time.Second, func(h *held) bool { leases = append(leases, h.lease); return true })
	b.modify(leases[1], now, 0)
	now = now.Add(11 * time.Second)
	b.expire(now)
	var got []string
	b.take(now, c, 10, time.Minute, func(h *held) bool { got = append(got, string(h.msg.encoded)); return true })
	if want := []string{"expired", "fresh", "refused"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
