package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
)

// openLetters opens where dead letters are read.
func (b *Bridge) openLetters(ctx context.Context, cfg RedriveConfig) (letterSource, error) {
	d, moves := &b.spec.DeadLetter, !cfg.DryRun && cfg.Export == ""
	file := cfg.File
	if file == "" {
		file = d.File
	}
	switch {
	case file != "":
		if cfg.Subscription != "" {
			return nil, exit.Usagef("dead letters are read from the file %s, and --subscription is given", file)
		}
		done := cfg.Done
		if done == "" {
			done = file + ".done"
		}
		return openFileLetters(file, done, moves)
	case d.Kafka.Topic != "":
		return b.openKafkaLetters(ctx, moves)
	case cfg.Subscription == "":
		return nil, exit.Usagef("dead letters are in the Pub/Sub topic %s, which is read through a subscription", d.Topic).WithHint("name a subscription to it with --subscription")
	}
	quiet := cfg.Quiet
	if quiet <= 0 {
		quiet = 5 * time.Second
	}
	name := cfg.Subscription
	if !strings.Contains(name, "/") {
		name = fmt.Sprintf("projects/%s/subscriptions/%s", b.spec.Project, name)
	}
	s := &pubsubLetters{Bridge: b, name: name, quiet: quiet, began: time.Now(), groups: make(map[string]*letterParts)}
	sub, err := b.cfg.PubSub.SubscriptionAdminClient.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: name})
	if err != nil {
		return nil, exit.Environmentf("look up subscription %s: %w", name, err)
	}
	if want := topicName(b.spec.Project, d.Topic); sub.Topic != want {
		return nil, exit.Usagef("subscription %s is one to %s, dead letters are in %s", name, sub.Topic, want)
	}
	return s, nil
}

// pubsubLetters reads a subscription. Letters stay leased while they are under
// way, and those that are to stay, so that they do not come again in this run.
type pubsubLetters struct {
	*Bridge
	name   string
	quiet  time.Duration
	began  time.Time
	ready  []*letter
	groups map[string]*letterParts // that are not complete, by position
	held   []string                // acks of what is leased
	leased time.Time               // when leases were extended last
	ended  bool
}

type letterParts struct {
	parts [][]byte
	have  int
	acks  []string
	first *pubsubpb.PubsubMessage
}

const lease = 60 // seconds

func (s *pubsubLetters) next(ctx context.Context) (*letter, error) {
	last := time.Now()
	for len(s.ready) == 0 && !s.ended {
		if err := s.extend(ctx); err != nil {
			return nil, err
		}
		pull, cancel := context.WithTimeout(ctx, min(s.quiet, time.Second))
		resp, err := s.cfg.PubSub.SubscriptionAdminClient.Pull(pull, &pubsubpb.PullRequest{Subscription: s.name, MaxMessages: 100})
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err != nil && status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Unavailable:
			return nil, exit.Environmentf("read subscription %s: %w", s.name, err)
		}
		for _, m := range resp.GetReceivedMessages() {
			s.held = append(s.held, m.AckId)
			if m.Message.GetPublishTime().AsTime().Before(s.began) { // later ones were written by this very run
				last = time.Now()
				s.take(m)
			}
		}
		s.ended = time.Since(last) >= s.quiet
	}
	if len(s.ready) == 0 {
		return s.rest(), nil
	}
	l := s.ready[0]
	s.ready = s.ready[1:]
	return l, nil
}

// take takes a message: a letter, or a part of one.
func (s *pubsubLetters) take(m *pubsubpb.ReceivedMessage) {
	i, n, ok := partOf(m.Message.Attributes[envelope.AttrPart])
	if !ok {
		l := pubsubLetter(m.Message, m.Message.Data)
		l.acks = []string{m.AckId}
		s.ready = append(s.ready, l)
		return
	}
	key := m.Message.Attributes[envelope.AttrPosition]
	g := s.groups[key]
	if g == nil || len(g.parts) != n {
		g = &letterParts{parts: make([][]byte, n), first: m.Message}
		s.groups[key] = g
	}
	g.acks = append(g.acks, m.AckId)
	if g.parts[i] == nil {
		g.parts[i] = m.Message.Data
		g.have++
	}
	if g.have == n {
		delete(s.groups, key)
		l := pubsubLetter(g.first, slices.Concat(g.parts...))
		l.acks = g.acks
		s.ready = append(s.ready, l)
	}
}

// rest returns one of the letters that lack parts, nil if there is none.
func (s *pubsubLetters) rest() *letter {
	for key, g := range s.groups {
		delete(s.groups, key)
		l := pubsubLetter(g.first, nil)
		l.acks = g.acks
		l.lacks = fmt.Sprintf("%d of its %d parts are not in the subscription", len(g.parts)-g.have, len(g.parts))
		return l
	}
	return nil
}

