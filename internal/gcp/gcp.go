// Package gcp makes the Google Cloud clients and holds rule A4's guard over
// emulator addresses: a spec that does not say `environment: sandbox` refuses
// to run while any of them is set, and one that does refuses to run without
// those that it needs.
package gcp

import (
	"context"
	"net"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	datatransfer "cloud.google.com/go/bigquery/datatransfer/apiv1"
	"cloud.google.com/go/bigtable"
	dataflow "cloud.google.com/go/dataflow/apiv1beta3"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Environment variables with emulator addresses, host:port. The first four
// are Google's own; Dataflow and the Data Transfer API have no emulators but ours, so the last are too.
const (
	EnvPubSub   = "PUBSUB_EMULATOR_HOST"
	EnvBigtable = "BIGTABLE_EMULATOR_HOST"
	EnvBigQuery = "BIGQUERY_EMULATOR_HOST"
	EnvStorage  = "STORAGE_EMULATOR_HOST"
	EnvDataflow = "DATAFLOW_EMULATOR_HOST"
	EnvTransfer = "DATATRANSFER_EMULATOR_HOST"
)

var emulatorVariables = []string{EnvPubSub, EnvBigtable, EnvBigQuery, EnvStorage, EnvDataflow, EnvTransfer}

// Platform makes clients for one spec's environment.
type Platform struct {
	sandbox bool
	project string
}

// Open checks the emulator variables against the spec's environment (rule A4).
func Open(p jobspecs.Platform) (Platform, error) {
	sandbox := p.Environment == "sandbox"
	if !sandbox {
		// invariant A4: a forgotten variable must not send production data to an emulator.
		for _, v := range emulatorVariables {
			if os.Getenv(v) != "" {
				return Platform{}, exit.Environmentf("%s is set, but the spec's environment is %s", v, p.Environment).
					WithHint("unset %s, or set spec.environment: sandbox", v)
			}
		}
	}
	return Platform{sandbox: sandbox, project: p.Project}, nil
}

// Project is the Google Cloud project of the platform.
func (p Platform) Project() string { return p.project }

// address returns the emulator's address, or "" for the real service.
func (p Platform) address(variable string) (string, error) {
	if !p.sandbox {
		return "", nil
	}
	addr := strings.TrimPrefix(os.Getenv(variable), "http://")
	if addr == "" {
		return "", exit.Environmentf("the spec's environment is sandbox, but %s is not set", variable).
			WithHint("start `kappa sandbox` and load the variables that it prints")
	}
	return addr, nil
}

// reachableWithin bounds the wait for a service of the sandbox, which is near.
const reachableWithin = 5 * time.Second

// Reachable fails if a service of the sandbox whose address is known does not
// listen: the clients would try again for ever. The real services are not asked: they are there.
func (p Platform) Reachable(ctx context.Context) error {
	if !p.sandbox {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reachableWithin)
	defer cancel()
	for _, v := range emulatorVariables {
		addr := strings.TrimPrefix(os.Getenv(v), "http://")
		if len(addr) == 0 { // who needs it says so
			continue
		}
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return exit.Environmentf("nothing answers at %s, which is %s: %w", addr, v, err).
				WithHint("start `kappa sandbox` and load the variables that it prints")
		}
		_ = c.Close() // nothing was sent
	}
	return nil
}

