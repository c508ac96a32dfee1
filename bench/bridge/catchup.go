package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/count"
	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/bench/internal/report"
)

const (
	catchupPartitions = 8
	catchupSplits     = 8
	catchupSize       = 1000 // mean; sizes vary between half of it and one and a half
	// skewedShare is the part of the bytes that one partition of the skewed topic
	// holds.
	skewedShare = 0.8
)

// catchupResult compares the catch-up on a topic of which one partition holds
// most of the bytes with that on an even one.
type catchupResult struct {
	Partitions int          `json:"partitions"`
	Splits     int          `json:"splits"`
	Records    int64        `json:"records"`
	Bytes      int64        `json:"bytes"` // of values
	Even       catchupTopic `json:"even"`
	Skewed     catchupTopic `json:"skewed"`
	Ratio      float64      `json:"ratio"` // of the rates
}

type catchupTopic struct {
	MB  figure `json:"mb_per_s"`          // from the first message to the last
	CPU figure `json:"cpu_us_per_record"` // of the whole command
	// Spread is (largest − smallest) ÷ mean of the bytes of the splits, the last
	// one aside, as the plan has them, and as they really are.
	PlannedSpread figure `json:"planned_spread"`
	ActualSpread  figure `json:"actual_spread"`
}

// catchupRun is one catch-up.
type catchupRun struct {
	mb, cpu, planned, actual float64
}

// plan is what `kappa bridge catchup --plan` prints, as far as it is used.
type plan struct {
	Splits []struct {
		Bytes  int64 `json:"bytes"`
		Ranges []struct {
			Partition int   `json:"partition"`
			From      int64 `json:"from"`
			To        int64 `json:"to"`
		} `json:"ranges"`
	} `json:"splits"`
}

// catchupEnds are the ends of the partitions of an even and of a skewed topic.
func catchupEnds(total int64) (even, skewed []int64) {
	period := int64(event.PerBatch(catchupSize))
	whole := func(n float64) int64 { return int64(n) / period * period }
	for p := range catchupPartitions {
		even = append(even, whole(float64(total)/catchupPartitions))
		share := (1 - skewedShare) / (catchupPartitions - 1)
		if p == 2 {
			share = skewedShare
		}
		skewed = append(skewed, whole(float64(total)*share))
	}
	return even, skewed
}

// measureCatchup catches up on both topics in turn.
func (b *bench) measureCatchup(ctx context.Context, bytes int64) (*catchupResult, error) {
	out := &catchupResult{Partitions: catchupPartitions, Splits: catchupSplits, Bytes: bytes, Records: bytes / catchupSize}
	even, skewed := catchupEnds(out.Records)
	runs := make([][]catchupRun, 2)
	for range b.rounds {
		for i, ends := range [][]int64{even, skewed} {
			r, err := b.catchUp(ctx, ends)
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], r)
		}
	}
	for i, t := range []*catchupTopic{&out.Even, &out.Skewed} {
		t.MB = figureBy(runs[i], func(r catchupRun) float64 { return r.mb })
		t.CPU = figureBy(runs[i], func(r catchupRun) float64 { return r.cpu })
		t.PlannedSpread = figureBy(runs[i], func(r catchupRun) float64 { return r.planned })
		t.ActualSpread = figureBy(runs[i], func(r catchupRun) float64 { return r.actual })
	}
	if out.Even.MB.Median > 0 {
		out.Ratio = out.Skewed.MB.Median / out.Even.MB.Median
	}
	return out, nil
}

