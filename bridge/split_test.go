package bridge

import (
	"context"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Golden values: the split is a contract. A test vector of xxHash itself, and
// airports.
func TestSplitGolden(t *testing.T) {
	if got := xxhash.Sum64String(""); got != 0xef46db3751d8e999 {
		t.Errorf("xxhash64 of nothing is %#x", got)
	}
	for _, c := range []struct {
		text  string
		count int
		want  int
	}{
		{"ATL", 6, 4}, {"JFK", 6, 2}, {"MSY", 6, 1}, {"SFO", 6, 1}, {"", 6, 3}, {"ATL", 1, 0}, {"ATL\x1fMSY", 6, 2},
	} {
		if got := splitOf([]byte(c.text), c.count); got != c.want {
			t.Errorf("splitOf(%q, %d) = %d, want %d (hash %#x)", c.text, c.count, got, c.want, xxhash.Sum64String(c.text))
		}
	}
}

func TestSplitText(t *testing.T) {
	for _, c := range []struct{ record, want string }{
		{`{"a":"x","b":"y"}`, "x\x1fy"},
		{`{"b":"y","a":"\u0078"}`, "x\x1fy"},
		{`{"a":1.50,"b":true}`, "1.50\x1ftrue"},
		{`{"a":null}`, "\x1f"},
		{`{}`, "\x1f"},
		{`{"a":{"q":1},"b":[2]}`, "{\"q\":1}\x1f[2]"},
	} {
		doc := testSpec([]string{"b"}, 2)
		doc.Spec.Transform.Decode, doc.Spec.Split.Key = "json", []string{"a", "b"}
		p, err := newPlan("n", "v", &doc.Spec)
		if err != nil {
			t.Fatal(err)
		}
		m := newMaker(p)
		if n, err := m.open(context.Background(), &kgo.Record{Value: []byte(c.record)}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		text, err := m.plainTexts(nil, 0, p.splitKey)
		if got := string(text); got != c.want || err != nil {
			t.Errorf("the text of %s is %q, want %q", c.record, got, c.want)
		}
	}
}
