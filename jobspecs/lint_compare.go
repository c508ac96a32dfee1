package jobspecs

import (
	"math/big"
	"slices"
	"strings"
	"time"
)

// soon is how far off the expiry of a known difference may be.
const soon = 180 * 24 * time.Hour

// compareRules are about a Comparison.
func compareRules() []Rule {
	of := []string{KindComparison}
	return []Rule{{
		Name: "gate-without-days", Kinds: of,
		Finds: "a gate that asks for no settled days: days 0",
		Why:   "One good range makes the verdict GO, be it an hour of a quiet night. Late events, restated batches and weekends show in days.",
		Mend:  "set spec.gate.days: 7, and spec.history.dataset if a run compares fewer days",
		check: on(func(l *linter, c *Comparison) {
			if c.Spec.Gate.Days == 0 && len(c.Spec.Batch.Files) == 0 {
				l.warn("spec.gate.days", "one good range is enough for GO")
			}
		}),
	}, {
		Name: "gate-without-history", Kinds: of,
		Finds: "a gate over more days than a run compares, without a history of earlier runs",
		Why:   "Days that are not in the compared range count by what earlier runs have written. Without that the verdict is never GO.",
		Mend:  "name a dataset in spec.history.dataset, or make spec.range.last as long as the days of the gate",
		check: on(func(l *linter, c *Comparison) {
			days, last := c.Spec.Gate.Days, c.Spec.Range.Last
			if last > 0 && last.D() < time.Duration(days)*day.D() && c.Spec.History.Dataset == "" {
				l.warn("spec.range.last", "a run compares %s, but the gate asks for %s", last, counted(days, "day"))
			}
		}),
	}, {
		Name: "unexplained-allowed", Kinds: of,
		Finds: "a gate that lets keys differ without a cause: maxUnexplained or maxUnexplainedValuePercent above 0",
		Why:   "A difference that nobody can explain is what a comparison is there to find. And a number, unlike a share, does not grow with the data: on a quiet day it lets much pass.",
		Mend:  "set it to 0; differences that somebody answers for belong in spec.knownDifferences, with an owner and an end",
		check: on(func(l *linter, c *Comparison) {
			g := &c.Spec.Gate
			if g.MaxUnexplained > 0 {
				l.warn("spec.gate.maxUnexplained", "the verdict is GO with %s that nothing explains", counted(g.MaxUnexplained, "key"))
			}
			if g.MaxUnexplainedValuePercent.Rat().Sign() > 0 {
				l.warn("spec.gate.maxUnexplainedValuePercent", "the verdict is GO with %s %% of the value unexplained", g.MaxUnexplainedValuePercent)
			}
		}),
	}, {
		Name: "gate-without-evidence", Kinds: of,
		Finds: "a gate with a percentage of exact keys that cannot matter, because without raw events no difference is explained",
		Why:   "Without spec.evidence.raw no cause is looked for, so every difference that is not a known one is unexplained. With maxUnexplained 0 the first of them makes the verdict HOLD, whatever the percentage allows.",
		Mend:  "name the StreamJob's tables in spec.evidence.raw and spec.evidence.late; or leave the percentage out",
		check: on(func(l *linter, c *Comparison) {
			g := &c.Spec.Gate
			p := g.MinExactPercent.Rat()
			if c.Spec.Evidence.Raw == "" && len(c.Spec.Known) == 0 && g.MaxUnexplained == 0 && p.Sign() > 0 && p.Cmp(big.NewRat(100, 1)) < 0 {
				l.warn("spec.gate.minExactPercent", "any difference breaks the gate: without raw events none is explained")
			}
		}),
	}, {
		Name: "known-difference-expired", Kinds: of,
		Finds: "a known difference that has expired",
		Why:   "It matches no key any more: what it stood for is unexplained now.",
		Mend:  "remove it; or, if both sides still differ there, have its owner set a new date",
		check: on((*linter).expiry),
	}, {
		Name: "known-difference-for-long", Kinds: of,
		Finds: "a known difference that expires in more than half a year",
		Why:   "Its keys count as explained until then, and nobody will have looked again. A migration that has ended by then was judged by it to the last day.",
		Mend:  "set expires to a day by which it is mended, or looked at again",
		check: on((*linter).expiry),
	}, {
		Name: "known-difference-everywhere", Kinds: of,
		Finds: "a known difference that names neither keys nor windows",
		Why:   "It matches any difference at all, up to its limit, and hides those that are new.",
		Mend:  "name the values of a key in keys, or the windows in from and to",
		check: on(func(l *linter, c *Comparison) {
			for i, d := range c.Spec.Known {
				if len(d.Keys) == 0 && d.From == "" && d.To == "" {
					l.warn(at("spec.knownDifferences", i)+".name", "known difference %s matches every key and window", d.Name)
				}
			}
		}),
	}, {
		Name: "unpruned-allowed", Kinds: of,
		Finds: "a Comparison that may read a whole table for one range: unpruned allow",
		Why:   "Each run is billed for all of a table that is not partitioned by its time column, however short the range is, and for more with every day.",
		Mend:  "partition the table by its time column and set spec.limits.unpruned: refuse; ignore the rule if the table is small",
		check: on(func(l *linter, c *Comparison) {
			if c.Spec.Limits.Unpruned == "allow" && len(c.Spec.Batch.Files) == 0 {
				l.warn("spec.limits.unpruned", "a side that is not partitioned is read as a whole in each run")
			}
		}),
	}, {
		Name: "evidence-without-late", Kinds: of,
		Finds: "evidence that names the raw events but not the late ones",
		Why:   "What the stream side dropped as too late is known from the late table alone. Without it such a difference stays unexplained.",
		Mend:  "name the StreamJob's late table in spec.evidence.late",
		check: on(func(l *linter, c *Comparison) {
			if e := &c.Spec.Evidence; e.Raw != "" && e.Late == "" {
				l.warn("spec.evidence", "no cause can be found in events that the stream side dropped as too late")
			}
		}),
	}, {
		Name: "settle-without-effect", Kinds: of,
		Finds: "a settleAfter that is shorter than the batch side's cutoff",
		Why:   "A window is never compared before the cutoff, so what is written does not hold.",
		Mend:  "remove spec.stream.settleAfter, or set it above spec.batch.cutoff",
		check: on(func(l *linter, c *Comparison) {
			if s, cutoff := c.Spec.Stream.SettleAfter, c.Spec.Batch.Cutoff; l.given("spec.stream.settleAfter") && s < cutoff {
				l.warn("spec.stream.settleAfter", "windows are compared after spec.batch.cutoff, %s, and not after %s", cutoff, s)
			}
		}),
	}, {
		Name: "settle-past-horizon", Kinds: of,
		Finds: "a settleAfter that is longer than the StreamJob's horizon",
		Why:   "Once the watermark has passed a window's end by the horizon, nothing changes the window any more. Waiting longer only makes verdicts late.",
		Mend:  "set spec.stream.settleAfter to the StreamJob's spec.horizon at most",
		check: on(func(l *linter, c *Comparison) {
			others(l, func(j *StreamJob) {
				s := c.Spec.Stream.SettleAfter
				if j.Metadata.Name == c.Spec.Stream.Job && s > j.Spec.Horizon && s > c.Spec.Batch.Cutoff {
					l.warn("spec.stream.settleAfter", "windows of StreamJob %s are final after %s, but compared after %s", j.Metadata.Name, j.Spec.Horizon, s)
				}
			})
		}),
	}, {
		Name: "window-across-batches", Kinds: of,
		Finds: "windows that do not fit into the batches from which the batch side is loaded",
		Why:   "The batch side has one row for each key and window. A window that lies in two batches gets a row from each: its keys are nonunique, and never exact.",
		Mend:  "set the BatchLoad's spec.source.batch to a multiple of spec.window; or, if the rows are parts of one value, spec.batch.unique: false",
		check: on(func(l *linter, c *Comparison) {
			others(l, func(b *BatchLoad) {
				s := &b.Spec
				if c.Spec.Batch.Unique && s.name() == c.Spec.TableOf(c.Spec.Batch.Side) && s.Source.Batch%c.Spec.Window != 0 {
					l.warn("spec.window", "windows of %s do not fit into batches of %s, those of BatchLoad %s", c.Spec.Window, s.Source.Batch, b.Metadata.Name)
				}
			})
		}),
	}, {
		Name: "sensitive-key-shown", Kinds: of,
		Finds: "a Comparison whose key is a field that the Bridge declares sensitive, and that does not",
		Why:   "Samples, reports and the history hold the keys that differ as they are, and are passed around. The Bridge hashes such a field wherever it shows one.",
		Mend:  "name the key in spec.sensitive; or ignore the rule, if all who get the reports may see the field",
		check: on((*linter).sensitiveKeys),
	}}
}

