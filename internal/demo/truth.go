package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// truth is kappa-truth's report, as far as the demo uses it.
type truth struct {
	Events      int64     `json:"events"`
	Windows     int64     `json:"windows"`
	LateDropped int64     `json:"late_dropped"`
	BigQuery    truthSide `json:"bigquery"`
	Bigtable    truthSide `json:"bigtable"`
	Agrees      bool      `json:"agrees"`
}

type truthSide struct {
	Counted         int64 `json:"counted"`
	Lost            int64 `json:"lost"`
	DoubleCounted   int64 `json:"double_counted"`
	DisagreeingKeys int64 `json:"disagreeing_keys"`
	Same            bool  `json:"same"`
}

// truthDisagrees is kappa-truth's exit code for a report of disagreement.
const truthDisagrees = 1

// checkTruth runs kappa-truth, writes its report to a file and returns it.
func checkTruth(ctx context.Context, input, logs, file string, s *specs) (*truth, error) {
	path, err := child.Sibling("kappa-truth", "KAPPA_TRUTH_BIN")
	if err != nil {
		return nil, exit.Environmentf("%w", err)
	}
	agg := s.stream.Spec.Aggregations[0]
	sinks := s.stream.Spec.Sinks
	out, _, err := runTool(ctx, "kappa-truth", path, logs, []string{
		"--input=" + input, "--output=json", "--project=" + s.stream.Spec.Project,
		"--dataset=" + sinks.BigQuery.Dataset, "--stream-table=" + agg.Table,
		"--raw-table=" + sinks.BigQuery.Raw, "--late-table=" + sinks.BigQuery.Late,
		"--instance=" + sinks.Bigtable.Instance, "--bigtable-table=" + sinks.Bigtable.Table,
		"--aggregation=" + agg.Name, "--window=" + agg.Window.String(),
	}, truthDisagrees)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, out, 0o644); err != nil {
		return nil, exit.Environmentf("write kappa-truth's report: %w", err)
	}
	var t truth
	if err := json.Unmarshal(out, &t); err != nil {
		return nil, fmt.Errorf("read kappa-truth's report: %w", err)
	}
	return &t, nil
}
