package report

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/kappa-migrate/kappa/compare"
)

// This file turns a result into shapes for the HTML report, without I/O.
// Floating point is for drawing alone.

// Chart is an SVG drawing: a viewBox of Width × Height with shapes in it.
type chart struct {
	ID            string
	Title         string
	Description   string
	Width, Height int
	Rects         []rect
	Lines         []line
	Paths         []path
	Marks         []chartMark
	Labels        []label
}

type rect struct {
	X, Y, W, H string
	Class      string
	Opacity    string
	Title      string
}

type line struct{ X1, Y1, X2, Y2, Class string }

type path struct{ D, Class string }

// chartMark is a point whose shape says what it is, for those who cannot tell colours
// apart.
type chartMark struct{ X, Y, Class, D, Title string }

type label struct {
	X, Y   string
	Anchor string
	Class  string
	Text   string
}

func px(f float64) string { return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64) }

// bucket is one or more adjacent windows, drawn as one bar.
type bucket struct {
	start   time.Time
	size    time.Duration
	counts  compare.Counts
	metrics []*big.Rat // signed differences

	unexplained int64
}

// Plot areas.
const (
	chartWidth = 960
	plotLeft   = 56
	plotRight  = chartWidth - 12
	maxBars    = 240
	day        = 24 * time.Hour
)

// buckets groups windows so that at most maxBars are drawn: by window, day, or
// a power of two of days. Time without keys is no bucket, but leaves its gap.
func buckets(r *compare.Result) (bs []bucket, size time.Duration) {
	if len(r.Windows) == 0 {
		return nil, 0
	}
	size, err := time.ParseDuration(r.Scope.WindowSize)
	if err != nil || size <= 0 {
		return nil, 0
	}
	span := r.Windows[len(r.Windows)-1].Start.Sub(r.Windows[0].Start) + size
	if span/size > maxBars && size < day {
		size = day
	}
	for span/size > maxBars {
		size *= 2
	}
	for _, w := range r.Windows {
		start := floor(w.Start, size)
		if n := len(bs); n == 0 || !bs[n-1].start.Equal(start) {
			b := bucket{start: start, size: size, metrics: make([]*big.Rat, len(r.Metrics))}
			for i := range b.metrics {
				b.metrics[i] = new(big.Rat)
			}
			bs = append(bs, b)
		}
		b := &bs[len(bs)-1]
		c := &b.counts
		c.Total += w.Counts.Total
		c.Exact += w.Counts.Exact
		c.Tolerated += w.Counts.Tolerated
		c.Mismatch += w.Counts.Mismatch
		c.Missing += w.Counts.Missing
		c.Extra += w.Counts.Extra
		c.Nonunique += w.Counts.Nonunique
		b.unexplained += w.Unexplained
		for i, m := range r.Metrics {
			d, _ := delta(w.Metrics, m.Name)
			b.metrics[i].Add(b.metrics[i], decimal(d.Difference))
		}
	}
	return bs, size
}

// decimal reads a decimal text of a result; 0 for any other.
func decimal(s string) *big.Rat {
	if n, ok := new(big.Rat).SetString(s); ok {
		return n
	}
	return new(big.Rat)
}

// floor and ceil align to multiples of size since the Unix epoch, as windows are.
func floor(t time.Time, size time.Duration) time.Time {
	us, n := t.UnixMicro(), size.Microseconds()
	return time.UnixMicro(us - (us%n+n)%n).UTC()
}

func ceil(t time.Time, size time.Duration) time.Time {
	if f := floor(t, size); !f.Equal(t) {
		return f.Add(size)
	}
	return t.UTC()
}

// timeAxis maps times to columns and labels midnights, thinned so that labels
// do not overlap.
type timeAxis struct {
	from time.Time
	span time.Duration
}

func newTimeAxis(bs []bucket) timeAxis {
	last := bs[len(bs)-1]
	return timeAxis{bs[0].start, last.start.Add(last.size).Sub(bs[0].start)}
}

func (a timeAxis) x(t time.Time) float64 {
	return plotLeft + float64(t.Sub(a.from))/float64(a.span)*(plotRight-plotLeft)
}

func (a timeAxis) width(d time.Duration) float64 {
	return float64(d) / float64(a.span) * (plotRight - plotLeft)
}

func (a timeAxis) draw(c *chart, y float64) {
	const room = 84.0 // columns that a label needs
	step, layout := day, "2 Jan 2006"
	if a.span < 2*day {
		step, layout = time.Hour, "2 Jan 15:04"
	}
	for a.width(step) < room {
		step *= 2
	}
	for t := ceil(a.from, step); t.Before(a.from.Add(a.span)); t = t.Add(step) {
		c.Lines = append(c.Lines, line{px(a.x(t)), px(y), px(a.x(t)), px(y + 4), "axis"})
		c.Labels = append(c.Labels, label{px(a.x(t)), px(y + 18), "start", "tick", t.Format(layout)})
	}
}

// niceStep returns a step of 1, 2 or 5 times a power of ten that divides limit
// into at most n parts.
func niceStep(limit float64, n int) float64 {
	if limit <= 0 {
		return 1
	}
	base := math.Pow(10, math.Floor(math.Log10(limit/float64(n))))
	for _, f := range []float64{1, 2, 5, 10} {
		if limit/(base*f) <= float64(n) {
			return base * f
		}
	}
	return base * 10
}

func tickText(v float64) string {
	abs, suffix := math.Abs(v), ""
	for _, u := range []struct {
		at float64
		s  string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if abs >= u.at {
			at := u.at
			if u.s == "k" {
				at = 1e3
			}
			v, suffix = v/at, u.s
			break
		}
	}
	return strconv.FormatFloat(v, 'f', -1, 64) + suffix
}

