package terraform

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Marker is the first line of every file: a file that begins with it may be
// written anew.
const Marker = "# Written by kappa export terraform; do not edit: changes are lost when it is written anew."

// Options say what is written beside what kappa cannot create itself.
type Options struct {
	Tables bool // BigQuery tables, which kappa otherwise creates
}

// Configuration is a Terraform configuration.
type Configuration struct {
	Files     []File     `json:"files"`
	Resources []Resource `json:"resources"`
	Notes     []string   `json:"notes"` // what the specs leave open, for people
}

// File is a file of the configuration.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Resource is a resource of the configuration.
type Resource struct {
	Address   string   `json:"address"` // TYPE.NAME
	Type      string   `json:"type"`
	File      string   `json:"file"`
	Instances []string `json:"instances,omitempty"` // keys, where there are several
}

// The files, in the order in which they are printed.
const (
	fileMain      = "main.tf"
	fileVariables = "variables.tf"
	filePubSub    = "pubsub.tf"
	fileStorage   = "storage.tf"
	fileBigQuery  = "bigquery.tf"
	fileBigtable  = "bigtable.tf"
	fileIAM       = "iam.tf"
	fileOutputs   = "outputs.tf"
)

// FileNames are the names of all files that there may be, in order.
func FileNames() []string { return slices.Clone(fileOrder) }

var fileOrder = []string{fileMain, fileVariables, filePubSub, fileStorage, fileBigQuery, fileBigtable, fileIAM, fileOutputs}

// Generate writes the configuration of all that the specs need. Specs that need
// nothing of Google Cloud are a usage error.
func Generate(set *jobspecs.Set, o Options) (*Configuration, error) {
	g := &generator{
		set: set, options: o, names: names{}, files: map[string][]item{},
		refs: map[string]string{}, granted: map[string]bool{}, variables: map[string]bool{},
		locations: map[string]expr{}, numbers: map[string]bool{},
		outputs: map[string][]item{},
	}
	g.sandboxed()
	g.regions()
	for _, b := range set.Bridges {
		g.bridge(b)
	}
	for _, j := range set.StreamJobs {
		g.streamJob(j)
	}
	for _, l := range set.BatchLoads {
		g.batchLoad(l)
	}
	for _, c := range set.Comparisons {
		g.comparison(c)
	}
	for _, d := range set.Monitors {
		g.monitor(d)
	}
	if len(g.config.Resources) == 0 {
		return nil, exit.Usagef("the specs need nothing on Google Cloud").
			WithHint("name specs with -f that publish to Pub/Sub, or are of kind StreamJob, BatchLoad, Comparison or DuplicateMonitor")
	}
	g.main()
	g.printOutputs()
	for _, name := range fileOrder {
		if body := g.files[name]; len(body) > 0 {
			text := strings.Join(append([]string{Marker, ""}, lines(body[:len(body)-1])...), "\n") + "\n"
			g.config.Files = append(g.config.Files, File{Name: name, Text: text})
		}
	}
	slices.SortStableFunc(g.config.Resources, func(a, b Resource) int {
		return cmp.Compare(slices.Index(fileOrder, a.File), slices.Index(fileOrder, b.File))
	})
	if g.config.Notes == nil {
		g.config.Notes = []string{}
	}
	return &g.config, nil
}

// generator is a configuration on its way.
type generator struct {
	set     *jobspecs.Set
	options Options
	names   names
	files   map[string][]item
	config  Configuration

	refs      map[string]string // address of what is declared, by a key of its kind
	granted   map[string]bool   // roles, by what, whom and which
	variables map[string]bool   // that are declared
	locations map[string]expr   // of a project's data, where it does not follow from a document
	numbers   map[string]bool   // projects whose number is needed
	schedules bool              // a comparison may become a scheduled query

	outputs map[string][]item // entries of outputs, by output
}

// put adds items to a file, with a blank line after them.
func (g *generator) put(file string, items ...item) {
	g.files[file] = append(append(g.files[file], items...), blank())
}

