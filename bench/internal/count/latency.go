package count

import (
	"math"
	"sync/atomic"
	"time"
)

// Latencies is a histogram of durations in steps of 100 µs up to six seconds.
// Safe for concurrent use.
type Latencies struct {
	steps [60_001]atomic.Uint32
	n     atomic.Int64
	max   atomic.Int64
}

const latencyStep = 100 * time.Microsecond

// Add adds n durations of d.
func (l *Latencies) Add(d time.Duration, n int) {
	at := min(max(d/latencyStep, 0), time.Duration(len(l.steps)-1))
	l.steps[at].Add(uint32(n))
	l.n.Add(int64(n))
	for {
		old := l.max.Load()
		if int64(d) <= old || l.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// Reset forgets all durations.
func (l *Latencies) Reset() {
	for i := range l.steps {
		l.steps[i].Store(0)
	}
	l.n.Store(0)
	l.max.Store(0)
}

// Percentiles are in milliseconds.
type Percentiles struct {
	N   int64   `json:"n"`
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Percentiles returns the upper bounds of the steps that hold the percentiles.
func (l *Latencies) Percentiles() Percentiles {
	p := Percentiles{N: l.n.Load(), Max: float64(l.max.Load()) / 1e6}
	of := []struct {
		share float64
		to    *float64
	}{{0.5, &p.P50}, {0.9, &p.P90}, {0.99, &p.P99}}
	var sum int64
	for i := range l.steps {
		n := l.steps[i].Load()
		if n == 0 {
			continue
		}
		sum += int64(n)
		for len(of) > 0 && sum >= int64(math.Ceil(of[0].share*float64(p.N))) {
			*of[0].to = float64(i+1) * latencyStep.Seconds() * 1e3
			of = of[1:]
		}
	}
	return p
}

// Clock reads time attributes. Most of them begin as the one before: only the
// seconds are read then. Not safe for concurrent use.
type Clock struct {
	minute string // "2006-01-02T15:04:"
	unix   int64  // of it, in milliseconds
}

const minuteLen = len("2006-01-02T15:04:")

// Millis returns the Unix milliseconds of "2006-01-02T15:04:05.000Z", the form
// that the bridge writes; false for every other form.
func (c *Clock) Millis(text []byte) (int64, bool) {
	if len(text) != minuteLen+len("05.000Z") || text[minuteLen+2] != '.' || text[minuteLen+6] != 'Z' {
		return 0, false
	}
	if string(text[:minuteLen]) != c.minute {
		t, err := time.Parse("2006-01-02T15:04:05Z", string(text[:minuteLen])+"00Z")
		if err != nil {
			return 0, false
		}
		c.minute, c.unix = string(text[:minuteLen]), t.UnixMilli()
	}
	var v int64
	for _, i := range []int{0, 1, 3, 4, 5} {
		d := text[minuteLen+i] - '0'
		if d > 9 {
			return 0, false
		}
		v = v*10 + int64(d)
	}
	return c.unix + v, true
}
