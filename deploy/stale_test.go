package deploy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func examplePlan() *Plan {
	return &Plan{
		Group: "g", Spec: "s1", SpecFile: "gs://b/s1.yaml", Template: "gs://b/t", Drift: []Drift{}, Problems: []Problem{},
		Create: []Resource{{Kind: kindTable, Name: "d.t"}, {Kind: kindFile, Name: "gs://b/s1.yaml", Note: "resolved spec"}},
		Jobs: []Action{
			{Job: "g-0", Kind: Replace, Generation: 2, Drains: &Drains{Generation: 1, DataflowID: "j1", State: "RUNNING"}, Reason: "r", Changes: []Change{{Path: "p", From: "1", To: "2"}}},
			{Job: "g-1", Kind: Launch, Generation: 1, Reason: "was never launched"},
			{Job: "g-2", Kind: Resize, Generation: 1, DataflowID: "j2", Resize: &Bounds{Min: 1, Max: 5}, Reason: "r"},
		},
	}
}

// What is different is said, and only that.
func TestDifferent(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Plan)
		want   []string
	}{
		{"nothing", func(*Plan) {}, nil},
		{"words alone", func(p *Plan) {
			p.Jobs[0].Reason, p.Jobs[0].Changes, p.Problems = "other", nil, []Problem{{Severity: Warning}}
			p.Drift = []Drift{{Job: "g-0"}}
		}, nil},
		{"a drain that was begun", func(p *Plan) { p.Jobs[0].Drains.State = "DRAINING" }, []string{"g-0: replace was planned; now replace: r"}},
		{"the spec", func(p *Plan) { p.Spec, p.SpecFile = "s2", "gs://b/s2.yaml" }, []string{"the spec is s2 instead of s1"}},
		{"the staging folder", func(p *Plan) { p.SpecFile = "gs://c/s1.yaml" }, []string{"the spec is staged as gs://c/s1.yaml instead of gs://b/s1.yaml"}},
		{"the template", func(p *Plan) { p.Template = "gs://b/u" }, []string{"the template is gs://b/u instead of gs://b/t"}},
		{"a table was created", func(p *Plan) { p.Create = p.Create[1:] }, []string{"table d.t was to be created, and is there now"}},
		{"a table is gone", func(p *Plan) { p.Create = append(p.Create, Resource{Kind: kindTable, Name: "d.u"}) }, []string{"table d.u is missing now"}},
		{"another order", func(p *Plan) { slices.Reverse(p.Create) }, []string{"the jobs or the resources come in another order"}},
		{"a reshard", func(p *Plan) { p.Reshard, p.ReshardReason = true, "why" }, []string{"all jobs that run have to be drained before any is launched: why"}},
		{"a job runs", func(p *Plan) {
			p.Jobs[1] = Action{Job: "g-1", Kind: Keep, Generation: 1, DataflowID: "j9", Reason: "is RUNNING"}
		}, []string{"g-1: launch was planned; now keep: is RUNNING"}},
		{"another generation", func(p *Plan) { p.Jobs[1].Generation = 4 }, []string{"g-1: launch: generation is 4 instead of 1"}},
		{"other bounds", func(p *Plan) { p.Jobs[2].Resize = &Bounds{Min: 1, Max: 6} }, []string{"g-2: resize: resize.max_workers is 6 instead of 5"}},
		{"it supersedes", func(p *Plan) { p.Jobs[1].Supersedes = "g-1@0" }, []string{`g-1: launch: supersedes is "g-1@0" instead of nothing`}},
		{"a job less", func(p *Plan) { p.Jobs = p.Jobs[:2] }, []string{"g-2: resize was planned; now nothing is to be done about it"}},
		{"a job more", func(p *Plan) { p.Jobs = append(p.Jobs, Action{Job: "g-3", Kind: Retire, Reason: "why"}) }, []string{"g-3: nothing was planned; now retire: why"}},
	} {
		before, after := examplePlan(), examplePlan()
		c.change(after)
		if diff := cmp.Diff(c.want, before.different(after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if before.same(after) != (len(c.want) == 0) {
			t.Errorf("%s: same is %v", c.name, before.same(after))
		}
	}
	reshard := examplePlan()
	reshard.Reshard = true
	if got := reshard.different(examplePlan()); got != nil {
		t.Errorf("drains that are over: %q", got)
	}
}

// What a file gives back does the same as what went into it.
func TestPlanFile(t *testing.T) {
	at := time.Date(2001, 1, 8, 6, 0, 0, 0, time.UTC)
	job := flights(t)
	doc, err := jobspecs.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	d := &Deployer{cfg: Config{Job: job, Version: "v1"}, doc: doc}
	p := examplePlan()
	p.Create = []Resource{}
	f, err := d.File(p, "ada", at)
	if err != nil {
		t.Fatal(err)
	}
	data, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, from, err := DecodePlan("plan.json", data, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got.Plan); diff != "" || got.By != "ada" || !got.At.Equal(at) {
		t.Errorf("by %s at %s, plan (-want +got):\n%s", got.By, got.At, diff)
	}
	if diff := p.different(got.Plan); diff != nil {
		t.Errorf("different: %q", diff)
	}
	if same, err := got.SameSpec(from); err != nil || !same || !cmp.Equal(job.Spec, from.Spec) {
		t.Errorf("the spec is another one: %v", err)
	}
	from.Spec.Horizon++
	if same, err := got.SameSpec(from); err != nil || same {
		t.Errorf("a changed spec is the same: %v", err)
	}

	var compact map[string]json.RawMessage
	if err := json.Unmarshal(data, &compact); err != nil {
		t.Fatal(err)
	}
	reformatted, err := json.Marshal(compact)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := DecodePlan("plan.json", reformatted, "v1"); err != nil {
		t.Errorf("other spaces: %v", err)
	}
	text := string(data)
	for _, c := range []struct{ name, data, version, want string }{
		{"another version", text, "v2", "was made by kappa v1, and this is v2"},
		{"a generation", strings.Replace(text, `"generation": 2`, `"generation": 3`, 1), "v1", "was changed after it was made"},
		{"the spec", strings.Replace(text, "horizon: 4d", "horizon: 5d", 1), "v1", "was changed after it was made"},
		{"who made it", strings.Replace(text, `"ada"`, `"eve"`, 1), "v1", "was changed after it was made"},
		{"the hash", strings.Replace(text, `"sha256": "`, `"sha256": "0`, 1), "v1", "was changed after it was made"},
		{"the format", strings.Replace(text, `"format": 1`, `"format": 2`, 1), "v1", "has format 2; this version of kappa reads 1"},
		{"another field", strings.Replace(text, `"format": 1`, `"format": 1, "then": 2`, 1), "v1", "unknown field"},
		{"half of it", text[:len(text)/2], "v1", "is not one"},
		{"nothing", "", "v1", "is not one"},
		{"twice", text + text, "v1", "something stands behind it"},
		{"a spec", "apiVersion: kappa/v1", "v1", "is not one"},
	} {
		if c.data == text && c.version == "v1" {
			t.Fatalf("%s: nothing was changed", c.name)
		}
		if _, _, err := DecodePlan("plan.json", []byte(c.data), c.version); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "plan file plan.json: ") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}

	p.Problems = []Problem{{Severity: Error, What: "subscription x", Text: "does not exist"}}
	if _, err := d.File(p, "ada", at); err == nil {
		t.Error("a plan with errors was written")
	}
}
