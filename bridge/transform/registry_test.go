package transform

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/avro"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// fakeRegistry is a schema registry that can be told to fail.
type fakeRegistry struct {
	*httptest.Server
	mu       sync.Mutex
	ids      map[uint32]any
	versions map[string]any
	fail     func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	asked    map[string]int
}

func newFakeRegistry(t *testing.T) *fakeRegistry {
	f := &fakeRegistry{ids: make(map[uint32]any), versions: make(map[string]any), asked: make(map[string]int)}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.Client().CloseIdleConnections()
		f.Close()
	})
	return f
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked[r.URL.Path]++
	fail := f.fail
	f.mu.Unlock()
	if fail != nil && fail(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var id uint32
	var what any
	code := 40403
	if _, err := fmt.Sscanf(r.URL.Path, "/schemas/ids/%d", &id); err == nil {
		what = f.ids[id]
	} else {
		what, code = f.versions[r.URL.Path], 40401
	}
	if what == nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintf(w, `{"error_code":%d,"message":"not found"}`, code)
		return
	}
	_ = json.NewEncoder(w).Encode(what)
}

func (f *fakeRegistry) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

func (f *fakeRegistry) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// avroFormat returns a format that asks f, with short pauses.
func (f *fakeRegistry) avroFormat(t *testing.T, spec jobspecs.Registry, opts Options) *avroFormat {
	t.Helper()
	spec.URL = f.URL + "/"
	opts.HTTP = f.Client()
	in, err := newAvroFormat(jobspecs.Schemas{Registry: spec}, opts)
	if err != nil {
		t.Fatal(err)
	}
	a := in.(*avroFormat)
	quick(a.registry.client)
	return a
}

func quick(c *registryClient) {
	c.first, c.longest, c.again, c.forget = time.Millisecond, 5*time.Millisecond, 5*time.Millisecond, time.Hour
}

const userSchema = `{"type":"record","name":"User","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}`

func registryRecord(id uint32, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), body...)
}

func userBody(t *testing.T) string {
	data, err := avro.MustParse(userSchema).Encode(map[string]any{"id": int64(7), "name": "seven"})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// problems collects what Blocked is told.
type problems struct {
	mu   sync.Mutex
	list []string
}

func (p *problems) tell(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, problem)
}

func (p *problems) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.list...)
}

func TestRegistryIsAskedOnce(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := newFakeRegistry(t)
	f.ids[9] = map[string]any{"schema": userSchema}
	release := make(chan struct{})
	f.fail = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
	a := f.avroFormat(t, jobspecs.Registry{}, Options{})
	var wait sync.WaitGroup
	types := make([]any, 20)
	for i := range types {
		wait.Go(func() {
			body, typ, err := a.open(t.Context(), registryRecord(9, userBody(t)), nil)
			if err != nil || string(body) != userBody(t) {
				t.Error(string(body), err)
			}
			types[i] = typ
		})
	}
	close(release)
	wait.Wait()
	for _, typ := range types {
		if typ != types[0] || typ == nil {
			t.Error("another type for the same schema")
		}
	}
	if n := f.count("/schemas/ids/9"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = a.open(t.Context(), registryRecord(9, ""), nil) }); n > 2 {
		t.Errorf("%v allocations for a known schema", n) // two are the test's own
	}
	f.Client().CloseIdleConnections()
	f.Close()
}

func TestRegistryIsWaitedFor(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter){
		"500":               func(w http.ResponseWriter) { w.WriteHeader(500) },
		"429":               func(w http.ResponseWriter) { w.WriteHeader(429) },
		"401":               func(w http.ResponseWriter) { w.WriteHeader(401) },
		"foreign 404":       func(w http.ResponseWriter) { http.NotFound(w, nil) },
		"other 404":         func(w http.ResponseWriter) { w.WriteHeader(404); _, _ = w.Write([]byte(`{"error_code":404}`)) },
		"page of a proxy":   func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>sign in</html>")) },
		"no schema":         func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{}`)) },
		"connection is cut": func(w http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"cut short": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"schema":`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRegistry(t)
			f.ids[9] = map[string]any{"schema": userSchema}
			var left atomic.Int32
			left.Store(3)
			f.fail = func(w http.ResponseWriter, _ *http.Request) bool {
				if left.Add(-1) >= 0 {
					fail(w)
					return true
				}
				return false
			}
			a := f.avroFormat(t, jobspecs.Registry{}, Options{})
			var p problems
			if _, _, err := a.open(t.Context(), registryRecord(9, "x"), p.tell); err != nil {
				t.Fatal(err)
			}
			told := p.all()
			if len(told) != 4 || told[0] == "" || told[3] != "" {
				t.Errorf("told %q", told)
			}
			if len(told) > 0 && (strings.Contains(told[0], "127.0.0.1:") && !strings.Contains(name, "cut") || !strings.Contains(told[0], "/schemas/ids/9")) {
				t.Errorf("told %q", told[0])
			}
		})
	}
}

