package transform

import (
	"bytes"
	"maps"
	"sync"
	"sync/atomic"
)

// cowMap is a map that is read far more often than written, by many.
type cowMap[K comparable, V any] struct {
	p  atomic.Pointer[map[K]V]
	mu sync.Mutex
}

// maxCached bounds what a cowMap holds: a registry's schemas may be many.
const maxCached = 4096

func (c *cowMap[K, V]) get(k K) (v V, ok bool) {
	if m := c.p.Load(); m != nil {
		v, ok = (*m)[k]
	}
	return v, ok
}

func (c *cowMap[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[K]V)
	if m := c.p.Load(); m != nil && len(*m) < maxCached {
		maps.Copy(next, *m)
	}
	next[k] = v
	c.p.Store(&next)
}

type avroPair struct{ from, to *avroType }

// same reports whether every value of from is, byte for byte, that value of to.
func (e *avroEncoder) same(from, to *avroType) bool {
	if from == to {
		return true
	}
	switch from.kind {
	case avroRecord, avroArray, avroMap, avroUnion:
		if from.kind != to.kind {
			return false
		}
	default:
		return sameAvro(from, to, nil)
	}
	pair := avroPair{from, to}
	s, ok := e.sames.get(pair)
	if !ok {
		s = sameAvro(from, to, make(map[avroPair]bool))
		e.sames.put(pair, s)
	}
	return s
}

// sameAvro compares two types; seen holds the records that are being compared.
func sameAvro(from, to *avroType, seen map[avroPair]bool) bool {
	if from == to {
		return true
	}
	if from.kind != to.kind {
		// An int is written like a long, and bytes like a string; but not all
		// bytes are a string.
		return from.kind == avroInt && to.kind == avroLong && (from.logical == avroPlain || to.logical == avroPlain) ||
			from.kind == avroString && to.kind == avroBytes && to.logical == avroPlain
	}
	if from.logical != to.logical && from.logical != avroPlain && to.logical != avroPlain {
		return false
	}
	switch from.kind {
	case avroBytes:
		return sameDecimal(from, to)
	case avroFixed:
		return from.width == to.width && sameDecimal(from, to)
	case avroEnum:
		if len(from.symbols) > len(to.symbols) {
			return false
		}
		for i, s := range from.symbols {
			if !bytes.Equal(s, to.symbols[i]) {
				return false
			}
		}
		return true
	case avroArray, avroMap:
		return sameAvro(from.elem, to.elem, seen)
	case avroUnion:
		if len(from.branches) > len(to.branches) {
			return false
		}
		for i, b := range from.branches {
			if !sameAvro(b, to.branches[i], seen) {
				return false
			}
		}
		return true
	case avroRecord:
		pair := avroPair{from, to}
		if seen[pair] {
			return true // unless something else in them differs
		}
		if len(from.fields) != len(to.fields) {
			return false
		}
		seen[pair] = true
		for i := range from.fields {
			f, g := &from.fields[i], &to.fields[i]
			if !bytes.Equal(f.name, g.name) || !sameAvro(f.typ, g.typ, seen) {
				return false
			}
		}
		return true
	default:
		return true
	}
}

// sameDecimal: bytes without a meaning may be read as a decimal, but the point
// of a decimal must stay where it is.
func sameDecimal(from, to *avroType) bool {
	if from.logical != avroDecimal || to.logical != avroDecimal {
		return from.logical == to.logical || to.logical == avroPlain
	}
	return from.scale == to.scale && from.precision <= to.precision
}
