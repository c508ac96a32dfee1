package envelope

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What is bundled comes out as it went in.
func TestBundleRoundTrip(t *testing.T) {
	for how, avro := range map[string]bool{BundleJSON: false, BundleAvro: true} {
		t.Run(how, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.IntRange(1, 20).Draw(t, "events")
				var entries [][]byte
				var want []Bundled
				size := 0
				for i := range n {
					e := Bundled{ID: rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "id"), Position: rapid.String().Draw(t, "position"),
						EventTime: rapid.Int64Range(-1<<40, 1<<45).Draw(t, "time"), SourceTime: rapid.Int64Range(0, 1<<45).Draw(t, "source")}
					switch {
					case rapid.IntRange(0, 5).Draw(t, "null") == 0:
						e.Null = true
					case avro:
						e.Data = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "data")...)
					default:
						e.Data, _ = json.Marshal(map[string]any{"s": rapid.String().Draw(t, "text"), "i": i})
					}
					if !avro { // JSON text holds UTF-8 alone
						var s string
						b, _ := json.Marshal(e.Position)
						_ = json.Unmarshal(b, &s)
						e.Position = s
					}
					entry, err := AppendBundled(nil, avro, e)
					if err != nil {
						t.Fatal(err)
					}
					entries, want, size = append(entries, entry), append(want, e), size+len(entry)
				}
				data := AppendBundle(nil, avro, entries)
				if len(data) > size+BundleMargin(n) {
					t.Errorf("%d bytes of %d entries with %d", len(data), n, size)
				}
				got, err := Unbundle(how, data)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
			})
		})
	}
	if _, err := AppendBundled(nil, false, Bundled{Data: []byte("{")}); err == nil {
		t.Error("what is no JSON is in a JSON bundle")
	}
	if _, err := Unbundle("xml", nil); err == nil {
		t.Error("an unknown kind is taken")
	}
}

func FuzzUnbundle(f *testing.F) {
	for _, avro := range []bool{false, true} {
		entry, err := AppendBundled(nil, avro, Bundled{ID: "i", Position: "c/t/0/1", EventTime: 1, SourceTime: 2, Data: []byte(`{"a":1}`)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(avro, AppendBundle(nil, avro, [][]byte{entry, entry}))
	}
	f.Add(true, []byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(true, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(false, []byte(`[{"data":null}]`))
	f.Fuzz(func(t *testing.T, avro bool, data []byte) {
		how := BundleJSON
		if avro {
			how = BundleAvro
		}
		events, err := Unbundle(how, data)
		if err != nil || !avro {
			return
		}
		var entries [][]byte
		for _, e := range events {
			entry, err := AppendBundled(nil, true, e)
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, entry)
		}
		if len(entries) == 0 {
			return
		}
		again, err := Unbundle(how, AppendBundle(nil, true, entries))
		if diff := cmp.Diff(events, again); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
