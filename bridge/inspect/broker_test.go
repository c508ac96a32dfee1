//go:build kafka

package inspect

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
)

// TestARealBroker: a broker says what the fake does not: sizes on disk and what
// is permitted.
func TestARealBroker(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := apachekafka.Start(ctx, apachekafka.Config{Brokers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	addrs := c.Addrs(apachekafka.Plaintext)
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopics(ctx, 2, 1, nil, "in", "copy"); err != nil {
		t.Fatal(err)
	}
	w := worldOf(t, addrs)
	r := w.allIsWell()
	if top := r.Topics[0]; top.Estimated || top.Bytes == 0 || top.Skew.Parts[0].Bytes <= top.Skew.Parts[1].Bytes {
		t.Errorf("%+v", top)
	}
	if got := state(r, "read permission"); !strings.HasPrefix(got, "ok: ") {
		t.Error(got)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
}
