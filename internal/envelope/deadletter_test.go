package envelope

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A letter keeps what tells null from empty, and bytes that are no text.
func TestDeadLetterRoundTrip(t *testing.T) {
	for _, want := range []DeadLetter{
		{Position: "c/t/0/1", ID: "i", Reason: "transform", Error: "e", Bridge: "b/1", Time: "2001-01-08T00:00:00.000Z", Key: []byte{0xff, 0}, Value: []byte{0xfe}, Headers: []Header{{"h", []byte{0x80}}, {"h", nil}}, Omitted: "headers"},
		{Position: "c/t/0/2", Key: nil, Value: nil},
		{Position: "c/t/0/3", Key: []byte{}, Value: []byte{}},
	} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got DeadLetter
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
