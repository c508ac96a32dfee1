package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// What a source receives waits in a bounded queue; what it has not taken when
// it is drained goes to the next reader at once; it leaves no goroutine behind.
func TestSource(t *testing.T) {
	p := newPlatform(t, 1)
	fs := flights(1, queueMessages+9000, 24*time.Hour, 1)
	p.publishFlights(1, fs)
	before := goleak.IgnoreCurrent()
	name := "projects/kappa-demo/subscriptions/flights-0"
	log := slog.New(slog.DiscardHandler)
	eventually := func(what string, cond func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !cond(); {
			<-time.After(5 * time.Millisecond)
			if time.Now().After(deadline) {
				t.Fatal("waiting for " + what)
			}
		}
	}
	queued := func(s *source) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.queue)
	}
	start := func() (*source, func()) {
		s := newSource(name, p.client.SubscriptionAdminClient, &Plan{Idle: time.Minute}, log)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		return s, func() { cancel(); <-done }
	}

	first, stop := start()
	eventually("a full queue", func() bool { return queued(first) >= queueMessages })
	got := map[string]bool{}
	take := func(s *source) (exhausted bool) {
		ms, _, exhausted, err := s.take(1500)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			got[m.ID] = true
		}
		if n := queued(s); n > queueMessages+1000 {
			t.Fatalf("%d messages wait", n)
		}
		return exhausted
	}
	take(first)
	first.drain()
	for !take(first) {
	}
	if len(got) == len(fs) {
		t.Fatal("everything fitted into the queue: the test shows nothing")
	}
	held := len(first.leases.held)
	if held != len(got) {
		t.Errorf("%d leases for %d messages", held, len(got))
	}
	if err := first.acknowledge(t.Context(), &runtime{log: log}); err != nil {
		t.Fatal(err)
	}
	stop()

	second, stop := start()
	eventually("the rest", func() bool { take(second); return len(got) == len(fs) })
	second.drain()
	stop() // gives everything back
	third, stop := start()
	again := len(fs) - held
	eventually("what was given back", func() bool { return queued(third) == again })
	third.drain()
	stop()
	goleak.VerifyNone(t, before)
}

// A subscription that does not exist ends the job with a hint.
func TestMissingSubscription(t *testing.T) {
	p := newPlatform(t, 1)
	r := p.start(spec(t, func(s *jobspecs.StreamJobSpec) { s.Sources.Count = 2 }), "flights-0", 1, newMemory())
	select {
	case err := <-r.done:
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Environment || e.Hint == "" || !strings.Contains(err.Error(), "subscriptions/flights-1") {
			t.Errorf("got %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the job goes on")
	}
}
