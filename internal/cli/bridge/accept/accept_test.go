package accept

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
)

func TestParsePartition(t *testing.T) {
	if topic, n, err := parsePartition("a.b-c/12"); err != nil || topic != "a.b-c" || n != 12 {
		t.Errorf("%q %d %v", topic, n, err)
	}
	for _, text := range []string{"", "a", "a/", "/1", "a/-1", "a/x", "a/4294967296"} {
		if _, _, err := parsePartition(text); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The command shows what is gone, records nothing without --yes where it cannot
// ask, and does nothing the second time.
func TestAccept(t *testing.T) {
	ctx := context.Background()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.DefaultProduceTopic("in"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 10 {
		if err := client.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(client)
	var at, to kadm.Offsets
	at.AddOffset("in", 0, 3, -1)
	to.AddOffset("in", 0, 7, -1)
	if err := admin.CommitAllOffsets(ctx, "g", at); err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(t.TempDir(), "bridge.yaml")
	text := fmt.Sprintf(`apiVersion: kappa/v1
kind: Bridge
metadata: {name: b}
spec:
  project: kappa-demo
  sources: {main: {brokers: ["%s"], topics: [in], group: g}}
  split: {topicPrefix: out-, count: 1}
  deadLetter: {topic: dead}
`, kafka.ListenAddrs()[0])
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	accept := func(more ...string) (string, string, error) {
		return apptest.Run(t, "json", New, append([]string{"-f", spec, "--partition", "in/0", "--by", "ada", "--reason", "it was worthless"}, more...)...)
	}
	if _, _, err := accept("--yes"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "nothing is gone: offset 3 is due") {
		t.Errorf("with nothing gone: %v", err)
	}
	if _, err := admin.DeleteRecords(ctx, to); err != nil {
		t.Fatal(err)
	}
	_, shown, err := accept()
	if exit.Of(err) != exit.Usage || !strings.Contains(shown, "offsets 3 to 6 (4) are gone") || !strings.Contains(shown, "4 offsets are passed over") {
		t.Errorf("without a terminal: %q, %v", shown, err)
	}
	for i, want := range []string{"accepted", "accepted before"} {
		out, _, err := accept("--yes")
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Result, Source, Kind string
			From, To, Lost       int64
			Accepted             struct{ By, Reason string }
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		if got.Result != want || got.Source != "main" || got.Kind != "truncated" || got.From != 3 || got.To != 7 || got.Lost != 4 || got.Accepted.By != "ada" || got.Accepted.Reason != "it was worthless" {
			t.Errorf("time %d: %s", i+1, out)
		}
	}
	if _, _, err := accept("--source", "mian"); exit.Of(err) != exit.Usage {
		t.Errorf("a source that is not there: %v", err)
	}
}
