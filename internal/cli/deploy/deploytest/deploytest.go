// Package deploytest starts the sandbox that the tests of commands which deploy
// have in common: that of the flights, with fake workers.
package deploytest

import (
	"testing"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

// SpecFile is the StreamJob of the flights, as the folders of commands see it.
const SpecFile = "../../../jobspecs/examples/flights/stream.yaml"

// Archive names the files of an archive that Start has written.
const Archive = "gs://" + dataflowtest.FlightsStaging + "/archive/*.avro"

// Start starts a sandbox with what the jobs of the flights need, an archive that
// no fake worker reads, and workers that behave as told. No job runs yet.
func Start(t *testing.T, behaviours map[string]dataflowtest.Behaviour) *deploy.Clients {
	t.Helper()
	binary := dataflowtest.SetWorker(t, behaviours)
	sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary = binary })
	job := dataflowtest.Load(t, SpecFile)
	clients, err := deploy.Connect(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.Close)
	dataflowtest.PrepareFlights(t, job, clients.PubSub, clients.Storage)
	dataflowtest.Write(t, clients.Storage, dataflowtest.FlightsStaging, "archive/1.avro", "not read by the fake worker")
	return clients
}