// expiry is the check of two rules: by the clock a known difference is over, or
// is far from it.
func (l *linter) expiry(c *Comparison) {
	now := time.Now()
	for i, d := range c.Spec.Known {
		path := at("spec.knownDifferences", i) + ".expires"
		end := d.Expires.Time()
		switch {
		case l.rule.Name == "known-difference-expired" && !end.After(now):
			l.warn(path, "known difference %s has expired", d.Name)
		case l.rule.Name == "known-difference-for-long" && end.After(now.Add(soon)):
			l.warn(path, "known difference %s holds for more than half a year", d.Name)
		}
	}
}

func (l *linter) sensitiveKeys(c *Comparison) {
	if c.Spec.Limits.Samples == 0 && c.Spec.History.Dataset == "" {
		return
	}
	others(l, func(j *StreamJob) {
		if j.Metadata.Name != c.Spec.Stream.Job {
			return
		}
		others(l, func(b *Bridge) {
			if !b.Spec.feeds(&j.Spec) {
				return
			}
			for i, key := range c.Spec.Keys {
				hidden := slices.ContainsFunc(columnsOf(key.Name, key.Stream), func(column string) bool { return slices.Contains(b.Spec.sensitiveNow(), column) })
				if hidden && !slices.Contains(c.Spec.Sensitive, key.Name) {
					l.warn(at("spec.keys", i)+".name", "key %s is shown as it is, and is sensitive in Bridge %s", key.Name, b.Metadata.Name)
				}
			}
		})
	})
}

// sensitiveNow are the names, after the transform, of the sensitive fields that
// are no part of another one.
func (s *BridgeSpec) sensitiveNow() []string {
	var names []string
	for _, f := range s.Sensitive {
		if slices.Contains(s.Transform.Drop, f) || strings.Contains(f, ".") {
			continue
		}
		if to, ok := s.Transform.Rename[f]; ok {
			f = to
		}
		names = append(names, f)
	}
	return names
}
