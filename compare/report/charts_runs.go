package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/compare"
)

// trendChart draws the exact percentage of the last runs, oldest first. The shape
// of a point is its verdict.
func trendChart(r *compare.Result) *chart {
	if !hasTrend(r) {
		return nil
	}
	const top, bottom, height = 14.0, 170.0, 204
	c := &chart{ID: "trend", Title: fmt.Sprintf("Trend of %s", countOf(int64(len(r.Trend)), "run")), Width: chartWidth, Height: height}
	low := 100.0
	for _, p := range r.Trend {
		if p.Keys > 0 {
			low = min(low, p.Exact.PercentFloat())
		}
	}
	step := niceStep(max(100-low, 1), 4)
	low = max(0, math.Floor(low/step)*step)
	if low == 100 {
		low = 100 - step
	}
	y := func(v float64) float64 { return bottom - (v-low)/(100-low)*(bottom-top) }
	for v := low; v <= 100+step/2; v += step {
		c.Lines = append(c.Lines, line{px(plotLeft), px(y(v)), px(plotRight), px(y(v)), "grid"})
		c.Labels = append(c.Labels, label{px(plotLeft - 8), px(y(v) + 4), "end", "tick", tickText(math.Round(v*1000)/1000) + " %"})
	}
	gap := (plotRight - plotLeft) / float64(len(r.Trend))
	x := func(i int) float64 { return plotLeft + gap*(float64(i)+.5) }
	every := int(math.Ceil(84 / gap))
	var exact, agree strings.Builder
	for i, p := range r.Trend {
		if i > 0 && p.SpecHash != r.Trend[i-1].SpecHash {
			c.Lines = append(c.Lines, line{px(x(i) - gap/2), px(top), px(x(i) - gap/2), px(bottom), "spec"})
		}
		if i%every == 0 {
			c.Labels = append(c.Labels, label{px(x(i)), px(bottom + 20), "middle", "tick", p.Started.UTC().Format("2 Jan 2006")})
		}
		at := bottom
		if p.Keys > 0 {
			at = y(p.Exact.PercentFloat())
			command := "L"
			if exact.Len() == 0 {
				command = "M"
			}
			fmt.Fprintf(&exact, "%s%s %s", command, px(x(i)), px(at))
			fmt.Fprintf(&agree, "%s%s %s", command, px(x(i)), px(y(p.Agree.PercentFloat())))
		}
		c.Marks = append(c.Marks, trendMark(x(i), at, p))
	}
	c.Paths = []path{{agree.String(), "agree"}, {exact.String(), "exactline"}}
	last := r.Trend[len(r.Trend)-1]
	c.Description = fmt.Sprintf("Exact keys of each run; the last is %s, with %s in a row saying GO. Circle: GO. Square: HOLD. Triangle: NO DATA. The fainter line counts tolerated keys too; a dotted vertical line is a change of the spec.",
		percentOf(last.Exact), count(int64(r.Passes)))
	return c
}

func trendMark(x, y float64, p compare.TrendPoint) chartMark {
	m := chartMark{X: px(x), Y: px(y), Title: fmt.Sprintf("%s, run %s: %s, %s exact of %s, %s unexplained", p.Started.UTC().Format("2006-01-02 15:04 UTC"), p.ID, p.Verdict, percentOf(p.Exact), countOf(p.Keys, "key"), count(p.Unexplained))}
	switch p.Verdict {
	case compare.Go:
		m.Class, m.D = "m-go", "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0"
	case compare.Hold:
		m.Class, m.D = "m-hold", "M-5 -5h10v10h-10z"
	default:
		m.Class, m.D = "m-nodata", "M0 -6L6 5L-6 5z"
	}
	return m
}

// heatChart is the map of windows and segments.
type heatChart struct {
	ID            string
	Title         string
	Description   string
	Width, Height int
	Columns       []string
	Cells         []heatCell
	Labels        []label
}

type heatCell struct {
	X, Y, W, H string
	Opacity    string // of the colour for differing; "0" for none
	Dot        bool   // some are unexplained
	DotX, DotY string
	Title      string
	Row, Col   int
	Columns    []string
	Values     []string
	From, To   int64 // Unix milliseconds
}

const heatLabel = 22 // characters of a row's label

