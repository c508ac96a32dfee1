package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// report is a flight's report as the old producers write it: names of fields
// are theirs; the bridge remaps them.
type report struct {
	EventID     int64  `json:"event_id"` // number of the flight's row in the file, from 1
	Scheduled   string `json:"sched"`    // RFC 3339
	Delay       int64  `json:"delay_min"`
	Distance    int64  `json:"dist_mi"`
	Origin      string `json:"orig"`
	Destination string `json:"dest"`
}

// reportOf is the report of the flight with the given index.
func reportOf(index int32, f flights.Flight) report {
	return report{
		EventID: int64(index) + 1, Scheduled: f.ScheduledAt().Format(time.RFC3339Nano),
		Delay: int64(f.Delay), Distance: int64(f.Distance), Origin: f.Origin, Destination: f.Destination,
	}
}

// record makes the Kafka record of a report: keyed by origin, with the arrival
// as its own timestamp.
func record(topic string, index int32, f flights.Flight) (*kgo.Record, error) {
	value, err := json.Marshal(reportOf(index, f))
	if err != nil {
		return nil, fmt.Errorf("encode flight %d: %w", index+1, err)
	}
	return &kgo.Record{Topic: topic, Key: []byte(f.Origin), Value: value, Timestamp: f.ArrivesAt()}, nil
}

// producer sends the flights' reports to Kafka.
type producer struct {
	client  *kgo.Client
	topic   string
	flights []flights.Flight
	order   []int32
	rate    float64 // records per second

	acked atomic.Int64
	sent  ledger
}

// ledger holds, for every acknowledged record, when it was handed to the
// client, by its position: the start of its latency.
type ledger struct {
	mu sync.Mutex
	at map[int32][]int64 // by partition and offset; microseconds since the Unix epoch, zero: none
}

func (l *ledger) put(partition int32, offset int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[int32][]int64{}
	}
	s := l.at[partition]
	for int64(len(s)) <= offset {
		s = append(s, 0)
	}
	s[offset] = at.UnixMicro()
	l.at[partition] = s
}

// get returns when the record at a position was sent.
func (l *ledger) get(partition int32, offset int64) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.at[partition]
	if offset < 0 || offset >= int64(len(s)) || s[offset] == 0 {
		return time.Time{}, false
	}
	return time.UnixMicro(s[offset]), true
}

// each calls fn for every position, until it returns false.
func (l *ledger) each(fn func(partition int32, offset int64) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, s := range l.at {
		for o, at := range s {
			if at != 0 && !fn(p, int64(o)) {
				return
			}
		}
	}
}

// tick is how often the producer sends what is due.
const tick = 10 * time.Millisecond

// run sends everything at the producer's rate and returns once Kafka has
// acknowledged all of it.
func (p *producer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var pending sync.WaitGroup
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	start := time.Now()
	for next := 0; next < len(p.order); {
		due := min(len(p.order), int(time.Since(start).Seconds()*p.rate)+1)
		for ; next < due; next++ {
			index := p.order[next]
			rec, err := record(p.topic, index, p.flights[index])
			if err != nil {
				return err
			}
			at := time.Now()
			pending.Add(1)
			p.client.Produce(ctx, rec, func(r *kgo.Record, err error) {
				defer pending.Done()
				if err != nil {
					cancel(exit.Environmentf("produce to %s: %w", p.topic, err))
					return
				}
				p.sent.put(r.Partition, r.Offset, at)
				p.acked.Add(1)
			})
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	// The client never gives up a record that Kafka may have taken: with Kafka
	// gone, only closing it ends this wait.
	acked := make(chan struct{})
	go func() { pending.Wait(); close(acked) }()
	select {
	case <-acked:
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}
