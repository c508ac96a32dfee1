package deploy

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// latenessOver is for how long back it is looked for events that were too late.
const latenessOver = 7 * 24 * time.Hour

// latenessSQL asks how many events were too late lately, and how late the latest
// was. Days before the longest horizon are left out: nothing can be done about
// events of these.
const latenessSQL = "SELECT COUNT(*), MAX(TIMESTAMP_DIFF(watermark, event_time, SECOND))\n" +
	"FROM `%s.%s.%s`\n" +
	"WHERE event_time >= @from AND write_time >= @since AND TIMESTAMP_DIFF(watermark, event_time, SECOND) > @horizon"

// checkLateness holds the horizon against how late events have been.
func (d *Deployer) checkLateness(ctx context.Context, f *findings) {
	spec := &d.cfg.Job.Spec
	if spec.Pipeline == jobspecs.PipelineOther {
		return // it has a horizon of its own, or none
	}
	sink := spec.Sinks.BigQuery
	now := time.Now().UTC()
	q := d.cfg.Clients.BigQuery.Query(fmt.Sprintf(latenessSQL, spec.Project, sink.Dataset, sink.Late))
	q.Parameters = []bigquery.QueryParameter{
		{Name: "from", Value: now.Add(-jobspecs.MaxHorizon - latenessOver)},
		{Name: "since", Value: now.Add(-latenessOver)},
		{Name: "horizon", Value: int64(spec.Horizon.D().Seconds())},
	}
	what := "table " + sink.Dataset + "." + sink.Late
	var row struct {
		events int64
		latest bigquery.NullInt64
	}
	it, err := q.Read(ctx)
	if err == nil {
		var values []bigquery.Value
		if err = it.Next(&values); err == nil && len(values) == 2 {
			row.events, _ = values[0].(int64)
			row.latest.Int64, row.latest.Valid = values[1].(int64)
		}
	}
	switch {
	case err == iterator.Done, notFound(err): // nothing was written yet; others say that it is missing
	case err != nil:
		d.cfg.Log.Debug("how late events are cannot be asked", "resource", what, "error", err)
	case row.events > 0 && row.latest.Valid:
		tooLate(f, what, row.events, time.Duration(row.latest.Int64)*time.Second, spec.Horizon)
	}
}

// tooLate warns of events that were too late.
func tooLate(f *findings, what string, events int64, latest time.Duration, horizon jobspecs.Duration) {
	rows := fmt.Sprintf("%d events", events)
	if events == 1 {
		rows = "1 event"
	}
	const day = 24 * time.Hour
	mend := "nothing to do if they may stay out of the numbers; no horizon is longer than " + jobspecs.Duration(jobspecs.MaxHorizon).String()
	if latest < jobspecs.MaxHorizon {
		mend = fmt.Sprintf("set spec.horizon to %s, or leave them out of the numbers", jobspecs.Duration((latest+day)/day*day))
	}
	f.warning(what, fmt.Sprintf("in the last 7 days %s came later than spec.horizon (%s), the latest %s behind the watermark: they are in no aggregate",
		rows, horizon, jobspecs.Duration(latest)), mend)
}
