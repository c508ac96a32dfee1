package main

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/proc"
)

// result is what is written to bridge.json.
type result struct {
	Version     int            `json:"version"` // of this file's form
	Started     time.Time      `json:"started"`
	Seconds     float64        `json:"seconds"`
	Scale       string         `json:"scale"`
	Broker      string         `json:"broker"`
	Machine     machine        `json:"machine"`
	Partitions  int            `json:"partitions"`
	Memory      string         `json:"memory"` // limits.memory of the bridge
	ServerDelay float64        `json:"server_delay_ms"`
	Groups      []groupResult  `json:"groups"`
	Latency     *latencyResult `json:"latency,omitempty"`
	Outage      *memoryResult  `json:"outage,omitempty"`
	Catchup     *catchupResult `json:"catchup,omitempty"`
	Targets     []target       `json:"targets"`
	Failed      string         `json:"failed,omitempty"` // why the run ended early
}

type machine struct {
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	Go         string `json:"go"`
	OS         string `json:"os"`
	Commit     string `json:"commit"`
}

func thisMachine() machine {
	m := machine{CPU: proc.CPUModel(), CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Commit: "unknown"}
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude", "*").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}

// groupResult is what the cases over one kind of records have shown.
type groupResult struct {
	RecordBytes int          `json:"record_bytes"`
	Compression string       `json:"compression"`
	BatchBytes  int          `json:"batch_bytes"` // of a record batch, as fetched
	Fetch       rawResult    `json:"fetch_only"`
	Publish     rawResult    `json:"publish_only"`
	Cases       []caseResult `json:"cases"`
}

type rawResult struct {
	CPU     figure `json:"cpu_us_per_record"`
	Rate    figure `json:"records_per_s"`
	MB      figure `json:"mb_per_s"`
	PeakRSS figure `json:"peak_rss_mib"`
}

func rawOf(runs []sample) rawResult {
	return rawResult{
		CPU:     figureBy(runs, func(s sample) float64 { return s.cpu }),
		Rate:    figureBy(runs, func(s sample) float64 { return s.rate }),
		MB:      figureBy(runs, func(s sample) float64 { return s.mb }),
		PeakRSS: figureBy(runs, func(s sample) float64 { return float64(s.peakRSS) / (1 << 20) }),
	}
}

// caseResult is the bridge's. Its CPU is per record read; the filter of the
// transforms drops one record in 16.
type caseResult struct {
	Name      string `json:"name"`
	Transform string `json:"transform"`
	rawResult
	Messages      figure  `json:"messages_per_s"`
	MessageBytes  figure  `json:"message_bytes"` // of data
	PerRequest    figure  `json:"messages_per_request"`
	ServerCPU     figure  `json:"server_cpu_us_per_message"`
	AckP50        figure  `json:"ack_p50_ms"` // poll of a request's first record to its acknowledgement, at full load
	AckP99        figure  `json:"ack_p99_ms"`
	Checked       int64   `json:"checked_ids"`
	ToRaw         float64 `json:"ratio_to_fetch_plus_publish"`
	ToPassthrough float64 `json:"ratio_to_passthrough,omitempty"`
}

func caseOf(g group, transform string, runs []bridgeSample) caseResult {
	samples := make([]sample, len(runs))
	c := caseResult{Name: g.caseName(transform), Transform: transform}
	for i, r := range runs {
		samples[i] = r.sample
		c.Checked += r.ids.Distinct
	}
	c.rawResult = rawOf(samples)
	c.Messages = figureBy(runs, func(s bridgeSample) float64 { return s.messages })
	c.MessageBytes = figureBy(runs, func(s bridgeSample) float64 { return s.dataBytes })
	c.PerRequest = figureBy(runs, func(s bridgeSample) float64 { return s.perRequest })
	c.ServerCPU = figureBy(runs, func(s bridgeSample) float64 { return s.serverCPU })
	c.AckP50 = figureBy(runs, func(s bridgeSample) float64 { return s.ackP50 })
	c.AckP99 = figureBy(runs, func(s bridgeSample) float64 { return s.ackP99 })
	return c
}

// compare fills in the ratios, of medians.
func (g *groupResult) compare() {
	var plain float64
	for _, c := range g.Cases {
		if c.Transform == passthrough {
			plain = c.CPU.Median
		}
	}
	for i := range g.Cases {
		c := &g.Cases[i]
		if raw := g.Fetch.CPU.Median + g.Publish.CPU.Median; raw > 0 {
			c.ToRaw = c.CPU.Median / raw
		}
		if plain > 0 && c.Transform != passthrough {
			c.ToPassthrough = c.CPU.Median / plain
		}
	}
}

// target is a figure that the bridge should reach.
type target struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Floor bool    `json:"floor"` // the limit is the least, not the most
	Unit  string  `json:"unit"`
	Met   bool    `json:"met"`
}

