package drain

import "time"

// Sliding window of samples that a rate is taken over: long enough to smooth
// the service's updates, which come every few seconds, short enough to follow
// a change.
const (
	rateWindow  = 2 * time.Minute
	rateSamples = 256
)

// Rate follows a watermark and says how fast it moves. The zero value is
// ready for use. It does no I/O and reads no clock.
type Rate struct {
	samples []sample // in order of time
}

type sample struct {
	at        time.Time // when it was read
	watermark time.Time
}

// Add adds what was read at a time. Unknown watermarks and the maximum have no
// place on the scale and are left out.
func (r *Rate) Add(at time.Time, w Watermark) {
	t, ok := w.Time()
	if !ok {
		return
	}
	r.samples = append(r.samples, sample{at: at, watermark: t})
	for len(r.samples) > 2 && (len(r.samples) > rateSamples || at.Sub(r.samples[0].at) > rateWindow) {
		r.samples = r.samples[1:]
	}
}

// PerSecond is the event time, in seconds, that the watermark gains in a
// second; false where that is not known.
func (r *Rate) PerSecond() (float64, bool) {
	if len(r.samples) < 2 {
		return 0, false
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	wall := last.at.Sub(first.at)
	if wall <= 0 {
		return 0, false
	}
	return float64(last.watermark.Sub(first.watermark)) / float64(wall), true
}

// longestETA bounds what is worth saying.
const longestETA = 30 * 24 * time.Hour

// ETA is how long the watermark takes to the target at its rate; false where
// that is not known, or where it does not move.
func (r *Rate) ETA(target time.Time) (time.Duration, bool) {
	perSecond, ok := r.PerSecond()
	if !ok || target.IsZero() {
		return 0, false
	}
	left := target.Sub(r.samples[len(r.samples)-1].watermark)
	if left <= 0 {
		return 0, true
	}
	if perSecond <= 0 {
		return 0, false
	}
	if eta := float64(left) / perSecond; eta < float64(longestETA) {
		return time.Duration(eta), true
	}
	return 0, false
}

// SourceProgress is a source and how its watermark moves.
type SourceProgress struct {
	Source
	// PerSecond is the event time that it gains in a second, in seconds; nil: not known.
	PerSecond *float64
	// ETA is when its backlog is gone, as it shrinks now; 0: not known.
	ETA time.Duration
}

// tracker turns readings of one job into progress.
type tracker struct {
	sources  map[string]*Rate      // by name
	backlogs map[string]*shrinking // by name
	pipeline Rate
	target   time.Time // greatest source watermark seen: what has to go through
}

// add takes a reading and returns the sources' progress, and the time that is
// left until everything that was read has gone through, 0: not known.
func (t *tracker) add(r Reading) ([]SourceProgress, time.Duration) {
	if t.sources == nil {
		t.sources, t.backlogs = map[string]*Rate{}, map[string]*shrinking{}
	}
	out := make([]SourceProgress, 0, len(r.Sources))
	for _, s := range r.Sources {
		rate, ok := t.sources[s.Name()]
		if !ok {
			rate = &Rate{}
			t.sources[s.Name()], t.backlogs[s.Name()] = rate, &shrinking{}
		}
		rate.Add(r.At, s.Watermark)
		p := SourceProgress{Source: s}
		if v, ok := rate.PerSecond(); ok && !s.Watermark.AtMaximum() {
			p.PerSecond = &v
		}
		t.backlogs[s.Name()].add(r.At, s.Backlog)
		p.ETA = t.backlogs[s.Name()].eta()
		out = append(out, p)
	}
	t.pipeline.Add(r.At, r.Pipeline)
	if at := r.newest(); at.After(t.target) {
		t.target = at
	}
	// While the sources still move the target does too: an ETA to it would
	// be a promise about messages that nobody has seen.
	if !r.Watermark().AtMaximum() || r.Pipeline.AtMaximum() {
		return out, 0
	}
	eta, _ := t.pipeline.ETA(t.target)
	return out, eta
}
