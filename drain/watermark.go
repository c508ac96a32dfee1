package drain

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Watermark is a source's or a stage's watermark: unknown, a time, or the
// maximum, after which nothing comes. The zero value is unknown.
type Watermark struct {
	at      time.Time
	maximum bool
}

// At is the watermark at a time; the zero time is unknown.
func At(t time.Time) Watermark { return Watermark{at: t} }

// Maximum is the watermark of what is exhausted.
func Maximum() Watermark { return Watermark{maximum: true} }

// Time returns the watermark's time; false if it is unknown or the maximum.
func (w Watermark) Time() (time.Time, bool) { return w.at, !w.maximum && !w.at.IsZero() }

// AtMaximum reports whether w is the maximum.
func (w Watermark) AtMaximum() bool { return w.maximum }

// Known reports whether w is a time or the maximum.
func (w Watermark) Known() bool { return w.maximum || !w.at.IsZero() }

// Equal reports whether both are the same.
func (w Watermark) Equal(o Watermark) bool { return w.maximum == o.maximum && w.at.Equal(o.at) }

func (w Watermark) String() string {
	switch {
	case w.maximum:
		return "maximum"
	case w.at.IsZero():
		return "unknown"
	}
	return w.at.UTC().Format(time.RFC3339)
}

// MarshalJSON writes "unknown", "maximum" or the time in RFC 3339.
func (w Watermark) MarshalJSON() ([]byte, error) { return json.Marshal(w.String()) }

// less orders two known watermarks.
func less(a, b Watermark) bool { return !a.maximum && (b.maximum || a.at.Before(b.at)) }

// least is the smallest of the watermarks: unknown if one of them is, or if
// there are none.
func least(ws []Watermark) Watermark {
	var out Watermark
	for i, w := range ws {
		if !w.Known() {
			return Watermark{}
		}
		if i == 0 || less(w, out) {
			out = w
		}
	}
	return out
}

// The service's values that are not times, and where times end.
const (
	valueUnknown = -1
	valueMaximum = -2
	// Beam's maximum is 9223372036854775 ms, the end of its global window a
	// day before. Either unit reaches it: as microseconds it is the year 2262.
	// The float that carries it has a precision of 2.
	beamMaximum = 9.22337195e15
	// From here on a value is in microseconds: 1973 as microseconds, the year
	// 5138 as milliseconds.
	microsFrom = 1e14
	yearOne    = -62135596800000 // in milliseconds
)

// parseValue reads the value of a watermark metric: microseconds or
// milliseconds since 1970, told apart by magnitude, as a number or as a string
// of digits. What cannot be read is unknown.
func parseValue(v *structpb.Value) Watermark {
	var f float64
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		f = k.NumberValue
	case *structpb.Value_StringValue:
		n, err := strconv.ParseFloat(k.StringValue, 64)
		if err != nil {
			return Watermark{}
		}
		f = n
	default:
		return Watermark{}
	}
	switch {
	case math.IsNaN(f), f == valueUnknown, f <= -beamMaximum:
		return Watermark{} // Beam's minimum: nothing was read yet
	case f > -microsFrom && f < yearOne:
		return Watermark{} // nothing that a table could hold
	case f == valueMaximum, f >= beamMaximum:
		return Maximum()
	case math.Abs(f) >= microsFrom:
		return At(time.UnixMicro(int64(f)).UTC())
	}
	return At(time.UnixMilli(int64(f)).UTC())
}

// Endings of the names of data watermark metrics. Longer ones first: the
// shorter one would leave a part of the longer behind.
var watermarkSuffixes = []string{"windmill-data-watermark", "data-watermark", "DataWatermark"}

// metricStage returns the stage whose data watermark the metric is: from its
// name (F39-windmill-data-watermark), else from its context.
func metricStage(n *pb.MetricStructuredName) (stage string, ok bool) {
	for _, suffix := range watermarkSuffixes {
		head, found := strings.CutSuffix(n.GetName(), suffix)
		if !found {
			continue
		}
		if head = strings.TrimRight(head, "-_./"); head != "" {
			return head, true
		}
		for _, key := range []string{"stage", "step", "execution_step"} {
			if s := n.GetContext()[key]; s != "" {
				return s, true
			}
		}
		return "", true
	}
	return "", false
}

// stageWatermarks returns the data watermark of each stage. Committed values
// are preferred to tentative ones; a metric that names no stage is under "".
func stageWatermarks(metrics []*pb.MetricUpdate) map[string]Watermark {
	out := map[string]Watermark{}
	tentative := map[string]bool{}
	for _, m := range metrics {
		stage, ok := metricStage(m.GetName())
		if !ok {
			continue
		}
		isTentative := m.GetName().GetContext()["tentative"] != ""
		if _, seen := out[stage]; seen && (isTentative || !tentative[stage]) {
			continue
		}
		out[stage], tentative[stage] = parseValue(m.GetScalar()), isTentative
	}
	return out
}
