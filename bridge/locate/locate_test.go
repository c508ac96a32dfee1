package locate

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testIDs is a layout of ids that is easy to read in a test.
type testIDs struct{}

func (testIDs) TopicHash(cluster string, topicID [16]byte) uint64 {
	return uint64(binary.BigEndian.Uint32(topicID[12:])) ^ uint64(len(cluster))
}

func (testIDs) Position(id [16]byte) (uint64, int32, int64, uint16, bool) {
	return uint64(binary.BigEndian.Uint32(id[:])), int32(binary.BigEndian.Uint16(id[4:])), int64(binary.BigEndian.Uint64(id[8:])), uint16(id[7]), id[6] == 0x80
}

func idText(hash uint64, partition int32, offset int64, ordinal byte) string {
	var id [16]byte
	binary.BigEndian.PutUint32(id[:], uint32(hash))
	binary.BigEndian.PutUint16(id[4:], uint16(partition))
	id[6], id[7] = 0x80, ordinal
	binary.BigEndian.PutUint64(id[8:], uint64(offset))
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

type world struct {
	t       *testing.T
	cluster Cluster
	admin   *kadm.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in", "other"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &world{t, Cluster{Name: "main", Spec: jobspecs.KafkaCluster{Brokers: fake.ListenAddrs()}, Client: client}, kadm.NewClient(client)}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) hash(topic string) (string, uint64) {
	w.t.Helper()
	meta, err := w.admin.Metadata(kadm.WithAuthorizedOps(w.t.Context()), topic)
	w.must(err)
	return meta.Cluster, testIDs{}.TopicHash(meta.Cluster, meta.Topics[topic].ID)
}

func (w *world) find(text string) (*Result, error) {
	w.t.Helper()
	id, err := Parse(text, testIDs{})
	w.must(err)
	return Find(w.t.Context(), id, []Cluster{w.cluster}, testIDs{})
}

func TestFindAndShow(t *testing.T) {
	w := newWorld(t)
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	rec := func(key, value []byte) *kgo.Record {
		return &kgo.Record{Topic: "other", Partition: 1, Key: key, Value: value, Timestamp: at, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x")}}}
	}
	w.must(w.cluster.Client.ProduceSync(t.Context(), rec(nil, []byte("v")), rec([]byte{0xff}, nil), rec([]byte("k"), []byte(`{"user":{"mail":"a@b"},"n":1}`))).FirstErr())
	cluster, hash := w.hash("other")
	r, err := w.find(strings.ToUpper(idText(hash, 1, 2, 3)))
	w.must(err)
	w.must(r.Show(t.Context(), Show{Value: true, Sensitive: [][]string{{"user", "mail"}}, Decode: func(b []byte) ([]byte, error) { return b, nil }}))
	r.cluster = nil
	want := &Result{ID: idText(hash, 1, 2, 3), Source: "main", Position: cluster + "/other/1/2", Cluster: cluster, Topic: "other", TopicID: r.TopicID,
		Partition: 1, Offset: 2, Ordinal: 3, State: Held, End: 3, Record: &Record{Timestamp: at, Key: &Text{Text: "k"}, ValueSize: 29,
			Headers: []Header{{"h", &Text{Text: "x"}}}, Value: &Text{Text: `{"n":1,"user":{"mail":"` + hashed([]byte(`"a@b"`)) + `"}}`, Note: "1 sensitive value is hashed"}}}
	if diff := cmp.Diff(want, r, cmp.AllowUnexported(Result{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	w.must(r.WriteText(&b))
	text := strings.ReplaceAll(strings.ReplaceAll(b.String(), r.TopicID, "TOPIC"), cluster, "CLUSTER")
	if diff := cmp.Diff(`CLUSTER/other/1/2
  source     main
  cluster    CLUSTER
  topic      other (id TOPIC)
  partition  1
  offset     2
  event      3 of the record
  log        offsets 0 to 2
  timestamp  2026-01-31T10:00:00.000Z
  key        k
  value      29 bytes
  header     h: x
{"n":1,"user":{"mail":"`+hashed([]byte(`"a@b"`))+`"}} (1 sensitive value is hashed)
`, text); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}

	tombstone, err := w.find(idText(hash, 1, 1, 0))
	w.must(err)
	w.must(tombstone.Show(t.Context(), Show{Value: true}))
	if got := tombstone.Record; got.ValueSize != -1 || got.Value != nil || got.Key.Encoding != "base64" || got.Key.Text != "/w==" {
		t.Errorf("%+v", got)
	}
	js, err := json.Marshal(tombstone)
	w.must(err)
	if !strings.Contains(string(js), `"state":"held"`) {
		t.Errorf("%s", js)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.must(w.cluster.Client.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Value: []byte("v")}).FirstErr())
	}
	_, hash := w.hash("in")
	_, err := w.admin.DeleteRecords(t.Context(), kadm.Offsets{"in": {0: {Topic: "in", At: 2}}})
	w.must(err)
	for _, c := range []struct {
		offset int64
		state  string
		want   string
	}{{1, Gone, "the record is gone"}, {5, Beyond, "the record is not there"}} {
		r, err := w.find(idText(hash, 0, c.offset, 0))
		w.must(err)
		if r.State != c.state || r.First != 2 || r.End != 5 {
			t.Errorf("%+v", r)
		}
		if err := r.Show(t.Context(), Show{}); err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != exit.Environment {
			t.Error(err)
		}
		var b bytes.Buffer
		w.must(r.WriteText(&b))
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%s", b.String())
		}
	}
	if _, err := w.find(idText(hash, 9, 0, 0)); err == nil || !strings.Contains(err.Error(), "has no partition 9") {
		t.Error(err)
	}
	if _, err := w.find(idText(hash+1, 0, 3, 0)); err == nil || !strings.Contains(err.Error(), "none of the 2 topics of main (cluster ") || exit.Of(err) != exit.Environment {
		t.Error(err)
	}
	// A topic of the same name and the same offsets is another topic.
	_, err = w.admin.DeleteTopics(t.Context(), "in")
	w.must(err)
	_, err = w.admin.CreateTopics(t.Context(), 1, 1, nil, "in")
	w.must(err)
	if r, err := w.find(idText(hash, 0, 3, 0)); err == nil {
		t.Errorf("found in the new topic: %+v", r)
	}
}

func TestAnAbortedRecordIsNotShown(t *testing.T) {
	w := newWorld(t)
	tx, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.Spec.Brokers...), kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.must(err)
	defer tx.Close()
	w.must(tx.BeginTransaction())
	w.must(tx.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Value: []byte("v")}).FirstErr())
	w.must(tx.EndTransaction(t.Context(), kgo.TryAbort))
	_, hash := w.hash("in")
	r, err := w.find(idText(hash, 0, 0, 0))
	w.must(err)
	if err := r.Show(t.Context(), Show{}); err == nil || !strings.Contains(err.Error(), "aborted transaction") {
		t.Error(err)
	}
	w.must(r.Show(t.Context(), Show{Uncommitted: true}))
	if r.Record.ValueSize != 1 {
		t.Errorf("%+v", r.Record)
	}
}

