package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
)

const kindPubSub = "pubsub"

// Label that a subscription must have, with the value "true", to be read: what
// is pulled here is kept from its other readers, so it must have none.
const Label = "kappa-verify"

const (
	pullMessages  = 1000
	pullers       = 4                // of each subscription
	pullTimeout   = 60 * time.Second // of a pull that finds nothing
	settleTimeout = 30 * time.Second
	holdMessages  = 600 * time.Second // Pub/Sub's longest lease
	mostHeld      = 100_000           // messages that are given back at the end
	mostAckIDs    = 500               // in a request, which may have 512 KiB
	firstBackoff  = 100 * time.Millisecond
	largestPause  = 10 * time.Second
	defaultQuiet  = 30 * time.Second
)

// Subscriptions are subscriptions that exist for verification alone, one for
// each topic of the bridge. What is pulled is acknowledged only where Ack says
// so; otherwise it is leased, and given back at the end: 100,000 messages at
// once, others when their lease ends, after ten minutes.
type Subscriptions struct {
	Client  *pubsub.Client
	Project string
	Names   []string // short
	Topics  []string // all topics of the bridge, short
	Ack     bool
	Quiet   time.Duration // nothing new for so long is the end; 0: 30 s; what is missing then is only judged if it is longer than the subscriptions' ack deadlines
	Timeout time.Duration // the longest that it may take; 0: no bound

	positions bool // of dead letters: only the position is read
}

// Read implements Arrived.
func (s *Subscriptions) Read(ctx context.Context, w *Window, each func(*Arrival) error) (Report, error) {
	rep := Report{Destination: Destination{Kind: kindPubSub, Subscriptions: s.Names, Acknowledged: s.Ack}}
	deadline, err := s.check(ctx)
	if err != nil {
		return rep, err
	}
	quiet := s.Quiet
	if quiet <= 0 {
		quiet = defaultQuiet
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	var up <-chan time.Time
	if s.Timeout > 0 {
		up = time.After(s.Timeout)
	}
	p := &pulling{Subscriptions: s, each: each, window: w, stop: stop, rep: &rep, began: time.Now(), news: time.Now(), held: map[string][]string{}}
	var wg sync.WaitGroup
	for _, name := range s.Names {
		for range pullers {
			wg.Go(func() { p.pull(inner, s.full(name)) })
		}
	}
	wg.Go(func() { p.watch(inner, quiet, up) })
	wg.Wait()
	p.giveBack(ctx)
	if rep.CutShort == "" && quiet <= deadline {
		// A pull that was given up, here or elsewhere, may have leased what is missing.
		rep.CutShort = fmt.Sprintf("nothing came for %s, but messages may be leased for %s, the ack deadline: wait longer", quiet, deadline)
	}
	if p.err == nil && !w.Complete() {
		p.err = ctx.Err()
	}
	return rep, p.err
}

func (s *Subscriptions) full(name string) string {
	return fmt.Sprintf("projects/%s/subscriptions/%s", s.Project, name)
}

// check refuses subscriptions that others may read, and topics that none of
// them is of: what is published there would look missing. It returns the longest
// ack deadline.
func (s *Subscriptions) check(ctx context.Context) (deadline time.Duration, err error) {
	left := slices.Clone(s.Topics)
	for _, name := range s.Names {
		sub, err := s.Client.SubscriptionAdminClient.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: s.full(name)})
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err != nil {
			return 0, exit.Environmentf("look at subscription %s: %w", name, err).WithHint("create it before the bridge publishes what is to be verified, with the label %s=true", Label)
		}
		if sub.Labels[Label] != "true" {
			return 0, exit.Environmentf("subscription %s does not have the label %s=true, so others may read it, and what is pulled here is kept from them", name, Label).
				WithHint("create a subscription for verification alone, with that label")
		}
		deadline = max(deadline, time.Duration(sub.AckDeadlineSeconds)*time.Second)
		topic := sub.Topic[strings.LastIndexByte(sub.Topic, '/')+1:]
		i := slices.Index(left, topic)
		if i < 0 {
			return 0, exit.Usagef("subscription %s is of topic %s, which is no topic of the bridge or has another subscription here", name, topic)
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		return 0, exit.Usagef("no subscription is given for topic %s", strings.Join(left, ", ")).WithHint("name one subscription of each topic of the bridge")
	}
	return deadline, nil
}

// pulling is a read of subscriptions on its way.
type pulling struct {
	*Subscriptions
	each   func(*Arrival) error
	window *Window
	stop   context.CancelFunc
	rep    *Report
	began  time.Time

	mu   sync.Mutex
	news time.Time           // when something new came last
	held map[string][]string // ack ids that are given back at the end, by subscription
	lots int                 // of held
	err  error
}

// fail ends the read.
func (p *pulling) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.stop()
}

