package catchup

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// world is a partition whose records' sizes are known.
type world struct {
	mu    sync.Mutex
	sizes map[int32]func(offset int64) float64
	reads int
	// pieces says that a sample comes in pieces, as Kafka's do.
	pieces bool
}

func (w *world) sample(_ context.Context, p *Partition, offset int64) ([]Sample, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	s := Sample{Offset: offset, Next: offset}
	var all []Sample
	for read := 0.0; read < sampleBytes && s.Next < p.To; {
		n := w.sizes[p.Partition](s.Next)
		s.Bytes += n
		s.Stored += n / 2
		s.Next++
		if read += n; w.pieces && s.Bytes >= pieceBytes {
			all = append(all, s)
			s = Sample{Offset: s.Next, Next: s.Next}
		}
	}
	if s.Next > s.Offset {
		all = append(all, s)
	}
	return all, nil
}

// The estimate finds out that sizes change along a partition, and where.
func TestMeasure(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := &world{sizes: map[int32]func(int64) float64{
		0: func(int64) float64 { return 1000 },
		1: func(o int64) float64 { return 200 + float64(o)/500 }, // grows steadily
		2: func(o int64) float64 { // a jump
			if o < 310_000 {
				return 100
			}
			return 10_000
		},
		3: func(int64) float64 { return 500 + 1000*rnd.Float64() },
	}}
	var parts []*Partition
	exact := make(map[int32]float64)
	for i := range int32(4) {
		p := &Partition{Source: "s", Topic: "t", Partition: i, From: 1000, To: 1_000_000, end: 1_000_000}
		parts = append(parts, p)
		for o := p.From; o < p.To; o++ {
			exact[i] += w.sizes[i](o)
		}
	}
	all, err := measure(context.Background(), parts, w.sample, 256, 4)
	if err != nil {
		t.Fatal(err)
	}
	if w.reads > 256+4*firstSamples {
		t.Errorf("%d samples were read", w.reads)
	}
	for _, m := range all {
		c := m.calibrated()
		if off := math.Abs(c.Bytes()-exact[m.Partition.Partition]) / exact[m.Partition.Partition]; off > 0.03 {
			t.Errorf("partition %d: the estimate is %.0f bytes, there are %.0f: off by %.3f", m.Partition.Partition, c.Bytes(), exact[m.Partition.Partition], off)
		}
	}
	// Half of the bytes of the third lie where they do.
	half, at := exact[2]/2, parts[2].From
	for sum := 0.0; sum < half; at++ {
		sum += w.sizes[2](at)
	}
	all[2].Curve = all[2].calibrated()
	if got := all[2].Curve.Offset(all[2].Curve.Bytes() / 2); math.Abs(float64(got-at)) > 0.02*1_000_000 {
		t.Errorf("half of the bytes of the third partition are before %d, found %d", at, got)
	}
}

// What is read completely is known exactly, and the sizes on disk say nothing
// more.
func TestMeasureSmall(t *testing.T) {
	w := &world{sizes: map[int32]func(int64) float64{0: func(o int64) float64 { return float64(o) }}}
	p := &Partition{From: 10, To: 110, end: 110, size: 1}
	all, err := measure(context.Background(), []*Partition{p}, w.sample, 100, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := all[0].calibrated().Bytes(), 5950.0; math.Abs(got-want) > 1e-6*want {
		t.Errorf("%f bytes, there are %f", got, want)
	}
	if w.reads > firstSamples {
		t.Errorf("%d samples of what is known", w.reads)
	}
}

func TestMeasureFails(t *testing.T) {
	broken := errors.New("broken")
	p := &Partition{To: 100}
	_, err := measure(context.Background(), []*Partition{p}, func(context.Context, *Partition, int64) ([]Sample, error) {
		return nil, broken
	}, 10, 2)
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	_, err = measure(context.Background(), []*Partition{p}, func(_ context.Context, _ *Partition, _ int64) ([]Sample, error) {
		return nil, nil
	}, 10, 2)
	if err == nil {
		t.Error("a sample of nothing was taken")
	}
}

// The sizes that the brokers report mend what the samples missed, unless they
// cannot be right.
func TestCalibrated(t *testing.T) {
	m := &measured{
		Partition: &Partition{From: 0, To: 1000, start: 0, end: 1000},
		samples:   []Sample{{0, 10, 1000, 500}, {500, 510, 1000, 500}},
	}
	for _, c := range []struct {
		name string
		size int64
		from int64
		want float64
	}{
		{"unknown", 0, 0, 100_000},
		{"a little more", 55_000, 0, 110_000},
		{"far more: segments that are hardly in use", 500_000, 0, 100_000},
		{"the range is a small part", 55_000, 900, 10_000},
	} {
		m.size, m.From = c.size, c.from
		m.samples[0].Offset, m.samples[0].Next = c.from, c.from+10
		if c.from > 0 {
			m.samples = m.samples[:1]
		}
		if got := m.calibrated().Bytes(); math.Abs(got-c.want) > 1 {
			t.Errorf("%s: %f bytes instead of %f", c.name, got, c.want)
		}
	}
}

// Sizes that vary by chance from record to record even out: splits are as equal
// in truth as in the plan, nearly.
func TestMeasureRandomSizes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	w := &world{sizes: make(map[int32]func(int64) float64), pieces: true}
	sizes := make(map[int32][]float64)
	var parts []*Partition
	for i := range int32(8) {
		n := 28_000
		if i == 3 {
			n = 800_000
		}
		all, sum := make([]float64, n), 0.0
		for j := range all {
			all[j] = float64(500 + rnd.IntN(1000))
			sum += all[j]
		}
		sizes[i] = all
		w.sizes[i] = func(o int64) float64 { return all[o] }
		parts = append(parts, &Partition{Source: "s", Topic: "t", Partition: i, To: int64(n), end: int64(n), size: int64(sum / 2)})
	}
	measured, err := measure(context.Background(), parts, w.sample, 256, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measured {
		m.Curve = m.calibrated()
	}
	p := newPlan("p", time.Unix(0, 0), "", parts, 8)
	var least, most, total float64
	for i, s := range p.Splits {
		var bytes float64
		for _, r := range s.Ranges {
			for o := r.From; o < r.To; o++ {
				bytes += sizes[r.Partition][o]
			}
		}
		if i == 0 {
			least = bytes
		}
		least, most, total = min(least, bytes), max(most, bytes), total+bytes
	}
	if spread := (most - least) / (total / 8); p.Even() > 0.001 || spread > 0.015 {
		t.Errorf("planned splits are off by %f, real ones spread by %f", p.Even(), spread)
	}
}
