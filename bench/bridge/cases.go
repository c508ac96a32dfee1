package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/event"
)

// Transforms of a case.
const (
	passthrough = "passthrough"
	jsonRemap   = "json"
	avroRemap   = "avro"
)

// group is the records of cases that are compared with each other and with the
// raw programs: their runs are interleaved.
type group struct {
	size        int
	compression string
	transforms  []string
}

var (
	sizes        = []int{100, 1000, 10_000}
	compressions = []string{"none", "lz4", "zstd"}
	transforms   = []string{passthrough, jsonRemap, avroRemap}
)

func sizeName(bytes int) string {
	if bytes%1000 == 0 {
		return fmt.Sprintf("%dk", bytes/1000)
	}
	return fmt.Sprint(bytes)
}

func (g group) name() string { return sizeName(g.size) + "-" + g.compression }

func (g group) caseName(transform string) string { return transform + "-" + g.name() }

// format is that of the records that a transform reads.
func format(transform string) string {
	if transform == avroRemap {
		return event.Avro
	}
	return event.JSON
}

// scale is how much is run.
type scale struct {
	groups   []group
	rounds   int
	warm     time.Duration
	window   time.Duration
	latency  time.Duration // of a window; 0: not measured
	outage   time.Duration // of the memory case; 0: not run
	recovery int64         // bytes that have to arrive after it
	catchup  int64         // bytes of the catch-up's topics; 0: not run
}

func allGroups() []group {
	var gs []group
	for _, size := range sizes {
		for _, c := range compressions {
			gs = append(gs, group{size, c, transforms})
		}
	}
	return gs
}

// scales by name. The default one takes less than four minutes on two cores,
// the quick one less than one.
func scales() map[string]scale {
	quick := scale{rounds: 1, warm: 300 * time.Millisecond, window: time.Second, latency: 2 * time.Second, outage: 5 * time.Second, recovery: 512 << 20, catchup: 200e6}
	quick.groups = []group{{1000, "none", transforms}, {1000, "lz4", []string{passthrough}}}
	usual := scale{rounds: 3, warm: 700 * time.Millisecond, window: 1500 * time.Millisecond, latency: 3 * time.Second, outage: 20 * time.Second, recovery: 2 << 30, catchup: 1e9}
	usual.groups = []group{
		{1000, "none", transforms},
		{1000, "lz4", []string{passthrough}},
		{1000, "zstd", []string{passthrough}},
		{100, "none", []string{passthrough}},
		{10_000, "none", []string{passthrough}},
	}
	full := usual
	full.groups, full.outage, full.window, full.catchup = allGroups(), 10*time.Minute, 3*time.Second, 4e9
	return map[string]scale{"quick": quick, "default": usual, "full": full}
}

// only keeps the case of a name; the pass-through stays beside a transform, so
// that their ratio is there.
func (s scale) only(name string) (scale, error) {
	s.outage, s.latency, s.catchup = 0, 0, 0
	var names []string
	for _, g := range allGroups() {
		for _, t := range g.transforms {
			if n := g.caseName(t); n == name {
				g.transforms = slices.Compact([]string{passthrough, t})
				s.groups = []group{g}
				return s, nil
			}
			names = append(names, g.caseName(t))
		}
	}
	return s, fmt.Errorf("no such case: %s; there are %s, latency, memory, catchup", name, strings.Join(names, ", "))
}

// filtered lists the offsets within a period that a transform's filter drops.
func filtered(transform string, period int64) []int64 {
	if transform == passthrough {
		return nil
	}
	var offsets []int64
	for i := range period {
		if !event.Kept(int(i)) {
			offsets = append(offsets, i)
		}
	}
	return offsets
}
