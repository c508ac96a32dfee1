package verify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// DeadLetters reads where dead letters went.
type DeadLetters interface {
	// Letters hands the position of every dead letter to each: cluster/topic/
	// partition, and offset. Some may come more than once.
	Letters(ctx context.Context, w *Window, each func(partition string, offset int64)) error
}

// LetterFile is a file of dead letters, or a copy of it.
type LetterFile struct{ Name string }

// Letters implements DeadLetters. A last line that was not written whole is no
// dead letter yet.
func (f *LetterFile) Letters(ctx context.Context, _ *Window, each func(string, int64)) error {
	file, err := os.Open(f.Name)
	if err != nil {
		return exit.Environmentf("open the file of dead letters: %w", err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	for n := 1; ctx.Err() == nil; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return exit.Environmentf("read the file of dead letters: %w", err)
		}
		var letter struct{ Position string }
		var a Arrival
		if json.Unmarshal(line, &letter) != nil || !a.at(letter.Position) {
			return exit.Environmentf("%s: line %d is no dead letter", f.Name, n).WithHint("name the file of spec.deadLetter.file")
		}
		each(a.Partition, a.Offset)
	}
	return ctx.Err()
}

// LetterTopic is a Kafka topic of dead letters.
type LetterTopic struct {
	Client *kgo.Client // for everything but reading records
	Topic  string
	Reader func(opts ...kgo.Opt) (*kgo.Client, error) // as Cluster.Reader
}

// Letters implements DeadLetters: of all that the topic holds now.
func (t *LetterTopic) Letters(ctx context.Context, _ *Window, each func(string, int64)) error {
	c := &Cluster{Name: "dead letters", Client: t.Client, Topics: []string{t.Topic}, Reader: t.Reader}
	admin := kadm.NewClient(t.Client)
	starts, err := admin.ListStartOffsets(ctx, t.Topic)
	var ends kadm.ListedOffsets
	if err == nil {
		ends, err = admin.ListCommittedOffsets(ctx, t.Topic)
	}
	if err = errors.Join(err, starts.Error(), ends.Error()); err != nil {
		return exit.Environmentf("look at topic %s of dead letters: %w", t.Topic, err)
	}
	var spans []*reading
	ends.Each(func(o kadm.ListedOffset) {
		first, _ := starts.Lookup(o.Topic, o.Partition)
		s := Span{Topic: o.Topic, Partition: o.Partition, From: first.Offset, To: o.Offset, Start: first.Offset}
		spans = append(spans, &reading{Span: s, ledger: &ledger{key: s.Key(), from: s.From, to: s.To, next: s.From}})
	})
	return read(ctx, c, spans, func(s *reading, r *kgo.Record) error {
		s.next = r.Offset + 1
		var a Arrival
		for _, h := range r.Headers {
			if h.Key == envelope.AttrPosition && a.at(string(h.Value)) {
				each(a.Partition, a.Offset)
			}
		}
		return nil
	}, func(int64) {})
}

// LetterSubscription is a subscription to a Pub/Sub topic of dead letters,
// which exists for verification alone. It is read until nothing comes for a
// while.
type LetterSubscription struct{ Subscriptions }

// Letters implements DeadLetters.
func (s *LetterSubscription) Letters(ctx context.Context, w *Window, each func(string, int64)) error {
	s.positions = true
	news := int64(0)
	rep, err := s.Read(ctx, &Window{Spans: w.Spans, Complete: w.Complete, News: func() int64 { return news }}, func(a *Arrival) error {
		news++ // redeliveries too: there are few dead letters
		each(a.Partition, a.Offset)
		return nil
	})
	if err == nil && rep.CutShort != "" && !w.Complete() {
		err = &cutShort{rep.CutShort}
	}
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return nil
}

// cutShort is why dead letters were not read to their end.
type cutShort struct{ why string }

func (c *cutShort) Error() string { return c.why }
