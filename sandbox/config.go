package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/kappa-migrate/kappa/sandbox/dataflow"
)

// Defaults of Config.
const (
	DefaultProject    = "kappa-demo"
	DefaultPartitions = 6
)

// Config says what to start.
type Config struct {
	Log     *slog.Logger // required
	Project string       // Google Cloud project that clients are told to use; default DefaultProject
	Ports   Ports

	// Services are the names of what is started (ServiceNames); empty: all.
	Services []string

	// BigQueryMemory bounds the memory in which BigQuery holds tables and
	// queries, such as 2GiB, beyond which it goes to disk; empty: its default.
	BigQueryMemory string

	// KafkaPartitions is the number of partitions of a topic that is created
	// without one. Default DefaultPartitions.
	KafkaPartitions int

	// PipelineBinary is the kappa-pipeline that Dataflow runs. Without it every
	// launch is refused.
	PipelineBinary string

	// JobLogs is the folder that the jobs' logs are written to; empty: none are.
	JobLogs string

	// DataflowScript stands between the clients and Dataflow; nil: nothing does.
	DataflowScript dataflow.Script
}

// Ports are the ports to listen on; 0: a free one.
type Ports struct {
	Kafka, PubSub, Bigtable, BigQuery, Transfer, Dataflow, Storage int
}

// ServiceNames are the services that there are.
var ServiceNames = []string{"kafka", "pubsub", "bigtable", "bigquery", "transfer", "dataflow", "storage"}

// Validate fills in defaults and reports what is missing or wrong.
func (c *Config) Validate() error {
	if c.Log == nil {
		return errors.New("sandbox: Config.Log is nil")
	}
	if c.Project == "" {
		c.Project = DefaultProject
	}
	if c.KafkaPartitions == 0 {
		c.KafkaPartitions = DefaultPartitions
	}
	if c.KafkaPartitions < 0 {
		return fmt.Errorf("sandbox: %d Kafka partitions", c.KafkaPartitions)
	}
	for _, name := range c.Services {
		if !slices.Contains(ServiceNames, name) {
			return fmt.Errorf("sandbox: no service is named %q: there are %s", name, strings.Join(ServiceNames, ", "))
		}
	}
	if len(c.Services) == 0 {
		c.Services = ServiceNames
	}
	taken := map[int]string{}
	for _, p := range []struct {
		name string
		port int
	}{
		{"Kafka", c.Ports.Kafka}, {"Pub/Sub", c.Ports.PubSub}, {"Bigtable", c.Ports.Bigtable},
		{"BigQuery", c.Ports.BigQuery}, {"Data Transfer", c.Ports.Transfer}, {"Dataflow", c.Ports.Dataflow}, {"Cloud Storage", c.Ports.Storage},
	} {
		if p.port < 0 || p.port > 65535 {
			return fmt.Errorf("sandbox: port %d of %s is not between 0 and 65535", p.port, p.name)
		}
		if other := taken[p.port]; p.port != 0 && other != "" {
			return fmt.Errorf("sandbox: %s and %s have the same port %d", other, p.name, p.port)
		}
		taken[p.port] = p.name
	}
	return nil
}

// loopback is the address of a port. Nothing listens elsewhere: the services
// ask for no credentials (rule A4).
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
