package catchup

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

var transactional = kgo.TransactionalID("tx")

// envChild makes the test binary a catch-up: its value is the spec; envPubSub
// is where it publishes.
const (
	envChild  = "KAPPA_TEST_CATCHUP"
	envPubSub = "KAPPA_TEST_PUBSUB"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(envChild); spec != "" {
		err := child(context.Background(), spec)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(int(exit.Of(err)))
	}
	// A library of the Google clients starts this one when it is loaded.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// child plans, or goes on with the plan that it finds, and hands over.
func child(ctx context.Context, text string) error {
	var spec jobspecs.Bridge
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	client, err := pubsub.NewClient(ctx, "kappa-test", option.WithEndpoint(os.Getenv(envPubSub)), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		return err
	}
	cfg := DefaultConfig()
	for name, s := range spec.Spec.Sources {
		cfg.Sources = append(cfg.Sources, Source{name, s})
	}
	c, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.Load(ctx)
	if err != nil {
		return err
	}
	if p == nil {
		if p, err = c.Make(ctx, Request{Splits: 6}); err != nil {
			return err
		}
		if err := c.Save(ctx, p); err != nil {
			return err
		}
	}
	run := DefaultRunConfig()
	run.Bridge.Spec, run.Bridge.Version, run.Bridge.PubSub = &spec, "v0", client
	run.Bridge.CommitEvery = 10 * time.Millisecond
	run.Parallel = 3
	r, err := c.NewRunner(p, run)
	if err != nil {
		return err
	}
	if err := r.Run(ctx); err != nil {
		return err
	}
	_, err = c.HandOver(ctx, p)
	return err
}

// It is killed again and again, at random moments, with requests under way:
// nothing is lost, what is published twice has the same id, and there is no
// more of that than was in flight.
func TestKilledAgainAndAgain(t *testing.T) {
	const kills = 6
	k, f := newKafka(t, 8, "in"), newFakePubSub(t)
	counts := fillSkewed(t, k, 700)
	f.before = func(ctx context.Context, _ int) error {
		select { // slow enough that a kill hits requests, in any order
		case <-time.After(rand.N(20 * time.Millisecond)):
		case <-ctx.Done():
		}
		return nil
	}
	spec := testSpec(source("main", k, "in"))
	spec.Spec.Limits.Memory, spec.Spec.Limits.BatchBytes, spec.Spec.Limits.BatchRecords = 4<<20, 64<<10, 50
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envChild+"="+string(text), envPubSub+"="+f.addr)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	var all int64
	for _, n := range counts {
		all += n
	}
	hit := 0
	for range kills {
		cmd := start()
		before, _ := f.count()
		eventually(t, "some messages", func() bool { n, _ := f.count(); return n > before })
		<-time.After(rand.N(60 * time.Millisecond))
		if _, distinct := f.count(); int64(distinct) < all {
			hit++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	if hit < kills/2 {
		t.Fatalf("only %d of %d kills hit a catch-up with work to do: the test is too easy", hit, kills)
	}
	cmd := start()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the last run: %v", err)
	}
	duplicates := 0
	for i, n := range counts {
		duplicates += f.holds(t, fmt.Sprintf("test-cluster/in/%d", i), 0, n)
	}
	// A kill repeats at most what the budget holds, and what was acknowledged
	// since the last commit.
	if most := kills * (4 << 20) / 200; duplicates > most {
		t.Errorf("%d duplicates after %d kills", duplicates, kills)
	}
	t.Logf("%d records, %d kills of which %d hit, %d duplicates", all, kills, hit, duplicates)
	for place, at := range committed(t, k, "g") {
		var partition int
		fmt.Sscanf(place, "in/%d", &partition)
		var offset int64
		fmt.Sscanf(at, "%d", &offset)
		if offset != counts[partition] {
			t.Errorf("%s was handed over at %d of %d", place, offset, counts[partition])
		}
	}
}
