// Package event makes the records that the benchmarks read: JSON or Avro
// events of an exact size, the same ones in every run.
package event

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Event is one record.
type Event struct {
	Key, Value []byte
}

// Formats of a record's value.
const (
	JSON = "json"
	Avro = "avro"
)

// BatchBytes is about how many bytes of values a record batch holds, before
// compression: what a producer that is tuned for throughput sends.
const BatchBytes = 256 << 10

// PerBatch is how many events of a size a batch holds. The topics of the
// benchmarks repeat after so many.
func PerBatch(size int) int { return max(BatchBytes/size, 1) }

// Codec is a compression by its name.
func Codec(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("no such compression: %s", name)
}

// Full is the least size, in bytes, of an event with all 20 fields; smaller
// ones have five.
const Full = 512

// Kept reports whether the filter of the benchmarks' transforms keeps event i:
// it drops one in 16, those whose kind is ping.
func Kept(i int) bool { return i%16 != 7 }

// Make makes n events of size bytes each. An Avro event may be a byte shorter,
// where the length of its last field grows a byte with the field.
func Make(format string, size, n int) ([]Event, error) {
	return generate(format, size, n, func(*rand.Rand) int { return size })
}

// Vary makes n events of between half of size and one and a half of it.
func Vary(format string, size, n int) ([]Event, error) {
	return generate(format, size, n, func(r *rand.Rand) int { return size/2 + r.IntN(size) })
}

func generate(format string, size, n int, sizeOf func(*rand.Rand) int) ([]Event, error) {
	r := rand.New(rand.NewPCG(1, uint64(size)))
	events := make([]Event, n)
	for i := range events {
		size := sizeOf(r)
		var e encoder
		switch format {
		case JSON:
			e = &jsonEncoder{}
		case Avro:
			e = &avroEncoder{}
		default:
			return nil, fmt.Errorf("no such format: %s", format)
		}
		key := fill(e, r, i, size)
		v, err := e.finish(r, size)
		if err != nil {
			return nil, err
		}
		events[i] = Event{Key: []byte(key), Value: v}
	}
	return events, nil
}

// encoder writes fields in the order of the schema; finish adds the last one,
// the note, as long as needed.
type encoder interface {
	str(name, v string)
	long(name string, v int64)
	double(name string, v float64)
	boolean(name string, v bool)
	strs(name string, v []string)
	finish(r *rand.Rand, size int) ([]byte, error)
}

var (
	kinds     = []string{"view", "click", "like", "share", "reply", "follow", "open", "close"}
	countries = []string{"US", "DE", "JP", "BR", "IN", "GB", "FR", "MX"}
	cities    = []string{"New York", "Berlin", "Tokyo", "São Paulo", "Mumbai", "London", "Paris", "México"}
	apps      = []string{"web", "ios", "android", "tv"}
	tags      = []string{"sport", "news", "music", "tech", "food", "travel", "film", "art"}
	words     = []string{"the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "bright", "kites", "drift", "along", "every", "quiet", "harbour", "under", "evening", "light"}
)

// fill writes all fields but the note and returns the event's key.
func fill(e encoder, r *rand.Rand, i, size int) string {
	user := fmt.Sprintf("u%08d", r.IntN(100_000))
	kind := kinds[r.IntN(len(kinds))]
	if !Kept(i) {
		kind = "ping"
	}
	e.str("id", fmt.Sprintf("%012x", r.Uint64()>>16))
	e.long("ts", 1_700_000_000_000+int64(i))
	e.str("kind", kind)
	e.str("usr", user)
	if size < Full {
		return user
	}
	e.str("sess", fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()))
	e.str("country", countries[r.IntN(len(countries))])
	e.str("city", cities[r.IntN(len(cities))])
	e.str("app", apps[r.IntN(len(apps))])
	e.str("ver", fmt.Sprintf("%d.%d.%d", r.IntN(9), r.IntN(20), r.IntN(99)))
	e.double("lat", float64(r.IntN(180_000_000)-90_000_000)/1e6)
	e.double("lon", float64(r.IntN(360_000_000)-180_000_000)/1e6)
	e.double("price", float64(r.IntN(100_000))/100)
	e.long("qty", int64(r.IntN(20)))
	e.str("cur", "EUR")
	e.boolean("paid", r.IntN(2) == 0)
	e.str("ref", fmt.Sprintf("https://example.com/%s/%x", tags[r.IntN(len(tags))], r.Uint64()))
	e.str("agent", fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101", 100+r.IntN(40)))
	e.strs("tags", []string{tags[r.IntN(len(tags))], tags[r.IntN(len(tags))]})
	e.long("seq", int64(r.IntN(1_000_000)))
	return user
}

// note is text of exactly n bytes.
func note(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = append(b, words[r.IntN(len(words))]...)
		if r.IntN(3) == 0 {
			b = strconv.AppendInt(b, int64(r.IntN(100_000)), 10)
		}
		b = append(b, ' ')
	}
	return b[:n]
}

