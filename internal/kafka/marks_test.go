package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestTopicMarks(t *testing.T) {
	c := fake(t, kfake.SeedTopics(3, marksTopic))
	admin, err := NewAdmin(t.Context(), jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}, "kappa-test")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	read := func() map[string]kadm.TopicID {
		marks, err := ReadTopicMarks(t.Context(), admin, "g")
		if err != nil {
			t.Fatal(err)
		}
		return marks
	}
	write := func(ids map[string]kadm.TopicID) {
		if err := WriteTopicMarks(t.Context(), admin, "g", ids); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(); len(got) != 0 {
		t.Errorf("marks %v of a group that has none", got)
	}
	write(nil)
	want := make(map[string]kadm.TopicID)
	for i := range 20 { // one after the other: each beside those before it
		topic, id := fmt.Sprintf("topic-%d", i), kadm.TopicID{byte(i), 15: 1}
		want[topic] = id
		write(map[string]kadm.TopicID{topic: id})
	}
	want["topic-3"] = kadm.TopicID{200}
	write(map[string]kadm.TopicID{"topic-3": {200}})
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Error(diff)
	}
	if other, err := ReadTopicMarks(t.Context(), admin, "h"); err != nil || len(other) != 0 {
		t.Errorf("marks %v, %v of another group", other, err)
	}
	many := make(map[string]kadm.TopicID)
	for i := range 100 {
		many[fmt.Sprint(strings.Repeat("x", 200), i)] = kadm.TopicID{}
	}
	if err := WriteTopicMarks(t.Context(), admin, "g", many); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("more marks than fit: %v", err)
	}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("the marks that were there: %s", diff)
	}
}

func TestMarksRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.StringMatching(`[-._A-Za-z0-9]{1,249}`), rapid.Custom(func(t *rapid.T) kadm.TopicID {
			return kadm.TopicID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		})).Draw(t, "marks")
		if diff := cmp.Diff(want, parseMarks(formatMarks(want))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzMarks: metadata that somebody else wrote is no mark and does no harm.
func FuzzMarks(f *testing.F) {
	f.Add("orders=AAAAAAAAAAAAAAAAAAAAAA other=x =y z")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		marks := parseMarks(text)
		if diff := cmp.Diff(marks, parseMarks(formatMarks(marks))); diff != "" {
			t.Error(diff)
		}
	})
}
