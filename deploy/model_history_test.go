package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file is the history and the drainer of the model's world.

// modelHistory is the history as deploy calls it.
type modelHistory struct{ *world }

func (w modelHistory) Ensure(context.Context) error { return nil }

func (w modelHistory) Read(context.Context) (history.Log, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return history.Log{}, errDead
	}
	return history.Fold(w.rows), nil
}

func (w modelHistory) Append(_ context.Context, g tables.Generation) (tables.Generation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return g, w.write(func() error {
		switch w.chance(g.Job, 16) {
		case 1:
			return errAway
		case 2:
			if err := w.record(g); err != nil {
				return err
			}
			return errAway // the answer is lost
		}
		return w.record(g)
	})
}

// record appends a row, and holds it against what may be.
func (w *world) record(g tables.Generation) error {
	log := history.Fold(w.rows)
	if latest, ok := log.Latest(g.Job); ok && g.Generation > latest.Generation+1 || !ok && g.Generation != 1 {
		w.fail("%s is recorded, and the generation before is not", g.Writer())
	}
	old, known := log.Writer(g.Job, g.Generation)
	if known {
		if !g.DataflowJobID.Valid {
			g.DataflowJobID = old.DataflowJobID
		}
		if !g.Supersedes.Valid {
			g.Supersedes = old.Supersedes
		}
		if g.DataflowJobID.StringVal != old.DataflowJobID.StringVal && old.DataflowJobID.Valid {
			return fmt.Errorf("%s is job %s", g.Writer(), old.DataflowJobID.StringVal)
		}
		if g.State == old.State && g.DataflowJobID == old.DataflowJobID {
			return nil
		}
		if old.State != tables.StateOpen && g.State != old.State {
			return fmt.Errorf("%s is %s", g.Writer(), old.State)
		}
		g.Seq = old.Seq
	}
	for _, j := range w.jobs {
		if j.name != g.Job || j.generation != g.Generation {
			continue
		}
		drained := j.state == pb.JobState_JOB_STATE_DRAINED || j.state == pb.JobState_JOB_STATE_DONE
		switch {
		case g.State == tables.StateDrained && !drained:
			w.fail("%s is recorded as drained, and its job is %s", g.Writer(), j.state)
		case g.State == tables.StateVoid && (drained || j.active()):
			w.fail("%s is recorded as void, and its job is %s", g.Writer(), j.state)
		}
	}
	g.Seq++
	g.RecordedAt = time.Now().Add(time.Duration(len(w.rows)) * time.Microsecond)
	w.rows = append(w.rows, g)
	return nil
}

// ends records how the generation of a job ended, found as history.Store finds it.
func (w *world) ends(j *modelJob, state string) error {
	for _, g := range history.Fold(w.rows).Generations(j.name) {
		if g.DataflowJobID.StringVal == j.id || !g.DataflowJobID.Valid && g.Generation == j.generation {
			g.State, g.DataflowJobID = state, nullString(j.id)
			return w.record(g)
		}
	}
	return fmt.Errorf("the history knows no job %s", j.id)
}

func (w modelHistory) RecordDrained(_ context.Context, _, job, id string, generation int64, _ time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(func() error { return w.ends(&modelJob{name: job, id: id, generation: generation}, tables.StateDrained) })
}

func (w modelHistory) RecordUpdated(context.Context, string, int64, string, string) error {
	return errors.New("nothing is updated in place here")
}

// modelDrainer drains as package drain may.
type modelDrainer struct{ *world }

func (w modelDrainer) Drain(_ context.Context, name string, _ func(string)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var job *modelJob
	for _, j := range w.newest(name) {
		if job == nil {
			job = j
		}
	}
	if job == nil {
		return errors.New("there is no job")
	}
	if job.active() && job.state != pb.JobState_JOB_STATE_CANCELLING {
		if err := w.write(func() error { job.state = pb.JobState_JOB_STATE_DRAINING; return nil }); err != nil {
			return err
		}
	}
	fate := w.chance(name, 12)
	switch {
	case fate == 1:
		return errors.New("the drain takes too long")
	case fate == 2:
		return nil // says that it is over, and it is not
	case fate == 3 && job.active():
		job.state = pb.JobState_JOB_STATE_FAILED
	case fate == 4 && job.active(): // cancelled because it did not drain in time
		job.state = pb.JobState_JOB_STATE_CANCELLED
		return w.write(func() error { return w.ends(job, tables.StateVoid) })
	case job.state == pb.JobState_JOB_STATE_DRAINING:
		job.state = pb.JobState_JOB_STATE_DRAINED
	}
	if job.state != pb.JobState_JOB_STATE_DRAINED {
		return fmt.Errorf("the job became %s", strings.TrimPrefix(job.state.String(), "JOB_STATE_"))
	}
	if fate == 5 {
		return errors.New("it has drained, but that is not on record")
	}
	return w.write(func() error { return w.ends(job, tables.StateDrained) })
}

func (w modelDrainer) Cancel(context.Context, string, func(string)) error {
	return errors.New("nothing is cancelled here")
}
