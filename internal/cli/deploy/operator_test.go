package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	deploycli "github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/deploy/deploytest"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// run runs a command of `kappa deploy`.
func run(t *testing.T, args ...string) (out, errs string, err error) {
	t.Helper()
	return apptest.Run(t, "text", deploycli.New, args...)
}

// runJSON runs a command with --output json, which must print v and nothing else.
func runJSON(t *testing.T, v any, args ...string) error {
	t.Helper()
	out, errs, err := apptest.Run(t, "json", deploycli.New, args...)
	if jerr := json.Unmarshal([]byte(out), v); jerr != nil {
		t.Errorf("%v: %v: %v\n%s\n%s", args, jerr, err, out, errs)
	}
	return err
}

// changed writes the spec with a text replaced.
func changed(t *testing.T, old, with string) string {
	t.Helper()
	text, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Replace(text, []byte(old), []byte(with), 1)
	file := filepath.Join(t.TempDir(), "stream.yaml")
	if err := os.WriteFile(file, out, 0o644); err != nil || bytes.Equal(out, text) {
		t.Fatalf("there is no %q in the spec, or %v", old, err)
	}
	return file
}

// A plan file is applied as it was looked at, or not at all.
func TestPlanFile(t *testing.T) {
	deploytest.Start(t, dataflowtest.Reading(dataflowtest.Load(t, specFile)))
	dir := t.TempDir()
	file := filepath.Join(dir, "flights.plan")
	out, errs, err := run(t, "plan", "-f", specFile, "--out", file)
	if exit.Of(err) != exit.Pending || !strings.Contains(out, "3 to launch") {
		t.Fatalf("plan: %v\n%s\n%s", err, out, errs)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("files: %v, %v", left, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.plan")
	if err := os.WriteFile(broken, bytes.Replace(text, []byte(`"generation": 1`), []byte(`"generation": 2`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	other := changed(t, "horizon: 4d", "horizon: 5d")
	for _, c := range []struct {
		args []string
		code exit.Code
		want string
	}{
		{[]string{broken, "--yes"}, exit.Usage, "was changed after it was made"},
		{[]string{specFile, "--yes"}, exit.Usage, "is not one"},
		{[]string{filepath.Join(dir, "nope.plan"), "--yes"}, exit.Environment, "does not exist"},
		{[]string{file, "-f", other, "--yes"}, exit.Usage, "was made of another spec"},
		{[]string{file, "--set", "A=b", "--yes"}, exit.Usage, "has its own"},
		{[]string{file}, exit.Usage, "no terminal"},
	} {
		if _, _, err := run(t, append([]string{"apply", "--poll", "20ms"}, c.args...)...); exit.Of(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
	out, errs, err = run(t, "apply", file, "-f", specFile, "--yes", "--poll", "20ms", "--reason", "planned")
	if err != nil || strings.Count(out, "RUNNING") != 3 || !strings.Contains(errs, "Plan of ") {
		t.Fatalf("apply: %v\n%s\n%s", err, out, errs)
	}

	// Now it is stale, and what is different is said.
	_, _, err = run(t, "apply", file, "--yes", "--poll", "20ms")
	if exit.Of(err) != exit.Pending || !strings.Contains(err.Error(), "flights-1: launch was planned; now keep: is RUNNING") || !strings.Contains(err.Error(), "dataset kappa was to be created, and is there now") {
		t.Errorf("a stale file: %v", err)
	}
	if _, _, err := run(t, "plan", "-f", specFile, "--out", filepath.Join(dir, "nowhere", "x")); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "write plan") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// A life by the operator's commands.
func TestOperate(t *testing.T) {
	deploytest.Start(t, dataflowtest.Reading(dataflowtest.Load(t, specFile)))
	if out, _, err := run(t, "status", "-f", specFile); err != nil || strings.Count(out, "never launched") != 3 {
		t.Errorf("status before: %v\n%s", err, out)
	}
	if out, _, err := run(t, "history", "-f", specFile); err != nil || out != "No deployment is on record.\n" {
		t.Errorf("history before: %v\n%s", err, out)
	}
	if _, _, err := run(t, "rollback", "-f", specFile, "--yes"); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "nothing to go back to") {
		t.Errorf("rollback before: %v", err)
	}
	if _, _, err := run(t, "abort", "-f", specFile); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "no deployment of flights goes on") {
		t.Errorf("abort before: %v", err)
	}
	if _, errs, err := run(t, "apply", "-f", specFile, "--yes", "--poll", "20ms", "--reason", "the first"); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	longer := changed(t, "horizon: 4d", "horizon: 5d")
	if _, errs, err := run(t, "apply", "-f", longer, "--yes", "--poll", "20ms", "--reason", "longer"); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}

	out, errs, err := run(t, "status", "-f", longer)
	if err != nil || strings.Count(out, "the wanted one") != 3 || !strings.Contains(out, "Deployed flights-0, flights-1, flights-2: ") || !strings.Contains(out, ": longer\n") ||
		!strings.Contains(out, " behind)") || strings.Contains(out, "Drift") || strings.Contains(out, "Unfinished") {
		t.Errorf("status: %v\n%s\n%s", err, out, errs)
	}
	var s deploy.Status
	if err := runJSON(t, &s, "status", "-f", specFile); err != nil || len(s.Jobs) != 3 || s.Jobs[1].Wanted || s.Jobs[1].Generation != 2 || s.Jobs[1].Watermark == nil || s.Drift == nil {
		t.Errorf("status: %v, %+v", err, s)
	}

	var list struct{ Deployments []deploy.Deployment }
	if err := runJSON(t, &list, "history", "-f", specFile); err != nil || len(list.Deployments) != 2 || list.Deployments[0].Reason != "longer" || list.Deployments[0].Version == "" {
		t.Fatalf("history: %v, %+v", err, list)
	}
	if out, _, err := run(t, "history", "-f", specFile, "--limit", "1", "--job", "flights-0"); err != nil || strings.Count(out, "\n") != 2 || !strings.Contains(out, "  apply ") || !strings.Contains(out, "  done ") || !strings.Contains(out, "longer") {
		t.Errorf("history: %v\n%s", err, out)
	}
	id := list.Deployments[0].ID
	out, _, err = run(t, "history", "-f", specFile, id)
	if err != nil || !strings.HasPrefix(out, id+", apply by ") || !strings.Contains(out, "draining flights-2, generation 1") || !strings.Contains(out, "ends: done") {
		t.Errorf("timeline: %v\n%s", err, out)
	}
	var tl deploy.Timeline
	if err := runJSON(t, &tl, "history", "-f", specFile, id); err != nil || tl.ID != id || len(tl.Entries) < 10 || tl.Entries[0].Line != "apply begins" {
		t.Errorf("timeline: %v, %+v", err, tl)
	}

	if _, _, err := run(t, "rollback", "-f", longer); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no terminal") {
		t.Errorf("rollback without --yes: %v", err)
	}
	out, errs, err = run(t, "rollback", "-f", longer, "--yes", "--poll", "20ms", "--reason", "errors")
	if err != nil || strings.Count(out, "now") != 3 || !strings.Contains(out, "The spec file still says what was rolled back.") ||
		!strings.Contains(errs, "Back to ") || !strings.Contains(errs, `spec.horizon: "5d" → "4d"`) || strings.Index(errs, "drain flights-2: done") > strings.Index(errs, "drain flights-0: done") {
		t.Errorf("rollback: %v\n%s\n%s", err, out, errs)
	}
	var back struct {
		To     deploy.Deployment
		Result deploy.Result
	}
	if err := runJSON(t, &back, "rollback", "-f", longer, "--yes", "--poll", "20ms", "--to", id); err != nil || back.To.ID != id || len(back.Result.Jobs) != 3 || !back.Result.Jobs[0].Launched {
		t.Errorf("and forward by name: %v, %+v", err, back)
	}
	if _, _, err := run(t, "rollback", "-f", longer, "--yes", "--to", "x"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "has no deployment") {
		t.Errorf("back to nothing: %v", err)
	}
}

func TestAdopt(t *testing.T) {
	deploytest.Start(t, dataflowtest.Reading(dataflowtest.Load(t, specFile)))
	job := dataflowtest.Load(t, specFile)
	api := dataflowapi.New(dataflowtest.Clients(t), job.Spec.Project, job.Spec.Region)
	j, err := api.Launch(t.Context(), &pb.LaunchFlexTemplateParameter{
		JobName: "by-hand", Parameters: map[string]string{"jobspec": "gs://b/x.yaml", "job": "flights-1", "generation": "1"},
		Template: &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: job.Spec.Template},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := j.GetId()
	dataflowtest.Eventually(t, id+" runs", func(ctx context.Context) bool {
		j, err := api.Summary(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return j.GetCurrentState() == pb.JobState_JOB_STATE_RUNNING && len(j.GetJobMetadata().GetPubsubDetails()) > 0
	})
	args := []string{"adopt", "-f", specFile, "--job", "flights-1=" + id}
	if _, errs, err := run(t, args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no terminal") || !strings.Contains(errs, "as flights-1, generation 1") {
		t.Errorf("without --yes: %v\n%s", err, errs)
	}
	out, errs, err := run(t, append(args, "--yes", "--reason", "by hand")...)
	if err != nil || out != id+" is adopted as flights-1, generation 1.\n" || !strings.Contains(errs, "(by-hand), RUNNING") || !strings.Contains(errs, "reads flights-1, flights-4") || !strings.Contains(errs, "not known is which spec it runs with") {
		t.Errorf("adopt: %v\n%s\n%s", err, out, errs)
	}
	var p deploy.AdoptPlan
	if err := runJSON(t, &p, append(args, "--yes")...); err != nil || p.Jobs[0].Kind != deploy.Keep {
		t.Errorf("again: %v, %+v", err, p)
	}
	out, _, err = run(t, "status", "-f", specFile)
	if err != nil || !strings.Contains(out, "RUNNING, adopted") || !strings.Contains(out, ", adopt by ") {
		t.Errorf("status: %v\n%s", err, out)
	}
	if _, _, err := run(t, "adopt", "-f", specFile, "--yes", "--job", "flights-0="+id); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "it writes as flights-1") {
		t.Errorf("as another: %v", err)
	}
	out, errs, err = run(t, "apply", "-f", specFile, "--yes", "--poll", "20ms")
	if err != nil || !strings.Contains(errs, "drain flights-1: done") || strings.Count(out, "RUNNING") != 3 {
		t.Errorf("apply: %v\n%s\n%s", err, out, errs)
	}
}

func TestOperatorUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"plan", "-f", specFile, "--out", ""}, "--out names no file"},
		{[]string{"history", "-f", specFile, "--limit", "-1"}, "--limit -1"},
		{[]string{"history", "-f", specFile, "x", "--job", "flights-0"}, "choose among deployments"},
		{[]string{"adopt", "-f", specFile}, "--job is missing"},
		{[]string{"adopt", "-f", specFile, "--job", "flights-0"}, `--job "flights-0" is not NAME=DATAFLOW_ID`},
		{[]string{"adopt", "-f", specFile, "--job", "=x"}, `--job "=x" is not`},
		{[]string{"rollback", "-f", specFile, "--to", ""}, "--to names no deployment"},
		{[]string{"rollback", "-f", specFile, "--poll", "0s"}, "--poll 0s"},
		{[]string{"rollback", "-f", specFile, "--on-timeout", "cancel"}, "refused without --accept-loss"},
		{[]string{"status"}, "no spec given"},
		{[]string{"abort"}, "no spec given"},
	} {
		if _, _, err := run(t, c.args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
