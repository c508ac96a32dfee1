package bridge

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// holdFetches answers fetches with nothing for as long as it is set.
// seen counts the fetches that were answered so: after the first none from
// before is under way.
func holdFetches(kafka *kfake.Cluster) (held *atomic.Bool, seen *atomic.Int64) {
	held, seen = new(atomic.Bool), new(atomic.Int64)
	kafka.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		if !held.Load() {
			return nil, nil, false
		}
		seen.Add(1)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.SessionID = req.(*kmsg.FetchRequest).SessionID
		return resp, nil, true
	})
	return held, seen
}

func truncate(t testing.TB, kafka *kfake.Cluster, partition int32, to int64) {
	t.Helper()
	var o kadm.Offsets
	o.AddOffset("in", partition, to, -1)
	if _, err := admin(t, kafka).DeleteRecords(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

// findGap looks at in/0 as `kappa bridge accept` does.
func findGap(t testing.TB, kafka *kfake.Cluster, spec *jobspecs.Bridge, at int64) *Gap {
	t.Helper()
	g, err := FindGap(context.Background(), admin(t, kafka), spec.Spec.Sources["main"], spec.Spec.IDs, "in", 0, at)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *Gap) accept(t testing.TB, kafka *kfake.Cluster) {
	t.Helper()
	if _, err := g.Accept(context.Background(), admin(t, kafka), "ada", "the events of that hour are worthless"); err != nil {
		t.Fatal(err)
	}
}

// missing are the offsets of in/0 below n that were not published.
func missing(f *fakePubSub, n int) (first, last, count int) {
	seen := f.positions()
	first, last = -1, -1
	for i := range n {
		if seen[fmt.Sprintf("test-cluster/in/0/%d", i)] > 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
		count++
	}
	return first, last, count
}

// invariant B3: retention overtakes a running bridge; it says what is gone,
// goes on after that was accepted, and lacks just these offsets.
func TestAcceptedGapIsPassedOver(t *testing.T) {
	kafka := newKafka(t, 2, "in")
	held, seen := holdFetches(kafka)
	f := newFakePubSub(t, outTopics(1)...)
	p := producer(t, kafka)
	produce(t, p, numbered("in", 2, 0, 200)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return cmp.Equal(committed(t, kafka), map[int32]int64{0: 100, 1: 100}) })
	held.Store(true)
	eventually(t, "no fetch from before to be under way", func() bool { return seen.Load() > 0 })
	produce(t, p, numbered("in", 2, 200, 200)...)
	truncate(t, kafka, 0, 150)
	held.Store(false)
	eventually(t, "the report", func() bool {
		_, body := b.get("/readyz")
		return strings.Contains(body, "in/0 is stopped: offsets 100 to 149 (50) are gone before they were read")
	})
	eventually(t, "the other partition", func() bool { return committed(t, kafka)[1] == 200 })

	// An acceptance of something else changes nothing.
	g := findGap(t, kafka, spec, -1)
	if g.Kind != GapTruncated || g.From != 100 || g.To != 150 || g.Lost != 50 || g.Empty() || g.Covered() {
		t.Fatalf("gap %+v", g)
	}
	other := *g
	other.Committed, other.From, other.Lost = 120, 120, 30
	other.accept(t, kafka)
	eventually(t, "the objection", func() bool {
		_, body := b.get("/readyz")
		return strings.Contains(body, "what ada accepted is something else (truncated, from offset 120)")
	})
	if at := committed(t, kafka)[0]; at != 100 {
		t.Fatalf("the stopped partition committed %d", at)
	}

	g.accept(t, kafka)
	eventually(t, "the rest", func() bool { return committed(t, kafka)[0] == 200 })
	eventually(t, "readiness", b.ready)
	if first, last, n := missing(f, 200); first != 100 || last != 149 || n != 50 {
		t.Errorf("%d offsets are missing, from %d to %d; want 50, 100 to 149", n, first, last)
	}
	if _, body := b.get("/metrics"); !strings.Contains(body, `kappa_bridge_lost_offsets_total{source="main",topic="in"} 50`) || !strings.Contains(body, "kappa_bridge_stopped_partitions 0") {
		t.Error("the metrics do not tell")
	}
	// Accepting twice: there is nothing left to accept, and what was accepted is known.
	eventually(t, "the note", func() bool { a := findGap(t, kafka, spec, -1).Accepted; return a != nil && a.Applied != nil })
	again := findGap(t, kafka, spec, -1)
	if !again.Empty() || !again.Covered() || again.Accepted.By != "ada" || !strings.Contains(again.Accepted.Reason, "worthless") || again.Accepted.Lost != 50 {
		t.Errorf("afterwards: %+v, %+v", again, again.Accepted)
	}
	produce(t, p, numbered("in", 2, 400, 100)...)
	eventually(t, "what comes later", func() bool { return committed(t, kafka)[0] == 250 })
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	if n := f.total(); n != 450 {
		t.Errorf("%d messages, want 450: none twice", n)
	}
}

// What was accepted while the bridge was away is there for its next start.
func TestGapAcceptedBeforeTheStart(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	p := producer(t, kafka)
	produce(t, p, numbered("in", 1, 0, 10)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	a := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 10 })
	if err := a.halt(); err != nil {
		t.Fatal(err)
	}
	produce(t, p, numbered("in", 1, 10, 30)...)
	truncate(t, kafka, 0, 25)
	findGap(t, kafka, spec, 30).accept(t, kafka) // and five more
	if g := findGap(t, kafka, spec, 30); !g.Covered() || g.Empty() {
		t.Errorf("accepted: %+v", g)
	}
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the rest", func() bool { return committed(t, kafka)[0] == 40 })
	eventually(t, "readiness", b.ready)
	if first, last, n := missing(f, 40); first != 10 || last != 29 || n != 20 {
		t.Errorf("%d offsets are missing, from %d to %d; want 20, 10 to 29", n, first, last)
	}
}

