package drain

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"
)

var monday = time.Date(2001, 1, 8, 0, 1, 2, 345000000, time.UTC)

func number(f float64) *structpb.Value { return structpb.NewNumberValue(f) }

func TestParseValue(t *testing.T) {
	for _, c := range []struct {
		name  string
		value *structpb.Value
		want  Watermark
	}{
		{"unknown", number(-1), Watermark{}},
		{"maximum of a drained source", number(-2), Maximum()},
		{"maximum as digits", structpb.NewStringValue("-2"), Maximum()},
		{"microseconds", number(978912062345000), At(monday)},
		{"milliseconds", number(978912062345), At(monday)},
		{"microseconds as digits", structpb.NewStringValue("978912062345000"), At(monday)},
		{"Beam's maximum in milliseconds", number(9223372036854775), Maximum()},
		{"end of Beam's global window in milliseconds", number(9223371950454775), Maximum()},
		{"Beam's maximum in microseconds", number(9223372036854775807), Maximum()},
		{"Beam's minimum in milliseconds", number(-9223372036854775), Watermark{}},
		{"Beam's minimum in microseconds", number(-9223372036854775808), Watermark{}},
		{"before 1970, microseconds", number(-1e15), At(time.UnixMicro(-1e15).UTC())},
		{"before 1970, milliseconds", number(-1e12), At(time.UnixMilli(-1e12).UTC())},
		{"before the year 1", number(-9e13), Watermark{}},
		{"1970 itself", number(0), At(time.UnixMilli(0).UTC())},
		{"infinite", number(math.Inf(1)), Maximum()},
		{"not a number", number(math.NaN()), Watermark{}},
		{"words", structpb.NewStringValue("soon"), Watermark{}},
		{"another kind", structpb.NewBoolValue(true), Watermark{}},
		{"nothing", nil, Watermark{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parseValue(c.value); !got.Equal(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// Either unit gives the same watermark, to the millisecond, for all times that
// a pipeline of today can have.
func TestParseValueUnits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ms := rapid.Int64Range(1e11, 4e12).Draw(rt, "ms") // 1973 to 2096
		a, b := parseValue(number(float64(ms))), parseValue(number(float64(ms)*1000))
		if !a.Equal(b) || !a.Equal(At(time.UnixMilli(ms))) {
			rt.Fatalf("%d ms: %v, %v", ms, a, b)
		}
	})
}

func TestWatermarkJSON(t *testing.T) {
	got, err := json.Marshal([]Watermark{{}, Maximum(), At(monday)})
	if want := `["unknown","maximum","2001-01-08T00:01:02Z"]`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestLeast(t *testing.T) {
	early, late := At(monday), At(monday.Add(time.Hour))
	for _, c := range []struct {
		name string
		in   []Watermark
		want Watermark
	}{
		{"none", nil, Watermark{}},
		{"times", []Watermark{late, early}, early},
		{"maximum is greatest", []Watermark{Maximum(), late}, late},
		{"all maximum", []Watermark{Maximum(), Maximum()}, Maximum()},
		{"one unknown", []Watermark{early, {}, Maximum()}, Watermark{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := least(c.in); !got.Equal(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// metric is a sample as the service gives it.
func metric(origin, name string, value float64, context ...string) *pb.MetricUpdate {
	m := &pb.MetricUpdate{Name: &pb.MetricStructuredName{Origin: origin, Name: name}, Scalar: number(value)}
	for i := 0; i < len(context); i += 2 {
		if m.Name.Context == nil {
			m.Name.Context = map[string]string{}
		}
		m.Name.Context[context[i]] = context[i+1]
	}
	return m
}

const service = "dataflow/v1b3"

func TestStageWatermarks(t *testing.T) {
	at := float64(monday.UnixMicro())
	for _, c := range []struct {
		name string
		in   []*pb.MetricUpdate
		want map[string]Watermark
	}{
		{"stage in the name, with the system twin and others", []*pb.MetricUpdate{
			metric(service, "F39-windmill-data-watermark", at),
			metric(service, "F39-windmill-system-watermark", at+5e6),
			metric(service, "F40-windmill-data-watermark", -1),
			metric(service, "ElementCount", 12, "original_name", "Read-out0", "output_user_name", "Read/out"),
			metric("user", "messages_read", 12, "namespace", "kappa"),
		}, map[string]Watermark{"F39": At(monday), "F40": {}}},
		{"stage in the context, tentative after committed", []*pb.MetricUpdate{
			metric(service, "windmill-data-watermark", at, "stage", "F39"),
			metric(service, "windmill-data-watermark", at+9e6, "stage", "F39", "tentative", "true"),
			metric(service, "windmill-system-watermark", at+9e6, "stage", "F39"),
		}, map[string]Watermark{"F39": At(monday)}},
		{"tentative before committed", []*pb.MetricUpdate{
			metric(service, "F39-windmill-data-watermark", at+9e6, "tentative", "true"),
			metric(service, "F39-windmill-data-watermark", at),
		}, map[string]Watermark{"F39": At(monday)}},
		{"only tentative", []*pb.MetricUpdate{
			metric(service, "F39-windmill-data-watermark", at, "tentative", "true"),
		}, map[string]Watermark{"F39": At(monday)}},
		{"other spelling, milliseconds", []*pb.MetricUpdate{
			metric(service, "s2-DataWatermark", float64(monday.UnixMilli())),
			metric(service, "s2-SystemWatermark", float64(monday.UnixMilli())),
			metric(service, "DataWatermark", -2, "step", "s3"),
		}, map[string]Watermark{"s2": At(monday), "s3": Maximum()}},
		{"drained", []*pb.MetricUpdate{metric(service, "F39-windmill-data-watermark", -2)}, map[string]Watermark{"F39": Maximum()}},
		{"no stage", []*pb.MetricUpdate{metric(service, "windmill-data-watermark", at)}, map[string]Watermark{"": At(monday)}},
		{"none published", []*pb.MetricUpdate{metric("user", "watermark_lag", 1)}, map[string]Watermark{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, stageWatermarks(c.in)); diff != "" {
				t.Errorf("watermarks (-want +got):\n%s", diff)
			}
		})
	}
}

// No value, however odd, breaks the reading, and every time that comes out is
// one that BigQuery can hold.
func FuzzParseValue(f *testing.F) {
	for _, seed := range []string{"-1", "-2", "978912062345000", "9223372036854775807", "1e300", "NaN", "-Inf", "x"} {
		f.Add(seed, 0.0)
	}
	f.Add("", 978912062345000.0)
	f.Fuzz(func(t *testing.T, text string, value float64) {
		for _, v := range []*structpb.Value{structpb.NewStringValue(text), number(value)} {
			if at, ok := parseValue(v).Time(); ok && (at.Year() < 1 || at.Year() > 9999) {
				t.Errorf("%v: %v", v, at)
			}
		}
	})
}
