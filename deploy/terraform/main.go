package terraform

import (
	"maps"
	"slices"
)

// Versions of what reads the configuration.
const (
	terraformVersion = ">= 1.5"
	providerVersion  = ">= 6.0"
)

// apis are the services that must be enabled in a project; transferAPI is another
// one where a comparison may become a scheduled query.
var apis = []string{
	"bigquery.googleapis.com", "bigtable.googleapis.com", "bigtableadmin.googleapis.com", "compute.googleapis.com",
	"dataflow.googleapis.com", "iam.googleapis.com", "pubsub.googleapis.com", "storage.googleapis.com",
}

const transferAPI = "bigquerydatatransfer.googleapis.com"

// main writes main.tf: versions, and what is looked up.
func (g *generator) main() {
	body := []item{comment("Every resource names its project. These services must be enabled in each of them:")}
	list := apis
	if g.schedules {
		list = slices.Sorted(slices.Values(append(slices.Clone(apis), transferAPI)))
	}
	for _, api := range list {
		body = append(body, item{lines: []string{"#   " + api}})
	}
	for _, n := range g.config.Notes {
		body = append(body, item{lines: []string{"#"}}, comment("Note: "+n+"."))
	}
	body = append(body, block("terraform", nil,
		attr("required_version", str(terraformVersion)),
		blank(),
		block("required_providers", nil, attr("google", object(
			attr("source", str("hashicorp/google")),
			attr("version", str(providerVersion)),
		))),
	))
	g.put(fileMain, body...)
	for _, p := range slices.Sorted(maps.Keys(g.numbers)) {
		g.put(fileMain,
			comment("The number of a project is in the names of its service agents."),
			block("data", []string{"google_project", g.names.take("data", identifier(p), p)}, attr("project_id", str(p))))
	}
}

// The outputs, each a map.
const (
	outArchives    = "archives"
	outDeadLetters = "dead_letter_subscriptions"
	outAccounts    = "service_accounts"
)

// output adds an entry to an output.
func (g *generator) output(name, key string, value expr) {
	g.outputs[name] = append(g.outputs[name], member(key, value))
}

func (g *generator) printOutputs() {
	for _, o := range []struct{ name, description string }{
		{outAccounts, "Service account of each part, to run it as."},
		{outArchives, "Files of the archive of each bridge, for kappa backfill --archive; put a date before the star."},
		{outDeadLetters, "Subscription to the dead letters of each bridge, for kappa bridge redrive --subscription."},
	} {
		if members := g.outputs[o.name]; len(members) > 0 {
			g.put(fileOutputs, block("output", []string{o.name},
				attr("description", str(o.description)), attr("value", object(members...))))
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