func recreate(t testing.TB, kafka *kfake.Cluster) {
	t.Helper()
	adm := admin(t, kafka)
	if _, err := adm.DeleteTopics(context.Background(), "in"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopics(context.Background(), 1, 1, nil, "in"); err != nil {
		t.Fatal(err)
	}
}

// A topic that was created again under a running bridge is read from its
// beginning once that was accepted, and its events have other ids.
func TestAcceptedNewTopic(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	produce(t, producer(t, kafka), numbered("in", 1, 0, 50)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 50 })
	recreate(t, kafka)
	produce(t, producer(t, kafka), numbered("in", 1, 1000, 80)...)
	eventually(t, "the report", func() bool {
		_, body := b.get("/readyz")
		return strings.Contains(body, "in/0 is stopped: the topic was")
	})
	if n := f.total(); n != 50 {
		t.Fatalf("%d messages, want the 50 of the old topic", n)
	}
	g := findGap(t, kafka, spec, -1)
	if g.Kind != GapRecreated || g.To != 0 {
		t.Fatalf("gap %+v", g)
	}
	g.accept(t, kafka)
	eventually(t, "the new topic", func() bool { return f.total() == 130 })
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 80 })
	eventually(t, "readiness", b.ready)
	ids := make(map[string]bool)
	for _, m := range f.taken("") {
		ids[m.id()] = true
	}
	if len(ids) != 130 {
		t.Errorf("%d ids of 130 events", len(ids))
	}
	if err := b.halt(); err != nil {
		t.Error(err)
	}
	// The commit is the new topic's: the next start has nothing to ask.
	c := start(t, testConfig(t, spec, f))
	eventually(t, "readiness", c.ready)
	if n := f.total(); n != 130 {
		t.Errorf("%d messages after a restart", n)
	}
}

