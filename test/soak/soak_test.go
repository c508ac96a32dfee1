package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A schedule is a function of its seed, and has every kind of event.
func TestSchedule(t *testing.T) {
	a, _ := schedule(7, 3*time.Minute)
	b, _ := schedule(7, 3*time.Minute)
	other, _ := schedule(8, 3*time.Minute)
	if !cmp.Equal(a, b) || cmp.Equal(a, other) {
		t.Error("the schedule is not a function of its seed")
	}
	for _, seed := range []uint64{1, 2, 3, 4, 5} {
		events, left := schedule(seed, 3*time.Minute)
		count := map[string]int{}
		for i, e := range events {
			count[e.Kind]++
			if i > 0 && e.At < events[i-1].At || e.At >= 3*time.Minute {
				t.Fatalf("event %d at %s", i, e.At)
			}
			if e.Kind == evLongOutage && e.For <= time.Minute {
				t.Errorf("a long outage of %s", e.For)
			}
		}
		for _, k := range kinds {
			if count[k.kind] < k.times {
				t.Errorf("seed %d: %d events %s in three minutes", seed, count[k.kind], k.kind)
			}
		}
		if count[evLongOutage] != 1 || count[evCutDown]*count[evCutLive]*count[evExpire] == 0 {
			t.Errorf("seed %d: %v", seed, count)
		}
		if len(left) != 1 { // the pause
			t.Errorf("left out: %v", left)
		}
	}
	if _, left := schedule(1, 30*time.Second); len(left) != 3 {
		t.Errorf("30 s leave out %v", left)
	}
	long, left := schedule(1, 6*time.Hour)
	if len(left) > 0 || !slices.ContainsFunc(long, func(e event) bool { return e.Kind == evLongPause && e.At > time.Hour }) {
		t.Errorf("six hours leave out %v", left)
	}
}

// Every kind of event is carried out: an unknown one is an error.
func TestEveryKindIsCarriedOut(t *testing.T) {
	r := &run{backend: newBackend(newOracle(testCluster, testIDs), 1)}
	if err := r.weather(context.Background(), event{Kind: "rain"}); err == nil {
		t.Error("nobody noticed an unknown event")
	}
	for _, kind := range []string{evOutage, evTopic, evDeny, evThrottle, evHide, evSlow} {
		if err := r.weather(context.Background(), event{Kind: kind, P: 0.5}); err != nil {
			t.Error(err)
		}
	}
	w := r.backend.weather
	for _, n := range w.topics {
		w.away += n
	}
	if w.away != 0 || w.denied != 0 || w.slow != 0 || w.throttle > 1e-9 || w.hide > 1e-9 {
		t.Errorf("the weather stays bad: %+v", w)
	}
}

func dial(t *testing.T, addr string) pubsubpb.PublisherClient {
	t.Helper()
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return pubsubpb.NewPublisherClient(c)
}

// The server's misbehaviour: what it refuses it does not store, and what it
// hides it does.
func TestServer(t *testing.T) {
	o := scene()
	b := newBackend(o, 1, "soak-0", deadTopic)
	e, err := b.serve(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	client := dial(t, e.addr)
	publish := func(offset int64, data string) codes.Code {
		_, err := client.Publish(context.Background(), &pubsubpb.PublishRequest{Topic: "projects/" + project + "/topics/soak-0", Messages: []*pubsubpb.PubsubMessage{{
			Data: []byte(data), Attributes: map[string]string{attrID: message(1, offset).id, attrPosition: "c/in/0/" + string(rune('0'+offset))},
		}}})
		return status.Code(err)
	}
	stored := func() int64 { _, n, _ := o.progress(); return n }
	for _, tt := range []struct {
		name   string
		change func(w *weather)
		data   string
		want   []codes.Code
		stored int64
	}{
		{"fair", func(*weather) {}, "x", []codes.Code{codes.OK}, 1},
		{"away", func(w *weather) { w.away = 1 }, "x", []codes.Code{codes.Unavailable}, 0},
		{"the topic is away", func(w *weather) { w.topics["soak-0"] = 1 }, "x", []codes.Code{codes.Unavailable}, 0},
		{"another topic is away", func(w *weather) { w.topics["soak-1"] = 1 }, "x", []codes.Code{codes.OK}, 1},
		{"denied", func(w *weather) { w.denied = 1 }, "x", []codes.Code{codes.PermissionDenied}, 0},
		{"throttled", func(w *weather) { w.throttle = 1 }, "x", []codes.Code{codes.ResourceExhausted}, 0},
		{"hidden", func(w *weather) { w.hide = 1 }, "x", []codes.Code{codes.Unavailable, codes.Internal, codes.DeadlineExceeded, codes.Unknown, codes.Aborted}, 1},
		{"poison", func(*weather) {}, poisonMark, []codes.Code{codes.InvalidArgument}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.change(func(w *weather) { *w = weather{topics: map[string]int{}}; tt.change(w) })
			before := stored()
			if got := publish(2, tt.data); !slices.Contains(tt.want, got) || stored()-before != tt.stored {
				t.Errorf("answered %s and stored %d, want %v and %d", got, stored()-before, tt.want, tt.stored)
			}
		})
	}
}

