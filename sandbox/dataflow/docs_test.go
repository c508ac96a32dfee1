package dataflow_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

const page = "../../docs/sandbox-dataflow.md"

// examples are what the page says of its scripts, by heading.
var examples = map[string]func(h harness){
	"Refused, busy, away": func(h harness) {
		for _, want := range []codes.Code{codes.AlreadyExists, codes.ResourceExhausted, codes.Unavailable, codes.OK} {
			h.launches("flights-0", want)
		}
	},
	"A launch whose answer is lost": func(h harness) {
		h.launches("flights-0", codes.Unavailable)
		if got := h.names(pb.ListJobsRequest_ACTIVE); !slices.Equal(got, []string{"flights-0"}) {
			h.Errorf("active: %v", got)
		}
	},
	"Slow answers": func(h harness) {
		id, began := h.launch("flights-0").GetId(), time.Now()
		if h.view(id); time.Since(began) < 300*time.Millisecond {
			h.Errorf("answered after %s", time.Since(began))
		}
	},
	"A launch that fails late": func(h harness) {
		id := h.launch("flights-0").GetId()
		h.wantView("launched", id, "PENDING")
		h.waitFor(id, pb.JobState_JOB_STATE_FAILED)
		if got := h.messages(id, pb.JobMessageImportance_JOB_MESSAGE_ERROR); !slices.Contains(got, "The launcher VM could not pull the image.") {
			h.Errorf("messages %q", got)
		}
	},
	"A drain that is stuck": func(h harness) {
		id := h.drains("flights-0")
		h.wantView("drained", id, "DRAINING")
	},
	"A drain and its cancel are stuck": func(h harness) {
		id := h.drains("flights-0")
		if _, err := h.request(id, pb.JobState_JOB_STATE_CANCELLED); err != nil {
			h.Fatal(err)
		}
		h.wantView("cancelled", id, "CANCELLING")
		_, err := h.api.Jobs.UpdateJob(h.Context(), &pb.UpdateJobRequest{
			ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id,
			Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_CANCELLED, Labels: map[string]string{"force_cancel_job": "true"}},
		})
		if err != nil {
			h.Fatal(err)
		}
		h.wantView("forced", id, "CANCELLED")
	},
	"A drain that fails": func(h harness) {
		h.waitFor(h.drains("flights-0"), pb.JobState_JOB_STATE_FAILED)
	},
	"A state that nobody knows": func(h harness) {
		id, seen := h.launch("flights-0").GetId(), 0
		dataflowtest.Eventually(h, "the job is RUNNING", func(context.Context) bool {
			v := h.view(id)
			if v == "99" {
				seen++
			}
			return v == "RUNNING"
		})
		if seen != 2 {
			h.Errorf("seen %d times", seen)
		}
	},
	"A job that vanishes": func(h harness) {
		id := h.drains("flights-0")
		h.waitFor(id, pb.JobState_JOB_STATE_DRAINED)
		h.wantView("afterwards", id, "NotFound")
	},
	"Watermarks by script": func(h harness) {
		id := h.running("flights-0")
		for _, want := range []string{"-1", "978912000000", "-2", "-2"} {
			m := h.metrics(id)
			if i := slices.IndexFunc(m, func(u *pb.MetricUpdate) bool {
				return u.GetName().GetName() == "windmill-data-watermark" && u.GetName().GetContext()["stage"] == "F39"
			}); i < 0 || m[i].GetScalar().GetStringValue() != want {
				h.Errorf("want %s in %v", want, m)
			}
		}
	},
	"No watermarks": func(h harness) {
		for _, u := range h.metrics(h.running("flights-0")) {
			if strings.Contains(strings.ToLower(u.GetName().GetName()), "watermark") {
				h.Errorf("metric %v", u)
			}
		}
	},
}

func (h harness) launches(name string, want codes.Code) {
	h.Helper()
	if _, err := h.api.Templates.LaunchFlexTemplate(h.Context(), launchRequest(name)); status.Code(err) != want {
		h.Errorf("launch: %v, want %v", err, want)
	}
}

// drains runs a job and requests its drain.
func (h harness) drains(name string) string {
	h.Helper()
	id := h.running(name)
	if _, err := h.request(id, pb.JobState_JOB_STATE_DRAINED); err != nil {
		h.Fatal(err)
	}
	return id
}

func (h harness) metrics(id string) []*pb.MetricUpdate {
	h.Helper()
	m, err := h.api.Metrics.GetJobMetrics(h.Context(), &pb.GetJobMetricsRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id})
	if err != nil {
		h.Fatal(err)
	}
	return m.GetMetrics()
}

var (
	exampleBlock = regexp.MustCompile("(?s)\n### ([^\n]+)\n\n```yaml\nrules:\n(.*?)\n```\n")
	anyBlock     = regexp.MustCompile("(?m)^```yaml$")
	goBlock      = regexp.MustCompile("(?s)```go\n(.*?)```")
)

// Every script of the page does what the page says of it.
func TestPageScripts(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := exampleBlock.FindAllStringSubmatch(string(text), -1)
	if all := anyBlock.FindAll(text, -1); len(found) != len(examples) || len(found) != len(all) {
		t.Errorf("%d examples under headings of %d, and %d are tried", len(found), len(all), len(examples))
	}
	for _, m := range found {
		t.Run(m[1], func(t *testing.T) {
			try := examples[m[1]]
			if try == nil {
				t.Fatal("nobody tries this example")
			}
			try(startRules(t, m[2]))
		})
	}
}

// The page's Go code is that of files which compile, and does something.
func TestPageCode(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := goBlock.FindAllSubmatch(text, -1)
	files := []string{"docs_jobs_test.go", "docs_script_test.go"}
	if len(blocks) != len(files) {
		t.Fatalf("%d blocks, want %d", len(blocks), len(files))
	}
	for i, f := range files {
		if code, err := os.ReadFile(f); err != nil || string(code) != string(blocks[i][1]) {
			t.Errorf("%s is not what the page has: %v", f, err)
		}
	}
	t.Setenv(gcp.EnvDataflow, "127.0.0.1:1")
	if err := printJobs(t.Context()); err == nil {
		t.Error("printed jobs of no service")
	}
	start(t, dataflowtest.Config{}).running("flights-0")
	if err := printJobs(t.Context()); err != nil {
		t.Error(err)
	}
	s, err := startStuck("127.0.0.1:1", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
