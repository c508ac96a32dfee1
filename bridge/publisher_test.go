package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestJudge(t *testing.T) {
	want := map[codes.Code]verdict{
		codes.Canceled: transient, codes.Unknown: transient, codes.InvalidArgument: refused, codes.DeadlineExceeded: transient,
		codes.NotFound: blocked, codes.AlreadyExists: transient, codes.PermissionDenied: blocked, codes.ResourceExhausted: transient,
		codes.FailedPrecondition: blocked, codes.Aborted: transient, codes.OutOfRange: transient, codes.Unimplemented: blocked,
		codes.Internal: transient, codes.Unavailable: transient, codes.DataLoss: transient, codes.Unauthenticated: blocked,
	}
	for code, v := range want {
		if got, c := judge(status.Error(code, "x")); got != v || c != code {
			t.Errorf("%s: %s %s, want %s", code, got, c, v)
		}
	}
	if v, _ := judge(nil); v != accepted {
		t.Errorf("no error: %s", v)
	}
	if v, c := judge(fmt.Errorf("call: %w", context.DeadlineExceeded)); v != transient || c != codes.DeadlineExceeded {
		t.Errorf("deadline: %s %s", v, c)
	}
	if v, _ := judge(errors.New("anything")); v != transient {
		t.Errorf("unknown error: %s", v)
	}
}

func TestBackoff(t *testing.T) {
	b := DefaultBackoff()
	for _, v := range []verdict{transient, blocked} {
		first, longest := b.First, b.Max
		if v == blocked {
			first, longest = b.Blocked, b.Longest
		}
		var spread [2]time.Duration
		for attempt := 1; attempt < 2000; attempt++ {
			d := b.wait(v, attempt)
			if d < first/2 || d > longest {
				t.Fatalf("%s, attempt %d: %s", v, attempt, d)
			}
			spread[0], spread[1] = min(spread[0], d), max(spread[1], d)
		}
		if spread[1] < longest/2 {
			t.Errorf("%s: never longer than %s", v, spread[1])
		}
	}
}

func event1(size int) *event { return &event{entry: make([]byte, size)} }

func events(n, size int) []*event {
	list := make([]*event, n)
	for i := range list {
		list[i] = event1(size)
	}
	return list
}

// Batches keep both limits, the order, and lose nothing.
func TestLaneBatches(t *testing.T) {
	var pressure atomic.Bool
	l := newLane("t", time.Hour, 1000, 10, &pressure)
	for _, c := range []struct {
		in   []*event
		want []int
	}{
		{events(25, 1), []int{10, 10, 5}},
		{events(5, 400), []int{2, 2, 1}},
		{append(events(1, 5000), events(2, 1)...), []int{1, 2}}, // larger than a batch: alone
		{append(events(1, 1), events(1, 5000)...), []int{1, 1}},
	} {
		l.add(c.in)
		l.setFlush(true)
		var order []*event
		for i, n := range c.want {
			batch := l.take()
			if len(batch) != n {
				t.Errorf("batch %d has %d events, want %d", i, len(batch), n)
			}
			order = append(order, batch...)
		}
		for i := range c.in {
			if order[i] != c.in[i] {
				t.Fatalf("event %d is out of order", i)
			}
		}
		l.setFlush(false)
	}
	l.close()
	if l.take() != nil {
		t.Error("a closed lane gave a batch")
	}
}

// An open batch waits for linger and no longer, or until memory is short.
func TestLaneLinger(t *testing.T) {
	var pressure atomic.Bool
	l := newLane("t", 30*time.Millisecond, 1000, 10, &pressure)
	began := time.Now()
	l.add(events(1, 1))
	if batch := l.take(); len(batch) != 1 || time.Since(began) < 30*time.Millisecond {
		t.Errorf("%d events after %s", len(batch), time.Since(began))
	}
	slow := newLane("t", time.Hour, 1000, 10, &pressure)
	slow.add(events(1, 1))
	taken := make(chan int)
	go func() { taken <- len(slow.take()) }()
	pressure.Store(true)
	slow.wake()
	if n := <-taken; n != 1 {
		t.Errorf("%d events under pressure", n)
	}
	slow.add(events(1, 1)) // and added while there is pressure
	if n := len(slow.take()); n != 1 {
		t.Errorf("%d events under pressure", n)
	}
}

func TestBudget(t *testing.T) {
	pressed := make(chan struct{}, 10)
	b := newBudget(100, func() { pressed <- struct{}{} })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.addRecords(60)
	if !b.tryMessage(40) || b.tryMessage(1) {
		t.Fatal("the budget is not exact")
	}
	done := make(chan error, 1)
	go func() { done <- b.acquireMessage(ctx, 30) }()
	<-pressed
	if !b.pressure.Load() {
		t.Error("no pressure while somebody waits")
	}
	b.release(0, 5)
	select {
	case <-done:
		t.Fatal("more was given than there is")
	default:
	}
	b.release(0, 25)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if used, peak := b.used(); used != 100 || peak != 100 || b.pressure.Load() {
		t.Errorf("used %d, peak %d, pressure %v", used, peak, b.pressure.Load())
	}
	// Messages have a share of their own, or they could only go one at a time.
	b.release(0, 40)
	if !b.tryMessage(20) || !b.tryMessage(5) {
		t.Error("the messages' share is not theirs")
	}
	b.addRecords(40)
	if b.tryMessage(1) {
		t.Error("the messages got more than their share")
	}
	b.release(40, 0)
	b.addMessage(15)
	// A message alone goes, whatever the records hold: they wait for it.
	b.release(0, 40)
	b.addRecords(500)
	if !b.tryMessage(1000) {
		t.Error("the only message was held back: nothing would ever go on")
	}
	go func() { done <- b.poll(ctx, func() int64 { return 1 }) }()
	<-pressed
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
