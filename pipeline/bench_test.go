package pipeline

import (
	"syscall"
	"testing"
	"time"
)

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStream runs a week of flights through the whole topology on Prism,
// the Pub/Sub server in the same process: a backlog, and at the pace of 1,500 events
// a second, which makes many small bundles.
func BenchmarkStream(b *testing.B) {
	for _, bench := range []struct {
		name string
		pace float64 // events a second; 0: all at once
	}{{"backlog", 0}, {"paced", 1500}} {
		b.Run(bench.name, func(b *testing.B) {
			const n = 15_000
			fs := flights(1, n, 66*time.Hour, 80)
			var cpu, wall time.Duration
			var panes int
			for b.Loop() {
				p, m := newPlatform(b, 2), newMemory()
				p.interval = 0
				r := p.start(spec(b, nil), "flights-0", 1, m)
				r.until("running", func() bool { return r.last().Running })
				cpu0, start := cpuTime(), time.Now()
				if bench.pace == 0 {
					p.publishFlights(2, fs)
				}
				for i := 0; i < n && bench.pace > 0; i += 100 {
					p.publishFlights(2, fs[i:i+100])
					r.until("pace", func() bool { return time.Since(start).Seconds()*bench.pace >= float64(i) })
				}
				r.until("everything is read", func() bool { return m.count("raw_flights") >= n })
				r.drained()
				cpu, wall, panes = cpu+cpuTime()-cpu0, wall+time.Since(start), panes+m.count("stream_flights")
			}
			b.ReportMetric(cpu.Seconds()*1e6/float64(n*b.N), "cpu-µs/event")
			b.ReportMetric(float64(n*b.N)/wall.Seconds(), "events/s")
			b.ReportMetric(float64(panes)/float64(b.N), "panes")
		})
	}
}

// BenchmarkDecode decodes a message to an event.
func BenchmarkDecode(b *testing.B) {
	p, err := NewPlan(spec(b, nil), "flights-0", 1)
	if err != nil {
		b.Fatal(err)
	}
	f := &decodeFn{Plan: p, reader: newFieldReader(p.Fields)}
	pm := flights(1, 1, time.Hour, 1)[0].message(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.decode(newMessage("1", pm.Data, pm.Attributes, 0, 0)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRow makes the raw table's row of an event.
func BenchmarkRow(b *testing.B) {
	p, err := NewPlan(spec(b, nil), "flights-0", 1)
	if err != nil {
		b.Fatal(err)
	}
	d := &decodeFn{Plan: p, reader: newFieldReader(p.Fields)}
	pm := flights(1, 1, time.Hour, 1)[0].message(1)
	e, err := d.decode(newMessage("1", pm.Data, pm.Attributes, 0, 0))
	if err != nil {
		b.Fatal(err)
	}
	f := &eventRowsFn{Plan: p}
	b.ReportAllocs()
	for b.Loop() {
		f.row(e, "")
	}
}
