package dataflow

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Watermarks says how watermarks look in the answers to requests for metrics. The
// service has given them in several forms, and newer ones may give none.
type Watermarks struct {
	None  bool   `yaml:"none"`  // there are none at all
	Name  string `yaml:"name"`  // stage (default), context or suffix
	Unit  string `yaml:"unit"`  // microseconds (default) or milliseconds
	Value string `yaml:"value"` // number (default) or text

	// Readings are what the sources show, one answer after the other, by the last
	// part of a subscription's name (* is any text): unknown, maximum, or a time
	// (RFC 3339). The last one stays.
	Readings map[string][]string `yaml:"readings"`
}

// How a metric names its stage.
const (
	nameStage   = "stage"   // F39-windmill-data-watermark
	nameContext = "context" // windmill-data-watermark, with the stage in its context
	nameSuffix  = "suffix"  // F39DataWatermark
)

// Units and kinds of values.
const (
	unitMicros  = "microseconds"
	unitMillis  = "milliseconds"
	valueNumber = "number"
	valueText   = "text" // digits, as integers of 64 bits are written in JSON
)

// reading is what a source shows: a time, or one of the values that are none.
type reading struct {
	at      time.Time // zero: unknown
	maximum bool
}

// readings are those of the sources whose subscriptions are like a pattern.
type readings struct {
	pattern string
	values  []reading
}

// compile checks w. The patterns are returned with the most exact first.
func (w *Watermarks) compile() ([]readings, error) {
	for _, f := range []struct {
		field string
		value *string
		of    []string
	}{
		{"name", &w.Name, []string{nameStage, nameContext, nameSuffix}},
		{"unit", &w.Unit, []string{unitMicros, unitMillis}},
		{"value", &w.Value, []string{valueNumber, valueText}},
	} {
		if *f.value != "" && !slices.Contains(f.of, *f.value) {
			return nil, fmt.Errorf("watermarks: %s %q is none of %s", f.field, *f.value, strings.Join(f.of, ", "))
		}
	}
	if w.None && (w.Name != "" || w.Unit != "" || w.Value != "" || len(w.Readings) > 0) {
		return nil, fmt.Errorf("watermarks: with none, nothing else says anything")
	}
	var out []readings
	for _, pattern := range slices.Sorted(maps.Keys(w.Readings)) {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("watermarks: readings of %q: [ without ]", pattern)
		}
		r := readings{pattern: pattern}
		for _, s := range w.Readings[pattern] {
			v := reading{maximum: s == "maximum"}
			if s != "unknown" && s != "maximum" {
				var err error
				if v.at, err = time.Parse(time.RFC3339, s); err != nil {
					return nil, fmt.Errorf("watermarks: readings of %q: %q is neither unknown, maximum nor a time like 2001-01-08T00:00:00Z", pattern, s)
				}
			}
			r.values = append(r.values, v)
		}
		if len(r.values) == 0 {
			return nil, fmt.Errorf("watermarks: readings of %q: there are none", pattern)
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b readings) int {
		return strings.Count(a.pattern, "*") - strings.Count(b.pattern, "*")
	})
	return out, nil
}

// watermarkNames are the parts of the names of the metrics that are changed, with
// the same in the form of a suffix.
var watermarkNames = map[string]string{dataWatermark: "DataWatermark", systemWatermark: "SystemWatermark"}

// change changes the metrics of an answer, which is the n-th, counted from 0.
// Subscriptions are those of the job's sources, in the order of their stages.
func (r *rule) change(m *pb.JobMetrics, subscriptions []string, n int) {
	w := r.Watermarks
	read := map[string]reading{} // by stage
	for i, s := range subscriptions {
		for _, p := range r.readings {
			if ok, _ := path.Match(p.pattern, shortName(s)); ok {
				read[readStage(i)] = p.values[min(n, len(p.values)-1)]
				break
			}
		}
	}
	var kept []*pb.MetricUpdate
	for _, u := range m.GetMetrics() {
		stage, what, ok := splitName(u.GetName().GetName())
		if !ok {
			kept = append(kept, u)
			continue
		}
		if w.None {
			continue
		}
		if v, ok := read[stage]; ok && what == dataWatermark {
			u.Scalar = structpb.NewNumberValue(micros(v.at, v.maximum))
		}
		u.Scalar = w.value(u.GetScalar().GetNumberValue())
		switch w.Name {
		case nameContext:
			u.Name.Name = what
			if u.Name.Context == nil {
				u.Name.Context = map[string]string{}
			}
			u.Name.Context["stage"] = stage
		case nameSuffix:
			u.Name.Name = stage + watermarkNames[what]
		}
		kept = append(kept, u)
	}
	m.Metrics = kept
}

// splitName splits the name of a watermark metric as this service gives it.
func splitName(name string) (stage, what string, ok bool) {
	for what := range watermarkNames {
		if stage, ok := strings.CutSuffix(name, "-"+what); ok {
			return stage, what, true
		}
	}
	return "", "", false
}

// value is a watermark, given as a number of microseconds, as w has it.
func (w *Watermarks) value(v float64) *structpb.Value {
	if w.Unit == unitMillis && v != watermarkUnknown && v != watermarkMaximum {
		v = float64(int64(v) / 1000)
	}
	if w.Value == valueText {
		return structpb.NewStringValue(strconv.FormatInt(int64(v), 10))
	}
	return structpb.NewNumberValue(v)
}
