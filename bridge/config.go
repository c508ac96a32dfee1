package bridge

import (
	"errors"
	"log/slog"
	"slices"
	"time"
	"unsafe"

	"cloud.google.com/go/pubsub/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Config is what a bridge needs.
type Config struct {
	Spec    *jobspecs.Bridge
	Version string // of the program, for the attribute kappa-bridge
	PubSub  *pubsub.Client
	Log     *slog.Logger

	// InstanceID makes the bridge a static member of the consumer group: when it
	// is started again under the same id, even after a kill, it gets its
	// partitions back at once. No two running bridges of a group may share one.
	// Empty: a dynamic member, whose partitions rest after a kill until the
	// group's session timeout.
	InstanceID string

	CommitEvery time.Duration // how often offsets are committed
	LagEvery    time.Duration // how often lag is measured
	GroupEvery  time.Duration // how often to look whether every partition is some member's
	Startup     time.Duration // longest wait for each service at the start
	Backoff     Backoff
}

// DefaultConfig returns a Config with everything that has a default.
func DefaultConfig() Config {
	return Config{
		Log:         slog.New(slog.DiscardHandler),
		CommitEvery: time.Second,
		LagEvery:    5 * time.Second,
		GroupEvery:  30 * time.Second,
		Startup:     20 * time.Second,
		Backoff:     DefaultBackoff(),
	}
}

// Validate reports what is missing or contradicts itself.
func (c *Config) Validate() error {
	switch {
	case c.Spec == nil:
		return errors.New("bridge: Config.Spec is nil")
	case c.PubSub == nil && c.Spec.Spec.UsesPubSub():
		return errors.New("bridge: Config.PubSub is nil")
	case c.Log == nil:
		return errors.New("bridge: Config.Log is nil")
	case c.CommitEvery <= 0, c.LagEvery <= 0, c.GroupEvery <= 0, c.Startup <= 0, c.Backoff.First <= 0, c.Backoff.Blocked <= 0, c.Backoff.Timeout <= 0:
		return errors.New("bridge: a duration of Config is not positive")
	}
	s := &c.Spec.Spec
	switch {
	case len(s.Sources) == 0:
		return exit.Usagef("spec.sources: at least one is required")
	case len(s.Topics()) == 0:
		return exit.Usagef("spec.split or spec.route is required")
	case s.DeadLetter.Topic == "" && s.DeadLetter.Kafka.Topic == "" && s.DeadLetter.File == "":
		return exit.Usagef("spec.deadLetter is required")
	case s.Limits.BatchBytes < 1 || s.Limits.BatchBytes > maxRequestBytes:
		return exit.Usagef("spec.limits.batchBytes: %s is not between 1 and %d, the most that Pub/Sub takes", s.Limits.BatchBytes, maxRequestBytes)
	case s.Limits.BatchRecords < 1 || s.Limits.BatchRecords > maxRequestMessages:
		return exit.Usagef("spec.limits.batchRecords: %d is not between 1 and %d, the most that Pub/Sub takes", s.Limits.BatchRecords, maxRequestMessages)
	case s.Limits.Memory < minMemory || s.Limits.Memory < 8*s.Limits.BatchBytes:
		return exit.Usagef("spec.limits.memory: %s is too little: it must be at least %s and 8 times batchBytes", s.Limits.Memory, jobspecs.Bytes(minMemory))
	}
	if s.Destination.Kind == jobspecs.DestinationPubSub && slices.Contains(s.Topics(), s.DeadLetter.Topic) {
		return exit.Usagef("spec.deadLetter.topic: %q is also a topic of the destination", s.DeadLetter.Topic)
	}
	return nil
}

const minMemory = 4 << 20

// sizes divides the byte budget (invariant B4).
type sizes struct {
	fetch    int64 // memory of one fetch
	fetches  int   // fetches in flight or buffered at once, of one source
	slots    int   // publish requests at once
	sending  int64 // memory of one of them in a connection
	buffered int64 // memory of all fetches of one source
	limit    int64 // what is left for polled records and messages
	segment  int   // bytes of an ordinary segment
	spare    int   // segments that are kept for use again
	record   int64 // memory of a record and its event beside their bytes
}

// divide gives at most an eighth to what the Kafka clients buffer, at most an eighth to
// what connections hold of publish requests, and a sixteenth to spare segments;
// the rest holds polled records and their messages.
func divide(l jobspecs.BridgeLimit, sources, brokers, workers int, p *plan) sizes {
	s := sizes{fetches: min(max(brokers, 2), 16)}
	s.fetch = int64(l.Memory) / 8 / int64(s.fetches*sources)
	if l.FetchBytes > 0 { // small fetches are still in the processor's cache when they are sent
		s.fetch = min(s.fetch, int64(l.FetchBytes))
	}
	s.fetch = max(s.fetch, minFetch)
	s.buffered = s.fetch * int64(s.fetches)
	s.sending = int64(l.BatchBytes)
	s.slots = min(max(int(int64(l.Memory)/8/s.sending), 1), 32)
	open := min(p.lanes(), maxOpen) * workers
	s.segment = min(max(int(l.Memory)/16/open, 16<<10), 256<<10)
	s.spare = int(l.Memory) / 16 / s.segment
	s.limit = int64(l.Memory) - s.buffered*int64(sources) - int64(s.slots)*s.sending - int64(s.spare*s.segment)
	s.record = int64(unsafe.Sizeof(kgo.Record{}) + unsafe.Sizeof(event{}) + 2*unsafe.Sizeof(entry{}) + 2*unsafe.Sizeof(uintptr(0)))
	return s
}
