package deploy

import (
	"encoding/json"
	"fmt"
	"slices"
)

// This file says, without I/O, what makes a plan stale.

// different says, for people, what is different in a plan that was made later;
// nothing if and only if it does the same.
func (p *Plan) different(o *Plan) []string {
	if p.same(o) {
		return nil
	}
	var out []string
	if p.Spec != o.Spec {
		out = append(out, fmt.Sprintf("the spec is %s instead of %s", o.Spec, p.Spec))
	}
	if p.Template != o.Template {
		out = append(out, fmt.Sprintf("the template is %s instead of %s", o.Template, p.Template))
	}
	if p.SpecFile != o.SpecFile && p.Spec == o.Spec {
		out = append(out, fmt.Sprintf("the spec is staged as %s instead of %s", o.SpecFile, p.SpecFile))
	}
	for _, r := range p.Create {
		if !slices.Contains(o.Create, r) {
			out = append(out, fmt.Sprintf("%s %s was to be created, and is there now", r.Kind, r.Name))
		}
	}
	for _, r := range o.Create {
		if !slices.Contains(p.Create, r) {
			out = append(out, fmt.Sprintf("%s %s is missing now", r.Kind, r.Name))
		}
	}
	if !p.Reshard && o.Reshard {
		out = append(out, "all jobs that run have to be drained before any is launched: "+o.ReshardReason)
	}
	out = append(out, differentJobs(p, o)...)
	if len(out) == 0 {
		out = append(out, "the jobs or the resources come in another order")
	}
	return out
}

func differentJobs(p, o *Plan) []string {
	var out []string
	was, is := p.decisions(), o.decisions()
	find := func(list []Action, job string) int {
		return slices.IndexFunc(list, func(a Action) bool { return a.Job == job })
	}
	for k, w := range was {
		i := find(is, w.Job)
		if i < 0 {
			out = append(out, fmt.Sprintf("%s: %s was planned; now nothing is to be done about it", w.Job, p.Jobs[k].Kind))
			continue
		}
		if w.Kind != is[i].Kind {
			out = append(out, fmt.Sprintf("%s: %s was planned; now %s: %s", w.Job, p.Jobs[k].Kind, o.Jobs[i].Kind, o.Jobs[i].Reason))
			continue
		}
		for _, c := range differences(asTree(w), asTree(is[i])) {
			out = append(out, fmt.Sprintf("%s: %s: %s is %s instead of %s", w.Job, w.Kind, c.Path, orNothing(c.To), orNothing(c.From)))
		}
	}
	for i, a := range is {
		if find(was, a.Job) < 0 {
			out = append(out, fmt.Sprintf("%s: nothing was planned; now %s: %s", a.Job, a.Kind, o.Jobs[i].Reason))
		}
	}
	return out
}

// asTree is a value as its JSON has it: mappings, lists and scalars.
func asTree(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		return nil // an Action has nothing that JSON lacks
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil
	}
	return out
}

func orNothing(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}
