package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
)

// partition is a partition that is assigned to us.
type partition struct {
	*assignment
	origin  origin
	trouble string      // part of health.problem for errors in reading it
	stopped atomic.Bool // invariant B3: nothing of it is published any more
	gap     atomic.Pointer[gap]

	progress progress // known to lagLoop alone
}

// reader is the member of the consumer group: it polls, enters what it polled
// into the ledger, follows rebalances and commits.
//
// Rebalances are blocked only while polled records are being entered into the
// ledger, never while they are processed: a slow destination must not get the
// member evicted.
type reader struct {
	*Bridge
	*source
	client *kgo.Client
	end    context.CancelFunc // ends whatever the client waits for
	opened chan struct{}      // closed when client is set; its callbacks may come earlier
	sizer  *fetchSizer
	hard   context.Context // done when the bridge gives up what is outstanding
	fail   func(error)     // ends the bridge
	fenced atomic.Bool     // another process has our instance id

	unmarked atomic.Bool // it was said that topics cannot be marked

	// commits is held while a commit is under way and while an assignment ends,
	// so that nothing is being committed for a partition that is given away.
	commits sync.Mutex

	mu       sync.Mutex
	parts    map[partitionID]*partition
	stopping bool
}

// open joins the consumer group.
func (r *reader) open() error {
	spec, limits := r.source.spec, r.Bridge.spec.Limits
	r.sizer = newFetchSizer(r.sizes.fetch, r.sizes.record)
	r.sizer.apply = func(fetch, partition int32) { r.client.UpdateFetchMaxBytes(fetch, partition) }
	opts := append(slices.Clone(r.source.opts), kafka.Consume(r.source.spec)...)
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	opts = append(opts,
		kgo.WithContext(ctx),
		kgo.ClientID("kappa-bridge-"+r.cfg.Spec.Metadata.Name),
		kgo.WithLogger(kafkaLogger{r.cfg.Log}),
		kgo.WithHooks(r),
		kgo.ConsumerGroup(spec.Group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { r.health.solved(groupPart(r.source)) }),
		kgo.AdjustFetchOffsetsFn(r.assigned),
		kgo.OnPartitionsRevoked(r.revoked),
		kgo.OnPartitionsLost(r.lost),
		kgo.RebalanceTimeout(max(time.Minute, limits.Drain.D()+30*time.Second)),
		kgo.FetchIsolationLevel(r.source.isolation()),
		kgo.KeepControlRecords(),                    // without them a change of leaders after a marker would look like a log that was cut back
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // invariant B3: an offset never moves by itself
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMaxBytes(r.sizer.applied),
		kgo.FetchMaxPartitionBytes(partitionSize(r.sizer.applied)),
		kgo.MaxConcurrentFetches(r.sizes.fetches),
		kgo.MaxDecompressBatchBytes(int(limits.Memory/2)), // invariant B4
	)
	if r.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(r.cfg.InstanceID))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		end()
		return exit.Usagef("set up the Kafka client: %w", err)
	}
	r.client = client
	close(r.opened)
	return nil
}

// poll reads until ctx is done.
func (r *reader) poll(ctx context.Context) {
	for {
		// invariant B4: no poll without room for what it brings and for what the
		// client then fetches in its place.
		coming := func() int64 { return max(r.sizes.buffered, r.buffered()) }
		if r.stages.budget.poll(ctx, coming) != nil {
			return
		}
		fetches := r.client.PollFetches(ctx)
		units, records, bytes := r.Bridge.enter(fetches, r.partition, r.rewritten)
		r.client.AllowRebalance()
		for _, u := range units {
			if !r.stages.take(r.hard, u) {
				return
			}
		}
		if r.pacer.wait(ctx, records, bytes) != nil {
			return
		}
		if fetches.IsClientClosed() || ctx.Err() != nil {
			return
		}
		if !r.failures(fetches) {
			continue
		}
		select { // errors come at once and would come at once again
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// buffered is what the records that the client has fetched take once polled.
func (r *reader) buffered() int64 {
	return r.client.BufferedFetchBytes() + r.client.BufferedFetchRecords()*r.sizes.record
}

// OnFetchBatchRead is called by the client with each batch that it decodes.
func (r *reader) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	<-r.opened
	r.sizer.observe(m)
}

// enter enters polled records into the ledger and charges them to the budget.
// find returns the partition that records are of, nil if it is not ours;
// rewritten is called for one whose log was rewritten.
func (b *Bridge) enter(fetches kgo.Fetches, find func(partitionID) *partition, rewritten func(*partition, error)) (units []unit, records, bytes int) {
	c, markers := &chunk{polled: time.Now()}, 0
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		p := find(partitionID{fp.Topic, fp.Partition})
		if p == nil || p.stopped.Load() || len(fp.Records) == 0 {
			return
		}
		first, err := p.fetched(len(fp.Records), func(i int) entry {
			r := fp.Records[i]
			return entry{offset: r.Offset, leaderEpoch: r.LeaderEpoch, milli: r.Timestamp.UnixMilli()}
		})
		if err != nil {
			rewritten(p, err)
			return
		}
		b.health.solved(p.trouble)
		for i := 0; i < len(fp.Records); i += maxUnit {
			run := fp.Records[i:min(i+maxUnit, len(fp.Records))]
			units = append(units, unit{p, run, ticket{first.to, first.seq + uint64(i)}, c})
		}
		for _, rec := range fp.Records {
			if rec.Attrs.IsControl() {
				markers++
			}
			bytes += recordBytes(rec)
		}
		records += len(fp.Records)
	})
	if records == 0 {
		return nil, 0, 0
	}
	c.bytes = int64(bytes) + int64(records)*b.sizes.record
	c.left.Store(int64(records))
	b.stages.budget.addRecords(c.bytes)
	b.stats.records.Add(int64(records - markers))
	b.stats.recordBytes.Add(int64(bytes))
	return units, records, bytes
}