// heatMap draws the keys that differ by worst segment values and time; nil where
// there are none.
func heatMap(r *compare.Result) *heatChart {
	h := r.Heat
	if len(h.Values) == 0 || len(h.Starts) == 0 || len(h.Differing) != len(h.Values) {
		return nil
	}
	var worst int64
	for _, row := range h.Differing {
		for _, n := range row {
			worst = max(worst, n)
		}
	}
	const left, top, rowHeight = 178.0, 8.0, 26.0
	cell := (plotRight - left) / float64(len(h.Starts))
	bottom := top + rowHeight*float64(len(h.Values))
	c := &heatChart{ID: "heat", Title: "Where keys differ: " + strings.Join(h.Columns, ", ") + " by time", Width: chartWidth, Height: int(bottom) + 28, Columns: h.Columns}
	for i, values := range h.Values {
		y := top + rowHeight*float64(i)
		texts := make([]string, len(values))
		for k, v := range values {
			texts[k] = plain(v)
		}
		name := strings.Join(texts, ", ")
		c.Labels = append(c.Labels, label{px(left - 10), px(y + rowHeight/2 + 4), "end", "tick", cut(name, heatLabel)})
		for k, start := range h.Starts {
			n, unexplained := at(h.Differing, i, k), at(h.Unexplained, i, k)
			x, to := left+cell*float64(k), columnEnd(h, k)
			d := heatCell{X: px(x + cell*.04), Y: px(y + 1), W: px(cell * .92), H: px(rowHeight - 2), Opacity: "0", Dot: unexplained > 0, DotX: px(x + cell/2), DotY: px(y + rowHeight/2),
				Row: i, Col: k, Columns: h.Columns, Values: texts, From: start.UnixMilli(), To: to.UnixMilli()}
			if n > 0 {
				d.Opacity = px(.15 + .85*math.Sqrt(float64(n)/float64(worst))) // the root, so that small numbers can be told apart
			}
			d.Title = fmt.Sprintf("%s, %s to %s: %s, %s unexplained", cut(name, 80), start.UTC().Format("2006-01-02 15:04"), to.UTC().Format("2006-01-02 15:04 UTC"), countOf(n, "differing key"), count(unexplained))
			c.Cells = append(c.Cells, d)
		}
	}
	layout, every := "2 Jan 15:04", int(math.Ceil(92/cell))
	if columnEnd(h, 0).Sub(h.Starts[0]) >= day {
		layout = "2 Jan 2006"
	}
	for k := 0; k < len(h.Starts); k += every {
		c.Labels = append(c.Labels, label{px(left + cell*float64(k)), px(bottom + 18), "start", "tick", h.Starts[k].UTC().Format(layout)})
	}
	c.Description = fmt.Sprintf("Keys that differ per %s; the strongest colour is %s. A dot: some are unexplained. Rows are the worst values. Times are UTC.", stepText(h.Step), count(worst))
	return c
}

func at(grid [][]int64, row, column int) int64 {
	if row >= len(grid) || column >= len(grid[row]) {
		return 0
	}
	return grid[row][column]
}

// end is where a column ends: after its step, or where the next one begins.
func columnEnd(h compare.HeatMap, column int) time.Time {
	step, err := time.ParseDuration(h.Step)
	end := h.Starts[column].Add(max(step, 0))
	// A calendar day is not always as long as the step.
	if column+1 < len(h.Starts) && (err != nil || h.Starts[column+1].Sub(end).Abs() < 3*time.Hour) {
		return h.Starts[column+1]
	}
	return end
}

func stepText(step string) string {
	if d, err := time.ParseDuration(step); err == nil && d > 0 {
		return sizeText(d)
	}
	return step
}

// causeBar draws the causes as one bar that adds up to 100 %.
func causeBar(r *compare.Result) *chart {
	if r.Causes.Differing == 0 {
		return nil
	}
	const height = 34
	c := &chart{ID: "causebar", Title: "Causes", Width: chartWidth, Height: height}
	x := 0.0
	var parts []string
	for _, e := range causesOf(r) {
		if e.Keys == 0 {
			continue
		}
		w := float64(e.Keys) / float64(r.Causes.Differing) * chartWidth
		title := fmt.Sprintf("%s (%s): %s, %s", e.Cause, e.Status, countOf(e.Keys, "key"), percentOf(e.Share))
		c.Rects = append(c.Rects, rect{px(x), "4", px(max(w-1.5, 1)), px(height - 8), e.Status, "1", title})
		x += w
		if len(parts) < 5 {
			parts = append(parts, title)
		}
	}
	c.Description = "Keys that differ by cause: " + strings.Join(parts, "; ") + "."
	return c
}
