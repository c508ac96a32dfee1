package pipeline

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// calls is what happens outside of the process, in order.
type calls struct {
	mu  sync.Mutex
	all []string
}

func (c *calls) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		c.all = append(c.all, what)
	}
}

func (c *calls) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// intercept notes acknowledgements.
func (c *calls) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if ack, ok := req.(*pubsubpb.AcknowledgeRequest); ok {
		c.add("ack", len(ack.GetAckIds()))
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

// A drain flushes windows that are open, waits for the sinks, and acknowledges
// only then. (P5)
func TestDrainFlushesThenAcknowledges(t *testing.T) {
	var c calls
	p := newPlatform(t, 2, grpc.WithUnaryInterceptor(c.intercept))
	s := spec(t, nil)
	fs := flights(1, 500, 30*time.Minute, 6) // one window and a bit
	m := newMemory()
	gate := make(chan struct{})
	m.before = func(table string) {
		if table == "stream_flights" {
			<-gate
		}
		c.add("write "+table, 1)
	}
	r := p.start(s, "flights-0", 1, m)
	p.publishFlights(2, fs)
	r.until("everything is read", func() bool { return m.count("raw_flights") == len(fs) })
	held := func() (n int64) {
		for _, s := range r.last().Sources {
			n += s.Held
		}
		return n
	}
	r.until("all are held", func() bool { return held() == int64(len(fs)) })

	close(r.drain)
	r.until("both sources are at their maximum", func() bool {
		rep := r.last()
		return len(rep.Sources) == 2 && rep.Sources[0].AtMaximum && rep.Sources[1].AtMaximum
	})
	if got := m.count("stream_flights"); got != 0 {
		t.Errorf("%d panes are written through a closed gate", got)
	}
	if n := held(); n != int64(len(fs)) {
		t.Errorf("%d messages are held while the sinks write, want %d", n, len(fs))
	}
	if slices.Contains(c.list(), "ack") {
		t.Error("messages were acknowledged before the sinks had written")
	}
	close(gate)
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	all := c.list()
	first := slices.Index(all, "ack")
	if got := len(all) - first; first < 0 || got != len(fs) {
		t.Errorf("%d acknowledgements at the end, want %d", got, len(fs))
	}
	for _, call := range all[max(first, 0):] {
		if call != "ack" {
			t.Errorf("%q after the first acknowledgement", call)
		}
	}
	m.same(t, s.Spec.Aggregations[0], truth(fs))
	if rep := r.last(); !rep.Drained || held() != 0 {
		t.Errorf("last report %+v", rep)
	}
}

// A job that is stopped without a drain has acknowledged nothing: the next
// generation reads everything again, and with the first one void the truth
// comes out. (P5)
func TestStoppedJobAcknowledgesNothing(t *testing.T) {
	var c calls
	p := newPlatform(t, 2, grpc.WithUnaryInterceptor(c.intercept))
	s := spec(t, nil)
	fs := flights(1, 1000, 10*time.Hour, 6)
	m := newMemory()
	ctx, stop := context.WithCancel(t.Context())
	p.ctx = ctx
	r := p.start(s, "flights-0", 1, m)
	p.publishFlights(2, fs)
	r.until("panes are written", func() bool { return m.count("raw_flights") == len(fs) && m.count("stream_flights") > 20 })
	stop()
	if err := <-r.done; err == nil {
		t.Error("a job that was stopped reports success")
	}
	if slices.Contains(c.list(), "ack") {
		t.Error("messages were acknowledged")
	}
	p.ctx = t.Context()
	r = p.start(s, "flights-0", 2, m)
	r.until("everything is read again", func() bool { return m.count("raw_flights") == 2*len(fs) })
	r.drained()
	want := truth(fs)
	if got := m.read(t, s.Spec.Aggregations[0], "flights-0@1"); len(got) != len(want) {
		t.Errorf("%d windows, want %d", len(got), len(want))
	} else {
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s, want %s", k, got[k], v)
			}
		}
	}
}

// A drain of a job that has read nothing, and one that comes before the
// sources are read at all, ends.
func TestDrainEmpty(t *testing.T) {
	p := newPlatform(t, 1)
	r := p.start(spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count = 1 }), "flights-0", 1, newMemory())
	r.drained()
	if rep := r.last(); !rep.Drained || !rep.Sources[0].AtMaximum {
		t.Errorf("last report %+v", rep)
	}
}

func TestLeases(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var l leases
	l.add([]*pubsubpb.ReceivedMessage{{AckId: "new"}}, now)
	l.held = append(l.held, &lease{id: "fresh", until: now.Add(ackDeadline)}, &lease{id: "half", until: now.Add(ackDeadline / 2)}, &lease{id: "lapsed", until: now.Add(-1)})
	if got := ids(l.due(now)); !slices.Equal(got, []string{"new", "half"}) {
		t.Errorf("due: %v", got)
	}
	if len(l.held) != 3 {
		t.Errorf("held %v: what has lapsed is no longer held", ids(l.held))
	}
}
