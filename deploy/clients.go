package deploy

import (
	"context"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/storage"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Clients are the clients of the services that a StreamJob needs.
type Clients struct {
	PubSub   *pubsub.Client
	BigQuery *bigquery.Client
	Bigtable *bigtable.AdminClient
	Storage  *storage.Client
	Dataflow *gcp.Dataflow
}

// Connect makes the clients for a StreamJob's environment. Close them.
func Connect(ctx context.Context, job *jobspecs.StreamJob) (*Clients, error) {
	p, err := gcp.Open(job.Spec.Platform)
	if err != nil {
		return nil, err
	}
	if err := p.Reachable(ctx); err != nil {
		return nil, err
	}
	c := &Clients{}
	for _, connect := range []func() error{
		func() (err error) { c.PubSub, err = p.PubSub(ctx); return },
		func() (err error) { c.BigQuery, err = p.BigQuery(ctx); return },
		func() (err error) {
			if instance := job.Spec.Sinks.Bigtable.Instance; instance != "" { // another pipeline has none
				c.Bigtable, err = p.BigtableAdmin(ctx, instance)
			}
			return err
		},
		func() (err error) { c.Storage, err = p.Storage(ctx); return },
		func() (err error) { c.Dataflow, err = p.Dataflow(ctx); return },
	} {
		if err := connect(); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Close closes the clients.
func (c *Clients) Close() {
	if c.PubSub != nil {
		c.PubSub.Close()
	}
	if c.BigQuery != nil {
		c.BigQuery.Close()
	}
	if c.Bigtable != nil {
		c.Bigtable.Close()
	}
	if c.Storage != nil {
		c.Storage.Close()
	}
	if c.Dataflow != nil {
		c.Dataflow.Close()
	}
}
