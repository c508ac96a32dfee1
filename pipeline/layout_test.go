package pipeline

import (
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// A change after which the bytes of a step's state would mean something else
// gives the step another name; other changes keep it, so that a job can be
// updated in place. (P2, P3)
func TestLayoutsOfState(t *testing.T) {
	layouts := func(change func(*jobspecs.StreamJobSpec)) (dedup, aggregate string) {
		s := rolled(t)
		if change != nil {
			change(&s.Spec)
		}
		p, err := NewPlan(s, "flights-0", 1)
		if err == nil {
			err = p.Streams(s, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		return p.dedupLayout(), p.aggregateLayout(&p.Aggregations[0])
	}
	dedup, aggregate := layouts(nil)
	for _, c := range []struct {
		name             string
		change           func(*jobspecs.StreamJobSpec)
		dedup, aggregate bool // the name stays
	}{
		{"nothing", func(*jobspecs.StreamJobSpec) {}, true, true},
		{"another generation's tuning", func(s *jobspecs.StreamJobSpec) { s.Tuning.Workers = 9 }, true, true},
		{"a filter", func(s *jobspecs.StreamJobSpec) {
			s.Aggregations[0].Filter = "event.distance > 300 && event.origin != ''"
		}, true, true},
		{"a field that nothing uses", func(s *jobspecs.StreamJobSpec) {
			s.Event.Fields = append(s.Event.Fields, jobspecs.Field{Name: "more", Type: "STRING"})
		}, true, true},
		{"a field that an expression uses", func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Filter = "has(event.scheduled)" }, false, true},
		{"the horizon", func(s *jobspecs.StreamJobSpec) {
			s.Deduplication.Horizon, s.Horizon = s.Horizon, s.Horizon+jobspecs.Duration(time.Hour)
		}, true, false},
		{"deduplication", func(s *jobspecs.StreamJobSpec) { s.Deduplication.Horizon = jobspecs.Duration(time.Hour) }, false, true},
		{"a subscription", func(s *jobspecs.StreamJobSpec) { s.Sources.Count++ }, false, true},
		{"a window", func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Window *= 2 }, true, false},
		{"the order of rollups", func(s *jobspecs.StreamJobSpec) {
			r := s.Aggregations[0].Rollups
			s.Aggregations[0].Rollups = [][]string{r[1], r[0], r[2], r[3]}
		}, true, false},
		{"no rollups", func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Rollups = nil }, true, false},
		{"a measure", func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Measures = s.Aggregations[0].Measures[:4] }, true, false},
		{"a measure's type", func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Measures[3].Type = "min" }, true, false},
		{"the order of dimensions", func(s *jobspecs.StreamJobSpec) {
			s.Aggregations[0].Dimensions = []string{"carrier", "origin", "class"}
		}, false, false},
		{"a field's type", func(s *jobspecs.StreamJobSpec) { s.Event.Fields[4].Type = "INT64" }, false, false},
	} {
		d, a := layouts(c.change)
		if (d == dedup) != c.dedup || (a == aggregate) != c.aggregate {
			t.Errorf("%s: the ids' layout stays: %v, want %v; the aggregation's: %v, want %v", c.name, d == dedup, c.dedup, a == aggregate, c.aggregate)
		}
	}
}
