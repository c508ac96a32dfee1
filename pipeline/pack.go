package pipeline

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(&packFn{})
	register.Emitter3[beam.EventTime, string, []byte]()
}

// packed is an event as it is shuffled: its id, its time and the fields that
// aggregations use. A pack is any number of them, one after the other:
//
//	id      16 bytes
//	time    varint, microseconds
//	fields  0 for null, else 1 and a varint, or 1, a length and that many bytes
type packed struct {
	id     [16]byte
	time   int64
	values []Value
}

func (p *Plan) appendPacked(b []byte, id [16]byte, e *Event) []byte {
	b = append(b, id[:]...)
	b = binary.AppendVarint(b, e.Time)
	for _, f := range p.Used {
		b = appendValue(b, e.Values[f], p.Fields[f].Kind)
	}
	return b
}

func appendValue(b []byte, v Value, k Kind) []byte {
	switch {
	case !v.Valid:
		return append(b, 0)
	case k == String:
		b = binary.AppendUvarint(append(b, 1), uint64(len(v.Str)))
		return append(b, v.Str...)
	default:
		return binary.AppendVarint(append(b, 1), v.Int)
	}
}

// readPacked reads the first event of a pack into e, whose strings are valid as
// long as nobody writes to b, and returns the rest.
func (p *Plan) readPacked(b []byte, e *packed) ([]byte, error) {
	if len(b) < len(e.id) {
		return nil, errPack
	}
	b = b[copy(e.id[:], b):]
	var n int
	if e.time, n = binary.Varint(b); n <= 0 {
		return nil, errPack
	}
	b = b[n:]
	e.values = e.values[:0]
	for i := range p.Used {
		v, rest, err := readPackedValue(b, p.usedKind(i))
		if err != nil {
			return nil, err
		}
		e.values, b = append(e.values, v), rest
	}
	return b, nil
}

var errPack = fmt.Errorf("a packed event is cut off")

func readPackedValue(b []byte, k Kind) (Value, []byte, error) {
	if len(b) == 0 {
		return Value{}, nil, errPack
	}
	valid, b := b[0] == 1, b[1:]
	if !valid {
		return Value{}, b, nil
	}
	if k == String {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return Value{}, nil, errPack
		}
		return Value{Valid: true, Str: string(b[n : n+int(size)])}, b[n+int(size):], nil
	}
	i, n := binary.Varint(b)
	if n <= 0 {
		return Value{}, nil, errPack
	}
	return Value{Valid: true, Int: i}, b[n:], nil
}

// packFn gathers the events of a bundle into one pack for each subscription,
// shard of ids and slice of event time. A pack stands at the smallest event time in it, so
// that it holds the watermark back as its events would.
type packFn struct {
	Plan  *Plan
	packs map[packKey]*pack
}

type packKey struct {
	subscription int
	shard        uint32
	slice        int64 // start, microseconds; or unremembered
}

// unremembered is the slice of events whose ids are not looked up any more.
const unremembered = -1

// slice is the slice of event time by which an event is deduplicated.
func (p *Plan) slice(e *Event) int64 {
	if tooLate(e, p.Remember) {
		return unremembered
	}
	return floor(e.Time, p.Slice.Microseconds())
}

type pack struct {
	least int64
	data  []byte
}

// mostPack bounds a pack: well below what runners take as one element.
const mostPack = 256 << 10

// StartBundle forgets what a failed bundle may have left.
func (f *packFn) StartBundle(func(beam.EventTime, string, []byte)) {
	f.packs = make(map[packKey]*pack, len(f.packs))
}

// ProcessElement adds events.
func (f *packFn) ProcessElement(es *Events, emit func(beam.EventTime, string, []byte)) {
	for _, e := range es.List {
		id := idBytes(e.ID)
		k := packKey{es.Subscription, shardOf(id, f.Plan.Shards), f.Plan.slice(e)}
		p, ok := f.packs[k]
		if !ok {
			p = &pack{least: e.Time}
			f.packs[k] = p
		}
		p.least = min(p.least, e.Time)
		p.data = f.Plan.appendPacked(p.data, id, e)
		if len(p.data) >= mostPack {
			delete(f.packs, k)
			f.emit(k, p, emit)
		}
	}
}

// FinishBundle hands the packs on.
func (f *packFn) FinishBundle(emit func(beam.EventTime, string, []byte)) {
	for k, p := range f.packs {
		f.emit(k, p, emit)
	}
	f.packs = nil
}

func (f *packFn) emit(k packKey, p *pack, emit func(beam.EventTime, string, []byte)) {
	emit(eventTime(p.least), k.String(), p.data)
}

// String is the key of the state: SUBSCRIPTION/SHARD/SLICE.
func (k packKey) String() string {
	return strconv.Itoa(k.subscription) + "/" + strconv.FormatUint(uint64(k.shard), 10) + "/" + strconv.FormatInt(k.slice, 10)
}

// readPackKey reads a key of the state.
func readPackKey(s string) (k packKey, err error) {
	if n, err := fmt.Sscanf(s, "%d/%d/%d", &k.subscription, &k.shard, &k.slice); n != 3 {
		return k, fmt.Errorf("key %q is not SUBSCRIPTION/SHARD/SLICE: %w", s, err)
	}
	return k, nil
}

// shardOf spreads ids evenly whatever their form: position ids count up.
func shardOf(id [16]byte, shards int) uint32 {
	h := uint32(2166136261) // FNV-1a
	for _, c := range id {
		h = (h ^ uint32(c)) * 16777619
	}
	return h % uint32(shards)
}

// floor is the greatest multiple of size that is not above t.
func floor(t, size int64) int64 {
	if r := t % size; r < 0 {
		return t - r - size
	} else {
		return t - r
	}
}

// eventTime is Beam's form, milliseconds, of a time in microseconds.
func eventTime(micros int64) beam.EventTime { return beam.EventTime(floor(micros, 1000) / 1000) }
