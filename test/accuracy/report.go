package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// report is the outcome of a run.
type report struct {
	Seed        uint64   `json:"seed"`
	Date        string   `json:"date"`
	Flights     int      `json:"flights"`
	Keys        int      `json:"keys"`
	Seconds     float64  `json:"seconds"`
	Comparisons []graded `json:"comparisons"`
	OK          bool     `json:"ok"`
}

// write writes the report as JSON and as the page of the docs.
func (r *report) write(jsonPath, page string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for path, text := range map[string]string{jsonPath: string(data) + "\n", page: r.markdown()} {
		if path == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func percent(f float64) string { return fmt.Sprintf("%.2f %%", 100*f) }

// markdown is the page of the docs.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString(`# How accurate the causes are

Written by ` + "`make accuracy`" + `; do not edit. It puts flaws into real flights by chance, writes
both sides, the raw events and the control tables into the sandbox, runs ` + "`kappa compare run`" + `,
and holds what that says of every differing key against the truth. A third of the keys
has no flaw, a third has one, a sixth a mix of two to four, and a sixth is a near miss:
a flaw whose evidence is off by one event or by one unit, which must not be proven.

- **proven** and **likely** count keys whose attribution is right: proven where exactly
  one smallest set of causes reproduces both sides, likely where several do and all of
  them, and no others, are named.
- **missed** keys have the cause and are given another attribution; **made up** ones are
  given the cause wrongly.
- A cause that is called proven and is not the truth is a **false proven**. One is
  enough to fail the run, as is a share below 99 %.

`)
	fmt.Fprintf(&b, "Of %s: seed %d, %d flights, %d keys.\n", r.Date, r.Seed, r.Flights, r.Keys)
	for _, g := range r.Comparisons {
		fmt.Fprintf(&b, "\n## By %s\n\n%d keys differ; several causes fit %d of them, and none fits %d near misses. False proven: %d.\n\n", g.Name, g.Differing, g.Ambiguous, g.Unfit, g.FalseProven)
		b.WriteString("| cause | keys | proven | likely | missed | made up | precision | recall |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
		for _, c := range g.Causes {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %s | %s |\n", c.Cause, c.Keys, c.Proven, c.Likely, c.Missed, c.MadeUp, percent(c.precision()), percent(c.recall()))
		}
	}
	return b.String()
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	for _, g := range r.Comparisons {
		fmt.Fprintf(w, "\nby %s: %d keys differ, several causes fit %d, none fits %d, false proven %d\n", g.Name, g.Differing, g.Ambiguous, g.Unfit, g.FalseProven)
		fmt.Fprintf(w, "  %-34s %6s %6s %6s %6s %7s %10s %10s\n", "cause", "keys", "proven", "likely", "missed", "made up", "precision", "recall")
		for _, c := range g.Causes {
			fmt.Fprintf(w, "  %-34s %6d %6d %6d %6d %7d %10s %10s\n", c.Cause, c.Keys, c.Proven, c.Likely, c.Missed, c.MadeUp, percent(c.precision()), percent(c.recall()))
		}
		for _, s := range g.Wrong {
			fmt.Fprintln(w, "  wrong:", s)
		}
	}
	fmt.Fprintf(w, "\nseed %d, %.0f s\n", r.Seed, r.Seconds)
}
