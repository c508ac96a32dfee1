package dataflow_test

import (
	"log/slog"

	"github.com/kappa-migrate/kappa/sandbox/dataflow"
)

// startStuck starts a service whose drains never end.
func startStuck(storage, pipeline string) (*dataflow.Server, error) {
	stuck, err := dataflow.Rules(dataflow.Rule{Call: dataflow.CallDrain, Stuck: true})
	if err != nil {
		return nil, err
	}
	return dataflow.New(dataflow.Config{
		Log: slog.Default(), StorageEndpoint: storage, PipelineBinary: pipeline, Script: stuck,
	})
}
