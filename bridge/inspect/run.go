package inspect

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Config is what a dry run needs.
type Config struct {
	Spec     *jobspecs.Bridge
	PubSub   *pubsub.Client // nil where nothing is published to Pub/Sub
	Trier    Trier
	Samples  int           // most records of a partition; 0: none
	Wait     time.Duration // longest wait for one system
	Progress func(records int64)
	Now      func() time.Time
}

// DefaultConfig is a Config without what has no default.
func DefaultConfig() Config {
	return Config{Samples: 30, Wait: 20 * time.Second, Progress: func(int64) {}, Now: time.Now}
}

// Validate checks a Config.
func (c *Config) Validate() error {
	switch {
	case c.Spec == nil || c.Trier == nil || c.Progress == nil || c.Now == nil:
		return errors.New("inspect: Config needs Spec, Trier, Progress and Now")
	case c.PubSub == nil && c.Spec.Spec.UsesPubSub():
		return errors.New("inspect: Config needs PubSub")
	case c.Samples < 0 || c.Wait <= 0:
		return exit.Usagef("the number of samples cannot be negative, and the wait must be positive")
	}
	return nil
}

// inspection is a dry run on its way.
type inspection struct {
	Config
	spec   *jobspecs.BridgeSpec
	result *Result
	tally  *tally
}

// Run looks at everything. A verdict is no error: an error means that there is
// no result, because ctx ended or the Config is wrong.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &inspection{Config: cfg, spec: &cfg.Spec.Spec, tally: newTally(cfg.Spec.Spec.Topics()), result: &Result{
		Version: ResultVersion, Bridge: cfg.Spec.Metadata.Name, Started: cfg.Now().UTC(), Checks: []Check{}, Topics: []Topic{},
	}}
	var sources []*source
	for _, name := range n.spec.SourceNames() {
		if s := n.open(ctx, name); s != nil {
			defer s.client.Close()
			sources = append(sources, s)
		}
	}
	if n.spec.Destination.Kind == jobspecs.DestinationKafka {
		n.kafkaTopics(ctx, "Kafka destination", n.spec.Destination.Kafka, n.spec.Topics())
	} else {
		n.pubSub(ctx, n.spec.Topics(), "topic")
	}
	n.deadLetters(ctx)
	n.registry(ctx)
	for _, s := range sources {
		n.sample(ctx, s)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.finish(sources)
	return n.result, nil
}

func (n *inspection) finish(sources []*source) {
	r := n.result
	r.Sample, r.Split = n.tally.sample(), n.tally.split()
	for _, s := range sources {
		for _, t := range s.topics {
			mean := 0.0
			if x := n.tally.sources[topicKey{s.name, t.Topic}]; x != nil {
				mean = float64(x.bytes) / float64(x.records)
			}
			r.Topics = append(r.Topics, s.describe(t, mean))
		}
	}
	r.Throughput = forecast(r.Topics, n.tally.sources)
	r.Seconds = n.Now().Sub(r.Started).Seconds()
	r.decide()
}

func (n *inspection) add(c Check) { n.result.Checks = append(n.result.Checks, c) }

func (n *inspection) ok(subject, detail string) { n.add(Check{subject, Passed, detail, ""}) }

// failed adds a check that failed, with the error's hint.
func (n *inspection) failed(subject string, err error) {
	c := Check{Subject: subject, State: Failed, Detail: err.Error()}
	var e *exit.Error
	if errors.As(err, &e) {
		c.Hint = e.Hint
	}
	n.add(c)
}
