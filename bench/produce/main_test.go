package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bench/internal/event"
)

func TestPace(t *testing.T) {
	events, err := event.Make(event.JSON, 200, 2)
	if err != nil {
		t.Fatal(err)
	}
	type sent struct {
		Partition int32
		Event     string
	}
	var got []sent
	p := producer{rate: 4000, partitions: 2, events: events, send: func(r *kgo.Record) {
		got = append(got, sent{r.Partition, string(r.Value)})
	}}
	now := time.Now()
	a, b := string(events[0].Value), string(events[1].Value)
	var want []sent
	for _, step := range []struct {
		after time.Duration
		more  []sent
	}{
		{0, nil},
		{1 * time.Millisecond, []sent{{0, a}, {1, a}, {0, b}, {1, b}}},
		{1 * time.Millisecond, nil},
		{1500 * time.Microsecond, []sent{{0, a}, {1, a}}},
	} {
		p.until(step.after, now)
		want = append(want, step.more...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("after %v: %s", step.after, diff)
		}
	}
}
