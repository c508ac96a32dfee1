package demo

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/jobspecs/examples"
)

// specs are the documents that the demo runs.
type specs struct {
	bridge  *jobspecs.Bridge
	stream  *jobspecs.StreamJob
	load    *jobspecs.BatchLoad
	compare *jobspecs.Comparison

	expects *jobspecs.Set // documents whose resources are made: the stream in all versions of the pipeline
}

// source is the one cluster that the bridge reads.
func (s *specs) source() jobspecs.KafkaSource {
	return s.bridge.Spec.Sources[s.bridge.Spec.SourceNames()[0]]
}

// Files of specs that commands are given.
const (
	bridgeFile = "bridge.yaml"
	streamFile = "stream.yaml"
)

// writeSpecs copies the specs that are built in to a folder: they are what the
// bridge's process reads, and what people find beside the reports.
func writeSpecs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exit.Environmentf("write the specs: %w", err)
	}
	files, err := fs.ReadDir(examples.Flights, "flights")
	if err != nil {
		return fmt.Errorf("read the specs: %w", err)
	}
	for _, f := range files {
		data, err := fs.ReadFile(examples.Flights, "flights/"+f.Name())
		if err != nil {
			return fmt.Errorf("read the specs: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), data, 0o644); err != nil {
			return exit.Environmentf("write the specs: %w", err)
		}
	}
	return nil
}

// loadSpecs loads the specs of a folder, with the sandbox's addresses.
func loadSpecs(dir string, vars map[string]string) (*specs, error) {
	set, err := jobspecs.Load([]string{dir}, jobspecs.Vars{Set: vars})
	if err != nil {
		return nil, err
	}
	if len(set.Bridges) != 1 || len(set.StreamJobs) != 1 || len(set.BatchLoads) != 1 || len(set.Comparisons) != 1 {
		return nil, fmt.Errorf("specs in %s: one document of each kind is needed", dir)
	}
	s := &specs{bridge: set.Bridges[0], stream: set.StreamJobs[0], load: set.BatchLoads[0], compare: set.Comparisons[0]}
	s.expects = &jobspecs.Set{Bridges: set.Bridges, BatchLoads: set.BatchLoads}
	for _, version := range []string{firstVersion, nextVersion} {
		set, err := jobspecs.Load([]string{filepath.Join(dir, streamFile)}, jobspecs.Vars{Set: map[string]string{versionVariable: version}})
		if err != nil {
			return nil, err
		}
		s.expects.StreamJobs = append(s.expects.StreamJobs, set.StreamJobs...)
	}
	return s, nil
}