func TestParse(t *testing.T) {
	if id, err := Parse(" "+idText(1, 2, 3, 4)+"\n", testIDs{}); err != nil || id != (ID{idText(1, 2, 3, 4), 1, 2, 3, 4}) {
		t.Errorf("%+v, %v", id, err)
	}
	for in, want := range map[string]string{
		"":                                      "is not a UUID",
		"x":                                     "is not a UUID",
		"00000000-0000-5000-8000-000000000000":  "is a UUIDv5: it was made from fields",
		"00000000-0000-4000-8000-000000000000":  "is a UUIDv4: it was not made from a position",
		"00000000-0000-8000-8000-00000000000g":  "is not a UUID",
		"000000000000-8000-8000-00000000000000": "is not a UUID",
	} {
		if _, err := Parse(in, testIDs{}); err == nil || !strings.Contains(err.Error(), want) || exit.Of(err) != exit.Usage {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(idText(1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := Parse(s, testIDs{}); err == nil && (len(id.Text) != 36 || id.Partition < 0) {
			t.Errorf("%q: %+v", s, id)
		}
	})
}

func TestSensitiveFieldsAreNeverShown(t *testing.T) {
	secret := [][]string{{"user", "mail"}, {"card"}}
	decode := func(b []byte) ([]byte, error) {
		if b[0] == 'x' {
			return nil, errors.New("no JSON")
		}
		return b, nil
	}
	for _, c := range []struct {
		name, value string
		how         Show
		want        string
	}{
		{"hashed", `{"user":{"mail":"TOP","n":1.50},"card":{"no":"TOP"}}`, Show{Decode: decode, Sensitive: secret}, "2 sensitive values are hashed"},
		{"within lists", `[{"user":[{"mail":["TOP","TOP2"]},{"mail":null}]}]`, Show{Decode: decode, Sensitive: secret}, "2 sensitive values are hashed"},
		{"not there", `{"a":1}`, Show{Decode: decode, Sensitive: secret}, `{"a":1}`},
		{"another shape", `{"user":"a"}`, Show{Decode: decode, Sensitive: secret}, `{"user":"a"}`},
		{"not decodable", `x TOP`, Show{Decode: decode, Sensitive: secret}, "not shown"},
		{"two values", `{} {"card":"TOP"}`, Show{Decode: decode, Sensitive: secret}, "not shown"},
		{"never decoded", `TOP`, Show{Sensitive: secret}, "not shown"},
		{"not decodable, nothing sensitive", `x`, Show{Decode: decode}, "cannot be decoded"},
		{"nothing sensitive", "plain", Show{}, "plain"},
	} {
		c.how.Value = true
		got := c.how.record(&kgo.Record{Value: []byte(c.value)}).Value
		if strings.Contains(got.String(), "TOP") || !strings.Contains(got.String(), c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	var how Show
	if r := how.record(&kgo.Record{Value: []byte("TOP")}); r.Value != nil {
		t.Errorf("shown without being asked: %+v", r)
	}
}

func TestControlCharactersAreQuoted(t *testing.T) {
	if s := textOf([]byte("a\x1b[2J")).String(); strings.ContainsRune(s, 0x1b) {
		t.Errorf("%q", s)
	}
}

func TestSplitPath(t *testing.T) {
	for in, want := range map[string][]string{
		"a": {"a"}, "a.b.c": {"a", "b", "c"}, `a\.b.c`: {"a.b", "c"}, `a\\.b`: {`a\`, "b"}, "é.ü": {"é", "ü"},
	} {
		got, err := SplitPath(in)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", in, err, diff)
		}
	}
	for _, in := range []string{"", ".", "a.", ".a", "a..b", `a\b`, `a\`} {
		if got, err := SplitPath(in); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}
