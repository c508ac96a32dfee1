package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const pageHead = `# How accurate the causes are

Written by ` + "`make accuracy`" + `; do not edit. It puts flaws into real flights by chance, writes
both sides, the raw events and the control tables into the sandbox, runs
` + "`kappa compare run`" + ` on them with several sets of metrics, and holds what that says of every
differing key against what was done. It shares no code with the comparison.

What is done to a key (airport and hour):

- A third has no flaw of its own, a third one, a sixth two to four.
- A sixth is a near miss: one event, one unit, one raw row, one letter or one
  millisecond away from a cause that fits. A value is rounded though its side has all
  decimals elsewhere, or wrapped around though it fits. None of them may be proven.
- In some hours the batch side has no row, and in some it has a single one, a near
  miss. In every week one or both sides have two decimals only for some days, one day is
  shifted by what clocks are apart, and one nearly so: by another time, or in few keys.
- So causes come alone and mixed, in all combinations that can be at once.

How it is graded:

- A key **has** a cause if that was done to it and made a difference: if it belongs to
  the smallest part of what was done that still gives both sides' values. Where every
  metric that is compared is met by less, the rest made no difference.
- An attribution is **right** if it names every smallest set of causes that reproduces
  both sides' values, and no other one; it is **proven** if that is one set, and
  **likely** if there are several, or if the one rests on a shift that its day does not
  prove.
- **recall** is the share of the keys that have a cause whose attribution is right and
  names it, proven or likely. The others are **missed**.
- **precision** is the share of right attributions among all that name the cause: those
  and the **made up** ones, which are wrong or name what was not done. Where several sets
  fit, naming all of them is what is wanted: the keys in which a cause was named so
  beside the one that was done are not made up, but counted as **fits as well**.
- A **false proven** is an attribution that is called proven though it is no part of
  what was done, or though something else reproduces both values as well. One is enough
  to fail the run, as is a share below 99 %.
- Draws that nobody could tell are drawn again: those in which chance made something
  fit a near miss that was not done, and those in which what was done does not fit by the
  rule, such as a second form of a key whose values, by chance, are equal on both sides:
  forms are looked for among keys that differ. The latter are counted; more than one in
  a hundred fail the run.

`

// report is the outcome of a run.
type report struct {
	Seed        uint64   `json:"seed"`
	Date        string   `json:"date"`
	Flights     int      `json:"flights"`
	Keys        int      `json:"keys"`
	DrawnAgain  int      `json:"drawn_again"` // for what was done to a key cannot be told
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
	b.WriteString(pageHead)
	fmt.Fprintf(&b, "Of %s: seed %d, %d flights, %d keys; %d draws of flaws that cannot be told.\n", r.Date, r.Seed, r.Flights, r.Keys, r.DrawnAgain)
	for _, g := range r.Comparisons {
		fmt.Fprintf(&b, "\n## By %s\n\n%s.\n\n", g.Name, g.counts())
		b.WriteString("| cause | keys | of them mixed | proven | likely | missed | made up | fits as well | precision | recall |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
		for _, c := range g.Causes {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %s | %s |\n", c.Cause, c.Keys, c.Mixed, c.Proven, c.Likely, c.Missed, c.MadeUp, c.Beside, percent(c.precision()), percent(c.recall()))
		}
	}
	return b.String()
}

func (g graded) counts() string {
	return fmt.Sprintf("%d keys differ; %d of them are near misses, and %d fit several sets of causes. False proven: %d", g.Differing, g.NearMisses, g.Ambiguous, g.FalseProven)
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	for _, g := range r.Comparisons {
		fmt.Fprintf(w, "\nby %s: %s\n", g.Name, g.counts())
		fmt.Fprintf(w, "  %-24s %6s %6s %6s %6s %6s %7s %7s %10s %10s\n", "cause", "keys", "mixed", "proven", "likely", "missed", "made up", "as well", "precision", "recall")
		for _, c := range g.Causes {
			fmt.Fprintf(w, "  %-24s %6d %6d %6d %6d %6d %7d %7d %10s %10s\n", c.Cause, c.Keys, c.Mixed, c.Proven, c.Likely, c.Missed, c.MadeUp, c.Beside, percent(c.precision()), percent(c.recall()))
		}
		for _, s := range g.Wrong {
			fmt.Fprintln(w, "  wrong:", s)
		}
	}
	fmt.Fprintf(w, "\n%d draws were drawn again, for what they do cannot be told\nseed %d, %.0f s\n", r.DrawnAgain, r.Seed, r.Seconds)
}
