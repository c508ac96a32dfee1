package deploy

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Adoption names a job that somebody has started by hand, and which job of the
// group it is to be.
type Adoption struct {
	Job        string `json:"job"`
	DataflowID string `json:"dataflow_id"`
}

// AdoptPlan is what Adopt records, and, once it is recorded, what it has.
type AdoptPlan struct {
	Group   string    `json:"group"`
	Project string    `json:"project"`
	Region  string    `json:"region"`
	Jobs    []Adopted `json:"jobs"`
}

// PlanAdopt looks at jobs that are to be adopted. The error says all that is in
// the way of any of them.
func (d *Deployer) PlanAdopt(ctx context.Context, list []Adoption) (*AdoptPlan, error) {
	if err := d.checkAdoptions(list); err != nil {
		return nil, err
	}
	var log history.Log
	exists, err := d.hasHistory(ctx)
	if err != nil {
		return nil, err
	}
	if exists {
		if log, err = d.cfg.History.Read(ctx); err != nil {
			return nil, err
		}
	}
	spec := d.cfg.Job.Spec
	p := &AdoptPlan{Group: d.cfg.Job.Metadata.Name, Project: spec.Project, Region: spec.Region, Jobs: make([]Adopted, len(list))}
	wrong := make([][]string, len(list))
	err = each(ctx, len(list), func(ctx context.Context, i int) error {
		a, err := d.adopting(ctx, log, list[i])
		if status.Code(err) == codes.NotFound {
			wrong[i] = []string{fmt.Sprintf("there is no such job in %s, %s", spec.Project, spec.Region)}
			return nil
		}
		if err == nil {
			p.Jobs[i], wrong[i] = decideAdoption(a)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var lines []string
	for i, texts := range wrong {
		for _, t := range texts {
			lines = append(lines, fmt.Sprintf("%s as %s: %s", list[i].DataflowID, list[i].Job, t))
		}
	}
	if len(lines) > 0 {
		return nil, exit.Environmentf("not adopted:\n  %s", strings.Join(lines, "\n  "))
	}
	return p, nil
}

// checkAdoptions checks what somebody has typed.
func (d *Deployer) checkAdoptions(list []Adoption) error {
	names := d.cfg.Job.JobNames()
	for i, a := range list {
		if !slices.Contains(names, a.Job) {
			e := exit.Usagef("%s has no job %q", d.cfg.Job.Metadata.Name, a.Job)
			if s := suggest.Closest(a.Job, names); s != "" {
				return e.WithHint("did you mean %s?", s)
			}
			return e.WithHint("its jobs are %s", strings.Join(names, ", "))
		}
		for _, b := range list[:i] {
			if a.Job == b.Job || a.DataflowID == b.DataflowID {
				return exit.Usagef("%s=%s and %s=%s: a job can be adopted once, as one job", b.Job, b.DataflowID, a.Job, a.DataflowID)
			}
		}
	}
	if len(list) == 0 {
		return exit.Usagef("no job is named").WithHint("name one as %s=DATAFLOW_ID", names[0])
	}
	return nil
}

// adopting gathers what is known of a job that is to be adopted.
func (d *Deployer) adopting(ctx context.Context, log history.Log, ad Adoption) (adopting, error) {
	a := adopting{
		group: d.cfg.Job.Metadata.Name, job: ad.Job, owners: d.owners(), writes: d.cfg.Job.Spec.Pipeline != jobspecs.PipelineOther,
	}
	for s, owner := range a.owners {
		if owner == ad.Job {
			a.reads = append(a.reads, s)
		}
	}
	slices.Sort(a.reads)
	if g, ok := log.Latest(ad.Job); ok {
		a.latest = &g
	}
	var err error
	if a.live, err = d.cfg.Jobs.Get(ctx, ad.DataflowID); err != nil {
		return a, err
	}
	jobs, err := d.cfg.Jobs.Named(ctx, ad.Job)
	if err != nil {
		return a, err
	}
	a.running, err = d.activeOf(ctx, jobs)
	return a, err
}

// Adopt records the jobs of a plan that was looked at as generations that are
// open. It launches and stops nothing.
func (d *Deployer) Adopt(ctx context.Context, p *AdoptPlan, progress func(Event)) (*AdoptPlan, error) {
	var list []Adoption
	for _, j := range p.Jobs {
		list = append(list, Adoption{Job: j.Job, DataflowID: j.DataflowID})
	}
	var fresh *AdoptPlan
	err := d.recorded(ctx, journal.CommandAdopt, func(ctx context.Context) (any, bool, error) {
		var err error
		if fresh, err = d.PlanAdopt(ctx, list); err != nil {
			return nil, false, err
		}
		if !p.same(fresh) { // invariant D1
			return nil, false, exit.With(exit.Pending, errors.New("the jobs are not any more what they were when they were looked at")).
				WithHint("run the command again")
		}
		return fresh, slices.ContainsFunc(fresh.Jobs, func(j Adopted) bool { return j.Kind == Adopt }), nil
	}, func(ctx context.Context, r *recorder) (any, error) { return fresh, d.adopt(ctx, fresh, r) }, progress)
	return fresh, err
}

// same reports whether o, made later, records the same. Jobs start meanwhile.
func (p *AdoptPlan) same(o *AdoptPlan) bool {
	plain := func(jobs []Adopted) []Adopted {
		jobs = slices.Clone(jobs)
		for i := range jobs {
			jobs[i].State = ""
		}
		return jobs
	}
	return reflect.DeepEqual(asTree(plain(p.Jobs)), asTree(plain(o.Jobs)))
}

func (d *Deployer) adopt(ctx context.Context, p *AdoptPlan, r *recorder) error {
	exists, err := d.hasHistory(ctx)
	if err != nil {
		return err
	}
	if !exists {
		if err := r.before(ctx, Event{Step: Creating, Text: "the history of generations"}); err != nil {
			return err
		}
		if err := d.create(ctx, Resource{Kind: kindDataset, Name: d.cfg.Job.Spec.Sinks.BigQuery.Dataset}); err != nil {
			return err
		}
		if err := d.cfg.History.Ensure(ctx); err != nil {
			return err
		}
	}
	for _, j := range p.Jobs {
		w := tables.Writer{Job: j.Job, Generation: j.Generation}
		if j.Kind == Keep {
			r.note(of(Running, w, j.DataflowID, "adopted before"))
			continue
		}
		// invariant D2
		if err := r.before(ctx, of(Recording, w, j.DataflowID, fmt.Sprintf("generation %d as open, adopted", j.Generation))); err != nil {
			return err
		}
		if err := d.record(ctx, tables.Generation{
			Job: j.Job, Generation: j.Generation, Kind: tables.WriterStream, State: tables.StateOpen, Group: p.Group, DataflowJobID: nullString(j.DataflowID),
		}); err != nil {
			return fmt.Errorf("adopt %s as %s: %w", j.DataflowID, j.Job, err)
		}
		if err := r.after(ctx, of(Running, w, j.DataflowID, "adopted")); err != nil {
			return err
		}
	}
	return nil
}
