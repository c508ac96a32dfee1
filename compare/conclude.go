package compare

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// conclude writes into the result what was found in all partitions.
func (p *prepared) conclude(got *part) {
	res, q := p.result, p.queries
	res.Known = q.known(got.differences, res.Started)
	var unexplained []*big.Rat
	res.Days, unexplained = q.days(got)
	got.fill(q, res)
	for i, open := range unexplained {
		res.Metrics[i].Unexplained = Ratio{decimalText(open), res.Metrics[i].Agree.Den}
	}
	p.noteIgnored(got)
	// There may be a hundred thousand differences; these only look at them.
	var each sync.WaitGroup
	each.Go(func() { res.Causes = q.causes(got.differences, res.Counts.Differing(), got.unexamined) })
	each.Go(func() { res.Samples = q.sample(got.differences) })
	each.Go(func() { res.DifferingKeys = differingKeys(got.differences) })
	each.Go(func() { res.Heat = q.heat(got.differences, got.settled) })
	each.Wait()
	p.warn(got)
}

// judge gives the verdict, beside what earlier runs have found.
func (p *prepared) judge(earlier past, base *Result, diffs []difference) error {
	res, id := p.result, runID(p.result)
	days, restated, err := earlierDays(earlier, p.loads)
	if err != nil {
		return err
	}
	if restated > 0 {
		res.Warnings = append(res.Warnings, fmt.Sprintf("%s that an earlier run has compared: a batch load has restated what it found since, so it does not count until it is compared again", countOf(restated, "day")))
	}
	all := mergeDays(res.Days, days, res.Scope.Range.To)
	counted := newestDays(all, res.Gate.Days)
	res.Days = slices.DeleteFunc(all, func(d Day) bool {
		return d.Run != "" && !slices.ContainsFunc(counted, func(c Day) bool { return c.Start.Equal(d.Start) })
	})
	markDays(res.Gate, res.Days)
	if err := res.compareWithPast(earlier, p.queries.windowing, id); err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	if base != nil {
		res.Baseline = res.against(base, p.cfg.BaselineFile, diffs)
	}
	res.Verdict = decide(res)
	res.Trend = append(res.Trend, TrendPoint{ID: id, Started: res.Started, Verdict: res.Verdict.Verdict, Exact: res.Exact, Agree: res.Agree,
		Keys: res.Counts.Total, Unexplained: res.Causes.Unexplained, SpecHash: res.SpecHash})
	res.Passes = passes(res.Trend)
	return nil
}

// finishCost lists the query jobs: those of this run, and those of partitions that
// another one has read.
func (p *prepared) finishCost() {
	cost := &p.result.Cost
	cost.Jobs = append([]QueryJob{}, p.runner.jobs...)
	for _, part := range p.parts {
		if part.resumed {
			cost.Jobs = append(cost.Jobs, part.found.jobs...)
		}
	}
}

// noteIgnored adds the rows that do not count to their writers.
func (p *prepared) noteIgnored(got *part) {
	list, all := &p.result.Stream.Generations, writersOf(p.standings)
	for _, name := range sortedKeys(got.ignored) {
		same := func(w Writer) bool { return writerName(w.Job, w.Generation) == name }
		i := slices.IndexFunc(*list, same)
		if i < 0 {
			w := unlisted(name)
			if j := slices.IndexFunc(all, same); j >= 0 {
				w = all[j]
			}
			*list, i = append(*list, w), len(*list)
		}
		(*list)[i].Ignored = got.ignored[name]
	}
}

func unlisted(name string) Writer {
	w := Writer{Job: name, State: "unlisted", Reason: "not in the generations table"}
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		if n, err := strconv.ParseInt(name[i+1:], 10, 64); err == nil {
			w.Job, w.Generation = name[:i], n
		}
	}
	return w
}

// warn lists what a person should know beside the numbers.
func (p *prepared) warn(got *part) {
	res := p.result
	say := func(format string, args ...any) { res.Warnings = append(res.Warnings, fmt.Sprintf(format, args...)) }
	for _, w := range res.Stream.Generations {
		if w.State == "unlisted" {
			say("%s of %s do not count: the writer is not in the generations table", countOf(w.Ignored, "row"), writerName(w.Job, w.Generation))
		}
	}
	if got.conflicts > 0 {
		say("%s of the stream side exist in copies that differ: a sink wrote one pane with two values; their keys are nonunique", countOf(got.conflicts, "row"))
	}
	if n := res.Counts.Differing(); n > int64(len(got.differences)) {
		say("%s differ; evidence was looked for on the first %s", countOf(n, "key"), count(int64(len(got.differences))))
	}
	if res.Causes.Unexamined > 0 && p.queries.spec.Evidence.Raw != "" && res.Counts.Differing() == int64(len(got.differences)) {
		say("evidence for %s was not read: it would pass the byte cap of %s (evidence.maxBytesBilled)",
			countOf(res.Causes.Unexamined, "key"), p.queries.spec.Evidence.MaxBytesBilled)
	}
	if p.queries.spec.Evidence.Raw == "" && res.Causes.Differing > 0 {
		say("no causes were looked for: the spec names no raw events (evidence.raw)")
	}
	if res.Batch.Reloaded > 0 {
		say("%s loaded more than once: the newest load counts as the state of the batch side", countOf(res.Batch.Reloaded, "batch range"))
	}
}
