package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Statuses of an attribution, as kappa writes them.
const (
	proven      = "proven"
	likely      = "likely"
	unexplained = "unexplained"
)

// wanted are the least shares of a cause's keys.
const wanted = 0.99

// graded is how a comparison did.
type graded struct {
	Name        string       `json:"name"`
	Differing   int          `json:"differing"`
	Unfit       int          `json:"without_a_fitting_cause"` // near misses
	FalseProven int          `json:"false_proven"`
	Ambiguous   int          `json:"several_causes_fit"`
	Causes      []causeGrade `json:"causes"`
	Wrong       []string     `json:"wrong"` // the first of them
	OK          bool         `json:"ok"`
}

// causeGrade is how one cause was found.
type causeGrade struct {
	Cause  string `json:"cause"`
	Keys   int    `json:"keys"`   // that have it
	Proven int    `json:"proven"` // of them: found, and nothing else fits
	Likely int    `json:"likely"` // of them: found among others that fit as well
	Missed int    `json:"missed"`
	MadeUp int    `json:"made_up"` // keys that it was named for and should not have been
}

func (c causeGrade) precision() float64 { return share(c.Proven+c.Likely, c.Proven+c.Likely+c.MadeUp) }
func (c causeGrade) recall() float64    { return share(c.Proven+c.Likely, c.Keys) }

// share is 1 where there is nothing to share.
func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// wrongShown bounds the list of what is wrong.
const wrongShown = 20

// expected is what an attribution should say: the status, and the sets of causes,
// each by its name, sorted.
func expected(w *world, m metrics) (status string, sets []string) {
	for _, e := range w.explanations(m) {
		sets = append(sets, name(e))
	}
	slices.Sort(sets)
	switch len(sets) {
	case 0:
		return unexplained, nil
	case 1:
		return proven, sets
	}
	return likely, sets
}

// said takes an attribution apart likewise.
func said(a attribution) (status string, sets []string) {
	if a.status != proven && a.status != likely {
		return unexplained, nil
	}
	for _, s := range strings.Split(a.cause, " or ") {
		parts := strings.Split(s, " + ")
		slices.Sort(parts)
		sets = append(sets, strings.Join(parts, " + "))
	}
	slices.Sort(sets)
	return a.status, sets
}

// causesIn are the single causes that sets name.
func causesIn(sets []string) map[string]bool {
	out := map[string]bool{}
	for _, s := range sets {
		for _, c := range strings.Split(s, " + ") {
			out[c] = true
		}
	}
	return out
}

// grade holds what kappa says against the truth.
func grade(title string, m metrics, k *keyed, found map[place]attribution) graded {
	g := graded{Name: title, Wrong: []string{}}
	tally := map[string]*causeGrade{}
	of := func(cause string) *causeGrade {
		if tally[cause] == nil {
			tally[cause] = &causeGrade{Cause: cause}
		}
		return tally[cause]
	}
	for _, f := range append(slices.Clone(batchFlaws), streamFlaws...) {
		of(string(f))
	}
	wrong := func(p place, format string, args ...any) {
		if len(g.Wrong) < wrongShown {
			w := k.worlds[p]
			g.Wrong = append(g.Wrong, fmt.Sprintf("%s %s (%s): ", p.origin, p.start.Format(time.RFC3339), k.fates[p])+fmt.Sprintf(format, args...)+
				fmt.Sprintf("; batch %+v, stream %+v", w.batch, w.stream))
		}
	}
	broken := 0
	for _, p := range k.places {
		w := k.worlds[p]
		got, ok := found[p]
		if differs := !m.same(w.batch, w.stream); differs != ok {
			broken++
			wrong(p, "differs: %v, kappa says %v", differs, ok)
			continue
		}
		if !ok {
			continue
		}
		g.Differing++
		wantStatus, want := expected(w, m)
		status, sets := said(got)
		switch wantStatus {
		case unexplained:
			g.Unfit++
		case likely:
			g.Ambiguous++
		}
		right := status == wantStatus && slices.Equal(sets, want)
		if status == proven && !right {
			g.FalseProven++
		}
		if !right {
			wrong(p, "want %s %q, got %s %q", wantStatus, want, status, sets)
		}
		for c := range causesIn(want) {
			t := of(c)
			t.Keys++
			switch {
			case !right:
				t.Missed++
			case status == proven:
				t.Proven++
			default:
				t.Likely++
			}
		}
		if !right {
			for c := range causesIn(sets) {
				of(c).MadeUp++
			}
		}
	}
	g.OK = broken == 0 && g.FalseProven == 0 && g.Differing > 0
	for _, c := range slices.Sorted(maps.Keys(tally)) {
		t := tally[c]
		g.Causes = append(g.Causes, *t)
		g.OK = g.OK && t.precision() >= wanted && t.recall() >= wanted && t.Keys > 0
	}
	return g
}
