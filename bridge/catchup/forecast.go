package catchup

import (
	"fmt"
	"math"
	"time"
)

// Inflow is what is produced while a catch-up runs.
type Inflow struct {
	BytesPerSecond   float64 `json:"bytesPerSecond"`
	RecordsPerSecond float64 `json:"recordsPerSecond"`
}

// Forecast says how long a catch-up takes. Rates are in bytes per second,
// durations in seconds; null is what cannot be known.
type Forecast struct {
	Bytes   int64    `json:"bytes"`   // still to be read
	Offsets int64    `json:"offsets"` // still to be read: records, or a little more
	Rate    *float64 `json:"rate"`    // at which the range is read; null: not known yet
	Inflow  *Inflow  `json:"inflow"`  // null: not measured

	// ReadIn is how long reading the range takes: bytes ÷ rate.
	ReadIn *float64 `json:"readInSeconds"`
	// CaughtUpIn is how long it takes until nothing is left of what was produced
	// meanwhile, either: bytes ÷ (rate − inflow). Null if that is never.
	CaughtUpIn *float64 `json:"caughtUpInSeconds"`
	// Headroom is rate ÷ inflow: how often the inflow fits into the rate. Above
	// 1 it catches up.
	Headroom *float64 `json:"headroom"`
	// Never says that at this rate more comes than is read.
	Never bool `json:"neverCatchesUp"`
	// DayRate is the rate that would have caught up in a day: inflow + bytes ÷ a day.
	DayRate float64 `json:"rateForOneDay"`
}

const day = 24 * 60 * 60

// NewForecast forecasts what is left of a plan. rate is in bytes per second; 0
// if it is not known. inflow is nil where it was not measured.
func NewForecast(p *Plan, rate float64, inflow *Inflow) Forecast {
	var offsets int64
	for r := range p.ranges {
		offsets += r.To - r.Next
	}
	return forecast(p.Left(), offsets, rate, inflow)
}

func forecast(bytes, offsets int64, rate float64, inflow *Inflow) Forecast {
	f := Forecast{Bytes: bytes, Offsets: offsets, Inflow: inflow}
	var in float64
	if inflow != nil {
		in = inflow.BytesPerSecond
	}
	f.DayRate = in + float64(f.Bytes)/day
	if rate <= 0 {
		return f
	}
	f.Rate = &rate
	read := float64(f.Bytes) / rate
	f.ReadIn = &read
	if in > 0 {
		headroom := rate / in
		f.Headroom = &headroom
	}
	switch {
	case f.Bytes == 0:
		zero := 0.0
		f.CaughtUpIn = &zero
	case rate <= in:
		f.Never = true
	case inflow != nil:
		eta := float64(f.Bytes) / (rate - in)
		f.CaughtUpIn = &eta
	}
	return f
}

// Duration turns seconds of a forecast into a duration, to the second.
func Duration(seconds float64) time.Duration {
	if seconds > math.MaxInt64/1e9 {
		return math.MaxInt64
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second)
}

// ends is where partitions ended when they were looked at.
type ends struct {
	at      time.Time
	offsets map[string]int64 // by position
}

// inflow is what came between two looks; density is bytes per offset by
// position. A partition that only one look saw counts for nothing.
func inflow(a, b ends, density map[string]float64) (Inflow, error) {
	seconds := b.at.Sub(a.at).Seconds()
	if seconds <= 0 {
		return Inflow{}, fmt.Errorf("two looks at the ends of the partitions at the same time")
	}
	var in Inflow
	for name, end := range b.offsets {
		if was, ok := a.offsets[name]; ok && end > was {
			in.RecordsPerSecond += float64(end-was) / seconds
			in.BytesPerSecond += float64(end-was) / seconds * density[name]
		}
	}
	return in, nil
}
