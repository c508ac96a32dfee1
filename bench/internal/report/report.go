// Package report holds the lines of JSON by which the benchmark's programs tell
// the driver what they are and what they measured.
package report

import (
	"encoding/json"
	"os"

	"github.com/kappa-migrate/kappa/bench/internal/count"
)

// Feed is the first line of feed.
type Feed struct {
	Brokers    []string `json:"brokers"`
	Period     int64    `json:"period"`      // records after which a partition repeats
	BatchBytes int      `json:"batch_bytes"` // of a batch of that many records, as fetched
}

// Server is the first line of pubsubcount.
type Server struct {
	PubSub  string `json:"pubsub"`  // host:port
	Control string `json:"control"` // URL
}

// Stats is what pubsubcount has seen so far.
type Stats struct {
	Messages   int64             `json:"messages"` // with an expected id
	Bad        int64             `json:"bad"`      // without one
	Requests   int64             `json:"requests"`
	Refused    int64             `json:"refused"` // requests, while down
	DataBytes  int64             `json:"data_bytes"`
	Bytes      int64             `json:"bytes"` // of requests
	CPUSeconds float64           `json:"cpu_seconds"`
	Latency    count.Percentiles `json:"latency_ms"` // source time to answer
	Delay      count.Percentiles `json:"delay_ms"`   // request to answer: the server's own delay
}

// Raw is what rawfetch and rawpublish measured in their window.
type Raw struct {
	Records    int64   `json:"records"`
	Bytes      int64   `json:"bytes"` // of values
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	PeakRSS    int64   `json:"peak_rss"`
	// Latency is from a record's timestamp to when it was read.
	Latency count.Percentiles `json:"latency_ms"`
}

// Print prints a line for the driver.
func Print(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }
