package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// RedriveConfig says what to do with dead letters.
type RedriveConfig struct {
	File         string // read this file, and not where the spec sends them
	Done         string // file with the positions that were sent; read and appended to. Used with files
	Subscription string // to the dead letters' Pub/Sub topic
	Repaired     string // file of letters that stand in for those of the same position
	Reason       string // only letters of this reason; empty: all
	Limit        int    // most letters to send; 0: all
	Quiet        time.Duration
	DryRun       bool   // send nothing, say what would become of each letter
	Export       string // write the letters to this file, and send nothing
	Progress     func(RedriveResult)
}

// RedriveResult counts letters.
type RedriveResult struct {
	Read       int         `json:"read"`
	Sent       int         `json:"sent"`       // acknowledged by the destination, or dropped by the filter
	Bad        int         `json:"bad"`        // cannot be published still: they stay dead letters
	Left       int         `json:"left"`       // of another reason, beyond the limit, or not done when it was stopped
	Incomplete int         `json:"incomplete"` // lack a part, the key or headers: not sent
	Exported   int         `json:"exported"`
	Letters    []BadLetter `json:"letters,omitempty"` // bad and incomplete ones, the first maxBadLetters
}

// BadLetter is a letter that was not sent.
type BadLetter struct {
	Position string `json:"position"`
	Reason   string `json:"reason"`
	Error    string `json:"error"`
}

const (
	maxBadLetters = 100
	maxLetters    = 512 // under way at a time
)

// letter is a dead letter that was read.
type letter struct {
	envelope.DeadLetter
	lacks string // what it lacks, as a sentence; empty: nothing

	// Of where it was read.
	acks   []string // Pub/Sub
	record *kgo.Record

	to  *assignment // while it is under way
	bad *BadLetter  // set when it was refused again
}

// letterSource gives dead letters.
type letterSource interface {
	// next returns the next letter, nil at the end.
	next(ctx context.Context) (*letter, error)
	// sent is called with letters that are done; when it returns they never come
	// again. returned: the letter is in the dead letters again, by us.
	sent(ctx context.Context, l *letter, returned bool) error
	// leave is called with letters that are to stay.
	leave(ctx context.Context, l *letter) error
	// returns reports whether a letter that is bad again has to be written to the
	// dead letters again; otherwise it stays where it was read.
	returns() bool
	close(ctx context.Context) error
}

// redrive is one run.
type redrive struct {
	*Bridge
	cfg      RedriveConfig
	source   letterSource
	repaired map[string]*letter
	res      RedriveResult

	mu    sync.Mutex
	under map[*assignment]*letter
}