// differingClasses are drawn, from the bottom up.
var differingClasses = []string{compare.ClassMismatch, compare.ClassExtra, compare.ClassMissing, compare.ClassNonunique}

// overTime draws the share of keys that differ, by class, and the gate.
func overTime(r *compare.Result, gate float64) *chart {
	bs, size := buckets(r)
	if len(bs) == 0 {
		return nil
	}
	const top, bottom, height = 14.0, 200.0, 230
	c := &chart{ID: "time", Title: "Exact over time", Width: chartWidth, Height: height}
	worst := 0.0
	for _, b := range bs {
		worst = max(worst, percent(b.counts.Differing(), b.counts.Total))
	}
	limit := max(worst, min(100, (100-gate)*1.25), 1)
	step := niceStep(limit, 5)
	limit = math.Ceil(limit/step) * step
	y := func(v float64) float64 { return bottom - v/limit*(bottom-top) }
	for i := 0; float64(i)*step <= limit+step/2; i++ {
		v := float64(i) * step
		c.Lines = append(c.Lines, line{px(plotLeft), px(y(v)), px(plotRight), px(y(v)), "grid"})
		c.Labels = append(c.Labels, label{px(plotLeft - 8), px(y(v) + 4), "end", "tick", tickText(math.Round(v*1000)/1000) + " %"})
	}
	axis := newTimeAxis(bs)
	for _, b := range bs {
		below := 0.0
		x, w := axis.x(b.start), axis.width(b.size)
		title := bucketTitle(b)
		for _, class := range differingClasses {
			v := percent(b.counts.Of(class), b.counts.Total)
			if v == 0 {
				continue
			}
			c.Rects = append(c.Rects, rect{px(x + w*.06), px(y(below + v)), px(w * .88), px(y(below) - y(below+v)), class, "1", title})
			below += v
		}
		// Over the whole height, so that a bar of nothing has a tooltip too.
		c.Rects = append(c.Rects, rect{px(x), px(top), px(w), px(bottom - top), "hover", "1", title})
	}
	if gate > 0 {
		c.Lines = append(c.Lines, line{px(plotLeft), px(y(100 - gate)), px(plotRight), px(y(100 - gate)), "gate"})
	}
	axis.draw(c, bottom)
	c.Description = fmt.Sprintf("What is lacking from 100 %% exact per %s, by class; at worst %.2f %% of keys differ.", sizeText(size), worst)
	if gate > 0 {
		c.Description += fmt.Sprintf(" The dashed line is the gate: %s %% may differ.", tickText(math.Round((100-gate)*1000)/1000))
	}
	return c
}

func bucketTitle(b bucket) string {
	s := b.start.Format("2006-01-02 15:04") + " UTC: " + countOf(b.counts.Total, "key") + ", " + compare.NewRatio(b.counts.Exact, b.counts.Total).Percent(2) + " % exact"
	for _, class := range differingClasses {
		if n := b.counts.Of(class); n > 0 {
			s += ", " + count(n) + " " + class
		}
	}
	if b.unexplained > 0 {
		s += ", " + count(b.unexplained) + " unexplained"
	}
	return s
}

func sizeText(d time.Duration) string {
	switch {
	case d == time.Hour:
		return "hour"
	case d == day:
		return "day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return d.String()
}

func percent(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of) * 100
}

// differences draws the signed difference of metric i over time.
func differences(r *compare.Result, i int) *chart {
	bs, size := buckets(r)
	if len(bs) == 0 {
		return nil
	}
	m := r.Metrics[i]
	const top, bottom, height = 10.0, 110.0, 136
	c := &chart{ID: fmt.Sprintf("diff%d", i), Title: "Difference of " + m.Name + ", stream - batch", Width: chartWidth, Height: height}
	low, high := 0.0, 0.0
	values := make([]float64, len(bs))
	for k, b := range bs {
		values[k], _ = b.metrics[i].Float64()
		low, high = min(low, values[k]), max(high, values[k])
	}
	if low == 0 && high == 0 {
		high = 1
	}
	step := niceStep(high-low, 4)
	low, high = math.Floor(low/step)*step, math.Ceil(high/step)*step
	y := func(v float64) float64 { return bottom - (v-low)/(high-low)*(bottom-top) }
	for k := 0; low+float64(k)*step <= high+step/2; k++ {
		v := math.Round((low+float64(k)*step)*1000) / 1000
		class := "grid"
		if v == 0 {
			class = "axis"
		}
		c.Lines = append(c.Lines, line{px(plotLeft), px(y(v)), px(plotRight), px(y(v)), class})
		c.Labels = append(c.Labels, label{px(plotLeft - 8), px(y(v) + 4), "end", "tick", tickText(v)})
	}
	axis := newTimeAxis(bs)
	for k, b := range bs {
		if values[k] == 0 {
			continue
		}
		x, w := axis.x(b.start), axis.width(b.size)
		class := "more"
		if values[k] < 0 {
			class = "less"
		}
		c.Rects = append(c.Rects, rect{px(x + w*.06), px(min(y(values[k]), y(0))), px(w * .88), px(math.Abs(y(values[k]) - y(0))), class, "1",
			b.start.Format("2006-01-02 15:04") + " UTC: " + signed(b.metrics[i].String())})
	}
	axis.draw(c, bottom)
	c.Description = fmt.Sprintf("Signed difference per %s; %s in all, %s in absolute terms.", sizeText(size), signed(m.Difference), digits(m.Absolute))
	return c
}
