package pipeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// A bundle is as many messages as it has events, each with its own id,
// position and times; what cannot be read stays one, without an id.
func TestNewMessagesUnbundles(t *testing.T) {
	var entries [][]byte
	for _, e := range []envelope.Bundled{
		{ID: "a", EventTime: 1000, Position: "c/t/0/7", SourceTime: 2000, Data: []byte(`{"n":1}`)},
		{ID: "b", EventTime: 3000, Position: "c/t/1/8", SourceTime: 4000, Null: true},
	} {
		entry, err := envelope.AppendBundled(nil, false, e)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	attributes := map[string]string{envelope.AttrBundle: envelope.BundleJSON}
	got := newMessages("m", envelope.AppendBundle(nil, false, entries), attributes, 9, 5)
	want := []*Message{
		{ID: "m", Data: []byte(`{"n":1}`), EventID: "a", Position: "c/t/0/7", Time: 1_000_000, Source: 2_000_000, Publish: 9, Watermark: 5},
		{ID: "m", EventID: "b", Position: "c/t/1/8", Time: 3_000_000, Source: 4_000_000, Publish: 9, Watermark: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	broken := newMessages("m", []byte("["), attributes, 9, 5)
	if len(broken) != 1 || broken[0].EventID != "" || string(broken[0].Data) != "[" {
		t.Errorf("a broken bundle is %+v", broken)
	}
	plain := newMessages("m", []byte("x"), map[string]string{envelope.AttrID: "e"}, 9, 5)
	if len(plain) != 1 || plain[0].EventID != "e" {
		t.Errorf("a message of one event is %+v", plain)
	}
}
