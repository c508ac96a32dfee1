package dataflow_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"

	dataflowapi "cloud.google.com/go/dataflow/apiv1beta3"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// harness is a service with fake workers and the official clients.
type harness struct {
	*testing.T
	api *gcp.Dataflow
}

func start(t *testing.T, cfg dataflowtest.Config) harness {
	t.Helper()
	dataflowtest.Start(t, cfg)
	return harness{T: t, api: dataflowtest.Clients(t)}
}

func launchRequest(name string) *pb.LaunchFlexTemplateRequest {
	return &pb.LaunchFlexTemplateRequest{
		ProjectId: dataflowtest.Project, Location: dataflowtest.Region,
		LaunchParameter: &pb.LaunchFlexTemplateParameter{
			JobName:     name,
			Template:    &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: dataflowtest.Template},
			Parameters:  map[string]string{"jobspec": "gs://staging/job.yaml", "job": name, "generation": "1"},
			Environment: &pb.FlexTemplateRuntimeEnvironment{AdditionalUserLabels: map[string]string{"team": "flights"}},
		},
	}
}

func (h harness) launch(name string) *pb.Job {
	h.Helper()
	return h.launchWith(name, launchRequest(name).GetLaunchParameter().GetEnvironment())
}

func (h harness) launchWith(name string, env *pb.FlexTemplateRuntimeEnvironment) *pb.Job {
	h.Helper()
	req := launchRequest(name)
	req.LaunchParameter.Environment = env
	resp, err := h.api.Templates.LaunchFlexTemplate(h.Context(), req)
	if err != nil {
		h.Fatal(err)
	}
	return resp.GetJob()
}

func (h harness) get(id string, view pb.JobView) *pb.Job {
	h.Helper()
	j, err := h.api.Jobs.GetJob(h.Context(), &pb.GetJobRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id, View: view})
	if err != nil {
		h.Fatal(err)
	}
	return j
}

func (h harness) request(id string, s pb.JobState) (*pb.Job, error) {
	return h.api.Jobs.UpdateJob(h.Context(), &pb.UpdateJobRequest{
		ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id, Job: &pb.Job{RequestedState: s},
	})
}

func (h harness) waitFor(id string, s pb.JobState) {
	h.Helper()
	dataflowtest.Eventually(h, "job becomes "+s.String(), func(context.Context) bool {
		return h.get(id, pb.JobView_JOB_VIEW_SUMMARY).GetCurrentState() == s
	})
}

func (h harness) messages(id string, least pb.JobMessageImportance) []string {
	h.Helper()
	var texts []string
	// Pages of two, so that paging is what is tested.
	it := h.api.Messages.ListJobMessages(h.Context(), &pb.ListJobMessagesRequest{
		ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id, MinimumImportance: least, PageSize: 2,
	})
	for {
		m, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return texts
		}
		if err != nil {
			h.Fatal(err)
		}
		texts = append(texts, m.GetMessageText())
	}
}

// pid is the process of the job's worker.
func (h harness) pid(id string) int {
	h.Helper()
	for _, m := range h.messages(id, pb.JobMessageImportance_JOB_MESSAGE_BASIC) {
		if digits, ok := strings.CutPrefix(m, "Worker started, process "); ok {
			pid, err := strconv.Atoi(strings.TrimSuffix(digits, "."))
			if err != nil {
				h.Fatal(err)
			}
			return pid
		}
	}
	h.Fatal("no message names the worker's process")
	return 0
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func (h harness) list(it *dataflowapi.JobIterator) []string {
	h.Helper()
	var names []string
	for {
		j, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		if err != nil {
			h.Fatal(err)
		}
		names = append(names, j.GetName())
	}
}
