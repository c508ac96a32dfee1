package catchup

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A note fits into what Kafka takes, and comes back as it was.
func TestNote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := note{
			Plan: rapid.StringMatching(`[0-9a-f]{12}`).Draw(t, "plan"), Made: time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "made"), 0).UTC(),
			Arguments: rapid.StringN(0, maxBound/2, 2*maxBound).Draw(t, "args"), Splits: rapid.IntRange(1, 1<<30).Draw(t, "of"),
			Ranges: rapid.IntRange(1, 1<<30).Draw(t, "ranges"), From: rapid.Int64Range(0, 1<<62).Draw(t, "from"),
			Bytes: rapid.Int64Range(0, 1<<62).Draw(t, "bytes"), TopicID: "AAAAAAAAAAAAAAAAAAAAAA==",
		}
		n.Split = rapid.IntRange(0, n.Splits-1).Draw(t, "split")
		n.To = n.From + rapid.Int64Range(1, 1<<60).Draw(t, "width")
		text, err := n.text()
		if err != nil || len(text) > 4096 && strings.ToValidUTF8(n.Arguments, "") == n.Arguments && !strings.ContainsAny(n.Arguments, "\x00<>&") {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		back, err := parseNote(text)
		if err != nil || back != n {
			t.Fatalf("%+v came back as %+v, %v", n, back, err)
		}
	})
}

func FuzzParseNote(f *testing.F) {
	n := note{Plan: "p", Splits: 1, Ranges: 1, To: 1}
	text, err := n.text()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{text, noteMark, noteMark + "{}", topicIDMark + "x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseNote(s)
		if err == nil && (n.Split >= n.Splits || n.To <= n.From) {
			t.Fatalf("%q gives %+v", s, n)
		}
	})
}

func TestSplitOf(t *testing.T) {
	for name, want := range map[string]int{
		"g.catchup-0": 0, "g.catchup-17": 17, "g.catchup-": -1, "g.catchup-01": -1, "g.catchup--1": -1, "g.catchup-x": -1, "h.catchup-0": -1, "g": -1, "g.kappa-accepted": -1,
	} {
		n, ok := splitOf("g", name)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("%s: %d, %v", name, n, ok)
		}
		if ok && splitGroup("g", n) != name {
			t.Errorf("%s is written %s", name, splitGroup("g", n))
		}
	}
}