// The same while the bridge is away, where the group has kept its offset.
func TestNewTopicAcceptedBeforeTheStart(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	produce(t, producer(t, kafka), numbered("in", 1, 0, 50)...)
	spec := testSpec(kafka.ListenAddrs(), 1)
	a := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 50 })
	if err := a.halt(); err != nil {
		t.Fatal(err)
	}
	old, err := admin(t, kafka).FetchOffsets(context.Background(), "g")
	if err != nil {
		t.Fatal(err)
	}
	recreate(t, kafka)
	produce(t, producer(t, kafka), numbered("in", 1, 1000, 80)...)
	var kept kadm.Offsets
	kept.Add(kadm.Offset{Topic: "in", At: 50, LeaderEpoch: -1, Metadata: old["in"][0].Metadata})
	if err := admin(t, kafka).CommitAllOffsets(context.Background(), "g", kept); err != nil {
		t.Fatal(err)
	}
	g := findGap(t, kafka, spec, 20)
	if g.Kind != GapRecreated || g.To != 20 || g.Lost != 20 {
		t.Fatalf("gap %+v", g)
	}
	g.accept(t, kafka)
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the new topic", func() bool { return committed(t, kafka)[0] == 80 })
	eventually(t, "readiness", b.ready)
	if n := f.total(); n != 110 {
		t.Errorf("%d messages, want 50 of the old topic and 60 of the new one", n)
	}
}

// A log that was cut back: with ids from positions the new records at the old
// offsets would have the ids of the old ones, so reading goes on behind them;
// with ids from fields at the cut.
func TestAcceptedCutBack(t *testing.T) {
	for _, from := range []string{idsFromPosition, idsFromFields} {
		t.Run(from, func(t *testing.T) {
			kafka := newKafka(t, 1, "in")
			f := newFakePubSub(t, outTopics(1)...)
			p := producer(t, kafka)
			produce(t, p, numbered("in", 1, 0, 40)...)
			var ahead kadm.Offsets
			ahead.AddOffset("in", 0, 60, -1)
			if err := admin(t, kafka).CommitAllOffsets(context.Background(), "g", ahead); err != nil {
				t.Fatal(err)
			}
			spec := testSpec(kafka.ListenAddrs(), 1)
			if spec.Spec.IDs.From = from; from == idsFromFields {
				spec.Spec.IDs.Fields = []string{"n"}
				spec.Spec.Transform.Decode = "json"
			}
			b := start(t, testConfig(t, spec, f))
			eventually(t, "the report", func() bool {
				_, body := b.get("/readyz")
				return strings.Contains(body, "in/0 is stopped: offsets 40 to 59 (20), which had been read, are gone")
			})
			g := findGap(t, kafka, spec, -1)
			want, total := int64(40), 70
			if from == idsFromPosition {
				want, total = 60, 50
			}
			if g.Kind != GapCutBack || g.From != 40 || g.To != want || g.Lost != want-40 || strings.Contains(g.What, "deduplication would drop them") != (want == 60) {
				t.Fatalf("gap %+v", g)
			}
			g.accept(t, kafka)
			if from == idsFromPosition {
				eventually(t, "the wait", func() bool {
					_, body := b.get("/readyz")
					return strings.Contains(body, "it goes on when the log has reached offset 60 (now 40)")
				})
			}
			produce(t, p, numbered("in", 1, 40, 70)...)
			eventually(t, "the rest", func() bool { return committed(t, kafka)[0] == 110 })
			if n := f.total(); n != total {
				t.Errorf("%d messages, want %d", n, total)
			}
			eventually(t, "readiness", b.ready)
		})
	}
}

