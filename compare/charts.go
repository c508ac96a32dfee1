package compare

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
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
	Labels        []label
}

type rect struct {
	X, Y, W, H string
	Class      string
	Opacity    string
	Title      string
}

type line struct{ X1, Y1, X2, Y2, Class string }

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
	counts  Counts
	metrics []*big.Int // signed differences
}

// Plot areas.
const (
	chartWidth  = 960
	plotLeft    = 56
	plotRight   = chartWidth - 12
	maxBars     = 240
	day         = 24 * time.Hour
	maxHeatDays = 62
)

// buckets groups windows so that at most maxBars are drawn: by window, day, or
// a power of two of days. Time without keys is no bucket, but leaves its gap.
func buckets(r *Result) (bs []bucket, size time.Duration) {
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
			b := bucket{start: start, size: size, metrics: make([]*big.Int, len(r.Metrics))}
			for i := range b.metrics {
				b.metrics[i] = new(big.Int)
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
		for i, m := range w.Metrics {
			b.metrics[i].Add(b.metrics[i], number(m.Difference))
		}
	}
	return bs, size
}

func number(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return new(big.Int)
	}
	return n
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
var differingClasses = []string{ClassMismatch, ClassExtra, ClassMissing, ClassNonunique}

// overTime draws the share of keys that differ, by class, and the gate.
func overTime(r *Result, gate float64) *chart {
	bs, size := buckets(r)
	if len(bs) == 0 {
		return nil
	}
	const top, bottom, height = 14.0, 200.0, 230
	c := &chart{ID: "time", Title: "Keys that differ, over time", Width: chartWidth, Height: height}
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
	c.Description = fmt.Sprintf("Share of keys that are not exact per %s; the highest is %.2f %%.", sizeText(size), worst)
	if gate > 0 {
		c.Description += fmt.Sprintf(" The dashed line is the gate, which holds over all keys: %s %%.", tickText(math.Round((100-gate)*1000)/1000))
	}
	return c
}

func bucketTitle(b bucket) string {
	s := b.start.Format("2006-01-02 15:04") + " UTC: " + countOf(b.counts.Total, "key") + ", " + NewRatio(b.counts.Exact, b.counts.Total).Percent(2) + " % exact"
	for _, class := range differingClasses {
		if n := b.counts.Of(class); n > 0 {
			s += ", " + count(n) + " " + class
		}
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
	}
	return d.String()
}

func percent(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of) * 100
}

// heatMap draws days × hours of the day, coloured by the share of keys that
// differ; nil where windows are longer than an hour or less than a day is there.
func heatMap(r *Result) *chart {
	size, err := time.ParseDuration(r.Scope.WindowSize)
	if err != nil || size > time.Hour || len(r.Windows) == 0 {
		return nil
	}
	first, last := floor(r.Windows[0].Start, day), floor(r.Windows[len(r.Windows)-1].Start, day)
	cut := false
	if last.Sub(first) >= maxHeatDays*day {
		first, cut = last.Add(-(maxHeatDays-1)*day), true
	}
	days := int(last.Sub(first)/day) + 1
	cells := map[[2]int]*Counts{}
	worst := 0.0
	for _, w := range r.Windows {
		if w.Start.Before(first) {
			continue
		}
		at := [2]int{int(floor(w.Start, day).Sub(first) / day), w.Start.UTC().Hour()}
		c := cells[at]
		if c == nil {
			c = &Counts{}
			cells[at] = c
		}
		c.Total += w.Counts.Total
		c.Exact += w.Counts.Exact
		c.Mismatch += w.Counts.Mismatch
		c.Missing += w.Counts.Missing
		c.Extra += w.Counts.Extra
		c.Nonunique += w.Counts.Nonunique
		worst = max(worst, percent(c.Differing(), c.Total))
	}
	const left, top = 96.0, 22.0
	rowHeight := 22.0
	if days > 14 {
		rowHeight = 14
	}
	cell := (plotRight - left) / 24
	c := &chart{ID: "heat", Title: "Where keys differ, by day and hour", Width: chartWidth, Height: int(top+rowHeight*float64(days)) + 6}
	for h := 0; h < 24; h += 2 {
		c.Labels = append(c.Labels, label{px(left + cell*(float64(h)+.5)), px(top - 7), "middle", "tick", fmt.Sprintf("%02d", h)})
	}
	for d := range days {
		date := first.Add(time.Duration(d) * day)
		y := top + rowHeight*float64(d)
		if days <= 31 || d%2 == 0 {
			c.Labels = append(c.Labels, label{px(left - 8), px(y + rowHeight*.5 + 4), "end", "tick", date.Format("Mon 2 Jan")})
		}
		for h := range 24 {
			x := left + cell*float64(h)
			at := rect{X: px(x + 1), Y: px(y + 1), W: px(cell - 2), H: px(rowHeight - 2), Class: "none", Opacity: "1"}
			when := fmt.Sprintf("%s %02d:00 UTC", date.Format("2006-01-02"), h)
			at.Title = when + ": not compared, or no keys"
			if n := cells[[2]int{d, h}]; n != nil {
				share := percent(n.Differing(), n.Total)
				c.Rects = append(c.Rects, rect{at.X, at.Y, at.W, at.H, "cell", "1", ""})
				at.Class, at.Opacity = "heat", px(0)
				if worst > 0 && share > 0 {
					at.Opacity = px(.1 + .9*math.Sqrt(share/worst)) // the root, so that small shares can be told apart
				}
				at.Title = fmt.Sprintf("%s: %s of %s differ (%s %%)", when, count(n.Differing()), countOf(n.Total, "key"), NewRatio(n.Differing(), n.Total).Percent(2))
			}
			c.Rects = append(c.Rects, at)
		}
	}
	c.Description = fmt.Sprintf("Share of keys that differ: the darkest cell is %.2f %%. Times are UTC.", worst)
	if cut {
		c.Description += fmt.Sprintf(" The last %d days.", maxHeatDays)
	}
	return c
}

// differences draws the signed difference of metric i over time.
func differences(r *Result, i int) *chart {
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
		values[k], _ = new(big.Float).SetInt(b.metrics[i]).Float64()
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
