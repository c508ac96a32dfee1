package pipeline

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// manySets is a job over seven dimensions that groups by so many sets of them.
func manySets(t testing.TB, sets int) *jobspecs.StreamJob {
	return spec(t, func(s *jobspecs.StreamJobSpec) {
		a := &s.Aggregations[0]
		a.Dimensions = nil
		for d := range 7 {
			name := fmt.Sprintf("d%d", d)
			a.Dimensions = append(a.Dimensions, name)
			s.Event.Fields = append(s.Event.Fields, jobspecs.Field{Name: name, Type: "STRING"})
		}
		for i := range sets - 1 {
			set := []string{}
			for d := range 7 {
				if i&(1<<d) != 0 {
					set = append(set, a.Dimensions[d])
				}
			}
			a.Rollups = append(a.Rollups, set)
		}
	})
}

func manyFields(i int) map[string]any {
	fields := map[string]any{"delay": i % 100, "distance": 500}
	for d := range 7 {
		fields[fmt.Sprintf("d%d", d)] = fmt.Sprint(i >> d % 2)
	}
	return fields
}

// BenchmarkPartial aggregates events before they are shuffled: without rollups,
// with a hundred sets of dimensions, and with expressions.
func BenchmarkPartial(b *testing.B) {
	for _, bench := range []struct {
		name string
		spec *jobspecs.StreamJob
	}{
		{"plain", spec(b, nil)}, {"sets=100", manySets(b, 100)},
		{"expressions", spec(b, func(s *jobspecs.StreamJobSpec) {
			s.Aggregations[0].Filter = "event.distance > 100"
			s.Aggregations[0].Measures[1] = jobspecs.Measure{Name: "seconds", Type: "sum", Expression: "event.delay * 60"}
		})},
	} {
		b.Run(bench.name, func(b *testing.B) {
			plan, err := NewPlan(bench.spec, "flights-0", 1)
			if err != nil {
				b.Fatal(err)
			}
			d := &decodeFn{Plan: plan, reader: newFieldReader(plan.Fields)}
			var data []byte
			const n = 1000
			for i, f := range flights(1, n, 3*time.Hour, 80) {
				fields := manyFields(i)
				fields["origin"] = f.origin
				m := message(i, f.scheduled, fields)
				e, err := d.decode(newMessage("1", m.Data, m.Attributes, 0, 0))
				if err != nil {
					b.Fatal(err)
				}
				data = plan.appendPacked(data, idBytes(e.ID), e)
			}
			f := &partialFn{Plan: plan}
			if err := f.Setup(); err != nil {
				b.Fatal(err)
			}
			emit := func(beam.EventTime, []byte, []byte) {}
			b.ReportAllocs()
			for b.Loop() {
				f.StartBundle(emit)
				if err := f.ProcessElement(b.Context(), data, emit); err != nil {
					b.Fatal(err)
				}
				f.FinishBundle(emit)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

// BenchmarkRollups runs events that each touch a hundred aggregates through the
// whole topology on Prism.
func BenchmarkRollups(b *testing.B) {
	const n = 15_000
	s := manySets(b, 100)
	s.Spec.Sources.Count = 1
	var ms []*pubsubpb.PubsubMessage
	for i, f := range flights(1, n, 6*time.Hour, 80) {
		m := message(i, f.scheduled, manyFields(i))
		ms = append(ms, m)
	}
	var cpu, wall time.Duration
	var panes int
	for b.Loop() {
		p, m := newPlatform(b, 1), newMemory()
		p.interval = 0
		r := p.start(s, "flights-0", 1, m)
		r.until("running", func() bool { return r.last().Running })
		cpu0, start := cpuTime(), time.Now()
		p.publish(0, ms...)
		r.until("everything is read", func() bool { return m.count("raw_flights") >= n })
		r.drained()
		cpu, wall, panes = cpu+cpuTime()-cpu0, wall+time.Since(start), panes+m.count("stream_flights")
	}
	b.ReportMetric(cpu.Seconds()*1e6/float64(n*b.N), "cpu-µs/event")
	b.ReportMetric(float64(n*b.N)/wall.Seconds(), "events/s")
	b.ReportMetric(float64(panes)/float64(b.N), "panes")
}