// catchUp plans and runs one catch-up over a topic and checks that every record
// arrived once.
func (b *bench) catchUp(ctx context.Context, ends []int64) (out catchupRun, err error) {
	topic := records{partitions: len(ends), size: catchupSize, format: event.JSON, compression: "none", ends: ends, vary: true}
	k, err := b.open(ctx, topic)
	if err != nil {
		return out, err
	}
	defer k.close()
	s, err := b.server(ctx, count.Expect{Hash: k.hash, Partitions: k.partitions})
	if err != nil {
		return out, err
	}
	defer s.close()
	b.runs++
	file, err := b.specFile(k, passthrough, catchupSize)
	if err != nil {
		return out, err
	}
	command := func(args ...string) (*program, error) {
		return b.start(b.bridge, []string{"PUBSUB_EMULATOR_HOST=" + s.PubSub}, append([]string{
			"bridge", "catchup", "-f", file, "--splits", strconv.Itoa(catchupSplits), "--output", "json"}, args...)...)
	}
	p, err := command("--plan", "--observe", "0")
	if err != nil {
		return out, err
	}
	text, err := p.all(ctx, time.Minute)
	if err != nil {
		return out, err
	}
	if out.planned, out.actual, err = spreads(text, topic); err != nil {
		return out, err
	}
	if p, err = command("--parallel", strconv.Itoa(catchupSplits)); err != nil {
		return out, err
	}
	defer func() { _ = p.stop(10 * time.Second) }()
	var total int64
	for _, end := range ends {
		total += end
	}
	if _, err := s.until(ctx, "the first messages", time.Minute, p, func(r report.Stats) bool { return r.Messages > 0 }); err != nil {
		return out, err
	}
	begun, first := time.Now(), int64(0)
	var cpu time.Duration
	last, err := s.until(ctx, fmt.Sprintf("%d messages", total), 5*time.Minute, p, func(r report.Stats) bool {
		if first == 0 {
			first = r.DataBytes
		}
		if u, err := proc.Of(p.Pid()); err == nil {
			cpu = u.CPU
		}
		return r.Messages >= total
	})
	if err != nil {
		return out, err
	}
	out.mb = float64(last.DataBytes-first) / time.Since(begun).Seconds() / 1e6
	out.cpu = cpu.Seconds() / float64(total) * 1e6
	if err := p.Wait(ctx); err != nil {
		return out, p.failed(err)
	}
	var got count.Report
	if err := call(ctx, "POST", s.Control+"/check", ends, &got); err != nil {
		return out, err
	}
	if got.Missing > 0 || got.Unexpected > 0 || got.Duplicates > 0 || last.Bad > 0 {
		return out, fmt.Errorf("ids are wrong: %+v, %d without a valid id", got, last.Bad)
	}
	return out, nil
}

// spreads are how uneven the splits of a plan are, by its own account and by
// the sizes of the records.
func spreads(text []byte, topic records) (planned, actual float64, err error) {
	var wrapped struct {
		Plan *plan `json:"plan"`
		plan
	}
	if err := json.Unmarshal(text, &wrapped); err != nil {
		return 0, 0, fmt.Errorf("read the plan: %w\n%s", err, text)
	}
	p := &wrapped.plan
	if wrapped.Plan != nil {
		p = wrapped.Plan
	}
	if len(p.Splits) < 3 {
		return 0, 0, fmt.Errorf("the plan has %d splits", len(p.Splits))
	}
	events, err := topic.events()
	if err != nil {
		return 0, 0, err
	}
	before := make([]int64, len(events)+1) // bytes before event i
	for i, e := range events {
		before[i+1] = before[i] + int64(recordFraming+len(e.Key)+len(e.Value))
	}
	upTo := func(offset int64) int64 {
		n := int64(len(events))
		return offset/n*before[n] + before[offset%n]
	}
	var plans, actuals []float64
	for _, s := range p.Splits[:len(p.Splits)-1] {
		var bytes int64
		for _, r := range s.Ranges {
			bytes += upTo(r.To) - upTo(r.From)
		}
		plans, actuals = append(plans, float64(s.Bytes)), append(actuals, float64(bytes))
	}
	planned, err = spread(plans)
	if err != nil {
		return 0, 0, err
	}
	actual, err = spread(actuals)
	return planned, actual, err
}

// recordFraming is about what a record takes in a batch beside key and value.
const recordFraming = 10

// spread is (largest − smallest) ÷ mean.
func spread(values []float64) (float64, error) {
	var sum float64
	for _, v := range values {
		sum += v
	}
	if sum <= 0 {
		return 0, errors.New("the splits hold nothing")
	}
	return (slices.Max(values) - slices.Min(values)) / (sum / float64(len(values))), nil
}
