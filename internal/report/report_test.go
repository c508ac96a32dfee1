package report

import (
	"bytes"
	"testing"
)

func TestQuantities(t *testing.T) {
	for _, c := range []struct {
		n             int64
		quantity, all string
	}{
		{0, "0 events", "all 0 events"},
		{1, "1 event", "the one event"},
		{2, "2 events", "all 2 events"},
		{1234567, "1,234,567 events", "all 1,234,567 events"},
		{-1234, "-1,234 events", "all -1,234 events"},
	} {
		if got := Quantity(c.n, "event"); got != c.quantity {
			t.Errorf("%d: quantity %q, want %q", c.n, got, c.quantity)
		}
		if got := All(c.n, "event"); got != c.all {
			t.Errorf("%d: all %q, want %q", c.n, got, c.all)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, map[string]string{"range": "<3 & >1"}); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "{\n  \"range\": \"<3 & >1\"\n}\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
