package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/bench/internal/report"
)

// memoryResult is the bridge's memory over an outage of the destination, with
// more to read than it could ever hold.
type memoryResult struct {
	Budget       string  `json:"budget"`
	Partitions   int     `json:"partitions"`
	RecordBytes  int     `json:"record_bytes"`
	FullLoad     float64 `json:"full_load_mb_per_s"` // before the outage
	Outage       float64 `json:"outage_s"`
	Refused      int64   `json:"refused_requests"`
	PeakBefore   int64   `json:"peak_rss_before"`
	PeakOutage   int64   `json:"peak_rss_outage"`
	PeakAfter    int64   `json:"peak_rss_after"` // recovery and stop included
	Recovered    int64   `json:"recovered_bytes"`
	Messages     int64   `json:"messages"`
	WaitingBytes int64   `json:"waiting_bytes"` // at the beginning of the outage; -1: without end
}

const (
	memoryPartitions = 64
	memoryRecord     = 10_000
	// memoryFill is how many bytes a topic of Apache Kafka gets for it.
	memoryFill = 4 << 30
)

// measureMemory lets the bridge run at full load, takes the destination away
// for the outage, gives it back, and checks that all ids arrive. The topic of
// the Kafka in memory has no end, so at every moment of the outage there is more
// to fetch than any number of minutes of full load would bring; that of Apache
// Kafka has memoryFill bytes.
func (b *bench) measureMemory(ctx context.Context) (*memoryResult, error) {
	k, err := b.open(ctx, records{partitions: memoryPartitions, size: memoryRecord, format: event.JSON, compression: "none", fill: memoryFill})
	if err != nil {
		return nil, err
	}
	defer k.close()
	r, err := b.run(ctx, k, passthrough, memoryRecord)
	if err != nil {
		return nil, err
	}
	defer r.close()
	out := &memoryResult{Budget: b.memory, Partitions: memoryPartitions, RecordBytes: memoryRecord, WaitingBytes: -1}
	if _, err := r.s.until(ctx, "the first messages", 60*time.Second, r.program, func(s report.Stats) bool { return s.Messages > 0 }); err != nil {
		return nil, err
	}
	proc.Wait(ctx, b.warm)
	_, s0, t0, err := r.observe(ctx)
	if err != nil {
		return nil, err
	}
	proc.Wait(ctx, b.window)
	u, s1, t1, err := r.observe(ctx)
	if err != nil {
		return nil, err
	}
	out.PeakBefore = u.PeakRSS
	out.FullLoad = float64(s1.DataBytes-s0.DataBytes) / 1e6 / t1.Sub(t0).Seconds()

	if err := call(ctx, "POST", r.s.Control+"/down", nil, nil); err != nil {
		return nil, err
	}
	if k.limit > 0 {
		out.WaitingBytes = k.limit*memoryRecord - s1.DataBytes
	}
	down := time.Now()
	proc.Wait(ctx, b.outage)
	u, s, _, err := r.observe(ctx)
	if err != nil {
		return nil, err
	}
	out.PeakOutage, out.Refused, out.Outage = u.PeakRSS, s.Refused, time.Since(down).Seconds()
	if s.Refused == 0 {
		return nil, errors.New("the bridge did not try to publish during the outage")
	}
	if err := call(ctx, "POST", r.s.Control+"/up", nil, nil); err != nil {
		return nil, err
	}
	after, err := r.s.until(ctx, fmt.Sprintf("%d bytes after the outage", b.recovery), 5*time.Minute, r.program, func(now report.Stats) bool {
		if k.limit > 0 {
			return now.Messages >= k.limit
		}
		return now.DataBytes-s.DataBytes >= b.recovery
	})
	if err != nil {
		return nil, err
	}
	out.Recovered = after.DataBytes - s.DataBytes
	if u, _, _, err = r.observe(ctx); err != nil {
		return nil, err
	}
	out.PeakAfter = u.PeakRSS
	ids, err := r.finish(ctx)
	out.Messages = ids.Messages
	return out, err
}
