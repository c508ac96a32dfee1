package bridge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// envChild makes the test binary a bridge: its value is the spec.
const envChild = "KAPPA_TEST_BRIDGE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(envChild); spec != "" {
		os.Exit(int(child(spec)))
	}
	// A library of the Google clients starts this one when it is loaded.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// child runs a bridge until it is told to stop.
func child(text string) exit.Code {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var spec jobspecs.Bridge
	err := json.Unmarshal([]byte(text), &spec)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exit.Usage
	}
	var client *pubsub.Client
	platform, err := gcp.Open(spec.Spec.Platform)
	if err == nil {
		client, err = platform.PubSub(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exit.Environment
	}
	cfg := DefaultConfig()
	cfg.Spec, cfg.Version, cfg.PubSub, cfg.InstanceID = &spec, "v0", client, "child"
	cfg.CommitEvery = 10 * time.Millisecond
	b, err := New(cfg)
	if err == nil {
		err = b.Run(ctx, func(addr string) { fmt.Println(addr) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return exit.Of(err)
}

// startChild starts a bridge as a process of its own and waits until it listens.
func startChild(t *testing.T, spec *jobspecs.Bridge, f *fakePubSub) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"="+string(text), gcp.EnvPubSub+"="+f.addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if !bufio.NewScanner(out).Scan() {
		t.Fatalf("the child says nothing: %v", cmd.Wait())
	}
	return cmd
}

// The bridge is killed again and again, at random moments, with requests under
// way: nothing is lost, and what is published twice has the same id and the
// same topic (invariants B1 and B2).
func TestKilledAgainAndAgain(t *testing.T) {
	for _, ids := range []string{"position", "fields"} {
		t.Run("ids from "+ids, func(t *testing.T) {
			const records, partitions, kills = 20_000, 3, 8
			kafka := newKafka(t, partitions, "in")
			f := newFakePubSub(t, outTopics(3)...)
			f.before = func(ctx context.Context, _ string, _ []*pubsubpb.PubsubMessage) error {
				select { // slow enough that a kill hits requests, in any order
				case <-time.After(rand.N(40 * time.Millisecond)):
				case <-ctx.Done():
				}
				return nil
			}
			spec := testSpec(kafka.ListenAddrs(), 3)
			spec.Spec.Limits.BatchRecords = 50
			spec.Spec.Limits.Memory, spec.Spec.Limits.BatchBytes = 4<<20, 64<<10
			spec.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"orig": "origin"}}
			spec.Spec.Split.Key = []string{"origin"}
			if ids == "fields" {
				spec.Spec.IDs = jobspecs.IDs{From: "fields", Fields: []string{"n"}, Namespace: "x"}
			}
			produce(t, producer(t, kafka), numbered("in", partitions, 0, records)...)

			killedInFlight := 0
			for range kills {
				cmd := startChild(t, spec, f)
				before := f.total()
				eventually(t, "some messages", func() bool { return f.total() > before })
				<-time.After(rand.N(60 * time.Millisecond))
				if f.total() < records {
					killedInFlight++
				}
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
			}
			if killedInFlight < kills/2 {
				t.Fatalf("only %d of %d kills hit a bridge with work to do: the test is too easy", killedInFlight, kills)
			}
			last := startChild(t, spec, f)
			want := map[int32]int64{}
			for i := range records {
				want[int32(i%partitions)]++
			}
			eventually(t, "the last commit", func() bool { return cmp.Equal(committed(t, kafka), want) })
			if err := last.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := last.Wait(); err != nil {
				t.Errorf("the bridge does not stop in order: %v", err)
			}
			type identity struct{ id, topic string }
			seen, byID := make(map[string]identity), make(map[string]string)
			for _, m := range f.taken("") {
				now := identity{m.id(), m.topic}
				if was, ok := seen[m.position()]; ok && was != now {
					t.Fatalf("%s was published as %v and as %v", m.position(), was, now)
				}
				seen[m.position()] = now
				if p, ok := byID[m.id()]; ok && p != m.position() {
					t.Fatalf("%s and %s have one id", p, m.position())
				}
				byID[m.id()] = m.position()
			}
			if len(seen) != records {
				t.Errorf("%d of %d records arrived", len(seen), records)
			}
			t.Logf("%d messages for %d records", f.total(), records)
			if f.total() == records {
				t.Error("nothing was published twice: the kills hit nothing")
			}
		})
	}
}

// A bridge that cannot start says why and exits with 3.
func TestChildExitCode(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, "dead")
	text, err := json.Marshal(testSpec(kafka.ListenAddrs(), 1))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"="+string(text), gcp.EnvPubSub+"="+f.addr)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != int(exit.Environment) || !strings.Contains(string(out), "out-0 does not exist") {
		t.Errorf("%v: %s", err, out)
	}
}
