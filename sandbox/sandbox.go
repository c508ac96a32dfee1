package sandbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/pubsub"
)

// EnvKafka is the environment variable with Kafka's bootstrap address.
const EnvKafka = "KAFKA_BROKERS"

// Sandbox is a running platform.
type Sandbox struct {
	cfg      Config
	env      map[string]string
	services []service // in the order in which they were started
}

// service is what of a running service is needed to end it.
type service struct {
	name  string
	close func()
}

// Start starts the services. It gives up, and stops what it has started, when
// ctx ends before all are up; once it has returned, only Close ends them.
func Start(ctx context.Context, cfg Config) (*Sandbox, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Sandbox{cfg: cfg, env: map[string]string{}}
	for _, step := range []struct {
		name, title string
		start       func() error
	}{
		{"storage", "Cloud Storage", s.startStorage},
		{"bigtable", "Bigtable", s.startBigtable},
		{"pubsub", "Pub/Sub", s.startPubSub},
		{"kafka", "Kafka", s.startKafka},
		{"bigquery", "BigQuery", s.startBigQuery},
		{"transfer", "Data Transfer", s.startTransfer},
		{"dataflow", "Dataflow", s.startDataflow}, // last: its jobs use all others, so it must end first
	} {
		if !slices.Contains(s.cfg.Services, step.name) {
			continue
		}
		err := ctx.Err()
		if err == nil {
			err = step.start()
		}
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("start %s: %w", step.title, err)
		}
	}
	return s, nil
}

// started notes a service that runs: where clients find it, how it ends.
func (s *Sandbox) started(name, variable, addr string, close func()) {
	s.env[variable] = addr
	s.services = append(s.services, service{name: name, close: close})
	s.cfg.Log.Debug("service started", "service", name, "address", addr)
}

func (s *Sandbox) startStorage() error {
	st, err := startStorage(s.cfg.Log, loopback(s.cfg.Ports.Storage))
	if err != nil {
		return err
	}
	s.started("Cloud Storage", gcp.EnvStorage, st.addr(), st.close)
	return nil
}

func (s *Sandbox) startBigtable() error {
	bt, err := startBigtable(s.cfg.Log, loopback(s.cfg.Ports.Bigtable))
	if err != nil {
		return err
	}
	s.started("Bigtable", gcp.EnvBigtable, bt.Addr, bt.Close)
	return nil
}

func (s *Sandbox) startPubSub() error {
	ps, err := pubsub.New(pubsub.Config{Log: s.cfg.Log, Addr: loopback(s.cfg.Ports.PubSub)})
	if err != nil {
		return err
	}
	s.started("Pub/Sub", gcp.EnvPubSub, ps.Addr(), ps.Close)
	return nil
}

func (s *Sandbox) startKafka() error {
	k, err := startKafka(s.cfg.Log, loopback(s.cfg.Ports.Kafka), s.cfg.KafkaPartitions)
	if err != nil {
		return err
	}
	s.started("Kafka", EnvKafka, k.ListenAddrs()[0], k.Close)
	return nil
}

func (s *Sandbox) startDataflow() error {
	df, err := dataflow.New(dataflow.Config{
		Log:             s.cfg.Log,
		Listen:          loopback(s.cfg.Ports.Dataflow),
		StorageEndpoint: s.env[gcp.EnvStorage],
		PipelineBinary:  s.cfg.PipelineBinary,
		ChildEnv:        s.variables(),
		Dir:             s.cfg.JobLogs,
		Script:          s.cfg.DataflowScript,
	})
	if err != nil {
		return err
	}
	s.started("Dataflow", gcp.EnvDataflow, df.Addr(), func() {
		if err := df.Close(); err != nil {
			s.cfg.Log.Error("dataflow did not stop cleanly", "error", err)
		}
	})
	return nil
}

// variables is the environment so far, as NAME=VALUE.
func (s *Sandbox) variables() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.env)) {
		out = append(out, name+"="+s.env[name])
	}
	return out
}

// Project is the Google Cloud project that clients are told to use. The
// services take any.
func (s *Sandbox) Project() string { return s.cfg.Project }

// Environment returns the variables by which clients find the services.
func (s *Sandbox) Environment() map[string]string { return maps.Clone(s.env) }

// Close ends the jobs, then the services, each in the reverse order of its
// start. It returns once nothing of the sandbox runs any more; calling it
// again does nothing.
func (s *Sandbox) Close() {
	for _, svc := range slices.Backward(s.services) {
		begin := time.Now()
		svc.close()
		s.cfg.Log.Debug("service stopped", "service", svc.name, "seconds", time.Since(begin).Seconds())
	}
	s.services = nil
}
