package transform

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// avroRemapSchema has 20 fields: what events of a large pipeline look like.
const avroRemapSchema = `{"type":"record","name":"Interaction","namespace":"com.example","fields":[
	{"name":"tweetId","type":"long"},{"name":"userId","type":"long"},{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["LIKE","VIEW","REPLY"]}},
	{"name":"country","type":"string"},{"name":"language","type":["null","string"]},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"client","type":"string"},{"name":"version","type":"int"},{"name":"score","type":"double"},{"name":"weight","type":"float"},
	{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":4}},{"name":"promoted","type":"boolean"},
	{"name":"session","type":"string"},{"name":"referrer","type":["null","string"]},{"name":"tags","type":{"type":"array","items":"string"}},
	{"name":"experiments","type":{"type":"map","values":"int"}},{"name":"device","type":{"type":"record","name":"Device","fields":[{"name":"os","type":"string"},{"name":"model","type":"string"}]}},
	{"name":"payload","type":"string"},{"name":"debug","type":["null","string"]},{"name":"trace","type":{"type":"fixed","name":"Trace","size":16}}]}`

func avroRemapRecord(tb testing.TB) []byte {
	data, err := avro.MustParse(avroRemapSchema).Encode(map[string]any{
		"tweetId": int64(1_700_000_000_000_000_000), "userId": int64(123456789), "kind": "VIEW", "country": "DE", "language": "de",
		"at": int64(1_700_000_000_123), "client": "web", "version": int32(17), "score": 0.25, "weight": float32(1.5), "amount": "12.3400",
		"promoted": true, "session": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "referrer": nil, "tags": []any{"one", "two", "three"},
		"experiments": map[string]any{"a": int32(1)}, "device": map[string]any{"os": "linux", "model": "x"},
		"payload": strings.Repeat("payload ", 105), "debug": "left out", "trace": []byte("0123456789abcdef"),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func writeFile(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkAvroRemap filters on two fields, renames two, drops one and sets
// one of a record of about 1 KB with 20 fields.
func BenchmarkAvroRemap(b *testing.B) {
	for name, spec := range map[string]jobspecs.Transform{
		"skim":   {Filter: `record.version > 3`, Encode: "original"},
		"filter": {Filter: `record.country == "DE" && record.version > 3`, Encode: "original"},
		"remap": {
			Filter: `record.country == "DE" && record.version > 3`,
			Rename: map[string]string{"tweetId": "postId", "at": "eventTime"},
			Drop:   []string{"debug"},
			Set:    map[string]string{"source": `"bridge"`},
			Encode: "same",
		},
		"json": {Encode: "json"},
	} {
		b.Run(name, func(b *testing.B) {
			spec.Decode, spec.Schema.File = "avro", writeFile(b, "in.avsc", avroRemapSchema)
			p, err := New(spec, Options{})
			if err != nil {
				b.Fatal(err)
			}
			data := avroRemapRecord(b)
			m := p.NewMachine()
			var dst []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				n, err := m.Apply(b.Context(), data)
				if err != nil || n != 1 {
					b.Fatal(n, err)
				}
				if dst, err = m.AppendData(dst[:0], 0); err != nil {
					b.Fatal(err)
				}
			}
			if name == "remap" && len(dst) < 900 {
				b.Fatal(fmt.Sprint(len(dst), " bytes"))
			}
		})
	}
}

// BenchmarkToAvro writes JSON records of 20 fields by a schema.
func BenchmarkToAvro(b *testing.B) {
	file := writeFile(b, "out.avsc", avroRemapSchema)
	text := func() []byte {
		p, err := New(jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: file}, Encode: "json"}, Options{})
		if err != nil {
			b.Fatal(err)
		}
		m := p.NewMachine()
		if _, err := m.Apply(b.Context(), avroRemapRecord(b)); err != nil {
			b.Fatal(err)
		}
		text, err := m.AppendData(nil, 0)
		if err != nil {
			b.Fatal(err)
		}
		return text
	}()
	p, err := New(jobspecs.Transform{Decode: "json", Encode: "avro", Output: file}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	m := p.NewMachine()
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := m.Apply(b.Context(), text); err != nil {
			b.Fatal(err)
		}
		if dst, err = m.AppendData(dst[:0], 0); err != nil {
			b.Fatal(err)
		}
	}
}
