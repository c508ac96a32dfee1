package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// permissionCheck asks what the caller may do with a resource, where nothing
// that a plan reads shows it.
type permissionCheck struct {
	what        string   // the resource, as in a Problem
	service     string   // that is asked; one that does not know the question is asked once
	permissions []string // that are needed
	why         string   // what for
	role        string   // the least predefined role that has them
	test        func(ctx context.Context, permissions []string) (granted []string, err error)
}

// checkPermissions asks the services what whoever deploys may do. What the
// workers may do is not asked: nobody can but they.
func (d *Deployer) checkPermissions(ctx context.Context, f *findings) {
	checks := d.permissionChecks()
	problems := make([]*Problem, len(checks))
	var mute [services]atomic.Bool
	_ = each(ctx, len(checks), func(ctx context.Context, i int) error { // what fails is a finding
		c := checks[i]
		known := &mute[slices.Index(serviceNames[:], c.service)]
		if known.Load() {
			return nil
		}
		granted, err := c.test(ctx, c.permissions)
		if unasked(err) {
			known.Store(unimplemented(err))
			d.cfg.Log.Debug("permissions cannot be asked", "resource", c.what, "error", err)
			return nil
		}
		problems[i] = c.problem(granted, err)
		return nil
	})
	for _, p := range problems {
		if p != nil {
			f.plan.Problems = append(f.plan.Problems, *p)
		}
	}
}

const (
	servicePubSub   = "Pub/Sub"
	serviceStorage  = "Cloud Storage"
	serviceBigQuery = "BigQuery"
	services        = 3
)

var serviceNames = [services]string{servicePubSub, serviceStorage, serviceBigQuery}

// permissionChecks are those of a spec.
func (d *Deployer) permissionChecks() []permissionCheck {
	spec := d.cfg.Job.Spec
	var out []permissionCheck
	if spec.Sources.Replay == jobspecs.ReplaySnapshot {
		for _, name := range spec.Sources.Names() {
			full := subscription(spec.Project, name)
			out = append(out, permissionCheck{
				what: "subscription " + name, service: servicePubSub, permissions: []string{"pubsub.subscriptions.consume"},
				why: "a snapshot of it, and a seek to one", role: "roles/pubsub.subscriber",
				test: func(ctx context.Context, permissions []string) ([]string, error) {
					r, err := d.cfg.Clients.PubSub.SubscriptionAdminClient.TestIamPermissions(ctx, &iampb.TestIamPermissionsRequest{Resource: full, Permissions: permissions})
					return r.GetPermissions(), err
				},
			})
		}
	}
	staging, _ := d.specFile()
	out = append(out, d.bucketCheck("staging bucket", staging, "the resolved specs", "roles/storage.objectCreator and roles/storage.objectViewer",
		"storage.objects.create", "storage.objects.get"))
	if journal, ok := strings.CutPrefix(d.cfg.Job.JournalFolder(), "gs://"); ok {
		bucket, _, _ := strings.Cut(journal, "/")
		out = append(out, d.bucketCheck("journal bucket", bucket, "the lease and the history of deployments", "roles/storage.objectUser",
			"storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"))
	}
	generations := d.cfg.Clients.BigQuery.Dataset(spec.Sinks.BigQuery.Dataset).Table(tables.Generations)
	return append(out, permissionCheck{
		what: "table " + spec.Sinks.BigQuery.Dataset + "." + tables.Generations, service: serviceBigQuery,
		permissions: []string{"bigquery.tables.getData", "bigquery.tables.updateData"},
		why:         "the history of generations", role: "roles/bigquery.dataEditor",
		test: func(ctx context.Context, permissions []string) ([]string, error) {
			return generations.IAM().TestPermissions(ctx, permissions)
		},
	})
}

func (d *Deployer) bucketCheck(what, bucket, why, role string, permissions ...string) permissionCheck {
	return permissionCheck{
		what: what + " gs://" + bucket, service: serviceStorage, permissions: permissions, why: why, role: role,
		test: func(ctx context.Context, permissions []string) ([]string, error) {
			return d.cfg.Clients.Storage.Bucket(bucket).IAM().TestPermissions(ctx, permissions)
		},
	}
}

// problem is what an answer shows to be wrong; nil: nothing.
func (c permissionCheck) problem(granted []string, err error) *Problem {
	if err != nil {
		return &Problem{Severity: Warning, What: c.what, Text: "whether it may be used for " + c.why + " cannot be asked: " + err.Error()}
	}
	var missing []string
	for _, p := range c.permissions {
		if !slices.Contains(granted, p) {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Problem{
		Severity: Error, What: c.what,
		Text: fmt.Sprintf("whoever deploys lacks %s, for %s", strings.Join(missing, ", "), c.why),
		Mend: "grant " + c.role + " on it",
	}
}

// unasked reports whether a service has not answered the question because it
// does not know it, as the sandbox's, or because there is no such resource,
// which others report.
func unasked(err error) bool {
	return unimplemented(err) || status.Code(err) == codes.NotFound || notFound(err)
}

// unimplemented reports whether a service does not know the question.
func unimplemented(err error) bool {
	if err == nil {
		return false
	}
	var e *googleapi.Error
	if errors.As(err, &e) {
		return e.Code == http.StatusNotImplemented || e.Code == http.StatusMethodNotAllowed
	}
	return status.Code(err) == codes.Unimplemented
}
