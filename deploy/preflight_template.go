package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cloud.google.com/go/storage"

	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// maxTemplate bounds what is read of a template.
const maxTemplate = 1 << 20

// template is what a flex template file says, as far as it matters before a launch.
type template struct {
	Image    string `json:"image"`
	Metadata struct {
		Parameters []templateParameter `json:"parameters"`
	} `json:"metadata"`
}

// templateParameter is a parameter that a template declares.
type templateParameter struct {
	Name       string   `json:"name"`
	HelpText   string   `json:"helpText"`
	Label      string   `json:"label"`
	IsOptional bool     `json:"isOptional"`
	Regexes    []string `json:"regexes"`
}

// checkTemplate checks that the template is one, and takes the parameters that
// the jobs are launched with.
func (d *Deployer) checkTemplate(ctx context.Context, f *findings) {
	uri := d.cfg.Job.Spec.Template
	what := "template " + uri
	bucket, object, _ := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	r, err := d.cfg.Clients.Storage.Bucket(bucket).Object(object).NewReader(ctx)
	if errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, storage.ErrBucketNotExist) {
		f.error(what, "does not exist", "build it, or name another in spec.template")
		return
	}
	if err != nil {
		f.error(what, "cannot be read: "+err.Error(), "")
		return
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxTemplate))
	if err != nil {
		f.error(what, "cannot be read: "+err.Error(), "")
		return
	}
	var t template
	if err := json.Unmarshal(data, &t); err != nil {
		f.error(what, "is not a flex template: "+err.Error(), "")
		return
	}
	if t.Image == "" {
		f.error(what, "is not a flex template: it names no image", "")
		return
	}
	d.checkParameters(f, what, t.Metadata.Parameters)
}

// checkParameters holds the parameters of the first launch of each job against
// those that the template declares. One that declares none takes all.
func (d *Deployer) checkParameters(f *findings, what string, declared []templateParameter) {
	if len(declared) == 0 {
		return
	}
	said := map[[2]string]bool{} // the jobs of a group mostly have the same faults
	for _, job := range d.cfg.Job.JobNames() {
		given, err := d.parameters(launching{job: job, generation: 1, specFile: d.emptyPlan().SpecFile})
		if err != nil {
			f.error("job "+job, err.Error(), "")
			continue
		}
		for _, m := range mismatches(declared, given) {
			key := [2]string{m.parameter, m.text}
			if said[key] {
				continue
			}
			said[key] = true
			mend := m.mend
			if d.cfg.Job.Spec.Pipeline != jobspecs.PipelineOther {
				mend = "it is not a template of kappa-pipeline of this version: build that, or write spec.pipeline: other"
			}
			f.error(what, m.text, mend)
		}
	}
}

// mismatch is a parameter that the service would refuse a launch for.
type mismatch struct{ parameter, text, mend string }

// mismatches are all parameters that are not declared, are missing, or do not
// match what they have to.
func mismatches(declared []templateParameter, given map[string]string) []mismatch {
	var out []mismatch
	known := map[string]bool{}
	for _, p := range declared {
		known[p.Name] = true
	}
	names := slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if known[name] {
			continue
		}
		mend := "its parameters are " + strings.Join(names, ", ")
		if s := suggest.Closest(name, names); s != "" {
			mend = "write " + s + ", if that is meant"
		}
		out = append(out, mismatch{name, fmt.Sprintf("has no parameter %s", name), mend})
	}
	for _, p := range declared {
		value, ok := given[p.Name]
		switch {
		case !ok && p.IsOptional:
		case !ok:
			out = append(out, mismatch{p.Name, "requires the parameter " + p.Name + about(p), "give it in spec.parameters"})
		default:
			out = append(out, unmatched(p, value)...)
		}
	}
	return out
}

// about says what a parameter is, in the template's own words.
func about(p templateParameter) string {
	text := p.Label
	if text == "" {
		text = p.HelpText
	}
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// unmatched are the regular expressions of a parameter that a value does not
// match. The service reads them as Java does: one that Go cannot read is left to it.
func unmatched(p templateParameter, value string) []mismatch {
	var out []mismatch
	for _, expr := range p.Regexes {
		re, err := regexp.Compile(`^(?:` + expr + `)$`)
		if err == nil && !re.MatchString(value) {
			out = append(out, mismatch{p.Name, fmt.Sprintf("does not take %q for the parameter %s: it must match %s", value, p.Name, expr), "change it in spec.parameters"})
		}
	}
	return out
}
