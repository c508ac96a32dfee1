package pipeline

import "time"

// watermark derives the watermark of one subscription from the records it
// carries: the smallest, over the Kafka partitions seen, of the greatest record
// time read, less a delay. A partition without a message for the idle time no
// longer holds it back; once all are idle it stands at the greatest record
// time of all. It never goes back.
//
// Times are microseconds since the epoch; now is the wall clock, given by the
// caller.
type watermark struct {
	delay int64
	idle  time.Duration
	parts map[string]*partition
	value int64
}

type partition struct {
	greatest int64
	seen     time.Time
}

func newWatermark(delay, idle time.Duration) *watermark {
	return &watermark{delay: delay.Microseconds(), idle: idle, parts: map[string]*partition{}, value: unknownTime}
}

// observe takes note of a record of a Kafka partition.
func (w *watermark) observe(part string, sourceTime int64, now time.Time) {
	p, ok := w.parts[part]
	if !ok {
		p = &partition{greatest: sourceTime}
		w.parts[part] = p
	}
	p.greatest = max(p.greatest, sourceTime)
	p.seen = now
}

// at returns the watermark at now, unknownTime as long as nothing was read.
func (w *watermark) at(now time.Time) int64 {
	if len(w.parts) == 0 {
		return w.value
	}
	least, greatest := int64(1<<63-1), int64(unknownTime)
	active := false
	for _, p := range w.parts {
		greatest = max(greatest, p.greatest)
		if now.Sub(p.seen) < w.idle {
			active, least = true, min(least, p.greatest)
		}
	}
	if !active {
		least = greatest
	}
	w.value = max(w.value, least-w.delay)
	return w.value
}
