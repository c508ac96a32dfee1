package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
)

func TestOneIsLostAndOneComesTwiceInTheRawTable(t *testing.T) {
	w := newWorld(t, 2)
	w.fill(0, 100) // in hours 10 and 11
	w.fill(1, 3)
	w.produce(w.record(1, "filter", 3), w.record(1, "dead", 4))
	w.commit(100, 5)
	bq := w.bigQuery()
	for o := range int64(100) {
		if o != 70 { // lost
			w.insert(bq, rawRow{offset: o, message: "m" + string(rune('0'+o%10))})
		}
	}
	w.insert(bq,
		rawRow{offset: 3, message: "m3", generation: 2}, // the same message, read by two generations
		rawRow{offset: 5, message: "again"},
		rawRow{partition: 1, offset: 0, message: "a", carrier: "AA"},
		rawRow{partition: 1, offset: 1, message: "b", carrier: "AA"}, rawRow{partition: 1, offset: 1, message: "c", carrier: "BB"}, // another content
		rawRow{partition: 1, offset: 2, message: "d", carrier: "AA"}, rawRow{partition: 1, offset: 2, message: "e"}, // another content: NULL
		rawRow{partition: 1, offset: 3, message: "f"},                                                  // filtered
		rawRow{partition: 1, offset: 9, message: "g"},                                                  // beyond the range
		rawRow{partition: 1, offset: 0, message: "h", id: w.message(1, 2).Attributes[envelope.AttrID]}, // another's id
		rawRow{partition: 1, offset: 0, message: "i", id: "no uuid"})

	var missing bytes.Buffer
	cfg := w.config(&RawTable{Client: bq, Project: project, Dataset: "d", Table: "raw"})
	cfg.Missing = &missing
	var phases []string
	cfg.Progress = func(p Progress) {
		if n := len(phases); n == 0 || phases[n-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}
	r := w.verify(cfg)
	want := Counts{Records: 105, Filtered: 1, DeadLettered: 1, Dropped: 1, Expected: 103, Arrived: 102, Missing: 1, Duplicated: 3, Duplicates: 3, WrongIDs: 1, Conflicts: 2, Unexpected: 1}
	if diff := cmp.Diff(want, r.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if r.Verdict != Incomplete || r.Unreadable != 1 {
		t.Errorf("verdict %s, %d unreadable", r.Verdict, r.Unreadable)
	}
	p := r.Partitions[0]
	if diff := cmp.Diff([]Offsets{{First: 70, Last: 70, Count: 1}}, p.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Offsets{{First: 5, Last: 5, Count: 1}}, p.Duplicated); diff != "" {
		t.Errorf("duplicated (-want +got):\n%s", diff)
	}
	hours := []Hour{{Hour: w.base, Records: 60, Expected: 60, Arrived: 60, Duplicates: 1}, {Hour: w.base.Add(time.Hour), Records: 40, Expected: 40, Arrived: 39, Missing: 1}}
	if diff := cmp.Diff(hours, p.Hours); diff != "" {
		t.Errorf("hours (-want +got):\n%s", diff)
	}
	if got, want := missing.String(), w.id+"/t/0/70\n"; got != want {
		t.Errorf("missing file %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{PhaseKafka, PhaseArrived}, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

func TestBySubscription(t *testing.T) {
	t.Parallel() // it waits longer than an ack deadline
	for _, ack := range []bool{false, true} {
		t.Run(map[bool]string{false: "not acknowledged", true: "acknowledged"}[ack], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.fill(0, 20)
			w.commit(20)
			client := w.pubSub(map[string]string{Label: "true"})
			for o := range int64(20) {
				if o != 7 {
					w.publish(client, w.message(0, o))
				}
			}
			other := w.message(0, 9)
			other.Data = []byte("another content")
			w.publish(client, w.message(0, 3), other, &pubsubpb.PubsubMessage{Data: []byte("no id")})
			subs := &Subscriptions{Client: client, Project: project, Names: []string{"verify"}, Topics: []string{"out"}, Ack: ack, Quiet: 11 * time.Second}
			if ack {
				subs.Quiet = time.Second
			}
			r := w.verify(w.config(subs))
			want := Counts{Records: 20, Expected: 20, Arrived: 19, Missing: 1, Duplicated: 2, Duplicates: 2, Conflicts: 1}
			if diff := cmp.Diff(want, r.Totals); diff != "" {
				t.Errorf("totals (-want +got):\n%s", diff)
			}
			p := r.Partitions[0]
			if len(p.Missing) != 1 || p.Missing[0].First != 7 || r.Unreadable != 1 || r.Verdict != Incomplete || r.Conflicts[0].Position != w.id+"/t/0/9" {
				t.Errorf("%+v", r)
			}
			// What was not acknowledged is there for the next run, what was is not.
			w.publish(client, w.message(0, 7))
			if ack {
				subs.Timeout = time.Second
			}
			if again := w.verify(w.config(subs)); (again.Totals.Arrived == 20) == ack {
				t.Errorf("%d events arrived in the second run", again.Totals.Arrived)
			}
		})
	}
}

// TestItEndsWhenAllWasSeen: a complete range needs no waiting.
func TestItEndsWhenAllWasSeen(t *testing.T) {
	w := newWorld(t, 1)
	w.fill(0, 5)
	w.commit(5)
	client := w.pubSub(map[string]string{Label: "true"})
	for o := range int64(5) {
		w.publish(client, w.message(0, o))
	}
	began := time.Now()
	r := w.verify(w.config(&Subscriptions{Client: client, Project: project, Names: []string{"verify"}, Topics: []string{"out"}, Quiet: time.Hour}))
	if r.Verdict != Complete || time.Since(began) > 30*time.Second {
		t.Errorf("%s after %s: %s", r.Verdict, time.Since(began), r.Reason)
	}
}

func TestInconclusive(t *testing.T) {
	w := newWorld(t, 1)
	w.fill(0, 5)
	w.commit(5)
	for _, c := range []struct {
		name           string
		messages       int64
		quiet, timeout time.Duration
		want           string
	}{
		{"an empty subscription", 0, 100 * time.Millisecond, 0, "messages may be leased"},
		{"not as long as the ack deadline", 1, time.Second, 0, "messages may be leased"},
		{"the time is up", 1, time.Hour, time.Second, "time was up"},
	} {
		client := w.pubSub(map[string]string{Label: "true"})
		for o := range c.messages {
			w.publish(client, w.message(0, o))
		}
		subs := &Subscriptions{Client: client, Project: project, Names: []string{"verify"}, Topics: []string{"out"}, Quiet: c.quiet, Timeout: c.timeout}
		r := w.verify(w.config(subs))
		if r.Verdict != Inconclusive || r.ExitCode() != exit.NoData || r.Totals.Arrived != c.messages || !strings.Contains(r.Reason, c.want) {
			t.Errorf("%s: %s, %s, %d arrived", c.name, r.Verdict, r.Reason, r.Totals.Arrived)
		}
	}
}

func TestStopped(t *testing.T) {
	w := newWorld(t, 1)
	w.fill(0, 1)
	w.commit(1)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := w.config(&Subscriptions{Client: w.pubSub(map[string]string{Label: "true"}), Project: project, Names: []string{"verify"}, Topics: []string{"out"}})
	cfg.Progress = func(p Progress) {
		if p.Phase == PhaseArrived {
			cancel()
		}
	}
	if r, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", r, err)
	}
}

func TestSubscriptionsThatWouldMislead(t *testing.T) {
	w := newWorld(t, 1)
	w.fill(0, 1)
	w.commit(1)
	plain, marked := w.pubSub(nil), w.pubSub(map[string]string{Label: "true"})
	for _, c := range []struct {
		name string
		subs Subscriptions
		want string
		code exit.Code
	}{
		{"others may read it", Subscriptions{Client: plain, Names: []string{"verify"}, Topics: []string{"out"}}, "does not have the label kappa-verify=true", exit.Environment},
		{"missing", Subscriptions{Client: marked, Names: []string{"nowhere"}, Topics: []string{"out"}}, "look at subscription nowhere", exit.Environment},
		{"a topic has none", Subscriptions{Client: marked, Names: []string{"verify"}, Topics: []string{"out", "out-1"}}, "no subscription is given for topic out-1", exit.Usage},
		{"of another topic", Subscriptions{Client: marked, Names: []string{"verify"}, Topics: []string{"x"}}, "is of topic out", exit.Usage},
		{"twice", Subscriptions{Client: marked, Names: []string{"verify", "verify"}, Topics: []string{"out"}}, "is of topic out", exit.Usage},
	} {
		c.subs.Project = project
		_, err := Run(t.Context(), w.config(&c.subs))
		if err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != c.code {
			t.Errorf("%s: %v (code %d)", c.name, err, exit.Of(err))
		}
	}
}

// TestGapsAreNotMissing: aborted transactions, transaction markers, truncated
// and compacted offsets are nothing that could arrive, also at the end.
func TestGapsAreNotMissing(t *testing.T) { newWorld(t, 1).gaps() }

func (w *world) gaps() {
	t := w.t
	w.fill(0, 10)
	tx := w.connect(w.client.OptValue(kgo.SeedBrokers).([]string)[0], kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		w.must(tx.BeginTransaction())
		w.must(tx.ProduceSync(t.Context(), w.record(0, "a", 1), w.record(0, "b", 2)).FirstErr())
		w.must(tx.EndTransaction(t.Context(), commit))
	} // offsets 10 and 11, marker 12; 13 and 14 aborted, marker 15
	_, err := w.admin.DeleteRecords(t.Context(), kadm.Offsets{"t": {0: {Topic: "t", At: 4}}})
	w.must(err)
	w.commit(16)
	cfg := w.config(everything{w: w, lost: map[int64]bool{1: true, 12: true, 13: true, 14: true, 15: true}})
	cfg.Range.Offsets = []OffsetRange{{Topic: "t", From: 0, To: 16}}
	r := w.verify(cfg)
	want := Counts{Records: 8, Gaps: 8, Expected: 8, Arrived: 8, Unheld: 3}
	if diff := cmp.Diff(want, r.Totals); diff != "" || r.Verdict != Complete {
		t.Errorf("%s (-want +got):\n%s", r.Verdict, diff)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "no longer has offsets 0 to 3") {
		t.Errorf("warnings %q", r.Warnings)
	}
	cluster := w.cluster()
	cluster.Uncommitted = true
	cfg.Clusters = []Cluster{cluster}
	cfg.Arrived = everything{w: w}
	if r := w.verify(cfg); r.Totals.Expected != 10 || r.Verdict != Complete {
		t.Errorf("read uncommitted: %s, %+v", r.Verdict, r.Totals)
	}

	// An open transaction holds the end of what is judged back.
	w.must(tx.BeginTransaction())
	w.must(tx.ProduceSync(t.Context(), w.record(0, "c", 1)).FirstErr())
	w.produce(w.record(0, "d", 1))
	cfg = w.config(everything{w: w})
	cfg.Range.Offsets = []OffsetRange{{Topic: "t", From: 9, To: 18}}
	if r := w.verify(cfg); r.Totals.Expected != 3 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "the log ends at offset 16") {
		t.Errorf("an open transaction: %+v, %q", r.Totals, r.Warnings)
	}
	w.must(tx.EndTransaction(t.Context(), kgo.TryAbort))
}

func TestRanges(t *testing.T) {
	w := newWorld(t, 2)
	w.fill(0, 30)
	w.fill(1, 30)
	w.commit(20) // partition 1 has no commit
	for _, c := range []struct {
		name     string
		r        Range
		expected int64
		warning  string
	}{
		{"as far as was committed", Range{}, 20, "t/1: group g has committed no offset"},
		{"times", Range{From: w.base.Add(5 * time.Minute), To: w.base.Add(8 * time.Minute)}, 3, "t/1: group g has"},
		{"times beyond the commit", Range{From: w.base.Add(15 * time.Minute), To: w.base.Add(25 * time.Minute)}, 5, "t/0: group g has committed only up to offset 20"},
		{"offsets", Range{Offsets: []OffsetRange{{Topic: "t", Partition: 1, From: 7, To: 9}}}, 2, ""},
		{"open offsets", Range{Offsets: []OffsetRange{{Source: "main", Topic: "t", From: 7, To: -1}}}, 13, ""},
		{"offsets beyond the log", Range{Offsets: []OffsetRange{{Topic: "t", Partition: 1, From: 7, To: 900}}}, 23, "the log ends at offset 30"},
		{"nothing", Range{From: w.base.Add(24 * time.Hour)}, 0, "t/1"},
	} {
		cfg := w.config(everything{w: w})
		cfg.Range = c.r
		r := w.verify(cfg)
		if r.Totals.Expected != c.expected || (c.expected == 0) != (r.Verdict == NoData) {
			t.Errorf("%s: %d expected (%s), want %d", c.name, r.Totals.Expected, r.Verdict, c.expected)
		}
		if got := strings.Join(r.Warnings, "\n"); !strings.Contains(got, c.warning) || c.warning == "" && got != "" {
			t.Errorf("%s: warnings %q, want %q", c.name, got, c.warning)
		}
	}
	began := w.cluster()
	began.Begin = map[string]map[int32]int64{"t": {0: 12}}
	for _, c := range []struct {
		r    Range
		want int64
	}{{Range{}, 8}, {Range{From: w.base.Add(5 * time.Minute)}, 8}, {Range{From: w.base.Add(15 * time.Minute)}, 5}, {Range{Offsets: []OffsetRange{{Topic: "t", From: 3, To: 5}}}, 2}} {
		cfg := w.config(everything{w: w})
		cfg.Clusters, cfg.Range = []Cluster{began}, c.r
		if r := w.verify(cfg); r.Totals.Expected != c.want {
			t.Errorf("begun at 12, %+v: %d expected, want %d", c.r, r.Totals.Expected, c.want)
		}
	}
	for _, o := range []OffsetRange{{Topic: "x", To: 1}, {Source: "other", Topic: "t", To: 1}} {
		cfg := w.config(everything{w: w})
		cfg.Range.Offsets = []OffsetRange{o}
		if _, err := Run(t.Context(), cfg); exit.Of(err) != exit.Usage {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestItRefusesWhatDoesNotFit(t *testing.T) {
	w := newWorld(t, 1)
	w.fill(0, 50)
	w.commit(50)
	cfg := w.config(everything{w: w})
	cfg.Memory = 100
	if _, err := Run(t.Context(), cfg); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "too large to verify") {
		t.Error(err)
	}
}

func TestParseOffsets(t *testing.T) {
	for in, want := range map[string]OffsetRange{
		"t/0:1-5":        {Topic: "t", From: 1, To: 5},
		"s/t.x/12:1-":    {Source: "s", Topic: "t.x", Partition: 12, From: 1, To: -1},
		"t/2147483647:0": {Topic: "t", Partition: 1<<31 - 1, To: -1},
	} {
		if got, err := ParseOffsets(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "t", "t/0", "t:1-2", "/0:1-2", "/t/0:1-2", "a/b/c/0:1-2", "t/x:1-2", "t/-1:1-2", "t/0:x-2", "t/0:2-2", "t/0:-1-2", "t/2147483648:1-2", "t/0:1-2-3"} {
		if got, err := ParseOffsets(in); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func FuzzParseOffsets(f *testing.F) {
	f.Add("s/t/0:1-2")
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseOffsets(s); err == nil && (r.Topic == "" || r.Partition < 0 || r.From < 0 || r.To >= 0 && r.To <= r.From) {
			t.Errorf("%q: %+v", s, r)
		}
	})
}

// batch is the head of a record batch, and no records.
func batch(base int64, delta, records uint32) []byte {
	b := make([]byte, 61)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], 49)
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], delta)
	binary.BigEndian.PutUint32(b[57:], records)
	return b
}

func TestAfterEmpty(t *testing.T) {
	join := func(bs ...[]byte) []byte { return bytes.Join(bs, nil) }
	for _, c := range []struct {
		name    string
		stable  int64
		batches []byte
		want    int64
	}{
		{"nothing is left", 20, nil, 20},
		{"not yet readable", 19, nil, 10},
		{"records", 20, batch(12, 0, 1), 10},
		{"an empty batch, then nothing", 20, batch(10, 4, 0), 20},
		{"an empty batch, then records", 20, join(batch(10, 4, 0), batch(15, 0, 3)), 15},
		{"the next batch is past the end", 40, batch(22, 0, 1), 20},
		{"cut off", 20, batch(10, 4, 0)[:40], 10},
		{"an old format", 20, append(make([]byte, 16), append([]byte{1}, make([]byte, 60)...)...), 10},
	} {
		if got := afterEmpty(10, 20, c.stable, c.batches); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func FuzzAfterEmpty(f *testing.F) {
	f.Add(int64(20), batch(10, 4, 0))
	f.Fuzz(func(t *testing.T, stable int64, b []byte) {
		if got := afterEmpty(10, 20, stable, b); got < 10 {
			t.Errorf("%d", got)
		}
	})
}

// letters are dead letters of partition 0.
func (w *world) letters(offsets ...int) []string {
	var list []string
	for _, o := range offsets {
		list = append(list, w.message(0, int64(o)).Attributes[envelope.AttrPosition])
	}
	return list
}

// TestDeadLetters: what can only be a dead letter must be one, and an event
// that the destination refused is one instead of missing.
func TestDeadLetters(t *testing.T) {
	t.Parallel() // likewise
	w := newWorld(t, 1)
	_, err := w.admin.CreateTopics(t.Context(), 1, 1, nil, "dead")
	w.must(err)
	w.produce(w.record(0, "a", 0), w.record(0, "dead", 1), w.record(0, "b", 2), w.record(0, "dead", 3), w.record(0, "c", 4), w.record(0, "d", 5))
	w.commit(6)
	arrived := everything{w: w, lost: map[int64]bool{1: true, 2: true, 3: true, 5: true}} // 2 and 5: refused, or lost
	found := w.letters(1, 2, 2, 0, 99)                                                    // not 3 and 5; 0 has arrived all the same

	file := filepath.Join(t.TempDir(), "dead")
	text := ""
	for _, p := range found {
		text += `{"position":"` + p + `","reason":"transform"}` + "\n"
		w.must(w.client.ProduceSync(t.Context(), &kgo.Record{Topic: "dead", Headers: []kgo.RecordHeader{{Key: envelope.AttrPosition, Value: []byte(p)}}}).FirstErr())
	}
	w.must(os.WriteFile(file, []byte(text+`{"position":"cut`), 0o600))
	client := w.pubSub(map[string]string{Label: "true"})
	for _, p := range found {
		w.publish(client, &pubsubpb.PubsubMessage{Attributes: map[string]string{envelope.AttrPosition: p}})
	}
	subs := Subscriptions{Client: client, Project: project, Names: []string{"verify"}, Topics: []string{"out"}, Quiet: 11 * time.Second}
	for name, letters := range map[string]DeadLetters{
		"file": &LetterFile{file}, "topic": &LetterTopic{Client: w.client, Topic: "dead", Reader: w.cluster().Reader}, "subscription": &LetterSubscription{subs},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config(arrived)
			cfg.Letters = letters
			r := w.verify(cfg)
			want := Counts{Records: 6, DeadLettered: 2, Expected: 4, Arrived: 2, Missing: 1, Rejected: 1, LettersFound: 1, LettersMissing: 1}
			if diff := cmp.Diff(want, r.Totals); diff != "" || r.Verdict != Incomplete || !r.Letters {
				t.Errorf("%s: %s (-want +got):\n%s", r.Verdict, r.Reason, diff)
			}
			p := r.Partitions[0]
			if len(p.LettersMissing) != 1 || p.LettersMissing[0].First != 3 || len(p.Missing) != 1 || p.Missing[0].First != 5 || p.Hours[0].Rejected != 1 {
				t.Errorf("%+v", p)
			}
		})
	}
	cfg := w.config(arrived)
	subs.Quiet = 500 * time.Millisecond
	cfg.Letters = &LetterSubscription{subs}
	if r := w.verify(cfg); r.Verdict != Inconclusive || !strings.Contains(r.Reason, "dead letters: ") {
		t.Errorf("not waited for leases: %s, %s", r.Verdict, r.Reason)
	}
	cfg.Arrived, cfg.Letters = everything{w: w, lost: map[int64]bool{1: true, 3: true}}, nil
	if r := w.verify(cfg); r.Verdict != Complete || r.Letters {
		t.Errorf("not looked for: %s, %s", r.Verdict, r.Reason)
	}
	w.must(os.WriteFile(file, []byte("{}\n"), 0o600))
	for _, name := range []string{file, file + "-gone"} {
		cfg.Letters = &LetterFile{name}
		if _, err := Run(t.Context(), cfg); exit.Of(err) != exit.Environment {
			t.Error(err)
		}
	}
}