// When an endpoint is closed, what its requests became is decided.
func TestEndpointCloses(t *testing.T) {
	o := scene()
	b := newBackend(o, 1, "soak-0")
	b.change(func(w *weather) { w.slow = 10 * time.Second })
	e, err := b.serve(1, "")
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, e.addr)
	done := make(chan error, 1)
	go func() {
		_, err := client.Publish(context.Background(), &pubsubpb.PublishRequest{Topic: "projects/" + project + "/topics/soak-0", Messages: []*pubsubpb.PubsubMessage{{
			Data: []byte("x"), Attributes: map[string]string{attrID: message(1, 2).id, attrPosition: "c/in/0/2"},
		}}})
		done <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); ; {
		b.mu.Lock()
		n := b.n
		b.mu.Unlock()
		if n > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the request does not come")
		}
		wait(t.Context(), time.Millisecond)
	}
	e.close()
	if err := <-done; err == nil {
		t.Error("the request succeeded")
	}
	if _, stored, _ := o.progress(); stored != 1 {
		t.Errorf("%d messages are stored, want the one whose request was under way", stored)
	}
}

// What /readyz says of gaps.
func TestStops(t *testing.T) {
	page := "cut/1 is stopped: offsets 3 to 7 (5) are gone before they were read; accept it\nnot in consumer group g\ncut/10 is stopped: offsets 0 to 0 (1) are gone\n"
	got, err := stops([]byte(page))
	want := map[tp]missed{{"cut", 1}: {3, 8}, {"cut", 10}: {0, 1}}
	if err != nil || !cmp.Equal(got, want, cmp.AllowUnexported(tp{}, missed{})) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := stops([]byte("cut/1 is stopped: offsets 3 to 7 (4) are gone")); err == nil {
		t.Error("a wrong count is not noticed")
	}
}

func TestMetric(t *testing.T) {
	page := []byte("# HELP a_b x\na_b{x=\"1 2\"} 3\na_b{x=\"y\"} 4.5\na_bc 100\n")
	if got, ok := metric(page, "a_b"); got != 7.5 || !ok {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := metric(page, "a"); ok {
		t.Error("a metric that is not there was read")
	}
}

// Times of trouble run into each other.
func TestQuietSince(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	r := &run{troubles: []*trouble{{at(10), at(20)}, {at(15), at(30)}, {at(40), time.Time{}}}}
	for _, tt := range []struct{ at, want int }{{5, 5}, {12, 10}, {25, 10}, {35, 35}, {50, 40}} {
		if got := r.quietSince(at(tt.at)); !got.Equal(at(tt.want)) {
			t.Errorf("quiet before %d since %d, want %d", tt.at, got.Unix(), tt.want)
		}
	}
}

// A kill that exposes more than the bound is a violation; one at the bound is not.
func TestExposureBound(t *testing.T) {
	limit := bound(1000, 10, 50)
	if limit != 150 {
		t.Fatalf("bound is %d", limit)
	}
	for _, tt := range []struct{ exposed, want int64 }{{150, 0}, {151, 1}} {
		r := &run{config: config{out: &bytes.Buffer{}}}
		r.exposes(&process{endpoint: &endpoint{}}, tt.exposed, limit)
		if r.extra.OverBound != tt.want || r.exposure.Largest != tt.exposed {
			t.Errorf("%d exposed: %+v, %+v", tt.exposed, r.extra, r.exposure)
		}
	}
}

// A report with a violation makes the command fail; the file holds both.
func TestVerdict(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "bridge.json")
	var out bytes.Buffer
	r := &report{OK: true, Seed: 3}
	if err := errors.Join(r.write(path), verdict(r, path, &out)); err != nil {
		t.Error(err)
	}
	r.OK, r.Missing = false, 2
	if err := verdict(r, path, &out); exit.Of(err) != exit.Failed {
		t.Errorf("got %v", err)
	}
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(data, &back); err != nil || back["missing"] != 2.0 || back["ok"] != false || back["seed"] != 3.0 {
		t.Errorf("%v: %s", err, data)
	}
	for _, key := range []string{"records", "duplicates", "exposure", "events", "memory_resident_peak_bytes"} {
		if _, ok := back[key]; !ok {
			t.Errorf("the report has no %q", key)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want exit.Code
	}{
		{[]string{"--plan", "--seed", "1"}, exit.OK},
		{[]string{"--nonsense"}, exit.Usage},
		{[]string{"--rate", "0"}, exit.Usage},
		{[]string{"--skip", "rain"}, exit.Usage},
		{[]string{"extra"}, exit.Usage},
		{[]string{"--kappa", "/does/not/exist"}, exit.Environment},
	} {
		if err := command(t.Context(), tt.args, &bytes.Buffer{}); exit.Of(err) != tt.want {
			t.Errorf("%v: %v", tt.args, err)
		}
	}
}