func (r *result) judge() {
	add := func(name string, value, limit float64, unit string) {
		if value != 0 { // measured
			r.Targets = append(r.Targets, target{Name: name, Value: value, Limit: limit, Unit: unit, Met: value <= limit})
		}
	}
	for _, g := range r.Groups {
		if g.RecordBytes != 1000 || g.Compression != "none" {
			continue
		}
		for _, c := range g.Cases {
			switch c.Transform {
			case passthrough:
				add("pass-through of 1 KB to fetch-only plus publish-only", c.ToRaw, 1.35, "×")
			case jsonRemap:
				add("JSON filter and remap of 1 KB to pass-through", c.ToPassthrough, 4, "×")
			case avroRemap:
				add("Avro remap of 1 KB to pass-through", c.ToPassthrough, 3, "×")
			}
		}
	}
	if r.Latency != nil {
		add("added latency at half the highest rate, p99", r.Latency.AddedP99.Median, 15, "ms")
	}
	if m := r.Outage; m != nil {
		add("peak memory over an outage", float64(max(m.PeakBefore, m.PeakOutage, m.PeakAfter))/(1<<20), 400, "MiB")
	}
	if c := r.Catchup; c != nil {
		r.Targets = append(r.Targets, target{Name: "catch-up on a skewed topic to an even one", Value: c.Ratio, Limit: 0.9, Floor: true, Unit: "×", Met: c.Ratio >= 0.9})
		add("planned bytes of its splits: largest less smallest, to the mean", 100*max(c.Even.PlannedSpread.Max, c.Skewed.PlannedSpread.Max), 0.1, "%")
	}
}

// print prints the result for people.
func (r *result) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d CPUs, %s, commit %s; %s, %d partitions, server delay %g ms, limits.memory %s\n\n",
		r.Machine.CPU, r.Machine.CPUs, r.Machine.Go, r.Machine.Commit, r.Broker, r.Partitions, r.ServerDelay, r.Memory)
	if len(r.Groups) > 0 {
		if err := r.table(w); err != nil {
			return err
		}
	}
	r.rest(w)
	return nil
}

func (r *result) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tCPU µs/record\tmin–max\trecords/s\tMB/s\tpeak MiB\t× raw\t× pass-through\tmsgs/request\tack p50/p99 ms\t")
	row := func(name string, f rawResult, rest string) {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f–%.2f\t%.0f\t%.0f\t%.0f\t%s\t\n", name, f.CPU.Median, f.CPU.Min, f.CPU.Max, f.Rate.Median, f.MB.Median, f.PeakRSS.Median, rest)
	}
	for _, g := range r.Groups {
		name := sizeName(g.RecordBytes) + "-" + g.Compression
		if len(g.Fetch.CPU.Runs) > 0 {
			row("fetch-only-"+name, g.Fetch, "\t\t\t")
			row("publish-only-"+name, g.Publish, "\t\t\t")
		}
		for _, c := range g.Cases {
			raw, pass := "", ""
			if c.ToRaw > 0 {
				raw = fmt.Sprintf("%.2f", c.ToRaw)
			}
			if c.ToPassthrough > 0 {
				pass = fmt.Sprintf("%.2f", c.ToPassthrough)
			}
			row(c.Name, c.rawResult, fmt.Sprintf("%s\t%s\t%.0f\t%.0f/%.0f", raw, pass, c.PerRequest.Median, c.AckP50.Median, c.AckP99.Median))
		}
	}
	return t.Flush()
}

func (r *result) rest(w io.Writer) {
	if l := r.Latency; l != nil {
		fmt.Fprintf(w, "\nlatency at %d records/s, beyond the server's %g ms: p50 %.1f ms, p99 %.1f ms (%.1f–%.1f); fetch-only p50 %.1f ms, p99 %.1f ms\n",
			l.RecordsPerSecond, l.ServerDelay, l.AddedP50.Median, l.AddedP99.Median, l.AddedP99.Min, l.AddedP99.Max, l.FetchOnly.P50, l.FetchOnly.P99)
	}
	if m := r.Outage; m != nil {
		fmt.Fprintf(w, "\nmemory, budget %s, %d partitions, %d-byte records at %.0f MB/s, outage of %.0f s: peak %d MiB before, %d MiB at its end, %d MiB after %d MB more; %d ids, each once\n",
			m.Budget, m.Partitions, m.RecordBytes, m.FullLoad, m.Outage, m.PeakBefore>>20, m.PeakOutage>>20, m.PeakAfter>>20, m.Recovered/1e6, m.Messages)
	}
	if c := r.Catchup; c != nil {
		fmt.Fprintf(w, "\ncatch-up of %d MB in %d partitions by %d splits: %.0f MB/s (%.0f–%.0f) even, %.0f MB/s (%.0f–%.0f) with %g %% in one; splits differ by %.3f %% planned, %.3f %% really\n",
			c.Bytes/1e6, c.Partitions, c.Splits, c.Even.MB.Median, c.Even.MB.Min, c.Even.MB.Max, c.Skewed.MB.Median, c.Skewed.MB.Min, c.Skewed.MB.Max,
			100*skewedShare, 100*c.Skewed.PlannedSpread.Max, 100*c.Skewed.ActualSpread.Max)
	}
	if len(r.Targets) > 0 {
		fmt.Fprintln(w)
	}
	for _, t := range r.Targets {
		met, bound := "met", "at most"
		if t.Floor {
			bound = "at least"
		}
		if !t.Met {
			met = "NOT met"
		}
		fmt.Fprintf(w, "%s: %.2f %s, %s %g: %s\n", t.Name, t.Value, t.Unit, bound, t.Limit, met)
	}
}