// Redrive sends dead letters again, through the bridge's own transform and
// routing, with the ids, positions and times that their records have. A letter
// is done when the destination has acknowledged all of it, not before. It ends
// when there are no more letters, or when ctx is done and what is under way has
// been acknowledged or limits.drain is over.
func (b *Bridge) Redrive(ctx context.Context, cfg RedriveConfig) (_ RedriveResult, err error) {
	r := &redrive{Bridge: b, cfg: cfg, under: make(map[*assignment]*letter)}
	if cfg.Repaired != "" {
		if r.repaired, err = readRepaired(cfg.Repaired); err != nil {
			return r.res, err
		}
	}
	if r.source, err = b.openLetters(ctx, cfg); err != nil {
		return r.res, err
	}
	switch {
	case cfg.Export != "":
		err = r.export(ctx)
	case cfg.DryRun:
		err = r.dry(ctx)
	default:
		err = r.send(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return r.res, errors.Join(err, r.source.close(last))
}

// read returns the next letter that is wanted, nil at the end.
func (r *redrive) read(ctx context.Context) (*letter, error) {
	for ctx.Err() == nil {
		l, err := r.source.next(ctx)
		if err != nil || l == nil {
			return nil, err
		}
		r.res.Read++
		if r.cfg.Progress != nil {
			r.cfg.Progress(r.res)
		}
		if by := r.repaired[l.Position]; by != nil {
			l.Key, l.Value, l.Headers, l.lacks, l.Omitted = by.Key, by.Value, by.Headers, "", by.Omitted
		}
		if l.lacks == "" {
			l.lacks = r.lacking(l.Omitted)
		}
		if r.cfg.Reason != "" && l.Reason != r.cfg.Reason || r.cfg.Limit > 0 && r.res.Sent+r.res.Bad+r.res.Exported+r.underWay() >= r.cfg.Limit {
			r.res.Left++
			if err := r.source.leave(ctx, l); err != nil {
				return nil, err
			}
			continue
		}
		if l.lacks == "" || r.cfg.Export != "" {
			return l, nil
		}
		r.res.Incomplete++
		r.name(BadLetter{l.Position, "incomplete", l.lacks})
		if err := r.source.leave(ctx, l); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// lacking says why a letter without what omitted names cannot be sent.
func (r *redrive) lacking(omitted string) string {
	uses := r.Bridge.spec.Route.Header != "" || r.Bridge.spec.Destination.Kind == "kafka" ||
		slices.ContainsFunc(r.plan.attributes, func(a mappedAttribute) bool { return a.Header != "" })
	for _, part := range strings.Split(omitted, ",") {
		if part == "key" || part == "headers" && uses {
			return "the record's " + part + " did not fit into the letter: it is in Kafka, at its position; add it with --repaired"
		}
	}
	return ""
}

func (r *redrive) name(b BadLetter) {
	if len(r.res.Letters) < maxBadLetters {
		r.res.Letters = append(r.res.Letters, b)
	}
}

func (r *redrive) underWay() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.under)
}

// send sends letters.
func (r *redrive) send(ctx context.Context) error {
	if err := r.openStages(ctx); err != nil {
		return err
	}
	defer r.stages.close()
	p := r.stages.publisher
	p.graves = &capture{transport: p.graves, redrive: r, keep: !r.source.returns()}
	hard, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	r.stages.start(hard)
	err := r.feed(ctx, hard)
	r.stages.endInput()
	p.setFlush(true)
	await(hard, r.Bridge.spec.Limits.Drain.D(), func() bool {
		if err == nil {
			err = r.settle(hard)
		}
		return err != nil || r.underWay() == 0
	})
	abort()
	r.stages.wait()
	if left := r.underWay(); left > 0 {
		r.res.Left += left
		if err == nil {
			err = exit.With(exit.Interrupted, fmt.Errorf("stopped with %d dead letters not acknowledged within %s; they stay dead letters", left, r.Bridge.spec.Limits.Drain))
		}
	}
	return err
}

// feed reads letters and hands them to the stages.
func (r *redrive) feed(ctx, hard context.Context) error {
	for {
		l, err := r.read(ctx)
		if err != nil || l == nil {
			return err
		}
		u, err := r.unit(l)
		if err != nil {
			r.res.Bad++
			r.name(BadLetter{l.Position, "letter", err.Error()})
			if err := r.source.leave(ctx, l); err != nil {
				return err
			}
			continue
		}
		if r.stages.budget.poll(ctx, func() int64 { return u.chunk.bytes }) != nil {
			return nil
		}
		r.stages.budget.addRecords(u.chunk.bytes)
		r.mu.Lock()
		r.under[l.to] = l
		r.mu.Unlock()
		if !r.stages.take(hard, u) {
			return nil
		}
		for {
			if err := r.settle(hard); err != nil {
				return err
			}
			if r.underWay() < maxLetters || ctx.Err() != nil {
				break
			}
			await(ctx, 10*time.Millisecond, func() bool { return false })
		}
	}
}

// settle lets go of letters that are done.
func (r *redrive) settle(ctx context.Context) error {
	r.mu.Lock()
	var done []*letter
	for a, l := range r.under {
		if _, ok := a.committable(); ok {
			done = append(done, l)
			delete(r.under, a)
		}
	}
	r.mu.Unlock()
	for _, l := range done {
		if l.bad == nil {
			r.res.Sent++
		} else {
			r.res.Bad++
			r.name(*l.bad)
		}
		var err error
		if l.bad != nil && !r.source.returns() {
			err = r.source.leave(ctx, l)
		} else {
			err = r.source.sent(ctx, l, l.bad != nil)
		}
		if err != nil {
			return err
		}
		if r.cfg.Progress != nil {
			r.cfg.Progress(r.res)
		}
	}
	return nil
}

// unit makes the record of a letter, as it was read at its position.
func (r *redrive) unit(l *letter) (unit, error) {
	rec, from, err := l.make(r.plan)
	if err != nil {
		return unit{}, err
	}
	pos := partitionID{rec.Topic, rec.Partition}
	l.to = newLedger().assign(pos, rec.Offset) // letters come in any order: each has its own
	first, err := l.to.fetched(1, func(int) entry { return entry{offset: rec.Offset, leaderEpoch: -1} })
	if err != nil {
		return unit{}, err
	}
	c := &chunk{polled: time.Now(), bytes: int64(recordBytes(rec)) + r.sizes.record}
	c.left.Store(1)
	return unit{partition: &partition{assignment: l.to, origin: from}, records: []*kgo.Record{rec}, first: first, chunk: c}, nil
}

// make makes the record and where it came from.
func (l *letter) make(p *plan) (*kgo.Record, origin, error) {
	pos, err := envelope.ParsePosition(l.Position)
	if err != nil {
		return nil, origin{}, err
	}
	rec := &kgo.Record{Topic: pos.Topic, Partition: pos.Partition, Offset: pos.Offset, LeaderEpoch: -1, Key: l.Key, Value: l.Value}
	if l.Time == "" {
		return nil, origin{}, errors.New("the letter has no source_time: the record's timestamp cannot be kept")
	}
	if rec.Timestamp, err = envelope.ParseTime(l.Time); err != nil {
		return nil, origin{}, err
	}
	from := origin{prefix: pos.PartitionKey() + "/", partition: pos.Partition}
	for _, h := range l.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	if l.ID == "" {
		if _, ok := header(rec, envelope.AttrID); !ok && p.idFields == nil {
			return nil, origin{}, errors.New("the letter has no id, and ids are made from positions: write it into the letter, or into a header " + envelope.AttrID)
		}
		return rec, from, nil // the id is made from fields, or given
	}
	id, err := parseUUID([]byte(l.ID))
	if err != nil {
		return nil, origin{}, fmt.Errorf("id %q: %w", l.ID, err)
	}
	// invariant B2: an id of the position is made again from what it holds, so
	// that further events of the record get theirs; any other one is given.
	if hash, partition, offset, ordinal, ok := positionOf(id); ok && partition == pos.Partition && offset == pos.Offset && ordinal == 0 {
		from.hash = hash
		return rec, from, nil
	}
	if _, ok := header(rec, envelope.AttrID); !ok {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: envelope.AttrID, Value: []byte(l.ID)})
	}
	return rec, from, nil
}

