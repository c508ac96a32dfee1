package terraform

import (
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// bigtable adds the Bigtable instance of a StreamJob and its two tables, and
// returns the instance's address.
func (g *generator) bigtable(j *jobspecs.StreamJob) string {
	project, sink := j.Spec.Project, j.Spec.Sinks.Bigtable
	instance := g.instance(project, sink.Instance, j.Spec.Region)
	g.bigtableTable(project, sink.Instance, instance, sink.Table, tables.Family, 0,
		"Aggregates for serving. There is no garbage collection policy: a cell's timestamp is its window's start, so that its age says nothing.")
	g.bigtableTable(project, sink.Instance, instance, sink.IDs, tables.IDFamily, tables.IDMaxAge,
		"Event ids that a job hands over to its next generation.")
	return instance
}

// minInstance is the length of the shortest instance id.
const minInstance = 6

func (g *generator) instance(project, name, region string) string {
	key := thing("instance", project, name)
	if ref := g.refs[key]; ref != "" {
		return ref
	}
	if len(name) < minInstance {
		g.note("Bigtable takes instance ids of %d to 33 characters: %s is too short, so give the instance another name in spec.sinks.bigtable", minInstance, name)
	}
	variable := func(what, description, typ string, value expr) expr {
		return raw(g.variable(identifier("bigtable", name, what), description+" of Bigtable instance "+name+".", typ, value))
	}
	body := []item{
		attr("project", str(project)),
		attr("name", str(name)),
		attr("deletion_protection", boolean(true)),
		blank(),
		block("cluster", nil,
			attr("cluster_id", str(clusterID(name))),
			attr("zone", variable("zone", "Zone, in the region of the jobs,", "string", str(region+"-b"))),
			attr("storage_type", str("SSD")),
			blank(),
			block("autoscaling_config", nil,
				attr("min_nodes", variable("min_nodes", "Least nodes", "number", number(1))),
				attr("max_nodes", variable("max_nodes", "Most nodes", "number", number(3))),
				attr("cpu_target", number(60)),
			),
		),
	}
	g.refs[key] = g.resource(fileBigtable, "google_bigtable_instance", identifier(name), key,
		"What kappa serve reads. kappa creates tables, but no instance.", nil, append(body, kept()...)...)
	return g.refs[key]
}

// clusterID is the id of an instance's cluster, of 6 to 30 characters.
func clusterID(instance string) string {
	const suffix = "-cluster"
	return instance[:min(len(instance), 30-len(suffix))] + suffix
}

// bigtableTable adds a table with one family, whose cells are kept for an age;
// 0 is for ever.
func (g *generator) bigtableTable(project, instanceName, instance, name, family string, keep time.Duration, why string) {
	key := thing("bigtable table", project, instanceName+"/"+name)
	if g.refs[key] != "" {
		return
	}
	g.refs[key] = g.resource(fileBigtable, "google_bigtable_table", identifier(instanceName, name), key, why, nil, append([]item{
		attr("project", str(project)),
		attr("instance_name", raw(instance+".name")),
		attr("name", str(name)),
		attr("deletion_protection", str("PROTECTED")),
		blank(),
		block("column_family", nil, attr("family", str(family))),
	}, kept()...)...)
	if keep == 0 {
		return
	}
	g.resource(fileBigtable, "google_bigtable_gc_policy", identifier(instanceName, name), key,
		"Younger ids may still be asked for; without them events would be counted twice.", nil,
		attr("project", str(project)),
		attr("instance_name", raw(instance+".name")),
		attr("table", raw(g.refs[key]+".name")),
		attr("column_family", str(family)),
		comment("A policy that is taken out of the configuration stays as it is."),
		attr("deletion_policy", str("ABANDON")),
		blank(),
		block("max_age", nil, attr("duration", str(fmt.Sprintf("%dh", keep/time.Hour)))),
	)
}
