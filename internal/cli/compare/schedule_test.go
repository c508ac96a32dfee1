package compare

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	domain "github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/goldentest"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/transfer/transfertest"
)

const examples = "../../../examples/compare"

// scheduledSpec is a spec that can be scheduled.
func scheduledSpec(t *testing.T) string {
	t.Helper()
	path := spec(t, "sandbox")
	doc, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(doc, "  range: {last: 48h}\n  history: {dataset: kappa}\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func scheduleOf(t *testing.T, args ...string) domain.Schedule {
	t.Helper()
	stdout, _, err := apptest.Run(t, "json", New, append([]string{"schedule"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var s domain.Schedule
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchedule(t *testing.T) {
	platform(t)
	client, addr := transfertest.Start(t, os.Getenv(gcp.EnvBigQuery))
	t.Setenv(gcp.EnvTransfer, addr)
	path := scheduledSpec(t)
	const account = "kappa-compare@example-project.iam.gserviceaccount.com"

	if s := scheduleOf(t, "-f", path, "--status"); s.State != domain.ScheduleAbsent {
		t.Errorf("state %s before it is installed", s.State)
	}
	if s := scheduleOf(t, "-f", path, "--dry-run"); s.State != domain.ScheduleCreated || s.Config != "" || !strings.Contains(s.SQL, "MERGE") {
		t.Errorf("dry run: %+v", s)
	}
	made := scheduleOf(t, "-f", path, "--service-account", account)
	if made.State != domain.ScheduleCreated || made.Schedule != "every 24 hours" || made.Start == nil || made.Start.Minute() == 0 || made.ServiceAccount != account || made.Bytes == 0 {
		t.Errorf("made %+v", made)
	}
	if s := scheduleOf(t, "-f", path); s.State != domain.ScheduleUnchanged || s.Config != made.Config || !s.Start.Equal(*made.Start) {
		t.Errorf("installed twice: %+v", s)
	}
	run := transfertest.Fire(t, client, made.Config, start.Add(26*time.Hour))
	if run.GetErrorStatus().GetMessage() != "" {
		t.Fatal(run.GetErrorStatus().GetMessage())
	}
	changed := scheduleOf(t, "-f", path, "--every", "every day 04:17")
	if changed.State != domain.ScheduleUpdated || changed.Config != made.Config || changed.Schedule != "every day 04:17" || changed.Start != nil || changed.ServiceAccount != account || len(changed.Runs) != 1 || changed.Runs[0].State != "succeeded" {
		t.Errorf("changed %+v", changed)
	}
	stdout, _, err := apptest.Run(t, "text", New, "schedule", "-f", path, "--status")
	if err != nil || !strings.Contains(stdout, "kappa compare flights (kappa): installed") || !strings.Contains(stdout, "succeeded") || !strings.Contains(stdout, "runs as          "+account) {
		t.Errorf("error %v, status:\n%s", err, stdout)
	}
	if s := scheduleOf(t, "-f", path, "--remove", "--dry-run"); s.State != domain.ScheduleRemoved || scheduleOf(t, "-f", path, "--status").State != domain.ScheduleInstalled {
		t.Errorf("a dry run removes: %+v", s)
	}
	// What can be scheduled no more can still be looked at and removed.
	doc, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(doc), "  range: {last: 48h}\n", "", 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := apptest.Run(t, "text", New, "schedule", "-f", path); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "range.last") {
		t.Errorf("without a range: %v", err)
	}
	if s := scheduleOf(t, "-f", path, "--status"); s.State != domain.ScheduleInstalled {
		t.Errorf("without a range: %+v", s)
	}
	if s := scheduleOf(t, "-f", path, "--remove"); s.State != domain.ScheduleRemoved {
		t.Errorf("removed %+v", s)
	}
	if s := scheduleOf(t, "-f", path, "--remove"); s.State != domain.ScheduleAbsent {
		t.Errorf("removed twice: %+v", s)
	}
}

func TestScheduleRefuses(t *testing.T) {
	path := spec(t, "sandbox")
	t.Setenv(gcp.EnvBigQuery, "")
	tests := map[string]struct {
		args []string
		want string
	}{
		"on the hour":     {[]string{"--every", "every day 04:00"}, "can fire twice"},
		"no time":         {[]string{"--every", "sometimes"}, "neither an interval"},
		"kind":            {[]string{"--print", "crontab"}, "neither cronjob nor github-action"},
		"both":            {[]string{"--remove", "--status"}, "none of the others can be"},
		"files":           {[]string{"-f", "../../../jobspecs/examples/compare-files", "--name", "trips-files"}, "local files cannot be a scheduled query"},
		"cron of 5 hours": {[]string{"--every", "5h", "--print", "cronjob"}, "cron's format"},
	}
	for name, tt := range tests {
		_, _, err := apptest.Run(t, "text", New, append([]string{"schedule", "-f", path}, tt.args...)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// What --print writes are the examples.
func TestPrintedAreTheExamples(t *testing.T) {
	t.Chdir("../../..")
	for kind, file := range map[string]string{domain.PrintCronJob: "cronjob.yaml", domain.PrintGitHubAction: "workflow.yml"} {
		stdout, _, err := apptest.Run(t, "text", New, "schedule", "-f", "examples/compare/compare.yaml", "--print", kind)
		if err != nil {
			t.Fatal(err)
		}
		goldentest.Check(t, filepath.Join("examples/compare", file), []byte(stdout))
		for _, doc := range strings.Split(stdout, "\n---\n") {
			var v map[string]any
			if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
				t.Errorf("%s is no YAML: %v", file, err)
			}
		}
	}
	if _, err := jobspecs.Load([]string{"examples/compare/compare.yaml"}, jobspecs.Vars{}); err != nil {
		t.Error(err)
	}
}

// accepted reports whether the real command takes arguments.
func accepted(t *testing.T, args []string) {
	t.Helper()
	if len(args) < 2 || args[0] != "compare" {
		t.Fatalf("arguments %q", args)
	}
	cmd, rest, err := New(&app.App{}).Find(args[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err != nil || len(cmd.Flags().Args()) > 0 {
		t.Errorf("kappa %q: %v, %q left over", args, err, cmd.Flags().Args())
	}
}

func TestCronJobsCommandIsOne(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(examples, "cronjob.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, job, _ := strings.Cut(string(data), "\n---\n")
	var v struct {
		Spec struct {
			Schedule    string
			JobTemplate struct {
				Spec struct {
					Template struct {
						Spec struct {
							Containers []struct{ Args []string }
						}
					}
				}
			} `yaml:"jobTemplate"`
		}
	}
	if err := yaml.Unmarshal([]byte(job), &v); err != nil {
		t.Fatal(err)
	}
	accepted(t, v.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args)
	if strings.HasPrefix(v.Spec.Schedule, "0 ") {
		t.Errorf("it fires on the hour: %s", v.Spec.Schedule)
	}
}

// The steps of the action are run as GitHub runs them, with a kappa that answers as
// it is told to.
func TestActionTellsVerdictsApart(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(examples, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct {
			Steps []struct {
				Name, Run, Uses, If string
				Env                 map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(data, &action); err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]string{"0": "GO", "10": "HOLD", "13": "NO DATA", "3": "ERROR"} {
		dir := t.TempDir()
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		}
		report := `mkdir -p "$OUT"; echo "# report" > "$OUT/compare.md"`
		if code == "3" {
			report = "true"
		}
		write("kappa", "#!/bin/bash\nprintf '%s\\n' \"$@\" > \""+dir+"/args\"\n"+report+"\nexit "+code+"\n")
		output, summary := write("output", ""), write("summary", "")
		values := map[string]string{"inputs.spec": "specs/\nmore specs.yaml\n", "inputs.set": "A=$(touch hacked)\n", "inputs.from": "2001-01-08"}
		for name, in := range action.Inputs {
			if _, ok := values["inputs."+name]; !ok {
				values["inputs."+name] = in.Default
			}
		}
		last := 0
		for _, step := range action.Runs.Steps {
			if step.Run == "" {
				continue
			}
			cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "GITHUB_OUTPUT=" + output, "GITHUB_STEP_SUMMARY=" + summary}
			for name, v := range step.Env {
				key := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(v, "${{"), "}}"))
				value, ok := values[key]
				if !ok {
					t.Fatalf("step %s reads %s, which there is not", step.Name, v)
				}
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			out, err := cmd.CombinedOutput()
			last = cmd.ProcessState.ExitCode()
			if err != nil && step.Name != "Verdict" {
				t.Fatalf("step %s: %v\n%s", step.Name, err, out)
			}
			written, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(written)) {
				name, v, _ := strings.Cut(strings.TrimSpace(line), "=")
				values["steps.run.outputs."+name] = v
			}
		}
		if got := values["steps.run.outputs.verdict"]; got != want || values["steps.run.outputs.code"] != code || (last == 0) != (code == "0") {
			t.Errorf("code %s: verdict %q, code %q, the job ends with %d", code, got, values["steps.run.outputs.code"], last)
		}
		shown, err := os.ReadFile(summary)
		if err != nil || !strings.Contains(string(shown), map[bool]string{true: "ended with code 3", false: "# report"}[code == "3"]) {
			t.Errorf("code %s: %v, summary %q", code, err, shown)
		}
		args, err := os.ReadFile(filepath.Join(dir, "args"))
		if err != nil {
			t.Fatal(err)
		}
		list := strings.Split(strings.TrimSuffix(string(args), "\n"), "\n")
		accepted(t, list)
		if !strings.Contains(string(args), "-f\nmore specs.yaml\n") || !strings.Contains(string(args), "--set\nA=$(touch hacked)\n") {
			t.Errorf("arguments %q", list)
		}
		if _, err := os.Stat(filepath.Join(dir, "hacked")); err == nil {
			t.Error("an input was run as a command")
		}
	}
}

func TestInit(t *testing.T) {
	platform(t)
	out := filepath.Join(t.TempDir(), "compare.yaml")
	args := []string{"init", "--sandbox", "--project", "kappa-demo", "--batch", "kappa.batch_flights", "--stream", "kappa.stream_flights", "--out", out}
	_, stderr, err := apptest.Run(t, "text", New, args...)
	if err != nil || !strings.Contains(stderr, "key      origin: origin = origin (sure: same name)") || !strings.Contains(stderr, "guess    window: 1h") {
		t.Fatalf("error %v, stderr:\n%s", err, stderr)
	}
	// It runs.
	if _, _, err := apptest.Run(t, "text", New, "plan", "-f", out); err != nil {
		t.Errorf("the spec does not run: %v", err)
	}
	if _, _, err := apptest.Run(t, "text", New, args...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("overwritten: %v", err)
	}
	stdout, _, err := apptest.Run(t, "json", New, append(args, "--force")...)
	var g domain.Init
	if err == nil {
		err = json.Unmarshal([]byte(stdout), &g)
	}
	if err != nil || len(g.Matches) != 2 {
		t.Errorf("error %v, matches %+v", err, g.Matches)
	}
	if _, _, err := apptest.Run(t, "text", New, "init", "--sandbox", "--project", "kappa-demo", "--batch", "kappa.none", "--stream", "kappa.stream_flights"); exit.Of(err) != exit.Environment {
		t.Errorf("a table that is missing: %v", err)
	}
}