// resource adds a resource, under the name wished for if nothing else has it,
// and returns its address. thing is what it is: no two are alike.
func (g *generator) resource(file, typ, wish, thing, why string, instances []string, body ...item) string {
	name := g.names.take(typ, wish, thing)
	if why != "" {
		g.files[file] = append(g.files[file], comment(why))
	}
	g.put(file, block("resource", []string{typ, name}, body...))
	address := typ + "." + name
	g.config.Resources = append(g.config.Resources, Resource{Address: address, Type: typ, File: file, Instances: instances})
	return address
}

// variable declares a variable, once, and returns the reference to it. Without
// a value it must be given.
func (g *generator) variable(name, description, typ string, value expr) string {
	if !g.variables[name] {
		g.variables[name] = true
		body := []item{attr("description", str(description)), attr("type", raw(typ))}
		if value != nil {
			body = append(body, attr("default", value))
		}
		g.put(fileVariables, block("variable", []string{name}, body...))
	}
	return "var." + name
}

func (g *generator) note(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(g.config.Notes, s) {
		g.config.Notes = append(g.config.Notes, s)
	}
}

// sandboxed takes note of the documents that run in the sandbox.
func (g *generator) sandboxed() {
	var found []string
	add := func(kind string, m jobspecs.Metadata, p jobspecs.Platform) {
		if p.Environment == "sandbox" {
			found = append(found, kind+" "+m.Name)
		}
	}
	for _, d := range g.set.Bridges {
		add(jobspecs.KindBridge, d.Metadata, d.Spec.Platform)
	}
	for _, d := range g.set.StreamJobs {
		add(jobspecs.KindStreamJob, d.Metadata, d.Spec.Platform)
	}
	for _, d := range g.set.BatchLoads {
		add(jobspecs.KindBatchLoad, d.Metadata, d.Spec.Platform)
	}
	for _, d := range g.set.Comparisons {
		add(jobspecs.KindComparison, d.Metadata, d.Spec.Platform)
	}
	for _, d := range g.set.Monitors {
		add(jobspecs.KindDuplicateMonitor, d.Metadata, d.Spec.Platform)
	}
	if len(found) > 0 {
		g.note("the sandbox needs none of this, and environment is sandbox in %s", strings.Join(found, ", "))
	}
}

// regions finds where each project has its data: where its first StreamJob runs.
func (g *generator) regions() {
	for _, j := range g.set.StreamJobs {
		if g.locations[j.Spec.Project] == nil {
			g.locations[j.Spec.Project] = str(j.Spec.Region)
		}
	}
}

// location is where a project has its data.
func (g *generator) location(project string) expr {
	if e := g.locations[project]; e != nil {
		return e
	}
	e := raw(g.variable(identifier("location", project), "Location of the datasets and buckets of project "+project+", such as europe-west1: no StreamJob says where its data is.", "string", nil))
	g.locations[project] = e
	return e
}

// projectNumber is a reference to the number of a project.
func (g *generator) projectNumber(project string) string {
	g.numbers[project] = true
	return "data.google_project." + g.names.take("data", identifier(project), project) + ".number"
}

// labels are the labels of a document, if it has any.
func labels(m jobspecs.Metadata) []item {
	if len(m.Labels) == 0 {
		return nil
	}
	var members []item
	for _, k := range sortedKeys(m.Labels) {
		members = append(members, member(k, str(m.Labels[k])))
	}
	return []item{attr("labels", object(members...))}
}

// apart puts a blank line before items, if there are any.
func apart(items []item) []item {
	if len(items) == 0 {
		return nil
	}
	return append([]item{blank()}, items...)
}

// kept keeps a resource from being destroyed by a plan.
func kept() []item {
	return []item{blank(), block("lifecycle", nil, attr("prevent_destroy", boolean(true)))}
}

// seconds writes a duration as Google Cloud reads it.
func seconds(n int64) expr { return str(fmt.Sprintf("%ds", n)) }
