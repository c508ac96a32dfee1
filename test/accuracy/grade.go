package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// wanted are the least shares of a cause's keys.
const wanted = 0.99

// graded is how a comparison did.
type graded struct {
	Name        string       `json:"name"`
	Differing   int          `json:"differing"`
	NearMisses  int          `json:"near_misses"` // differing keys that nothing reproduces
	Ambiguous   int          `json:"several_causes_fit"`
	FalseProven int          `json:"false_proven"`
	Causes      []causeGrade `json:"causes"`
	Wrong       []string     `json:"wrong"` // the first of them
	OK          bool         `json:"ok"`
}

// causeGrade is how one cause was found.
type causeGrade struct {
	Cause  string `json:"cause"`
	Keys   int    `json:"keys"`   // that it was injected into and made a difference to
	Mixed  int    `json:"mixed"`  // of them: with other causes
	Proven int    `json:"proven"` // of them: found, and nothing else fits
	Likely int    `json:"likely"` // of them: named beside others that fit as well
	Missed int    `json:"missed"`
	MadeUp int    `json:"made_up"` // keys that it was named for wrongly
	Beside int    `json:"beside"`  // keys that it was rightly named for as likely, though another one was injected
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

// said takes an attribution apart.
func said(a attribution) (expectation, error) {
	if a.status != proven && a.status != likely {
		return expectation{status: unexplained}, nil
	}
	e := expectation{status: a.status}
	for _, s := range strings.Split(a.cause, " or ") {
		var set flaw
		for _, name := range strings.Split(s, " + ") {
			f, ok := flawNamed(name)
			if !ok {
				return e, fmt.Errorf("%q is no cause", name)
			}
			set |= f
		}
		e.sets = append(e.sets, set)
	}
	slices.Sort(e.sets)
	return e, nil
}

func (e expectation) String() string {
	var texts []string
	for _, s := range e.sets {
		texts = append(texts, s.String())
	}
	return fmt.Sprintf("%s %q", e.status, texts)
}

// grader counts.
type grader struct {
	graded
	k      *keyed
	tally  map[flaw]*causeGrade
	broken int // what no share says
}

// grade holds what kappa says against the truth.
func grade(title string, m metrics, k *keyed, found map[key]attribution) graded {
	g := &grader{graded: graded{Name: title, Wrong: []string{}}, k: k, tally: map[flaw]*causeGrade{}}
	for _, n := range flawNames {
		g.tally[n.flaw] = &causeGrade{Cause: n.name}
	}
	want := k.expect(m)
	for _, at := range k.keys {
		wants, differs := want[at]
		a, ok := found[at]
		delete(found, at)
		if differs != ok {
			g.broken++
			g.wrong(at, "differs: %v, kappa says %v", differs, ok)
		} else if ok {
			g.key(at, wants, a)
		}
	}
	for at := range found {
		g.broken++
		g.wrong(at, "there is no such key")
	}
	g.OK = g.broken == 0 && g.FalseProven == 0 && g.Differing > 0
	for _, n := range flawNames {
		if t := g.tally[n.flaw]; m.shows(n.flaw) {
			g.Causes = append(g.Causes, *t)
			g.OK = g.OK && t.precision() >= wanted && t.recall() >= wanted && t.Keys > 0
		}
	}
	return g.graded
}

func (g *grader) wrong(at key, format string, args ...any) {
	if len(g.Wrong) >= wrongShown {
		return
	}
	text := fmt.Sprintf("%q %s: ", at.origin, at.start.Format(time.RFC3339)) + fmt.Sprintf(format, args...)
	if e := g.k.entries[at]; e != nil {
		text += fmt.Sprintf("; %s; batch %v %v, stream %v %v", e.fate, e.batch.present, e.batch.of, e.stream.present, e.stream.of)
	}
	g.Wrong = append(g.Wrong, text)
}

// key grades what is said of one key.
func (g *grader) key(at key, want expectation, a attribution) {
	g.Differing++
	got, err := said(a)
	if err != nil {
		g.broken++
		g.wrong(at, "%v", err)
		return
	}
	right := got.status == want.status && slices.Equal(got.sets, want.sets)
	if !right {
		g.wrong(at, "want %s, got %s", want, got)
	}
	// What was done and made a difference: that of the smallest sets that fit which are
	// a part of it.
	e := g.k.entries[at]
	var did flaw
	done, mixed := false, false
	for _, s := range want.sets {
		if s.part(e.fate.flaws) {
			did, done = did|s, true
			mixed = mixed || s.size() > 1
		}
	}
	switch {
	case len(want.sets) > 1:
		g.Ambiguous++
	case len(want.sets) == 0 && e.fate.miss != "":
		g.NearMisses++
	case !done && e.fate.miss == "":
		did = e.fate.flaws // it cannot be known by the rule; that is no excuse
	}
	untrue := got.status == proven && (!right || !done)
	if untrue {
		if g.FalseProven++; right {
			g.wrong(at, "%s, which was not done", got)
		}
	}
	for _, c := range did.each() {
		t := g.tally[c]
		if t.Keys++; mixed {
			t.Mixed++
		}
		switch {
		case !right || got.status == unexplained:
			t.Missed++
		case got.status == proven:
			t.Proven++
		default:
			t.Likely++
		}
	}
	for _, c := range named(got.sets).each() {
		switch {
		case !right || untrue:
			g.tally[c].MadeUp++
		case !did.has(c):
			g.tally[c].Beside++
		}
	}
}

func named(sets []flaw) (all flaw) {
	for _, s := range sets {
		all |= s
	}
	return all
}
