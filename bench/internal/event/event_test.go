package event

import (
	"encoding/json"
	"testing"

	"github.com/twmb/avro"
)

func TestEventsHaveTheirSizeAndFields(t *testing.T) {
	for _, size := range []int{100, 1000, 10_000} {
		fields := 20
		if size < Full {
			fields = 5
		}
		events, err := Make(JSON, size, 40)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range events {
			var m map[string]any
			if err := json.Unmarshal(e.Value, &m); err != nil {
				t.Fatalf("event %d: %v\n%s", i, err, e.Value)
			}
			if len(e.Value) != size || len(m) != fields || (m["kind"] != "ping") != Kept(i) || m["usr"] != string(e.Key) {
				t.Fatalf("event %d has %d bytes, %d fields: %s", i, len(e.Value), len(m), e.Value)
			}
		}

		schema, err := avro.Parse(Schema(size))
		if err != nil {
			t.Fatal(err)
		}
		if events, err = Make(Avro, size, 40); err != nil {
			t.Fatal(err)
		}
		for i, e := range events {
			var v any
			rest, err := schema.Decode(e.Value, &v)
			if err != nil || len(rest) != 0 {
				t.Fatalf("event %d: %v, %d bytes left", i, err, len(rest))
			}
			m := v.(map[string]any)
			if n := len(e.Value); n > size || n < size-1 || len(m) != fields || (m["kind"] != "ping") != Kept(i) {
				t.Fatalf("event %d has %d bytes: %v", i, len(e.Value), m)
			}
		}
	}
}

func TestVary(t *testing.T) {
	events, err := Vary(JSON, 1200, 200)
	if err != nil {
		t.Fatal(err)
	}
	sum, seen := 0, map[int]bool{}
	for _, e := range events {
		n := len(e.Value)
		if n < 600 || n >= 1800 || !json.Valid(e.Value) {
			t.Fatalf("%d bytes: %s", n, e.Value)
		}
		sum += n
		seen[n] = true
	}
	if mean := sum / len(events); mean < 1100 || mean > 1300 || len(seen) < 100 {
		t.Errorf("mean %d, %d sizes", mean, len(seen))
	}
}

func TestTooSmall(t *testing.T) {
	for _, format := range []string{JSON, Avro, "xml"} {
		if _, err := Make(format, 20, 1); err == nil {
			t.Errorf("%s: an event of 20 bytes was made", format)
		}
	}
}
