package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// storageService is Cloud Storage in memory.
type storageService struct {
	fake     *fakestorage.Server
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
}

func startStorage(log *slog.Logger, addr string) (*storageService, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:  true, // ours ends its connections when it is closed
		Scheme:      "http",
		ExternalURL: "http://" + l.Addr().String(), // where resumable uploads go on
		PublicHost:  host,                          // clients read objects as HOST/BUCKET/OBJECT
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &storageService{fake: fake, listener: l, server: &http.Server{
		Handler:           &preconditions{next: fake.HTTPHandler(), generation: generationIn(fake)},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	s.serving.Go(func() {
		if err := s.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("cloud storage stopped", "error", err)
		}
	})
	return s, nil
}

func (s *storageService) addr() string { return s.listener.Addr().String() }

func (s *storageService) close() {
	s.server.Close()
	s.serving.Wait()
	s.fake.Stop()
}

// generationIn returns a function that tells an object's generation, 0 if
// there is no such object.
func generationIn(fake *fakestorage.Server) func(bucket, object string) int64 {
	return func(bucket, object string) int64 {
		o, err := fake.GetObjectStreaming(bucket, object)
		if err != nil {
			return 0
		}
		defer o.Close()
		return o.Generation
	}
}

// preconditions adds to the fake what it leaves out silently: generation
// preconditions of anything but uploads. Leases held as objects rest on them.
// Those that are added neither by the fake nor here are refused.
type preconditions struct {
	next       http.Handler
	generation func(bucket, object string) int64
	mu         sync.RWMutex // held for writing while a checked request runs
}

// refusedConditions are the query parameters that would be ignored.
var refusedConditions = []string{
	"ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch",
	"ifSourceGenerationMatch", "ifSourceGenerationNotMatch", "ifSourceMetagenerationMatch", "ifSourceMetagenerationNotMatch",
}

const objectPath = "/storage/v1/b/"

func (p *preconditions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	for _, name := range refusedConditions {
		if query.Has(name) {
			storageError(w, http.StatusNotImplemented, "notImplemented", fmt.Sprintf("the sandbox's Cloud Storage does not support the precondition %s", name))
			return
		}
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Goog-If-") {
			storageError(w, http.StatusNotImplemented, "notImplemented", fmt.Sprintf("the sandbox's Cloud Storage does not support the precondition %s", name))
			return
		}
	}
	if !query.Has("ifGenerationMatch") || strings.HasPrefix(r.URL.Path, "/upload/") {
		p.mu.RLock()
		defer p.mu.RUnlock()
		p.next.ServeHTTP(w, r)
		return
	}
	bucket, object, ok := plainObject(r.URL)
	if !ok {
		storageError(w, http.StatusNotImplemented, "notImplemented", "the sandbox's Cloud Storage does not support the precondition ifGenerationMatch for "+r.Method+" "+r.URL.Path)
		return
	}
	want, err := strconv.ParseInt(query.Get("ifGenerationMatch"), 10, 64)
	if err != nil {
		storageError(w, http.StatusBadRequest, "invalid", "ifGenerationMatch is not a number")
		return
	}
	p.mu.Lock() // so that nothing changes the object between the check and what follows
	defer p.mu.Unlock()
	if p.generation(bucket, object) != want {
		storageError(w, http.StatusPreconditionFailed, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
		return
	}
	p.next.ServeHTTP(w, r)
}

// plainObject reads the bucket and the object out of the path of a request for
// an object itself: not for its ACL, and not a rewrite or a composition.
func plainObject(u *url.URL) (bucket, object string, ok bool) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), objectPath)
	if !ok {
		return "", "", false
	}
	parts := strings.Split(rest, "/") // an object's own slashes are escaped
	if len(parts) != 3 || parts[1] != "o" {
		return "", "", false
	}
	bucket, err1 := url.PathUnescape(parts[0])
	object, err2 := url.PathUnescape(parts[2])
	return bucket, object, err1 == nil && err2 == nil && object != ""
}

// storageError answers with an error of the JSON API's shape.
func storageError(w http.ResponseWriter, code int, reason, message string) {
	type item struct {
		Domain  string `json:"domain"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	body := map[string]any{"error": map[string]any{
		"code": code, "message": message, "errors": []item{{"global", reason, message}},
	}}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}
