package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestCommitted: a coordinator that is not there yet is waited for, a group
// that is not there has committed nothing, and a refusal is an error.
func TestCommitted(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if got, err := Committed(t.Context(), admin, "g"); err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("t", 0, 7, -1)
	if err := admin.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	refuse := func(times int, with error) {
		cluster.ControlKey(int16(kmsg.OffsetFetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
			if times == 0 {
				return nil, nil, false
			}
			times--
			cluster.KeepControl()
			resp := r.ResponseKind().(*kmsg.OffsetFetchResponse)
			var e *kerr.Error
			errors.As(with, &e)
			resp.ErrorCode = e.Code
			for _, g := range r.(*kmsg.OffsetFetchRequest).Groups {
				rg := kmsg.NewOffsetFetchResponseGroup()
				rg.Group, rg.ErrorCode = g.Group, e.Code
				resp.Groups = append(resp.Groups, rg)
			}
			return resp, nil, true
		})
	}
	refuse(3, kerr.CoordinatorNotAvailable)
	got, err := Committed(t.Context(), admin, "g")
	if o, ok := got.Lookup("t", 0); err != nil || !ok || o.At != 7 {
		t.Fatalf("%v, %v", got, err)
	}
	refuse(1, kerr.GroupAuthorizationFailed)
	if _, err := Committed(t.Context(), admin, "g"); !errors.Is(err, kerr.GroupAuthorizationFailed) {
		t.Errorf("%v", err)
	}
	refuse(1_000_000, kerr.CoordinatorNotAvailable)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Committed(ctx, admin, "g"); err == nil {
		t.Error("no error")
	}
}