func plaintext(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// PubSub returns a Pub/Sub client. The library reads EnvPubSub by itself.
func (p Platform) PubSub(ctx context.Context, opts ...option.ClientOption) (*pubsub.Client, error) {
	if _, err := p.address(EnvPubSub); err != nil {
		return nil, err
	}
	c, err := pubsub.NewClient(ctx, p.project, opts...)
	return c, wrap("connect to Pub/Sub", err)
}

// BigQuery returns a BigQuery client.
func (p Platform) BigQuery(ctx context.Context) (*bigquery.Client, error) {
	addr, err := p.address(EnvBigQuery)
	if err != nil {
		return nil, err
	}
	if addr != "" {
		return BigQueryAt(ctx, p.project, addr)
	}
	c, err := bigquery.NewClient(ctx, p.project)
	return c, wrap("connect to BigQuery", err)
}

// BigQueryAt returns a client of a sandbox of the caller's own, at host:port.
func BigQueryAt(ctx context.Context, project, addr string) (*bigquery.Client, error) {
	c, err := bigquery.NewClient(ctx, project, option.WithEndpoint("http://"+addr+"/bigquery/v2/"), option.WithoutAuthentication())
	return c, wrap("connect to BigQuery", err)
}

// Bigtable returns a Bigtable data client. The library reads EnvBigtable by itself.
func (p Platform) Bigtable(ctx context.Context, instance string) (*bigtable.Client, error) {
	if _, err := p.address(EnvBigtable); err != nil {
		return nil, err
	}
	c, err := bigtable.NewClientWithConfig(ctx, p.project, instance, bigtable.ClientConfig{MetricsProvider: bigtable.NoopMetricsProvider{}})
	return c, wrap("connect to Bigtable", err)
}

// BigtableAdmin returns a Bigtable admin client.
func (p Platform) BigtableAdmin(ctx context.Context, instance string) (*bigtable.AdminClient, error) {
	if _, err := p.address(EnvBigtable); err != nil {
		return nil, err
	}
	c, err := bigtable.NewAdminClient(ctx, p.project, instance)
	return c, wrap("connect to Bigtable", err)
}

// Storage returns a Cloud Storage client. The library reads EnvStorage by itself.
func (p Platform) Storage(ctx context.Context) (*storage.Client, error) {
	if _, err := p.address(EnvStorage); err != nil {
		return nil, err
	}
	c, err := storage.NewClient(ctx)
	return c, wrap("connect to Cloud Storage", err)
}

// Dataflow holds the clients of the Dataflow API's services.
type Dataflow struct {
	Jobs      *dataflow.JobsV1Beta3Client
	Metrics   *dataflow.MetricsV1Beta3Client
	Messages  *dataflow.MessagesV1Beta3Client
	Templates *dataflow.FlexTemplatesClient
}

// Dataflow returns clients of the Dataflow API.
func (p Platform) Dataflow(ctx context.Context) (*Dataflow, error) {
	addr, err := p.address(EnvDataflow)
	if err != nil {
		return nil, err
	}
	var opts []option.ClientOption
	if addr != "" {
		opts = plaintext(addr)
	}
	var d Dataflow
	if d.Jobs, err = dataflow.NewJobsV1Beta3Client(ctx, opts...); err != nil {
		return nil, wrap("connect to Dataflow", err)
	}
	if d.Metrics, err = dataflow.NewMetricsV1Beta3Client(ctx, opts...); err != nil {
		return nil, wrap("connect to Dataflow", err)
	}
	if d.Messages, err = dataflow.NewMessagesV1Beta3Client(ctx, opts...); err != nil {
		return nil, wrap("connect to Dataflow", err)
	}
	if d.Templates, err = dataflow.NewFlexTemplatesClient(ctx, opts...); err != nil {
		return nil, wrap("connect to Dataflow", err)
	}
	return &d, nil
}

// DataTransfer returns a client of the BigQuery Data Transfer API.
func (p Platform) DataTransfer(ctx context.Context) (*datatransfer.Client, error) {
	addr, err := p.address(EnvTransfer)
	if err != nil {
		return nil, err
	}
	var opts []option.ClientOption
	if addr != "" {
		opts = plaintext(addr)
	}
	c, err := datatransfer.NewClient(ctx, opts...)
	return c, wrap("connect to the BigQuery Data Transfer API", err)
}

// Close closes the clients.
func (d *Dataflow) Close() {
	d.Jobs.Close()
	d.Metrics.Close()
	d.Messages.Close()
	d.Templates.Close()
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return exit.Environmentf("%s: %w", what, err)
}
