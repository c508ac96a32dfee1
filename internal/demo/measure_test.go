package demo

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var l latencies
	for i := range 200 {
		l = append(l, time.Duration(i+1)*time.Second)
	}
	for p, want := range map[float64]time.Duration{50: 100 * time.Second, 99: 198 * time.Second, 100: 200 * time.Second, 0: time.Second} {
		if got := l.percentile(p); got != want {
			t.Errorf("p%v = %s, want %s", p, got, want)
		}
	}
	if got := (latencies{}).percentile(99); got != 0 {
		t.Errorf("p99 of nothing = %s", got)
	}
	if got := l[:1].percentile(1); got != time.Second {
		t.Errorf("p1 of one = %s", got)
	}
}

func TestDuplicatePercent(t *testing.T) {
	if got := (deliveries{Deliveries: 200, Events: 198}).duplicatePercent(); got != 1 {
		t.Errorf("got %v, want 1", got)
	}
	if got := (deliveries{}).duplicatePercent(); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestPercent(t *testing.T) {
	for _, tc := range []struct {
		part, whole int64
		want        float64
	}{{15728, 16459, 95.5586}, {731, 731, 100}, {999_999_999, 1_000_000_000, 99.9999}, {0, 5, 0}, {0, 0, 0}} {
		if got := percent(tc.part, tc.whole); got != tc.want {
			t.Errorf("percent(%d, %d) = %v, want %v", tc.part, tc.whole, got, tc.want)
		}
	}
}
