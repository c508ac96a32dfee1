package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// kafkaTransport produces messages as Kafka records: the record's key, the
// message's data, and its attributes as headers beside the record's own.
type kafkaTransport struct {
	client *kgo.Client
	whole  bool // of dead letters: the record's key and headers are carried as they are
}

// openKafkaTransport connects to a cluster and checks that topics are there.
func (b *Bridge) openKafkaTransport(ctx context.Context, path string, c jobspecs.KafkaCluster, compression string, topics []string) (*kafkaTransport, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Startup)
	defer cancel()
	client, err := kafka.Connect(ctx, c, "kappa-bridge-"+b.cfg.Spec.Metadata.Name,
		kgo.WithLogger(kafkaLogger{b.cfg.Log}),
		kgo.ProducerBatchCompression(codecs[compression]),
		kgo.ProducerLinger(0), // batches come as such
		kgo.ProducerBatchMaxBytes(maxRequestBytes),
		kgo.MaxBufferedRecords(1<<20), // the budget bounds them
		// No RecordDeliveryTimeout: it counts from a record's own timestamp, which
		// may be years back. The context of an attempt bounds it.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.UnknownTopicRetries(1),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	meta, err := kadm.NewClient(client).Metadata(ctx, topics...)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("%s: look up topics: %w", path, kafka.Explain(err, c))
	}
	for _, t := range topics {
		if d, ok := meta.Topics[t]; !ok || d.Err != nil {
			client.Close()
			return nil, exit.Environmentf("Kafka topic %s of %s cannot be published to: it is not there", t, path).WithHint("create it before the bridge publishes")
		}
	}
	return &kafkaTransport{client: client}, nil
}

func (t *kafkaTransport) close() { t.client.Close() }

func (t *kafkaTransport) publish(ctx context.Context, l *lane, events []*event) error {
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		records[i] = t.record(l.topic, e)
	}
	return t.client.ProduceSync(ctx, records...).FirstErr()
}

// record makes the record of a message. It does not point into the message's
// segment: a request that was given up may still be under way.
func (t *kafkaTransport) record(topic string, e *event) *kgo.Record {
	var m wireMessage
	c := *e
	c.entry = slices.Clone(e.entry)
	m.read(&c)
	r := &kgo.Record{Topic: topic, Key: e.record.Key, Value: m.data, Timestamp: e.record.Timestamp}
	if r.Value == nil && e.record.Value != nil {
		r.Value = []byte{}
	}
	for _, h := range e.record.Headers {
		if t.whole || !strings.HasPrefix(h.Key, "kappa-") {
			r.Headers = append(r.Headers, h)
		}
	}
	for _, a := range m.attrs {
		if name := string(a.name); name != envelope.AttrNull {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: a.value})
		}
	}
	return r
}

func (*kafkaTransport) judge(err error) (verdict, string) {
	switch {
	case err == nil:
		return accepted, "OK"
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge), errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp):
		return refused, kafkaCode(err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed),
		errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.InvalidTopicException), errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return blocked, kafkaCode(err)
	default:
		return transient, kafkaCode(err)
	}
}

// kafkaCode names an error for a metric.
func kafkaCode(err error) string {
	var k *kerr.Error
	switch {
	case errors.As(err, &k):
		return k.Message
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrRecordTimeout):
		return "TIMEOUT"
	default:
		return "UNAVAILABLE"
	}
}
