// Command pubsubcount is a Pub/Sub server that takes messages as cheaply as it
// can, answers after a fixed delay, checks that every event id of a Kafka topic
// arrives exactly once, and keeps nothing else. It ends when its stdin does.
//
// It is driven over HTTP: GET /stats; POST /down and /up (while down it answers
// UNAVAILABLE); POST /reset (latencies); POST /check with a JSON list of the
// ends of all partitions.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/count"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/internal/child"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pubsubcount:", err)
		os.Exit(1)
	}
}

func run() error {
	hash := flag.String("hash", "", "40 bits of the Kafka topic in `hex`, as ids have them")
	partitions := flag.Int("partitions", 16, "`number` of the Kafka topic's partitions")
	period := flag.Int64("period", 0, "`records` after which a partition repeats")
	filtered := flag.String("filtered", "", "`offsets` within a period that the bridge filters, separated by commas")
	delay := flag.Duration("delay", 20*time.Millisecond, "`time` before an answer")
	latency := flag.Bool("latency", false, "measure the time from the record's timestamp to the answer")
	down := flag.Bool("down", false, "answer UNAVAILABLE until told otherwise")
	flag.Parse()

	expect := count.Expect{Partitions: *partitions, Period: *period, Filtered: make(map[int64]bool)}
	var err error
	if expect.Hash, err = strconv.ParseUint(*hash, 16, 40); err != nil {
		return fmt.Errorf("-hash: %w", err)
	}
	for s := range strings.SplitSeq(*filtered, ",") {
		if s == "" {
			continue
		}
		offset, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("-filtered: %w", err)
		}
		expect.Filtered[offset] = true
	}
	s := newServer(expect, *delay, *latency)
	s.down.Store(*down)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	grpcServer := s.grpc()
	go func() { failed <- grpcServer.Serve(listener) }()
	defer grpcServer.Stop()
	web := http.Server{Handler: s.control(), ReadHeaderTimeout: 10 * time.Second}
	go func() { failed <- web.Serve(control) }()
	defer web.Close()
	if err := report.Print(report.Server{PubSub: listener.Addr().String(), Control: "http://" + control.Addr().String()}); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-child.WithParent(context.Background()).Done():
		return nil
	}
}

// control is the server's own interface.
func (s *server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.stats(), nil) })
	mux.HandleFunc("POST /down", func(http.ResponseWriter, *http.Request) { s.down.Store(true) })
	mux.HandleFunc("POST /up", func(http.ResponseWriter, *http.Request) { s.down.Store(false) })
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) {
		s.latencies.Reset()
		s.delays.Reset()
	})
	mux.HandleFunc("POST /check", func(w http.ResponseWriter, r *http.Request) {
		var ends []int64
		if err := json.NewDecoder(r.Body).Decode(&ends); err != nil {
			reply(w, nil, errors.New("the body is not a list of offsets"))
			return
		}
		got, err := s.ledger.Check(ends)
		reply(w, got, err)
	})
	return mux
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
