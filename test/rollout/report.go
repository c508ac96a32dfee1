package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

// report is what came of a run.
type report struct {
	OK         bool             `json:"ok"`
	Kappa      string           `json:"kappa"`
	Rate       int              `json:"events_per_second"` // published
	Seconds    float64          `json:"rollout_seconds"`   // from the command to its end
	Events     int64            `json:"events"`
	Messages   int64            `json:"messages"`
	Lost       int64            `json:"lost"`
	Double     int64            `json:"double"`
	Shards     []shardReport    `json:"shards"`
	Memory     int64            `json:"memory_resident_peak_bytes"` // of all processes together
	MemoryOf   map[string]int64 `json:"memory_resident_peak_bytes_of_one"`
	Violations []string         `json:"violations,omitempty"`
}

// shardReport is what came of one shard.
type shardReport struct {
	Job     string  `json:"job"`
	Events  int64   `json:"events"`
	Twice   int64   `json:"sent_twice"`
	Counted int64   `json:"counted"`
	Lost    int64   `json:"lost"`
	Double  int64   `json:"double"`
	Pause   float64 `json:"pause_seconds"` // longest time without output during the rollout
	Drain   float64 `json:"drain_seconds"`
}

func (r *report) write(file string) error {
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(doc, '\n'), 0o644)
}

// print prints the report for people.
func (r *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "job\tpause\tdrain took\tevents\tsent twice\tcounted\tlost\tdouble\t")
	for _, s := range r.Shards {
		fmt.Fprintf(w, "%s\t%.1f s\t%.1f s\t%d\t%d\t%d\t%d\t%d\t\n", s.Job, s.Pause, s.Drain, s.Events, s.Twice, s.Counted, s.Lost, s.Double)
	}
	w.Flush()
	fmt.Fprintf(out, "%d events in %d messages, %d a second; %d jobs replaced in %.0f s; lost %d, counted twice %d\n",
		r.Events, r.Messages, r.Rate, len(r.Shards), r.Seconds, r.Lost, r.Double)
	fmt.Fprintf(out, "at most %d MiB resident", r.Memory>>20)
	for _, name := range slices.Sorted(maps.Keys(r.MemoryOf)) {
		fmt.Fprintf(out, ", one %s %d MiB", name, r.MemoryOf[name]>>20)
	}
	fmt.Fprintln(out)
	for _, v := range r.Violations {
		fmt.Fprintln(out, "VIOLATION:", v)
	}
}
