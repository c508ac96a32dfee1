package main

import (
	"context"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/count"
	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/bench/internal/report"
)

// latencyResult is the time from a record's timestamp, which is when it can be
// read, to the server's answer.
type latencyResult struct {
	RecordsPerSecond int                 `json:"records_per_second"`
	FetchOnly        count.Percentiles   `json:"fetch_only_ms"`   // to when rawfetch had read them: the feed's and the machine's own
	ServerDelay      float64             `json:"server_delay_ms"` // as told, without what its timer adds
	Windows          []count.Percentiles `json:"windows_ms"`
	ServerWindows    []count.Percentiles `json:"server_windows_ms"` // arrival of a request to its answer
	AddedP50         figure              `json:"added_p50_ms"`
	AddedP99         figure              `json:"added_p99_ms"`
	Messages         int64               `json:"messages"`
}

// latencyWindows is how many windows are measured.
const latencyWindows = 3

// fetchLatency is the latency of rawfetch over the same records.
func (b *bench) fetchLatency(ctx context.Context, paced records) (count.Percentiles, error) {
	k, err := b.open(ctx, paced)
	if err != nil {
		return count.Percentiles{}, err
	}
	defer k.close()
	p, err := b.start("rawfetch", nil, "-latency", "-brokers", strings.Join(k.feed.Brokers, ","), "-topic", k.topic,
		"-warm", b.latency.String(), "-window", b.latency.String())
	if err != nil {
		return count.Percentiles{}, err
	}
	var r report.Raw
	err = p.result(ctx, &r, 2*b.latency+30*time.Second)
	return r.Latency, err
}

// measureLatency runs a pass-through of 1 KB records that arrive at a rate.
func (b *bench) measureLatency(ctx context.Context, rate int) (*latencyResult, error) {
	const size = 1000
	paced := records{partitions: b.partitions, size: size, format: event.JSON, compression: "none", rate: rate}
	out := &latencyResult{RecordsPerSecond: rate, ServerDelay: b.delay.Seconds() * 1e3}
	var err error
	if out.FetchOnly, err = b.fetchLatency(ctx, paced); err != nil {
		return nil, err
	}
	k, err := b.open(ctx, paced) // anew: what has arrived is not waited for
	if err != nil {
		return nil, err
	}
	defer k.close()
	r, err := b.run(ctx, k, passthrough, size, "-latency")
	if err != nil {
		return nil, err
	}
	defer r.close()
	if _, err := r.s.until(ctx, "the first messages", 60*time.Second, r.program, func(s report.Stats) bool { return s.Messages > 0 }); err != nil {
		return nil, err
	}
	proc.Wait(ctx, b.latency)
	var p50, p99 []float64
	for range latencyWindows {
		if err := call(ctx, "POST", r.s.Control+"/reset", nil, nil); err != nil {
			return nil, err
		}
		proc.Wait(ctx, b.latency)
		s, err := r.s.stats(ctx)
		if err != nil {
			return nil, err
		}
		out.Windows = append(out.Windows, s.Latency)
		out.ServerWindows = append(out.ServerWindows, s.Delay)
		p50 = append(p50, s.Latency.P50-out.ServerDelay)
		p99 = append(p99, s.Latency.P99-out.ServerDelay)
	}
	out.AddedP50, out.AddedP99 = figureOf(p50), figureOf(p99)
	ids, err := r.finish(ctx)
	out.Messages = ids.Messages
	return out, err
}