func TestAcceptanceFits(t *testing.T) {
	now := kadm.TopicID{1}
	base := Acceptance{Kind: GapTruncated, TopicID: now.String(), Due: 100, From: 100, To: 150}
	applied := time.Now()
	for _, c := range []struct {
		name string
		edit func(*Acceptance, *gap)
		want bool
	}{
		{"the same", func(*Acceptance, *gap) {}, true},
		{"what was in flight got through", func(_ *Acceptance, g *gap) { g.Due = 149 }, true},
		{"all of it got through", func(_ *Acceptance, g *gap) { g.Due = 150 }, false},
		{"more is gone", func(_ *Acceptance, g *gap) { g.Due = 99 }, false},
		{"another topic", func(a *Acceptance, _ *gap) { a.TopicID = kadm.TopicID{2}.String() }, false},
		{"used", func(a *Acceptance, _ *gap) { a.Applied = &applied }, false},
		{"another kind", func(_ *Acceptance, g *gap) { g.Kind = GapCutBack }, false},
		{"not known yet", func(_ *Acceptance, g *gap) { g.Kind = gapUnknown }, false},
		{"cut back", func(a *Acceptance, g *gap) { a.Kind, g.Kind = GapCutBack, GapCutBack }, true},
		{"cut back elsewhere", func(a *Acceptance, g *gap) { a.Kind, g.Kind, g.Due = GapCutBack, GapCutBack, 101 }, false},
		{"a new topic", func(a *Acceptance, g *gap) { a.Kind, g.Kind, g.Due = GapRecreated, GapRecreated, 7 }, true},
		{"skipped by word", func(a *Acceptance, g *gap) { a.Kind = GapOther }, true},
		{"skipped by word, elsewhere", func(a *Acceptance, g *gap) { a.Kind, g.Kind, g.Due = GapOther, GapOther, 101 }, false},
	} {
		a, g := base, gap{Kind: GapTruncated, Due: 100, From: 100, To: 150}
		c.edit(&a, &g)
		if got := a.fits(g, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestPlaceOfAcceptance(t *testing.T) {
	for _, c := range []struct {
		g    Gap
		at   int64
		ok   bool
		lost int64
	}{
		{Gap{Committed: 10, Start: 20, End: 30}, 20, true, 10},
		{Gap{Committed: 10, Start: 20, End: 30}, 30, true, 20},
		{Gap{Committed: 10, Start: 20, End: 30}, 19, false, 0},
		{Gap{Committed: 10, Start: 20, End: 30}, 31, false, 0},
		{Gap{Committed: 40, Start: 20, End: 30}, 30, true, 0},
		{Gap{Committed: 40, Start: 20, End: 30}, 40, true, 10},
		{Gap{Committed: 40, Start: 20, End: 30}, 41, false, 0},
		{Gap{Committed: 25, Start: 20, End: 30}, 24, false, 0},
		{Gap{Committed: 25, Start: 20, End: 30}, 27, true, 2},
	} {
		g := c.g
		g.judge("", -1, false)
		if err := g.place(c.at); (err == nil) != c.ok || err == nil && (g.To != c.at || g.Lost != c.lost) {
			t.Errorf("%+v at %d: %+v, %v", c.g, c.at, g, err)
		}
	}
}

func TestAcceptanceText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &Acceptance{
			Kind: rapid.SampledFrom([]string{GapTruncated, GapCutBack, GapRecreated, GapOther}).Draw(t, "kind"), TopicID: kadm.TopicID{3}.String(),
			Due: rapid.Int64().Draw(t, "due"), From: rapid.Int64().Draw(t, "from"), To: rapid.Int64Min(0).Draw(t, "to"), Lost: rapid.Int64().Draw(t, "lost"),
			By: rapid.StringN(1, 50, 200).Draw(t, "by"), Reason: rapid.String().Draw(t, "reason"), Time: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 0).UTC(),
		}
		text, err := a.text()
		if err != nil {
			t.Skip("too long")
		}
		got, ok := parseAcceptance(text)
		if diff := cmp.Diff(a, got); !ok || diff != "" {
			t.Fatalf("%q (-want +got):\n%s", text, diff)
		}
	})
	for _, text := range []string{"", "kappa topic-id=x", acceptedMark, acceptedMark + "[]", acceptedMark + `{"to":-1}`} {
		if _, ok := parseAcceptance(text); ok {
			t.Errorf("%q is an acceptance", text)
		}
	}
	long := &Acceptance{Reason: strings.Repeat("x", maxAccepted)}
	if _, err := long.text(); err == nil {
		t.Error("a reason that Kafka does not keep is taken")
	}
}
