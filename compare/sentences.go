package compare

import (
	"fmt"
	"strings"
)

// This file says for people what shows a cause. Values of keys are never in it.

// sentence is what shows the cause of a key, or what is known where none is found.
func (x *examination) sentence(o *openKey, sets []flaw, shift *shiftFound, unverified bool) string {
	f := o.finding
	if len(sets) == 0 {
		return f.unexplained(o.forms)
	}
	var ways []string
	for _, s := range sets {
		of := f
		if s&keyForm != 0 {
			of = *o.forms
		}
		ways = append(ways, x.way(s, of, shift))
	}
	text := strings.Join(ways, "; or ")
	if len(sets) > 1 {
		return text + ": each gives both sides' values"
	}
	text += ": so the raw events give both sides' values"
	switch {
	case unverified:
		text += ", but not in all metrics exactly"
	case sets[0]&shiftedBatch != 0 && !shift.proven:
		text += ", as they may by coincidence"
	}
	return text
}

// unexplained says where the evidence stops.
func (f finding) unexplained(forms *finding) string {
	text := ""
	switch {
	case f.problem != "":
		return f.problem
	case f.exact:
		return "the raw events give what both sides have"
	case f.facts.events == 0 && f.facts.undelivered == 0 && f.facts.lost == 0:
		text = "there is no raw event of the key in the window"
	case f.holds[batchSide]:
		text = fmt.Sprintf("%s give the batch side's values, but in no way that is looked for the stream side's", eventsText(f.facts.events))
	case f.holds[streamSide]:
		text = fmt.Sprintf("%s give the stream side's values, but in no way that is looked for the batch side's", eventsText(f.facts.events))
	default:
		text = fmt.Sprintf("%s give neither side's values in any way that is looked for", eventsText(f.facts.events))
	}
	if forms != nil {
		text += ", nor do those of all forms of the key together"
	}
	return text
}

func repeatsText(n int64) string {
	if n == 1 {
		return "1 copy of an event"
	}
	return count(n) + " copies of events"
}

func eventsText(n int64) string { return "the " + countOf(n, "raw event") }

// ofShifted is what flaws do to a batch side that has the events of another window.
var ofShifted = map[flaw]string{
	lateBatch:       "the batch side lacks those of its events that arrived later than its cut-off",
	duplicatesBatch: "the batch side counted events more than once",
	droppedByBridge: "some of its events went to the dead letters",
	cutByDrain:      "some of its events were read only by a generation that does not count and has no successor for them",
}

// way is a flaw set in words, with what was counted.
func (x *examination) way(set flaw, f finding, shift *shiftFound) string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	n := f.facts
	for _, name := range flawNames {
		// Facts are of the events of the key's own window.
		if text := ofShifted[name.flaw]; set&shiftedBatch != 0 && set&name.flaw != 0 && text != "" {
			parts = append(parts, text)
			continue
		}
		switch set & name.flaw {
		case lateBatch:
			say("%d of %s arrived later than %s after the window's end, too late for the batch side", n.afterCutoff, countOf(n.events, "event"), shortDuration(x.q.spec.Batch.Cutoff.D()))
		case duplicatesBatch:
			say("the batch side counted events more than once: there are %s", repeatsText(n.repeats))
		case restatedBatch:
			say("%d of %s arrived after the load that ended at %s, whose state the batch side has", n.afterLoad, countOf(n.events, "event"), stamp(n.loadedAt))
		case unloadedBatch:
			say("a batch load claims the window, but has no row of any key in it")
		case shiftedBatch:
			say("the batch side has the events of a window that is %s, as have %d of %s of that span of time", x.offsets(shift), shift.agree, countOf(shift.keys, "differing key"))
		case roundedBatch:
			say("the batch side rounded to %s", x.placesText(batchSide))
		case overflowBatch:
			say("the batch side's type overflowed")
		case keyForm:
			say("%d keys that differ only in case, space, empty or normal form are one", n.forms)
		case droppedByBridge:
			say("%s went to the dead letters", countOf(n.undelivered, "event"))
		case cutByDrain:
			say("%s were read only by a generation that does not count and has no successor for them", countOf(n.lost, "event"))
		case lateStream:
			say("%d of %s are in the late table", n.late, countOf(n.events, "event"))
		case duplicatesStream:
			say("the stream side counted events more than once: there are %s", repeatsText(n.repeats))
		case roundedStream:
			say("the stream side rounded to %s", x.placesText(streamSide))
		case overflowStream:
			say("the stream side's type overflowed")
		}
	}
	return strings.Join(parts, ", and ")
}

func (x *examination) placesText(side int) string {
	var out []string
	for _, m := range x.rules {
		if m.places[side] >= 0 {
			out = append(out, fmt.Sprintf("%s in %s", countOf(int64(m.places[side]), "decimal"), m.name))
		}
	}
	return strings.Join(out, " and ")
}

func (x *examination) offsets(s *shiftFound) string {
	var out []string
	for o, d := range shiftOffsets {
		if s.offsets.has(o) {
			out = append(out, offsetText(d))
		}
	}
	return strings.Join(out, " or ")
}
