package bridge

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// A partition that makes no progress though nothing is known to be wrong turns
// /livez red, and by itself green again. The peer's failure: silent stalls.
func TestStalledPartitionFailsLivez(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	f := newFakePubSub(t, outTopics(1)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Limits.Stall = jobspecs.Duration(200 * time.Millisecond)
	b := start(t, testConfig(t, spec, f))
	p := producer(t, kafka)
	produce(t, p, numbered("in", 2, 0, 10)...)
	eventually(t, "the first records", func() bool { return f.total() == 10 })

	b.readers[0].client.PauseFetchPartitions(map[string][]int32{"in": {1}})
	produce(t, p, numbered("in", 2, 10, 10)...)
	eventually(t, "/livez red", func() bool {
		code, body := b.get("/livez")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "in/1 of main has made no progress") && !strings.Contains(body, "in/0")
	})
	if code, _ := b.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz answers %d: a stall is no reason to send it no work", code)
	}
	if _, metrics := b.get("/metrics"); !strings.Contains(metrics, "kappa_bridge_stalled_partitions 1") {
		t.Error("the metric does not count the stalled partition")
	}
	b.readers[0].client.ResumeFetchPartitions(map[string][]int32{"in": {1}})
	eventually(t, "/livez green", func() bool { code, _ := b.get("/livez"); return code == http.StatusOK })
	eventually(t, "all records", func() bool { return f.total() == 20 })
}

// A destination that is away is not a stall: to start the process again would
// mend nothing, and lose what it holds in memory.
func TestOutageIsNoStall(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	f.before = func(context.Context, string, []*pubsubpb.PubsubMessage) error {
		return status.Error(codes.Unavailable, "away")
	}
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Limits.Stall = jobspecs.Duration(100 * time.Millisecond)
	spec.Spec.Limits.Drain = jobspecs.Duration(100 * time.Millisecond)
	b := start(t, testConfig(t, spec, f))
	produce(t, producer(t, kafka), numbered("in", 1, 0, 10)...)
	eventually(t, "a lag that lasts", func() bool { return b.Status().Lag == 10 })
	deadline := time.Now().Add(600 * time.Millisecond)
	for time.Now().Before(deadline) {
		if code, body := b.get("/livez"); code != http.StatusOK {
			t.Fatalf("/livez answers %d: %s", code, body)
		}
	}
	if _, metrics := b.get("/metrics"); !strings.Contains(metrics, `kappa_bridge_lag_seconds{partition="0",source="main",topic="in"}`) {
		t.Error("no lag in seconds")
	}
}
