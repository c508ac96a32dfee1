//go:build kafka

package apachekafka

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestBrokers: three brokers start, one is killed and comes back, what was
// written is still there, and nothing is left behind.
func TestBrokers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := Start(ctx, Config{Brokers: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs(Plaintext)...), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 3, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	write := func(n int) {
		for range n {
			if err := client.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(10)
	pid := c.Pid(2)
	c.Kill(2)
	if c.Pid(2) != 0 || alive(pid) {
		t.Error("a killed broker is up")
	}
	write(10)
	if err := c.Restart(ctx, 2); err != nil {
		t.Fatal(err)
	}
	c.Stop(1)
	write(10)
	ends, err := admin.ListEndOffsets(ctx, "t")
	for err != nil && ctx.Err() == nil { // the client may think of the broker that is gone as a leader
		<-time.After(50 * time.Millisecond)
		ends, err = admin.ListEndOffsets(ctx, "t")
	}
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	if n != 30 {
		t.Errorf("%d records, want 30", n)
	}
	pids, dir := []int{c.Pid(2), c.Pid(3)}, c.dir
	c.Close()
	for _, p := range pids {
		if alive(p) {
			t.Errorf("process %d is left", p)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder %s is left: %v", dir, err)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