// TestRegistryAwayEndsWithContext: a registry that stays away makes no record
// a bad one.
func TestRegistryAwayEndsWithContext(t *testing.T) {
	f := newFakeRegistry(t)
	f.ids[9] = map[string]any{"schema": userSchema}
	f.fail = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	spec := jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{Registry: jobspecs.Registry{URL: f.URL}}, Filter: "record.id > 1"}
	p, err := New(spec, Options{HTTP: f.Client()})
	if err != nil {
		t.Fatal(err)
	}
	quick(p.format.(*avroFormat).registry.client)
	ctx, cancel := context.WithCancel(t.Context())
	m := p.NewMachine()
	blocked := make(chan struct{})
	var once sync.Once
	m.Blocked = func(problem string) {
		if problem != "" {
			once.Do(func() { close(blocked) })
		}
	}
	go func() {
		<-blocked
		cancel()
	}()
	_, err = m.Apply(ctx, registryRecord(9, userBody(t)))
	var bad *DataError
	if !errors.Is(err, context.Canceled) || errors.As(err, &bad) {
		t.Fatal(err)
	}
	f.set(func() { f.fail = nil })
	if n, err := m.Apply(t.Context(), registryRecord(9, userBody(t))); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

// TestRegistryLeaderGivesUp: when the one that asks is stopped, another asks.
func TestRegistryLeaderGivesUp(t *testing.T) {
	f := newFakeRegistry(t)
	f.ids[9] = map[string]any{"schema": userSchema}
	f.fail = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	a := f.avroFormat(t, jobspecs.Registry{}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	leads := make(chan struct{}, 100)
	first := make(chan error, 1)
	go func() {
		_, _, err := a.open(ctx, registryRecord(9, ""), func(string) {
			select {
			case leads <- struct{}{}:
			default:
			}
		})
		first <- err
	}()
	<-leads
	second := make(chan error, 1)
	follows := make(chan string, 1000)
	go func() {
		_, _, err := a.open(t.Context(), registryRecord(9, ""), func(problem string) { follows <- problem })
		second <- err
	}()
	if problem := <-follows; problem == "" {
		t.Error("who waits for another is not told why")
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	f.set(func() { f.fail = nil })
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestRegistryUnknownID(t *testing.T) {
	f := newFakeRegistry(t)
	a := f.avroFormat(t, jobspecs.Registry{}, Options{})
	for range 3 {
		_, _, err := a.open(t.Context(), registryRecord(4, ""), nil)
		if err == nil || !strings.Contains(err.Error(), "does not know /schemas/ids/4") {
			t.Fatal(err)
		}
	}
	if n := f.count("/schemas/ids/4"); n != 2 {
		t.Errorf("asked %d times: it is to be asked twice, then believed", n)
	}
	// Between the first answer and the second, the schema may arrive.
	f.set(func() {
		f.fail = func(http.ResponseWriter, *http.Request) bool {
			f.set(func() {
				if f.asked["/schemas/ids/5"] == 2 {
					f.ids[5] = map[string]any{"schema": userSchema}
				}
			})
			return false
		}
	})
	if _, _, err := a.open(t.Context(), registryRecord(5, ""), nil); err != nil {
		t.Error(err)
	}
	// What was unknown once may be known later.
	a.registry.client.forget = -time.Second
	if _, _, err := a.open(t.Context(), registryRecord(6, ""), nil); err == nil {
		t.Error("6 is known")
	}
	f.set(func() { f.ids[6] = map[string]any{"schema": userSchema} })
	if _, _, err := a.open(t.Context(), registryRecord(6, ""), nil); err != nil {
		t.Error(err)
	}
}

// TestRegistryAwayBetweenAnswers: an unknown id, an outage, and the same again
// is not the registry saying so twice.
func TestRegistryAwayBetweenAnswers(t *testing.T) {
	f := newFakeRegistry(t)
	f.fail = func(w http.ResponseWriter, _ *http.Request) bool {
		switch f.count("/schemas/ids/4") {
		case 2:
			w.WriteHeader(503)
			return true
		case 4:
			f.set(func() { f.ids[4] = map[string]any{"schema": userSchema} })
		}
		return false
	}
	a := f.avroFormat(t, jobspecs.Registry{}, Options{})
	if _, _, err := a.open(t.Context(), registryRecord(4, ""), nil); err != nil {
		t.Error(err)
	}
}

func TestRegistryReferences(t *testing.T) {
	f := newFakeRegistry(t)
	f.ids[1] = map[string]any{
		"schema":     `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"by","type":"people.User"},{"name":"at","type":"places.Place"}]}`,
		"references": []any{map[string]any{"name": "people.User", "subject": "a/user", "version": 3}, map[string]any{"name": "places.Place", "subject": "place", "version": 1}},
	}
	f.versions["/subjects/a/user/versions/3"] = map[string]any{
		"schema":     `{"type":"record","name":"User","namespace":"people","fields":[{"name":"home","type":"places.Place"}]}`,
		"references": []any{map[string]any{"name": "places.Place", "subject": "place", "version": 1}},
	}
	a := f.avroFormat(t, jobspecs.Registry{}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// A reference that is missing is no fault of the record.
	_, _, err := a.open(ctx, registryRecord(1, ""), func(problem string) {
		if strings.Contains(problem, "refers to one that is missing") {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	f.set(func() {
		f.versions["/subjects/place/versions/1"] = map[string]any{"schema": `{"type":"record","name":"Place","namespace":"places","fields":[{"name":"city","type":"string"}]}`}
	})
	body, typ, err := a.open(t.Context(), registryRecord(1, "\x06one\x06two"), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := a.appendJSON(nil, &field{value: body, typ: typ})
	if err != nil || string(text) != `{"by":{"home":{"city":"one"}},"at":{"city":"two"}}` {
		t.Errorf("%s %v", text, err)
	}
}

// TestRegistryRefuses: what the registry's answer makes impossible for ever.
func TestRegistryRefuses(t *testing.T) {
	f := newFakeRegistry(t)
	f.ids[1] = map[string]any{"schema": `message`, "schemaType": "PROTOBUF"}
	f.ids[2] = map[string]any{"schema": `{"type":"nonsense"}`}
	a := f.avroFormat(t, jobspecs.Registry{}, Options{})
	for record, want := range map[string]string{
		"":                            "does not begin with the id",
		"\x00\x00\x00\x00":            "does not begin with the id",
		"\x01\x00\x00\x00a":           "does not begin with the id",
		string(registryRecord(1, "")): `of type "PROTOBUF", not AVRO`,
		string(registryRecord(2, "")): "schema 2 of the registry cannot be used",
	} {
		if _, _, err := a.open(t.Context(), []byte(record), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%x: %v", record, err)
		}
	}
	if n := f.count("/schemas/ids/2"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestRegistryProtobuf(t *testing.T) {
	f := newFakeRegistry(t)
	f.ids[1] = map[string]any{
		"schemaType": "PROTOBUF",
		"schema":     "syntax = \"proto3\"; import \"user.proto\"; import \"confluent/meta.proto\"; import \"google/protobuf/timestamp.proto\"; message Order { shop.User by = 1; google.protobuf.Timestamp at = 2; message Line { string sku = 1 [(confluent.field_meta).doc = \"unit\"]; } }",
		"references": []any{map[string]any{"name": "user.proto", "subject": "user", "version": 1}},
	}
	f.versions["/subjects/user/versions/1"] = map[string]any{"schemaType": "PROTOBUF", "schema": "syntax = \"proto3\"; package shop; message User { string name = 1; }"}
	f.ids[2] = map[string]any{"schemaType": "PROTOBUF", "schema": "syntax = \"proto3\"; import \"nowhere.proto\"; message M {}"}
	spec := jobspecs.Transform{Decode: "protobuf", Schema: jobspecs.Schemas{Registry: jobspecs.Registry{URL: f.URL}}, Encode: "json"}
	p, err := New(spec, Options{HTTP: f.Client()})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	for record, want := range map[string]string{
		string(registryRecord(1, "\x00\x0a\x04\x0a\x02me\x12\x02\x08\x01")): `{"by":{"name":"me"},"at":"1970-01-01T00:00:01Z"}`,
		string(registryRecord(1, "\x04\x00\x00\x0a\x01x")):                  `{"sku":"x"}`,
		string(registryRecord(1, "\x02\x02")):                               "its schema does not have",
		string(registryRecord(2, "\x00")):                                   "nowhere.proto",
	} {
		n, err := m.Apply(t.Context(), []byte(record))
		var got []byte
		if err == nil && n == 1 {
			got, err = m.AppendData(nil, 0)
		}
		if err != nil {
			got = []byte(err.Error())
		}
		if !strings.Contains(string(got), want) {
			t.Errorf("%x: %s, want %s", record, got, want)
		}
	}
}
