package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// server serves /metrics, /livez and /readyz.
type server struct {
	http     http.Server
	listener net.Listener
	done     chan error
}

func listen(ctx context.Context, addr string, s *stats, h *health) (*server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, exit.Environmentf("listen on %s: %w", addr, err).WithHint("choose another address in spec.listen; port 0 takes a free one")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { report(w, h.stuck()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { report(w, h.list()) })
	srv := &server{listener: l, done: make(chan error, 1)}
	srv.http = http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { srv.done <- srv.http.Serve(l) }()
	return srv, nil
}

// report answers ok, or with what is wrong, a line each.
func report(w http.ResponseWriter, wrong []string) {
	if len(wrong) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		fmt.Fprintln(w, "ok")
	}
	for _, what := range wrong {
		fmt.Fprintln(w, what)
	}
}

func (s *server) addr() string { return s.listener.Addr().String() }

func (s *server) close() error {
	err := s.http.Close()
	if serr := <-s.done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
