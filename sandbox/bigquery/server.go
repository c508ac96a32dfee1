package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Server is a BigQuery service in memory. It is safe for concurrent use.
type Server struct {
	log     *slog.Logger
	engine  *engine
	catalog *catalog
	jobs    *jobs
	storage *objectStore
	uploads *uploads

	busy requests
	lis  net.Listener
	http *http.Server
	done chan struct{} // closed when the HTTP server has ended
	once sync.Once
	err  error
}

// New starts a server. Close must be called in the end.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MemoryLimit == "" {
		cfg.MemoryLimit = DefaultMemoryLimit
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	lis, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("bigquery sandbox: listen: %w", err)
	}
	eng, err := openEngine(cfg.MemoryLimit)
	if err != nil {
		lis.Close()
		return nil, fmt.Errorf("bigquery sandbox: open DuckDB: %w", err)
	}
	s := &Server{
		log: cfg.Log, engine: eng, catalog: newCatalog(eng), jobs: newJobs(),
		storage: newObjectStore(cfg.StorageEndpoint), uploads: newUploads(), lis: lis, done: make(chan struct{}),
	}
	s.http = &http.Server{Handler: s.busy.track(s.routes()), ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("serve", "error", err)
		}
	}()
	return s, nil
}

// Addr is the host:port that the server listens on.
func (s *Server) Addr() string { return s.lis.Addr().String() }

// Close stops the server: running jobs are cancelled, all data is gone. It
// may be called more than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.jobs.stop()
		// Not http.Server.Shutdown, which waits for connections on which
		// nothing was ever asked.
		s.busy.close(5 * time.Second)
		s.err = s.http.Close()
		<-s.done
		s.jobs.wait()
		s.uploads.close()
		s.storage.close()
		s.err = errors.Join(s.err, s.engine.close())
	})
	return s.err
}

// requests counts the requests that are being answered.
type requests struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when there are none after close
}

func (q *requests) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			w.Header().Set("Connection", "close")
			writeError(w, errStopping())
			return
		}
		q.n++
		q.mu.Unlock()
		defer func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			if q.n--; q.n == 0 && q.closed {
				close(q.idle)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// close turns further requests away and waits for those that have begun.
func (q *requests) close(patience time.Duration) {
	q.mu.Lock()
	q.closed, q.idle = true, make(chan struct{})
	if q.n == 0 {
		close(q.idle)
	}
	q.mu.Unlock()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-q.idle:
	case <-t.C:
	}
}

func errStopping() error {
	return &apiError{status: http.StatusServiceUnavailable, reason: "backendError", message: "the sandbox is stopping"}
}

// handler answers a request; a returned error is written in the API's shape.
type handler func(r *http.Request) (any, error)

// maxRequest bounds a request's body, as BigQuery does for insertAll.
const maxRequest = 10 << 20

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h handler) {
		method, path, _ := strings.Cut(pattern, " ")
		// The path is the service's own; a client may be given it or not.
		for _, base := range []string{"/bigquery/v2", ""} {
			mux.HandleFunc(method+" "+base+path, func(w http.ResponseWriter, r *http.Request) {
				r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
				out, err := h(r)
				if err != nil {
					s.log.Debug("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
					writeError(w, err)
					return
				}
				if out == nil {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				writeJSON(w, http.StatusOK, out)
			})
		}
	}
	const ds, tb = "/projects/{project}/datasets", "/projects/{project}/datasets/{dataset}/tables"
	handle("GET "+ds, s.listDatasets)
	handle("POST "+ds, s.insertDataset)
	handle("GET "+ds+"/{dataset}", s.getDataset)
	handle("PATCH "+ds+"/{dataset}", s.patchDataset)
	handle("PUT "+ds+"/{dataset}", s.patchDataset)
	handle("DELETE "+ds+"/{dataset}", s.deleteDataset)
	handle("GET "+tb, s.listTables)
	handle("POST "+tb, s.insertTable)
	handle("GET "+tb+"/{table}", s.getTable)
	handle("PATCH "+tb+"/{table}", s.patchTable)
	handle("PUT "+tb+"/{table}", s.patchTable)
	handle("DELETE "+tb+"/{table}", s.deleteTable)
	handle("POST "+tb+"/{table}/insertAll", s.insertAll)
	handle("GET "+tb+"/{table}/data", s.listData)
	handle("POST /projects/{project}/queries", s.query)
	handle("GET /projects/{project}/queries/{job}", s.getQueryResults)
	handle("POST /projects/{project}/jobs", s.insertJob)
	handle("GET /projects/{project}/jobs", s.listJobs)
	handle("GET /projects/{project}/jobs/{job}", s.getJob)
	handle("POST /projects/{project}/jobs/{job}/cancel", s.cancelJob)
	mux.HandleFunc("POST /upload/bigquery/v2/projects/{project}/jobs", s.uploadJob)
	mux.HandleFunc("PUT /upload/bigquery/v2/projects/{project}/jobs", s.uploadJob)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, errNotImplemented("%s %s", r.Method, r.URL.Path))
	})
	return mux
}

// readBody decodes a request's body into v and returns it raw.
func readBody(r *http.Request, v any) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return nil, &apiError{status: http.StatusRequestEntityTooLarge, reason: "invalid",
				message: fmt.Sprintf("Request payload size exceeds the limit: %d bytes.", maxRequest)}
		}
		return nil, err
	}
	if v == nil {
		return data, nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, &apiError{status: http.StatusBadRequest, reason: "parseError", message: "Parse Error: " + err.Error()}
	}
	return data, nil
}

// allowKeys refuses by name every member of a JSON object that is not in
// allowed and says anything (is not null, false, zero or empty).
func allowKeys(data []byte, path string, allowed ...string) error {
	var m map[string]json.RawMessage
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return errInvalid("%s is not an object", strings.TrimSuffix(path, "."))
	}
	ok := map[string]bool{"kind": true, "etag": true, "id": true, "selfLink": true}
	for _, k := range allowed {
		ok[k] = true
	}
	for k, v := range m {
		switch string(v) {
		case "null", "false", "0", `"0"`, `""`, "{}", "[]":
			continue
		}
		if !ok[k] {
			return errNotImplemented("%s%s", path, k)
		}
	}
	return nil
}

// member returns a member of a JSON object, nil if it is not there.
func member(data []byte, names ...string) []byte {
	for _, n := range names {
		var m map[string]json.RawMessage
		if json.Unmarshal(data, &m) != nil {
			return nil
		}
		data = m[n]
	}
	return data
}
