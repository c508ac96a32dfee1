package suggest

import "testing"

func TestClosest(t *testing.T) {
	fields := []string{"topicPrefix", "count", "key", "brokers", "topics"}
	for _, c := range []struct{ word, want string }{
		{"topicPrefx", "topicPrefix"},
		{"topicprefix", "topicPrefix"},
		{"TOPICPREFIX", "topicPrefix"},
		{"cuont", "count"}, // swapped neighbours are one edit
		{"topic", "topics"},
		{"brokrs", "brokers"},
		{"kay", "key"},
		{"ke", "key"}, // a letter is missing
		{"kx", ""},    // of so short a word any could be meant
		{"k", ""},
		{"banana", ""},
		{"", ""},
		{"count", ""}, // itself is no suggestion
	} {
		if got := Closest(c.word, fields); got != c.want {
			t.Errorf("Closest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

func TestClosestTakesTheNearest(t *testing.T) {
	if got := Closest("samples", []string{"sample", "example", "simple"}); got != "sample" {
		t.Errorf("got %q", got)
	}
}
