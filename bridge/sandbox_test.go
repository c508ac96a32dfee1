package bridge_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/pubsub/pubsubtest"
)

// The demo's own spec, from Kafka to what the official client pulls from its
// subscriptions.
func TestFlightsSpecOnTheSandbox(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "flights"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	vars := jobspecs.Vars{Set: map[string]string{"KAFKA_BROKERS": kafka.ListenAddrs()[0]}}
	set, err := jobspecs.Load([]string{"../jobspecs/examples/flights/bridge.yaml"}, vars)
	if err != nil {
		t.Fatal(err)
	}
	spec := set.Bridges[0]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, _ := pubsubtest.Start(t, spec.Spec.Project, append(spec.Spec.Split.Topics(), spec.Spec.DeadLetter.Topic)...)

	const flights = 500
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	var records []*kgo.Record
	for n := range flights + 2 {
		i := n % flights // two are sent twice
		origin := fmt.Sprintf("AP%d", i%17)
		records = append(records, &kgo.Record{
			Topic: "flights", Key: []byte(origin), Timestamp: time.Date(2001, 1, 8, 1, 0, i, 0, time.UTC),
			Value: fmt.Appendf(nil, `{"event_id":%d,"sched":"2001-01-08T00:01:00Z","delay_min":3,"dist_mi":425,"orig":"%s","dest":"MSY"}`, i, origin),
		})
	}
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}

	cfg := bridge.DefaultConfig()
	cfg.Spec, cfg.Version, cfg.PubSub = spec, "v1", client
	b, err := bridge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- b.Run(running, nil) }()

	deliveries, byID := 0, make(map[string]string)
	for deliveries < flights+2 && ctx.Err() == nil {
		for _, topic := range spec.Spec.Split.Topics() {
			name := "projects/" + spec.Spec.Project + "/subscriptions/" + topic
			pull, cancel := context.WithTimeout(ctx, 200*time.Millisecond) // a topic may have nothing
			resp, err := client.SubscriptionAdminClient.Pull(pull, &pubsubpb.PullRequest{Subscription: name, MaxMessages: 1000})
			cancel()
			if err != nil || len(resp.ReceivedMessages) == 0 {
				continue
			}
			var ids []string
			for _, m := range resp.ReceivedMessages {
				ids = append(ids, m.AckId)
				deliveries++
				attrs := m.Message.Attributes
				byID[attrs[envelope.AttrID]] = string(m.Message.Data)
				if attrs[envelope.AttrEventTime] != "2001-01-08T00:01:00.000Z" || attrs[envelope.AttrBridge] != "flights/v1" {
					t.Errorf("attributes %v", attrs)
				}
			}
			if err := client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: name, AckIds: ids}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if deliveries != flights+2 || len(byID) != flights {
		t.Errorf("%d deliveries of %d events, want %d of %d", deliveries, len(byID), flights+2, flights)
	}
	want := `{"event_id":7,"scheduled":"2001-01-08T00:01:00Z","delay":3,"distance":425,"origin":"AP7","destination":"MSY"}`
	found := false
	for _, data := range byID {
		found = found || data == want
	}
	if !found {
		t.Errorf("no message is %s", want)
	}
}
