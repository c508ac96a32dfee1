package catchup

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/term"
)

// Preview is what there is to know of a plan before it is read. Its JSON is
// stable.
type Preview struct {
	Found    bool     `json:"found"` // the plan is in Kafka: its positions are those of now
	Plan     *Plan    `json:"plan"`
	Left     int64    `json:"bytesLeft"`
	Even     float64  `json:"largestDeviation"` // of a split from the mean, as a fraction, the last one aside
	Forecast Forecast `json:"forecast"`
}

// NewPreview makes a preview. rate is in bytes per second; 0 if none is given.
func NewPreview(p *Plan, found bool, rate float64, in *Inflow) Preview {
	return Preview{Found: found, Plan: p, Left: p.Left(), Even: p.Even(), Forecast: NewForecast(p, rate, in)}
}

// exampleRates are what a forecast is made for where no rate is given, in bytes
// per second.
var exampleRates = []float64{10 << 20, 50 << 20, 200 << 20, 1 << 30}

// WriteText writes the preview for people.
func (v Preview) WriteText(w io.Writer) error {
	var b strings.Builder
	p := v.Plan
	if len(p.Splits) == 0 {
		b.WriteString("there is nothing to read\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	where := "not written"
	if v.Found {
		where = fmt.Sprintf("under way since %s, %s left", p.Made.Format(time.RFC3339), term.Bytes(v.Left))
	}
	fmt.Fprintf(&b, "plan %s (%s): %s\n", p.ID, where, p.Arguments)
	fmt.Fprintf(&b, "%s in %s offsets, %d splits, none but the last more than %.3f %% off the mean\n\n", term.Bytes(p.Bytes), term.Count(p.Offsets), len(p.Splits), 100*v.Even)
	fmt.Fprintf(&b, "%5s  %10s  %s\n", "split", "bytes", "ranges")
	for i := range p.Splits {
		s := &p.Splits[i]
		for j, r := range s.Ranges {
			number, bytes := "", ""
			if j == 0 {
				number, bytes = fmt.Sprint(s.Number), term.Bytes(s.Bytes)
			}
			state := ""
			switch {
			case r.Next >= r.To:
				state = "  done"
			case r.Next > r.From:
				state = fmt.Sprintf("  at %d", r.Next)
			}
			fmt.Fprintf(&b, "%5s  %10s  %s %d to %d, %s%s\n", number, bytes, r.String(), r.From, r.To-1, term.Bytes(r.Bytes), state)
		}
	}
	b.WriteString("\n")
	v.Forecast.write(&b)
	for _, warning := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func perSecond(bytes float64) string { return term.Bytes(int64(bytes)) + "/s" }

func (f Forecast) write(b *strings.Builder) {
	if f.Inflow != nil {
		fmt.Fprintf(b, "inflow: %s, %.0f records/s\n", perSecond(f.Inflow.BytesPerSecond), f.Inflow.RecordsPerSecond)
	} else {
		b.WriteString("inflow: not measured\n")
	}
	if f.Rate != nil {
		fmt.Fprintf(b, "at %s: %s\n", perSecond(*f.Rate), f.line())
		return
	}
	for _, rate := range exampleRates {
		fmt.Fprintf(b, "at %10s: %s\n", perSecond(rate), f.at(rate).line())
	}
}

// at is the forecast for another rate.
func (f Forecast) at(rate float64) Forecast {
	return forecast(f.Bytes, f.Offsets, rate, f.Inflow)
}

// line says how long it takes.
func (f Forecast) line() string {
	text := "read in " + term.Span(Duration(*f.ReadIn))
	switch {
	case f.Never:
		text += fmt.Sprintf("; never catches up: as much comes, or more. More than %s is needed; %s would have caught up in a day", perSecond(f.Inflow.BytesPerSecond), perSecond(f.DayRate))
	case f.CaughtUpIn != nil:
		text += ", caught up in " + term.Span(Duration(*f.CaughtUpIn))
	}
	if f.Headroom != nil {
		text += fmt.Sprintf(", headroom %.1f × the inflow", *f.Headroom)
	}
	return text
}

// Result is what a catch-up has done. Its JSON is stable.
type Result struct {
	Plan         string   `json:"plan"`
	Bytes        int64    `json:"bytes"`   // of the plan
	Resumed      bool     `json:"resumed"` // some of it was read by earlier runs
	Records      int64    `json:"records"` // read by this run
	Published    int64    `json:"published"`
	Filtered     int64    `json:"filtered"`
	DeadLettered int64    `json:"deadLettered"`
	Seconds      float64  `json:"seconds"`
	HandedOver   []Handed `json:"handedOver"`
}

// WriteText writes the result for people.
func (r Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "read all of plan %s (%s): %s records by this run, %s messages published, %s filtered, %s dead letters, in %s\n",
		r.Plan, term.Bytes(r.Bytes), term.Count(r.Records), term.Count(r.Published), term.Count(r.Filtered), term.Count(r.DeadLettered), term.Span(Duration(r.Seconds)))
	for _, h := range r.HandedOver {
		place := position(h.Source, h.Topic, h.Partition)
		switch {
		case h.Left != "":
			fmt.Fprintf(&b, "%s: not handed over: %s\n", place, h.Left)
		case h.Now == h.Was:
			fmt.Fprintf(&b, "%s: the group was at %d already\n", place, h.Was)
		default:
			fmt.Fprintf(&b, "%s: the group goes on at %d (it was at %d)\n", place, h.Now, h.Was)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