type jsonEncoder struct{ b []byte }

func (e *jsonEncoder) name(name string) {
	e.b = append(append(append(e.b, ",\""...), name...), "\":"...)
}
func (e *jsonEncoder) str(name, v string) {
	e.name(name)
	e.b = append(append(append(e.b, '"'), v...), '"') // no value needs escaping
}
func (e *jsonEncoder) long(name string, v int64) {
	e.name(name)
	e.b = strconv.AppendInt(e.b, v, 10)
}
func (e *jsonEncoder) double(name string, v float64) {
	e.name(name)
	e.b = strconv.AppendFloat(e.b, v, 'f', -1, 64)
}
func (e *jsonEncoder) boolean(name string, v bool) {
	e.name(name)
	e.b = strconv.AppendBool(e.b, v)
}
func (e *jsonEncoder) strs(name string, v []string) {
	e.name(name)
	e.b = append(e.b, '[')
	for i, s := range v {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = append(append(append(e.b, '"'), s...), '"')
	}
	e.b = append(e.b, ']')
}
func (e *jsonEncoder) finish(r *rand.Rand, size int) ([]byte, error) {
	const around = `,"note":""}`
	n := size - len(e.b) - len(around)
	if n < 0 {
		return nil, fmt.Errorf("a JSON event does not fit %d bytes", size)
	}
	e.str("note", string(note(r, n)))
	e.b = append(e.b, '}')
	e.b[0] = '{' // in the place of the first comma
	return e.b, nil
}

// avroEncoder writes Avro's binary encoding, by hand: the benchmark should not
// take the bridge's own library at its word.
type avroEncoder struct{ b []byte }

func (e *avroEncoder) str(_, v string) { e.b = append(binary.AppendVarint(e.b, int64(len(v))), v...) }
func (e *avroEncoder) long(_ string, v int64) {
	e.b = binary.AppendVarint(e.b, v) // zigzag, as Avro has it
}
func (e *avroEncoder) double(_ string, v float64) {
	e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(v))
}
func (e *avroEncoder) boolean(_ string, v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}
func (e *avroEncoder) strs(_ string, v []string) {
	e.b = binary.AppendVarint(e.b, int64(len(v)))
	for _, s := range v {
		e.str("", s)
	}
	e.b = append(e.b, 0)
}
func (e *avroEncoder) finish(r *rand.Rand, size int) ([]byte, error) {
	n := size - len(e.b) - 1
	for n > 0 && n+len(binary.AppendVarint(nil, int64(n))) > size-len(e.b) {
		n--
	}
	if n < 0 {
		return nil, fmt.Errorf("an Avro event does not fit %d bytes", size)
	}
	e.str("note", string(note(r, n)))
	return e.b, nil
}

// Schema is the Avro schema of events of a size.
func Schema(size int) string {
	s := `{"type":"record","name":"Event","namespace":"bench","fields":[` +
		`{"name":"id","type":"string"},{"name":"ts","type":"long"},{"name":"kind","type":"string"},{"name":"usr","type":"string"}`
	if size >= Full {
		s += `,{"name":"sess","type":"string"},{"name":"country","type":"string"},{"name":"city","type":"string"},{"name":"app","type":"string"},` +
			`{"name":"ver","type":"string"},{"name":"lat","type":"double"},{"name":"lon","type":"double"},{"name":"price","type":"double"},` +
			`{"name":"qty","type":"long"},{"name":"cur","type":"string"},{"name":"paid","type":"boolean"},{"name":"ref","type":"string"},` +
			`{"name":"agent","type":"string"},{"name":"tags","type":{"type":"array","items":"string"}},{"name":"seq","type":"long"}`
	}
	return s + `,{"name":"note","type":"string"}]}`
}