// rewritten stops a partition whose log was rewritten.
func (r *reader) rewritten(p *partition, err error) {
	next, _ := p.position()
	r.stop(p, gap{What: err.Error() + ": the log was rewritten", Kind: GapOther, From: next, To: -1}) // invariant B3
}

func recordBytes(rec *kgo.Record) int {
	n := len(rec.Key) + len(rec.Value)
	for _, h := range rec.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// failures deals with the errors of a poll and reports whether there were any.
func (r *reader) failures(fetches kgo.Fetches) bool {
	errs := fetches.Errors()
	for _, fe := range errs {
		id := partitionID{fe.Topic, fe.Partition}
		var session *kgo.ErrGroupSession
		if errors.As(fe.Err, &session) {
			continue // OnGroupManageError has seen it
		}
		p := r.partition(id)
		if p == nil || p.stopped.Load() {
			continue
		}
		var loss *kgo.ErrDataLoss
		var large *kgo.ErrDecompressTooLarge
		switch {
		case errors.Is(fe.Err, kerr.OffsetOutOfRange):
			p.stopped.Store(true) // before the look-up: nothing more may pass
			g, ok := r.whatIsGone(r.hard, p)
			if ok && g.Kind == gapNone { // an answer from before, or of a follower that is behind
				p.stopped.Store(false)
				r.health.problem(r.fetchPart(id), g.What+"; retrying")
				break
			}
			if ok {
				r.stop(p, g)
				break
			}
			next, _ := p.position()
			r.stop(p, gap{From: next, To: -1, Kind: gapUnknown, What: fmt.Sprintf("offset %d is out of range; what is gone is being looked up", next)})
			go r.findOut(p)
		case errors.As(fe.Err, &loss):
			r.stop(p, gap{Kind: GapCutBack, From: loss.ResetTo, To: loss.ResetTo, What: fmt.Sprintf("offsets %d to %d (%d), which had been read, are gone: the log was cut back by an unclean leader election",
				loss.ResetTo, loss.ConsumedTo-1, loss.ConsumedTo-loss.ResetTo)})
		case errors.Is(fe.Err, kerr.UnknownTopicID):
			next, _ := p.position()
			r.stop(p, gap{Kind: GapRecreated, From: next, To: -1, What: fmt.Sprintf("the topic was deleted or created again: everything from offset %d on of the old topic is gone", next)})
		case errors.As(fe.Err, &large):
			r.stop(p, gap{Kind: GapOther, From: large.Offset, To: -1, What: fmt.Sprintf("the batch at offset %d decompresses to more than half of limits.memory: raise it", large.Offset)})
		default:
			if r.health.problem(r.fetchPart(id), fmt.Sprintf("%s/%d cannot be read: %v", id.topic, id.partition, fe.Err)) {
				r.cfg.Log.Warn("a partition cannot be read; retrying", "topic", id.topic, "partition", id.partition, "error", fe.Err)
			}
		}
	}
	return len(errs) > 0
}

// Parts of health.problem.
func groupPart(s *source) string { return "group " + s.name }

func (s *source) fetchPart(id partitionID) string {
	return fmt.Sprintf("fetch %s %s/%d", s.name, id.topic, id.partition)
}

func (s *source) stopPart(id partitionID) string {
	return fmt.Sprintf("stopped %s %s/%d", s.name, id.topic, id.partition)
}

// OnGroupManageError is called by the client when it was put out of the group
// or cannot join it. It goes on trying by itself.
func (r *reader) OnGroupManageError(err error) {
	if errors.Is(err, kerr.FencedInstanceID) {
		r.fenced.Store(true)
		r.fail(exit.With(exit.Failed, fmt.Errorf("another process has joined group %s as %s", r.source.spec.Group, r.cfg.InstanceID)).
			WithHint("give each bridge that runs at the same time an --instance-id of its own"))
		return
	}
	if r.health.problem(groupPart(r.source), "not in consumer group "+r.source.spec.Group+": "+err.Error()) {
		r.cfg.Log.Warn("out of the consumer group; joining again", "group", r.source.spec.Group, "error", err)
	}
}

// stop stops a partition (invariant B3): what was published stays committed,
// nothing beyond the gap is read until the operator has accepted it.
func (r *reader) stop(p *partition, g gap) {
	p.stopped.Store(true)
	r.client.PauseFetchPartitions(map[string][]int32{p.id.topic: {p.id.partition}})
	r.stats.stopped.Inc()
	r.tell(p, g)
}

// tell says why a partition is stopped.
func (r *reader) tell(p *partition, g gap) {
	g.Due, _ = p.position()
	p.gap.Store(&g)
	mend := r.acceptCommand(p.id)
	r.health.problem(r.stopPart(p.id), fmt.Sprintf("%s/%d is stopped: %s; to accept this: %s", p.id.topic, p.id.partition, g.What, mend))
	r.cfg.Log.Error("partition stopped", "source", r.name, "topic", p.id.topic, "partition", p.id.partition, "gone", g.What, "mend", mend)
}

// acceptCommand is the command that accepts a gap.
func (r *reader) acceptCommand(id partitionID) string {
	return fmt.Sprintf("kappa bridge accept -f SPEC --source %s --partition %s/%d --by NAME --reason TEXT", r.name, id.topic, id.partition)
}

// whatIsGone says which offsets are gone and how many.
func (r *reader) whatIsGone(ctx context.Context, p *partition) (gap, bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	next, _ := p.position()
	starts, err := r.admin.ListStartOffsets(ctx, p.id.topic)
	ends, eerr := r.admin.ListEndOffsets(ctx, p.id.topic)
	start, ok := starts.Lookup(p.id.topic, p.id.partition)
	end, eok := ends.Lookup(p.id.topic, p.id.partition)
	if err != nil || eerr != nil || !ok || !eok || start.Err != nil || end.Err != nil {
		return gap{}, false
	}
	return outOfRange(next, start.Offset, end.Offset), true
}

// findOut looks up what is gone of a partition that is stopped, until it knows.
func (r *reader) findOut(p *partition) {
	for attempt := 1; !p.fenced.Load(); attempt++ {
		select {
		case <-r.hard.Done():
			return
		case <-time.After(r.cfg.Backoff.wait(transient, attempt)):
		}
		if g, ok := r.whatIsGone(r.hard, p); ok {
			r.tell(p, g)
			return
		}
	}
}

// outOfRange says what is gone where offset next was due of a log that goes
// from start to, not including, end.
func outOfRange(next, start, end int64) gap {
	switch {
	case next < start:
		return gap{Kind: GapTruncated, From: next, To: start, What: fmt.Sprintf("offsets %d to %d (%d) are gone before they were read: retention or a deletion removed them", next, start-1, start-next)}
	case next > end:
		return gap{Kind: GapCutBack, From: end, To: end, What: fmt.Sprintf("offsets %d to %d (%d), which had been read, are gone: the log was cut back or begun again", end, next-1, next-end)}
	default:
		return gap{Kind: gapNone, From: next, To: next, What: fmt.Sprintf("offset %d was out of range of the log, which now goes from %d to %d", next, start, end-1)}
	}
}

func (r *reader) partition(id partitionID) *partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parts[id]
}

// kafkaLogger passes on what the Kafka client warns of.
type kafkaLogger struct {
	log interface{ Warn(string, ...any) }
}

// Level is what the client logs at.
func (kafkaLogger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log logs a line of the client.
func (l kafkaLogger) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	l.log.Warn("kafka client: "+msg, keyvals...)
}
