package pipeline

import (
	"testing"
	"time"
)

func TestWatermark(t *testing.T) {
	type step struct {
		after  time.Duration // wall clock, since the step before
		part   string        // "" reads nothing
		source int64         // seconds
		want   int64         // seconds; -1: unknown
	}
	const idle = 30 * time.Second
	for _, test := range []struct {
		name  string
		delay time.Duration
		steps []step
	}{
		{"unknown until something is read", 0, []step{{time.Second, "", 0, -1}, {idle, "", 0, -1}}},
		{"greatest of a partition", 0, []step{{0, "a", 10, 10}, {0, "a", 30, 30}, {0, "a", 20, 30}}},
		{"least of the partitions", 0, []step{{0, "a", 10, 10}, {0, "b", 10, 10}, {0, "a", 30, 10}, {0, "b", 20, 20}, {0, "b", 40, 30}}},
		{"never back when a slower partition appears", 0, []step{{0, "a", 50, 50}, {0, "b", 10, 50}, {0, "b", 60, 50}, {0, "a", 55, 55}}},
		{"an idle partition does not hold it", 0, []step{{0, "a", 10, 10}, {0, "b", 20, 10}, {idle - 1, "b", 30, 10}, {1, "", 0, 30}}},
		{"an idle partition that wakes does not set it back", 0, []step{{0, "a", 10, 10}, {idle, "b", 30, 30}, {0, "a", 11, 30}, {0, "b", 40, 30}, {0, "a", 35, 35}}},
		{"all idle: the greatest of all", 0, []step{{0, "a", 10, 10}, {0, "b", 20, 10}, {0, "c", 30, 10}, {idle, "", 0, 30}}},
		{"delay", 5 * time.Second, []step{{0, "a", 10, 5}, {0, "a", 12, 7}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWatermark(test.delay, idle)
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, s := range test.steps {
				now = now.Add(s.after)
				if s.part != "" {
					w.observe(s.part, s.source*1e6, now)
				}
				want := s.want * 1e6
				if s.want < 0 {
					want = unknownTime
				}
				if got := w.at(now); got != want {
					t.Errorf("step %d: watermark %d, want %d", i, got, want)
				}
			}
		})
	}
}
