package bridge

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// stats counts what the bridge does. Plain counters are updated on the hot
// path, in runs; Prometheus reads them when it scrapes.
type stats struct {
	records              atomic.Int64 // read from Kafka
	recordBytes          atomic.Int64
	published            atomic.Int64 // acknowledged by Pub/Sub
	publishedBytes       atomic.Int64
	filtered             atomic.Int64
	deadLettered         atomic.Int64                 // records
	deadLettersPublished atomic.Int64                 // messages
	outstanding          atomic.Pointer[func() int64] // read and not done
	held                 atomic.Pointer[func() int64] // bytes charged; nil until the stages exist
	budget               int64
	ready                func() int64 // 1 or 0

	requests    *prometheus.CounterVec // by code
	retries     *prometheus.CounterVec // by class and code
	deadLetters *prometheus.CounterVec // by reason
	commits     *prometheus.CounterVec // by result
	lag         *prometheus.GaugeVec   // by topic and partition
	lost        *prometheus.CounterVec // by source and topic
	lagSeconds  *prometheus.GaugeVec   // by topic and partition
	stopped     prometheus.Gauge
	stalled     prometheus.Gauge
	ageSeconds  prometheus.Histogram
	ackSeconds  prometheus.Histogram

	requestSeconds prometheus.Histogram

	registry *prometheus.Registry
}

func newStats() *stats {
	s := &stats{registry: prometheus.NewRegistry(), ready: func() int64 { return 0 }}
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "kappa", Subsystem: "bridge", Name: name, Help: help}
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	total := func(name, help string, n *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(opts(name, help)), func() float64 { return float64(n.Load()) })
	}
	gauge := func(name, help string, f func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(name, help)), func() float64 { return float64(f()) })
	}
	s.requests = counter("publish_requests_total", "Publish requests by gRPC code.", "code")
	s.retries = counter("retries_total", "Publish requests that failed and are tried again, by class (transient, blocked) and gRPC code.", "class", "code")
	s.deadLetters = counter("dead_letters_total", "Records that can never be published, by reason.", "reason")
	s.commits = counter("commits_total", "Offset commits by result (ok, failed).", "result")
	s.lost = counter("lost_offsets_total", "Offsets that were passed over because an operator accepted that they are gone.", "source", "topic")
	s.lag = prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("lag_records", "Records of a partition that are not committed yet; offsets, so gaps count.")), []string{"source", "topic", "partition"})
	s.lagSeconds = prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("lag_seconds", "Age of the oldest record of a partition that is not committed yet, by its own timestamp; 0 where all are. Of records that are not read yet it is not known: then the age of the newest one that is done.")), []string{"source", "topic", "partition"})
	s.stalled = prometheus.NewGauge(prometheus.GaugeOpts(opts("stalled_partitions", "Partitions that have made no progress for limits.stall though nothing is known to be wrong; /livez fails.")))
	s.ageSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "kappa", Subsystem: "bridge", Name: "record_age_seconds",
		Help:    "Time from the timestamp of a publish request's first record to the acknowledgement of the request.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 24),
	})
	s.stopped = prometheus.NewGauge(prometheus.GaugeOpts(opts("stopped_partitions", "Partitions that were stopped because offsets are gone.")))
	s.ackSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "kappa", Subsystem: "bridge", Name: "ack_seconds",
		Help:    "Time from the poll of a publish request's first record to the acknowledgement of the request.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 16),
	})
	s.requestSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "kappa", Subsystem: "bridge", Name: "request_seconds",
		Help:    "Time that a publish request took which was accepted.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
	})
	s.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.requests, s.retries, s.deadLetters, s.commits, s.lag, s.lagSeconds, s.lost, s.stopped, s.stalled, s.ageSeconds, s.ackSeconds, s.requestSeconds,
		total("records_total", "Records read from Kafka.", &s.records),
		total("record_bytes_total", "Bytes of the keys, values and headers of records read.", &s.recordBytes),
		total("messages_published_total", "Messages that the destination acknowledged, without dead letters.", &s.published),
		total("published_bytes_total", "Bytes of these messages in publish requests.", &s.publishedBytes),
		total("filtered_total", "Records that the filter dropped.", &s.filtered),
		total("dead_letter_messages_total", "Messages that the destination of dead letters acknowledged; a large dead letter is several.", &s.deadLettersPublished),
		gauge("in_flight_records", "Records read and not yet acknowledged, dead-lettered or filtered.", func() int64 { return s.inFlight() }),
		gauge("memory_used_bytes", "Bytes charged to the byte budget.", s.memory),
		gauge("ready", "1 while /readyz answers ok, else 0.", func() int64 { return s.ready() }),
		gauge("memory_budget_bytes", "The byte budget, limits.memory.", func() int64 { return s.budget }),
	)
	return s
}

// inFlight returns the records that were read and are not done.
func (s *stats) inFlight() int64 {
	if count := s.outstanding.Load(); count != nil {
		return (*count)()
	}
	return 0
}

// memory returns the bytes charged to the byte budget.
func (s *stats) memory() int64 {
	if held := s.held.Load(); held != nil {
		return (*held)()
	}
	return 0
}

// Status is a snapshot of a running bridge.
type Status struct {
	Records      int64    `json:"records"`       // read from Kafka
	Published    int64    `json:"published"`     // messages acknowledged by Pub/Sub
	Filtered     int64    `json:"filtered"`      // records dropped by the filter
	DeadLettered int64    `json:"dead_lettered"` // records given to the dead letters
	InFlight     int64    `json:"in_flight"`     // records read and not done
	Lag          int64    `json:"lag"`           // offsets not committed yet; -1: not known yet
	Bytes        int64    `json:"bytes"`         // of messages acknowledged
	Memory       int64    `json:"memory"`        // charged to the byte budget
	Budget       int64    `json:"budget"`        // the byte budget
	Problems     []string `json:"problems"`      // why it is not ready
}