// capture is the dead letters' transport of a redrive: it notes which letters
// are bad again.
type capture struct {
	transport
	*redrive
	keep bool // they stay where they were read: nothing is written
}

func (c *capture) publish(ctx context.Context, l *lane, events []*event) error {
	if !c.keep {
		if err := c.transport.publish(ctx, l, events); err != nil {
			return err
		}
	}
	c.redrive.mu.Lock()
	defer c.redrive.mu.Unlock()
	for _, e := range events {
		letter := c.under[e.ticket.to]
		if letter == nil {
			continue
		}
		var m wireMessage
		m.read(e)
		letter.bad = &BadLetter{letter.Position, string(m.attr(envelope.AttrReason)), string(m.attr(envelope.AttrError))}
	}
	return nil
}

// dry says what would become of letters.
func (r *redrive) dry(ctx context.Context) error {
	m := newMaker(r.plan)
	for {
		l, err := r.read(ctx)
		if err != nil || l == nil {
			return err
		}
		var why *badRecord
		switch err := try(ctx, m, l); {
		case errors.As(err, &why):
			r.res.Bad++
			r.name(BadLetter{l.Position, why.reason, why.err.Error()})
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.res.Bad++
			r.name(BadLetter{l.Position, "letter", err.Error()})
		default:
			r.res.Sent++
		}
		if err := r.source.leave(ctx, l); err != nil {
			return err
		}
	}
}

// try makes the messages of a letter.
func try(ctx context.Context, m *maker, l *letter) error {
	rec, from, err := l.make(m.plan)
	if err != nil {
		return err
	}
	n, err := m.open(ctx, rec)
	for i := 0; err == nil && i < n; i++ {
		if err = m.describe(i, rec, &from); err == nil {
			if size := fieldSize(m.draft.inner()); size > m.maxMessage {
				err = bad(reasonTooLarge, fmt.Errorf("the message has %d bytes, Pub/Sub takes %d", size, m.maxMessage))
			}
		}
	}
	return err
}

// redriveGroup is the group that holds how far the dead letters of a Kafka
// topic were redriven.
func (b *Bridge) redriveGroup() string {
	return b.spec.Sources[b.spec.SourceNames()[0]].Group + ".redrive"
}
