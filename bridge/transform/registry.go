package transform

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

var errNoSchemaID = errors.New("the record does not begin with the id of a schema (a zero byte and four more)")

// registered is a schema as the registry gave it.
type registered struct {
	text       string
	references []schemaReference // what it refers to, before what refers to it
}

// schemaReference is a schema that another refers to by a name.
type schemaReference struct {
	name string
	text string
}

// registry holds the compiled schemas of a registry. It is shared between
// goroutines, and asks for each schema once.
type registry[T any] struct {
	client  *registryClient
	kind    string // of the schemas: AVRO or PROTOBUF
	compile func(*registered) (T, error)

	known   atomic.Pointer[map[uint32]*knownSchema[T]]
	mu      sync.Mutex
	flights map[uint32]*flight[T]
}

// knownSchema is what became of an id.
type knownSchema[T any] struct {
	schema T
	err    error
	until  time.Time // when err is forgotten; zero: never
}

// flight is a request that is under way; problem is why it takes so long.
type flight[T any] struct {
	done    chan struct{}
	found   *knownSchema[T] // once done; nil: whoever asked has given up
	mu      sync.Mutex
	problem string
}

func newRegistry[T any](client *registryClient, kind string, compile func(*registered) (T, error)) *registry[T] {
	r := &registry[T]{client: client, kind: kind, compile: compile, flights: make(map[uint32]*flight[T])}
	r.known.Store(&map[uint32]*knownSchema[T]{})
	return r
}

// open reads the head of a record in Confluent's wire format: a zero byte and
// the id of the schema in four, big end first. See format.open for the rest.
func (r *registry[T]) open(ctx context.Context, value []byte, blocked func(string)) (schema T, body []byte, err error) {
	if len(value) < 5 || value[0] != 0 {
		return schema, nil, errNoSchemaID
	}
	id := binary.BigEndian.Uint32(value[1:])
	k := r.lookup(id)
	if k == nil {
		if k, err = r.await(ctx, id, blocked); err != nil {
			return schema, nil, err
		}
	}
	return k.schema, value[5:], k.err
}

func (r *registry[T]) lookup(id uint32) *knownSchema[T] {
	k := (*r.known.Load())[id]
	if k != nil && !k.until.IsZero() && time.Now().After(k.until) {
		return nil
	}
	return k
}

// await asks for a schema, or waits for whoever asks already. The error is
// ctx.Err().
func (r *registry[T]) await(ctx context.Context, id uint32, blocked func(string)) (*knownSchema[T], error) {
	told := ""
	tell := func(problem string) {
		if blocked != nil && (problem != "" || told != "") {
			blocked(problem)
		}
		told = problem
	}
	for {
		r.mu.Lock()
		if k := r.lookup(id); k != nil {
			r.mu.Unlock()
			tell("")
			return k, nil
		}
		f := r.flights[id]
		leads := f == nil
		if leads {
			f = &flight[T]{done: make(chan struct{})}
			r.flights[id] = f
		}
		r.mu.Unlock()
		if leads {
			r.fetch(ctx, id, f, tell)
		} else if !f.follow(ctx, tell) {
			return nil, ctx.Err()
		}
		if f.found != nil {
			tell("")
			return f.found, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// fetch asks for a schema on behalf of all that wait for it. If ctx ends first
// nothing becomes known, and the next of them asks.
func (r *registry[T]) fetch(ctx context.Context, id uint32, f *flight[T], tell func(string)) {
	k := &knownSchema[T]{}
	s, err := r.client.schema(ctx, id, r.kind, func(problem string) {
		f.mu.Lock()
		f.problem = problem
		f.mu.Unlock()
		tell(problem)
	})
	var refused *refusedSchemaError
	switch {
	case err == nil:
		if k.schema, err = r.compile(s); err != nil {
			k.err = fmt.Errorf("schema %d of the registry cannot be used: %w", id, err)
		}
	case errors.As(err, &refused):
		k.err = err
		if refused.unknown {
			k.until = time.Now().Add(r.client.forget)
		}
	default:
		k = nil
	}
	r.mu.Lock()
	if f.found = k; k != nil {
		next := maps.Clone(*r.known.Load())
		now := time.Now()
		maps.DeleteFunc(next, func(_ uint32, k *knownSchema[T]) bool { return !k.until.IsZero() && now.After(k.until) })
		next[id] = k
		r.known.Store(&next)
	}
	delete(r.flights, id)
	r.mu.Unlock()
	close(f.done)
}

// follow waits until a flight is over, and passes its problems on; false: ctx
// ended first.
func (f *flight[T]) follow(ctx context.Context, tell func(string)) bool {
	last := ""
	for {
		look := time.NewTimer(200 * time.Millisecond)
		select {
		case <-f.done:
			look.Stop()
			return true
		case <-ctx.Done():
			look.Stop()
			return false
		case <-look.C:
			f.mu.Lock()
			problem := f.problem
			f.mu.Unlock()
			if problem != last {
				last = problem
				tell(problem)
			}
		}
	}
}
