package jobspecs

import (
	"math/big"
	"slices"
	"strings"
)

// compareRules are about a Comparison.
func compareRules() []Rule {
	of := []string{KindComparison}
	return []Rule{{
		Name: "gate-without-percent", Kinds: of,
		Finds: "a gate without a least share of exact keys: minExactPercent is 0, which is the default",
		Why:   "Any numbers meet it. The verdict is GO even if every key differs, as long as a cause is found for each.",
		Mend:  "set spec.gate.minExactPercent, 95 for example",
		check: on(func(l *linter, c *Comparison) {
			if g := &c.Spec.Gate; g.MinExactPercent.Rat().Sign() == 0 && (c.Spec.Evidence.Raw != "" || g.MaxUnexplained > 0) {
				l.warn("spec.gate.minExactPercent", "the gate asks for no exact keys")
			}
		}),
	}, {
		Name: "unexplained-allowed", Kinds: of,
		Finds: "a gate that lets keys differ without a cause: maxUnexplained above 0",
		Why:   "A number, unlike a share, does not grow with the data: on a quiet day it lets much pass. And a difference that nobody can explain is what a comparison is there to find.",
		Mend:  "set spec.gate.maxUnexplained: 0, and lower minExactPercent if need be",
		check: on(func(l *linter, c *Comparison) {
			if n := c.Spec.Gate.MaxUnexplained; n > 0 {
				l.warn("spec.gate.maxUnexplained", "the verdict is GO with %s that nothing explains", counted(n, "key"))
			}
		}),
	}, {
		Name: "gate-without-evidence", Kinds: of,
		Finds: "a gate that allows differences, but only explained ones, without raw events to explain them by",
		Why:   "Without spec.evidence.raw no cause is looked for, so every difference is unexplained. With maxUnexplained 0 the first of them makes the verdict HOLD, whatever minExactPercent allows.",
		Mend:  "name the StreamJob's tables in spec.evidence.raw and spec.evidence.late; or set minExactPercent: 100, which is what holds now",
		check: on(func(l *linter, c *Comparison) {
			g := &c.Spec.Gate
			if c.Spec.Evidence.Raw == "" && g.MaxUnexplained == 0 && g.MinExactPercent.Rat().Cmp(big.NewRat(100, 1)) < 0 {
				l.warn("spec.gate", "any difference breaks the gate: without raw events none is explained")
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
		Mend:  "set the BatchLoad's spec.source.batch to a multiple of spec.window",
		check: on(func(l *linter, c *Comparison) {
			others(l, func(b *BatchLoad) {
				s := &b.Spec
				if s.Project != c.Spec.Project || s.Dataset != c.Spec.Dataset || s.Table != c.Spec.Batch.Table {
					return
				}
				if s.Source.Batch%c.Spec.Window != 0 {
					l.warn("spec.window", "windows of %s do not fit into batches of %s, those of BatchLoad %s", c.Spec.Window, s.Source.Batch, b.Metadata.Name)
				}
			})
		}),
	}, {
		Name: "sensitive-key-in-samples", Kinds: of,
		Finds: "a Comparison whose key is a field that the Bridge declares sensitive, and that shows samples",
		Why:   "Samples show the keys that differ, as they are, and reports are passed around. The Bridge hashes such a field wherever it shows one.",
		Mend:  "set spec.limits.samples: 0; or ignore the rule, if all who get the reports may see the field",
		check: on((*linter).sensitiveKeys),
	}}
}

func (l *linter) sensitiveKeys(c *Comparison) {
	if c.Spec.Limits.Samples == 0 {
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
			for i, f := range c.Spec.Keys {
				if slices.Contains(b.Spec.sensitiveNow(), f.Name) {
					l.warn(at("spec.keys", i)+".name", "samples show field %s, which is sensitive in Bridge %s", f.Name, b.Metadata.Name)
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
