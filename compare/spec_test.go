package compare

import (
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func flightsSpec() *jobspecs.Comparison {
	return &jobspecs.Comparison{
		Header:   jobspecs.Header{APIVersion: jobspecs.APIVersion, Kind: jobspecs.KindComparison},
		Metadata: jobspecs.Metadata{Name: "flights", Labels: map[string]string{"Team": "Data Platform"}},
		Spec: jobspecs.ComparisonSpec{
			Platform: jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"},
			Dataset:  "kappa",
			Batch:    jobspecs.BatchSide{Side: jobspecs.Side{Table: "batch_flights", Time: "window_start", Unique: true}, Cutoff: jobspecs.Duration(2 * time.Hour)},
			Stream:   jobspecs.StreamSide{Side: jobspecs.Side{Table: "stream_flights", Time: "window_start"}, Job: "flights"},
			Keys:     []jobspecs.CompareKey{{Name: "origin", Type: "STRING"}},
			Window:   jobspecs.Duration(time.Hour),
			Metrics: []jobspecs.Metric{{Name: "flights", Type: "count", Value: "INT64"},
				{Name: "delay_sum", Type: "sum", Value: "INT64", Field: "delay"}, {Name: "distance_sum", Type: "sum", Value: "INT64", Field: "distance"}},
			Evidence: jobspecs.Evidence{Raw: "raw_flights", Late: "late_flights", MaxBytesBilled: 1 << 30},
			Gate:     jobspecs.Gate{MinExactPercent: "95"},
			Limits:   jobspecs.CompareLimits{MaxBytesBilled: 10 << 30, Samples: 20},
		},
	}
}