// watch ends the read when nothing new has come for a while.
func (p *pulling) watch(ctx context.Context, quiet time.Duration, up <-chan time.Time) {
	for {
		p.mu.Lock()
		left := quiet - time.Since(p.news)
		p.mu.Unlock()
		if left <= 0 {
			p.stop()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-up:
			p.mu.Lock()
			p.rep.CutShort = "messages still came when the time was up"
			p.mu.Unlock()
			p.stop()
			return
		case <-time.After(left):
		}
	}
}

// pull pulls from one subscription until ctx ends.
func (p *pulling) pull(ctx context.Context, name string) {
	pause := firstBackoff
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, pullTimeout)
		resp, err := p.Client.SubscriptionAdminClient.Pull(attempt, &pubsubpb.PullRequest{Subscription: name, MaxMessages: pullMessages})
		cancel()
		if err == nil && len(resp.ReceivedMessages) > 0 {
			pause = firstBackoff
			if err := p.take(resp.ReceivedMessages); err != nil {
				p.fail(err)
				return
			}
			p.settle(ctx, name, resp.ReceivedMessages)
			continue
		}
		switch status.Code(err) {
		case codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.FailedPrecondition:
			p.fail(exit.Environmentf("pull from %s: %w", name, err))
			return
		case codes.OK, codes.DeadlineExceeded: // nothing there
		default:
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, largestPause)
		}
	}
}

// take enters messages.
func (p *pulling) take(list []*pubsubpb.ReceivedMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, now := p.window.News(), time.Now()
	// Without acknowledging, all that was pulled comes again when its lease ends.
	backlog := p.Ack || now.Sub(p.began) < holdMessages
	for _, m := range list {
		ok, err := p.enter(m.Message)
		if err != nil {
			return err
		}
		if !ok {
			p.rep.Unreadable++
		}
		p.rep.Destination.Messages++
		// What is published meanwhile, after the range, is no reason to wait.
		if backlog && m.Message.PublishTime.AsTime().Before(p.began) {
			p.news = now
		}
	}
	if p.window.News() > before {
		p.news = now
	}
	if p.window.Complete() {
		p.stop()
	}
	return nil
}

// settle acknowledges messages, or holds them. It is done even when the read
// has ended: they were counted. What fails is delivered again, and then known.
func (p *pulling) settle(ctx context.Context, name string, list []*pubsubpb.ReceivedMessage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.AckId
	}
	if !p.Ack {
		p.lease(ctx, name, ids, holdMessages)
		p.mu.Lock()
		if p.lots < mostHeld {
			p.held[name] = append(p.held[name], ids...)
			p.lots += len(ids)
		}
		p.mu.Unlock()
		return
	}
	for part := range slices.Chunk(ids, mostAckIDs) {
		_ = p.Client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: name, AckIds: part})
	}
}

func (p *pulling) lease(ctx context.Context, name string, ids []string, d time.Duration) {
	for part := range slices.Chunk(ids, mostAckIDs) {
		_ = p.Client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: name, AckIds: part, AckDeadlineSeconds: int32(d / time.Second)})
	}
}

// giveBack gives up the leases, so that another run finds the messages at once.
func (p *pulling) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	for name, ids := range p.held {
		p.lease(ctx, name, ids, 0)
	}
}

// enter enters the events of a message; false: it names none.
func (p *pulling) enter(m *pubsubpb.PubsubMessage) (bool, error) {
	message := max(1, xxhash.Sum64String(m.MessageId))
	one := func(id, position string, content uint64) (bool, error) {
		a := Arrival{Count: 1, Message: message, Content: max(1, content)}
		var ok bool
		if a.ID, ok = parseID(id); !ok || !a.at(position) {
			return false, nil
		}
		return true, p.each(&a)
	}
	if p.positions {
		var a Arrival
		if !a.at(m.Attributes[envelope.AttrPosition]) {
			return false, nil
		}
		return true, p.each(&a)
	}
	how, bundled := m.Attributes[envelope.AttrBundle]
	if !bundled {
		return one(m.Attributes[envelope.AttrID], m.Attributes[envelope.AttrPosition], contentHash(m))
	}
	list, err := envelope.Unbundle(how, m.Data)
	readable := err == nil && len(list) > 0
	for i := range list {
		e := &list[i]
		ok, err := one(e.ID, e.Position, xxhash.Sum64(e.Data))
		if err != nil {
			return false, err
		}
		readable = readable && ok
	}
	return readable, nil
}

// contentHash is of what a message holds: the data and the attributes, without
// that which names the bridge's version.
func contentHash(m *pubsubpb.PubsubMessage) uint64 {
	h := xxhash.New()
	_, _ = h.Write(m.Data)
	names := make([]string, 0, len(m.Attributes))
	for name := range m.Attributes {
		if name != envelope.AttrBridge {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		_, _ = h.WriteString("\x00" + name + "\x00" + m.Attributes[name])
	}
	return h.Sum64()
}
