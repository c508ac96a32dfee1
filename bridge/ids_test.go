package bridge

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// fieldsOf returns the id that the fields of a JSON text give.
func fieldsOf(t testing.TB, namespace uuid, text string, key ...string) (uuid, error) {
	t.Helper()
	doc := testSpec([]string{"b"}, 1)
	doc.Spec.Transform.Decode = "json"
	doc.Spec.IDs = jobspecs.IDs{From: "fields", Fields: key}
	p, err := newPlan("n", "v", &doc.Spec)
	if err != nil {
		t.Fatal(err)
	}
	p.namespace = namespace
	m := newMaker(p)
	if n, err := m.open(context.Background(), &kgo.Record{Value: []byte(text)}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	return m.fieldsID(0)
}

// Golden values: ids are a contract and never change (invariant B2).
func TestIDsGolden(t *testing.T) {
	topicID := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	hash := topicHash("cluster-1", topicID)
	if want := uint64(goldenHash); hash != want {
		t.Errorf("topicHash = %#x, want %#x", hash, want)
	}
	for _, c := range []struct {
		partition int32
		offset    int64
		ordinal   uint16
		want      string
	}{
		{0, 0, 0, goldenZero},
		{5, 123456789, 0, goldenSome},
		{maxIDPartition, maxIDOffset, 65535, goldenMax},
	} {
		u, err := positionID(hash, c.partition, c.offset, c.ordinal)
		if err != nil {
			t.Fatal(err)
		}
		if u.String() != c.want {
			t.Errorf("positionID(%d, %d, %d) = %s, want %s", c.partition, c.offset, c.ordinal, u, c.want)
		}
	}
	// RFC 9562, appendix A.4: UUIDv5 of www.example.com in the DNS namespace.
	dns, err := parseUUID([]byte("6ba7b810-9dad-11d1-80b4-00c04fd430c8"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := uuidV5(dns, []byte("www.example.com")).String(), "2ed6657d-e927-568b-95e1-2665a8aea6a2"; got != want {
		t.Errorf("uuidV5 = %s, want %s", got, want)
	}
	namespace := uuidV5(kappaNamespace, []byte("flights"))
	u, err := fieldsOf(t, namespace, `{"origin":"ATL","event_id":17}`, "event_id", "origin")
	if err != nil {
		t.Fatal(err)
	}
	if u.String() != goldenFields {
		t.Errorf("fieldsID = %s, want %s", u, goldenFields)
	}
}

const (
	goldenHash   = 0xc0e0de335f
	goldenZero   = "c0e0de33-5f00-8000-8000-000000000000"
	goldenSome   = "c0e0de33-5f00-8050-8000-075bcd150000"
	goldenMax    = "c0e0de33-5fff-8fff-bfff-ffffffffffff"
	goldenFields = "94df7e64-5c76-59cb-a5f1-898137660cca"
)

// An id holds its position: none is lost, and the bits of version and variant
// are right.
func TestPositionIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hash := rapid.Uint64Range(0, 1<<40-1).Draw(t, "hash")
		partition := rapid.Int32Range(0, maxIDPartition).Draw(t, "partition")
		offset := rapid.Int64Range(0, maxIDOffset).Draw(t, "offset")
		ordinal := rapid.Uint16().Draw(t, "ordinal")
		u, err := positionID(hash, partition, offset, ordinal)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parseUUID([]byte(u.String()))
		if err != nil || parsed != u {
			t.Fatalf("%s reads back as %s: %v", u, parsed, err)
		}
		h, p, o, n, ok := positionOf(u)
		if !ok || h != hash || p != partition || o != offset || n != ordinal {
			t.Fatalf("%s holds %d %d %d %d %v", u, h, p, o, n, ok)
		}
	})
}

func TestPositionIDRefuses(t *testing.T) {
	if _, err := positionID(1, 0, maxIDOffset+1, 0); err == nil {
		t.Error("an offset of 51 bits was taken")
	}
	if _, err := positionID(1, 0, -1, 0); err == nil {
		t.Error("a negative offset was taken")
	}
	if checkIDPartition(maxIDPartition+1) == nil || checkIDPartition(-1) == nil || checkIDPartition(maxIDPartition) != nil {
		t.Error("checkIDPartition is wrong at the bounds")
	}
	if _, _, _, _, ok := positionOf(uuidV5(uuid{}, nil)); ok {
		t.Error("a UUIDv5 was read as a position")
	}
}

func TestFieldsID(t *testing.T) {
	id := func(text string, key ...string) (string, bool) {
		u, err := fieldsOf(t, uuid{}, text, key...)
		return u.String(), err == nil
	}
	same := [][2]string{
		{`{"a":"x"}`, `{"z":1,"a":"\u0078"}`}, // one string, written in two ways
		{`{"a":"\u00e9/"}`, `{"a":"é\/"}`},
	}
	for _, s := range same {
		a, _ := id(s[0], "a")
		if b, _ := id(s[1], "a"); a != b {
			t.Errorf("%s and %s have different ids", s[0], s[1])
		}
	}
	different := [][2]string{
		{`{"a":"1","b":"2"}`, `{"a":1,"b":2}`},
		{`{"a":"x","b":"y"}`, `{"a":"x\u001fy","b":""}`},
		{`{"a":"x","b":"y"}`, `{"a":"y","b":"x"}`},
		{`{"a":9007199254740993,"b":1}`, `{"a":9007199254740992,"b":1}`}, // beyond a double
	}
	for _, d := range different {
		a, ok := id(d[0], "a", "b")
		b, ok2 := id(d[1], "a", "b")
		if !ok || !ok2 || a == b {
			t.Errorf("%s and %s have one id", d[0], d[1])
		}
	}
	for _, text := range []string{`{}`, `{"a":null}`, `{"a":[1]}`, `{"a":{}}`} {
		if _, ok := id(text, "a"); ok {
			t.Errorf("%s has an id", text)
		}
	}
}

func TestParseUUID(t *testing.T) {
	for _, bad := range []string{"", "6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b810-9dad-11d1-80b4-00c04fd430cg", "6ba7b8109dad-11d1-80b4-00c04fd430c8-", "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"} {
		if _, err := parseUUID([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	u, err := parseUUID([]byte("6BA7B810-9DAD-11D1-80B4-00C04FD430C8"))
	if err != nil || u.String() != "6ba7b810-9dad-11d1-80b4-00c04fd430c8" {
		t.Errorf("upper case: %s, %v", u, err)
	}
}

func BenchmarkIDPosition(b *testing.B) {
	var buf []byte
	b.ReportAllocs()
	for i := range b.N {
		u, err := positionID(12345, 3, int64(i), 0)
		if err != nil {
			b.Fatal(err)
		}
		buf = u.appendText(buf[:0])
	}
}