// partOf reads a value of AttrPart; i counts from 0.
func partOf(text string) (i, n int, ok bool) {
	a, b, found := strings.Cut(text, "/")
	if !found {
		return 0, 0, false
	}
	i, err := strconv.Atoi(a)
	n, nerr := strconv.Atoi(b)
	return i - 1, n, err == nil && nerr == nil && i >= 1 && i <= n && n <= 1000
}

// pubsubLetter reads a letter from a message.
func pubsubLetter(m *pubsubpb.PubsubMessage, value []byte) *letter {
	a := m.Attributes
	l := &letter{DeadLetter: envelope.DeadLetter{
		Position: a[envelope.AttrPosition], ID: a[envelope.AttrID], Reason: a[envelope.AttrReason], Error: a[envelope.AttrError],
		Bridge: a[envelope.AttrBridge], Time: a[envelope.AttrSourceTime], Omitted: a[envelope.AttrOmitted], Value: value,
	}}
	switch {
	case a[envelope.AttrNull] == "true":
		l.Value = nil
	case value == nil:
		l.Value = []byte{}
	}
	decode := func(name string) []byte {
		b, err := envelope.DecodeBytes(a[name], a[name+envelope.EncodingSuffix])
		if err != nil {
			l.lacks = fmt.Sprintf("attribute %s: %v", name, err)
		}
		if b == nil {
			b = []byte{}
		}
		return b
	}
	if _, ok := a[envelope.AttrKey]; ok {
		l.Key = decode(envelope.AttrKey)
	}
	for name := range a {
		header, ok := strings.CutPrefix(name, envelope.AttrHeader)
		if _, plain := a[strings.TrimSuffix(name, envelope.EncodingSuffix)]; !ok || plain && strings.HasSuffix(name, envelope.EncodingSuffix) {
			continue
		}
		l.Headers = append(l.Headers, envelope.Header{Name: header, Value: decode(name)})
	}
	slices.SortFunc(l.Headers, func(x, y envelope.Header) int { return strings.Compare(x.Name, y.Name) })
	return l
}

// extend keeps what was pulled leased.
func (s *pubsubLetters) extend(ctx context.Context) error {
	if time.Since(s.leased) < lease*time.Second/4 {
		return nil
	}
	s.leased = time.Now()
	return s.modify(ctx, lease)
}

func (s *pubsubLetters) modify(ctx context.Context, seconds int32) error {
	for acks := range slices.Chunk(s.held, 500) {
		req := &pubsubpb.ModifyAckDeadlineRequest{Subscription: s.name, AckIds: acks, AckDeadlineSeconds: seconds}
		if err := s.cfg.PubSub.SubscriptionAdminClient.ModifyAckDeadline(ctx, req); err != nil {
			return exit.Environmentf("keep dead letters leased: %w", err)
		}
	}
	return nil
}

func (s *pubsubLetters) sent(ctx context.Context, l *letter, _ bool) error {
	if err := s.cfg.PubSub.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: s.name, AckIds: l.acks}); err != nil {
		return exit.Environmentf("acknowledge a dead letter that was sent: %w", err)
	}
	s.held = slices.DeleteFunc(s.held, func(id string) bool { return slices.Contains(l.acks, id) })
	return s.extend(ctx)
}

func (s *pubsubLetters) leave(ctx context.Context, _ *letter) error { return s.extend(ctx) }
func (*pubsubLetters) returns() bool                                { return true }

// close gives back what was not sent.
func (s *pubsubLetters) close(ctx context.Context) error { return s.modify(ctx, 0) }

// kafkaLetters reads a topic of dead letters up to where it ended at the start.
// What is to stay is written to its end again, since a group has one position.
type kafkaLetters struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	group  string
	moves  bool
	ends   map[int32]int64
	ready  []*letter
	under  map[int32][]*letter // in the order of the partition
	done   map[*letter]bool
	at     map[int32]int64 // next to be read
}

