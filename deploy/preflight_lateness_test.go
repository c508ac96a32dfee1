package deploy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/deploy"
)

// A plan says how late events have been, where that is later than the horizon.
func TestLatenessIsHeldAgainstTheHorizon(t *testing.T) {
	f := start(t, true, nil)
	f.job.Spec.Jobs = 1
	f.apply()
	warnings := func() []deploy.Problem {
		return slices.DeleteFunc(f.plan().Problems, func(p deploy.Problem) bool { return p.What != "table kappa.late_flights" })
	}
	if got := warnings(); len(got) > 0 {
		t.Errorf("nothing was late: %+v", got)
	}
	now := time.Now().UTC()
	late := func(behind, written time.Duration) *bigquery.ValuesSaver {
		md, err := f.clients.BigQuery.Dataset("kappa").Table("late_flights").Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := now.Add(-written)
		row := make([]bigquery.Value, len(md.Schema))
		for i, c := range md.Schema {
			switch {
			case c.Name == "event_time":
				row[i] = at.Add(-behind)
			case c.Type == bigquery.TimestampFieldType:
				row[i] = at
			case c.Type == bigquery.StringFieldType && c.Required:
				row[i] = "x"
			case c.Type == bigquery.IntegerFieldType && c.Required:
				row[i] = 1
			}
		}
		return &bigquery.ValuesSaver{Schema: md.Schema, Row: row}
	}
	put := func(rows ...*bigquery.ValuesSaver) {
		t.Helper()
		if err := f.clients.BigQuery.Dataset("kappa").Table("late_flights").Inserter().Put(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	const day = 24 * time.Hour
	// Within the horizon, as behind a backfill; too long ago; later than any horizon.
	put(late(3*day, time.Hour), late(6*day, 8*day), late(90*day, time.Hour))
	if got := warnings(); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	put(late(5*day, time.Hour), late(6*day+time.Hour, time.Hour))
	got := warnings()
	if len(got) != 1 || got[0].Severity != deploy.Warning ||
		!strings.Contains(got[0].Text, "2 events came later than spec.horizon (4d), the latest 145h behind") || !strings.HasPrefix(got[0].Mend, "set spec.horizon to 7d") {
		t.Errorf("%+v", got)
	}
}
