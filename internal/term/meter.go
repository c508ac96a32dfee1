package term

import "time"

// span is how far back a rate looks: long enough to be calm, short enough to
// show a stall.
const span = 5 * time.Second

// meter derives a rate from counts over the last few seconds.
type meter struct {
	points []point
}

type point struct {
	at time.Time
	n  int64
}

// rate takes the count at now and returns the rate per second, zero until
// enough time has passed to tell.
func (m *meter) rate(now time.Time, n int64) float64 {
	// Points closer than a tenth of a second only cost memory.
	if k := len(m.points); k < 2 || now.Sub(m.points[k-1].at) >= span/50 {
		m.points = append(m.points, point{now, n})
	}
	for len(m.points) > 2 && now.Sub(m.points[1].at) >= span {
		m.points = m.points[1:]
	}
	first := m.points[0]
	passed := now.Sub(first.at).Seconds()
	if passed < 0.2 {
		return 0
	}
	return max(0, float64(n-first.n)/passed)
}
