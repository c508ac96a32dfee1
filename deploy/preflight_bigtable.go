package deploy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"cloud.google.com/go/bigtable"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// servingTable is a Bigtable table that the jobs need.
type servingTable struct {
	table  string
	family string
	policy bigtable.GCPolicy // of a family that is created
	keep   time.Duration     // no cell younger than this may be deleted, other than older versions
	loses  string            // what an existing policy that deletes sooner does
	mend   string
}

// forEver is longer than any cell's age.
const forEver = time.Duration(math.MaxInt64)

// servingTables are the Bigtable tables of the spec.
func (d *Deployer) servingTables() []servingTable {
	if d.cfg.Job.Spec.Pipeline == jobspecs.PipelineOther {
		return nil // it has sinks of its own
	}
	sink := d.cfg.Job.Spec.Sinks.Bigtable
	days := fmt.Sprintf("%d days", tables.IDMaxAge/(24*time.Hour))
	return []servingTable{
		{
			// A cell's timestamp is its window's start, so that its age says
			// nothing about when it was written.
			table: sink.Table, family: tables.Family, policy: bigtable.NoGcPolicy(), keep: forEver,
			loses: "it deletes aggregates by the age of their windows",
			mend:  "set the policy to never, or to maxversions=1",
		},
		{
			table: sink.IDs, family: tables.IDFamily, policy: bigtable.MaxAgePolicy(tables.IDMaxAge), keep: tables.IDMaxAge,
			loses: "it deletes event ids that a later generation still needs, which would then count events twice",
			mend:  "set the policy to a maxage of at least " + days + ", or to maxversions=1",
		},
	}
}

// checkBigtable checks the tables for serving and of event ids.
func (d *Deployer) checkBigtable(ctx context.Context, f *findings) {
	for _, t := range d.servingTables() {
		name := d.bigtableName(t)
		info, err := d.cfg.Clients.Bigtable.TableInfo(ctx, t.table)
		if status.Code(err) == codes.NotFound {
			f.create(kindBigtableTable, name, "with family "+t.family)
			continue
		}
		if err != nil {
			f.error("Bigtable table "+name, "cannot be read: "+err.Error(), "")
			continue
		}
		i := slices.IndexFunc(info.FamilyInfos, func(fam bigtable.FamilyInfo) bool { return fam.Name == t.family })
		if i < 0 {
			f.create(kindBigtableFamily, name+"/"+t.family, "")
			continue
		}
		if fam := info.FamilyInfos[i]; !keeps(fam.FullGCPolicy, t.keep) {
			f.error("Bigtable family "+name+"/"+t.family, fmt.Sprintf("has the garbage collection policy %q: %s", fam.GCPolicy, t.loses), t.mend)
		}
	}
}

// keeps reports whether a policy leaves every cell, in its newest version,
// until it is of an age.
func keeps(p bigtable.GCPolicy, age time.Duration) bool {
	switch p := p.(type) {
	case nil:
		return true
	case bigtable.MaxAgeGCPolicy:
		return time.Duration(p) >= age
	case bigtable.MaxVersionsGCPolicy:
		return p >= 1
	case bigtable.UnionGCPolicy: // deletes what one of them deletes
		return !slices.ContainsFunc(p.Children, func(c bigtable.GCPolicy) bool { return !keeps(c, age) })
	case bigtable.IntersectionGCPolicy: // deletes what all of them delete
		return len(p.Children) == 0 || slices.ContainsFunc(p.Children, func(c bigtable.GCPolicy) bool { return keeps(c, age) })
	}
	// No policy: its type is not exported. A policy of a later version is not
	// known to keep anything (invariant D3).
	return bigtable.GetPolicyType(p) == bigtable.PolicyUnspecified && p.String() == ""
}

func (d *Deployer) bigtableName(t servingTable) string {
	return d.cfg.Job.Spec.Sinks.Bigtable.Instance + "/" + t.table
}

// createBigtable calls create with the table of that name, or of that family's
// name.
func (d *Deployer) createBigtable(name string, create func(servingTable) error) error {
	for _, t := range d.servingTables() {
		if n := d.bigtableName(t); n == name || n+"/"+t.family == name {
			return create(t)
		}
	}
	return errors.New("unknown table")
}