func (b *Bridge) openKafkaLetters(ctx context.Context, moves bool) (*kafkaLetters, error) {
	d := &b.spec.DeadLetter.Kafka
	s := &kafkaLetters{topic: d.Topic, group: b.redriveGroup(), moves: moves, ends: map[int32]int64{}, at: map[int32]int64{}, under: map[int32][]*letter{}, done: map[*letter]bool{}}
	admin, err := kafka.NewAdmin(ctx, d.KafkaCluster, "kappa-bridge-redrive")
	if err != nil {
		return nil, fmt.Errorf("spec.deadLetter.kafka: %w", err)
	}
	s.admin = admin
	fail := func(err error) (*kafkaLetters, error) {
		admin.Close()
		return nil, exit.Environmentf("look up dead letters in %s: %w", d.Topic, kafka.Explain(err, d.KafkaCluster))
	}
	starts, err := admin.ListStartOffsets(ctx, d.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fail(err)
	}
	ends, err := admin.ListEndOffsets(ctx, d.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fail(err)
	}
	committed, err := committedOffsets(ctx, admin, s.group, d.Topic)
	if err != nil {
		return fail(err)
	}
	from := make(map[int32]kgo.Offset)
	starts.Each(func(o kadm.ListedOffset) {
		end, _ := ends.Lookup(d.Topic, o.Partition)
		at := o.Offset
		if c, ok := committed.Lookup(d.Topic, o.Partition); ok && c.Err == nil {
			at = max(at, c.At)
		}
		if at < end.Offset {
			s.ends[o.Partition], s.at[o.Partition] = end.Offset, at
			from[o.Partition] = kgo.NewOffset().At(at)
		}
	})
	how, err := kafka.Options(ctx, d.KafkaCluster)
	if err != nil {
		return fail(err)
	}
	s.client, err = kgo.NewClient(append(how, kgo.ClientID("kappa-bridge-redrive"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{d.Topic: from}),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(maxRequestBytes), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return fail(err)
	}
	return s, nil
}

func (s *kafkaLetters) next(ctx context.Context) (*letter, error) {
	last := time.Now()
	for len(s.ready) == 0 {
		left := false
		for p, end := range s.ends {
			left = left || s.at[p] < end
		}
		if !left || ctx.Err() != nil || time.Since(last) > 10*time.Second { // the last offsets may be no records
			return nil, nil
		}
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := s.client.PollRecords(poll, maxLetters)
		cancel()
		for _, fe := range fetches.Errors() {
			if !errors.Is(fe.Err, context.DeadlineExceeded) && !errors.Is(fe.Err, context.Canceled) {
				return nil, exit.Environmentf("read dead letters of %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= s.ends[r.Partition] {
				s.at[r.Partition] = r.Offset + 1
				return
			}
			s.at[r.Partition] = r.Offset + 1
			l := kafkaLetter(r)
			s.under[r.Partition] = append(s.under[r.Partition], l)
			s.ready = append(s.ready, l)
		})
	}
	l := s.ready[0]
	s.ready = s.ready[1:]
	return l, nil
}

// kafkaLetter reads a letter from a record: the last header of each of our
// names is the letter's, the others are those of the dead record.
func kafkaLetter(r *kgo.Record) *letter {
	l := &letter{record: r, DeadLetter: envelope.DeadLetter{Key: r.Key, Value: r.Value}}
	ours := map[string]*string{
		envelope.AttrPosition: &l.Position, envelope.AttrID: &l.ID, envelope.AttrReason: &l.Reason,
		envelope.AttrError: &l.Error, envelope.AttrBridge: &l.Bridge, envelope.AttrSourceTime: &l.Time,
	}
	for i := len(r.Headers) - 1; i >= 0; i-- {
		h := r.Headers[i]
		if field := ours[h.Key]; field != nil {
			*field = string(h.Value)
			delete(ours, h.Key)
			continue
		}
		l.Headers = append(l.Headers, envelope.Header{Name: h.Key, Value: h.Value})
	}
	slices.Reverse(l.Headers)
	return l
}

// sent commits up to the first letter that is not done.
func (s *kafkaLetters) sent(ctx context.Context, l *letter, _ bool) error {
	if !s.moves {
		return nil
	}
	p := l.record.Partition
	s.done[l] = true
	list, at := s.under[p], int64(-1)
	for len(list) > 0 && s.done[list[0]] {
		at = list[0].record.Offset + 1
		delete(s.done, list[0])
		list = list[1:]
	}
	if s.under[p] = list; at < 0 {
		return nil
	}
	var o kadm.Offsets
	o.AddOffset(s.topic, p, at, -1)
	if err := s.admin.CommitAllOffsets(ctx, s.group, o); err != nil {
		return exit.Environmentf("commit in group %s how far dead letters were sent: %w", s.group, err)
	}
	return nil
}

func (s *kafkaLetters) leave(ctx context.Context, l *letter) error {
	if !s.moves {
		return nil
	}
	again := &kgo.Record{Topic: s.topic, Partition: l.record.Partition, Key: l.record.Key, Value: l.record.Value, Headers: l.record.Headers, Timestamp: l.record.Timestamp}
	if err := s.client.ProduceSync(ctx, again).FirstErr(); err != nil {
		return exit.Environmentf("write a dead letter back to %s: %w", s.topic, err)
	}
	return s.sent(ctx, l, true)
}

func (*kafkaLetters) returns() bool { return true }

func (s *kafkaLetters) close(context.Context) error {
	s.client.Close()
	s.admin.Close()
	return nil
}
