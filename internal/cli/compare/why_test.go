package compare

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	domain "github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
)

func TestWhy(t *testing.T) {
	platform(t)
	path := spec(t, "sandbox")
	const window = "2001-01-08T00:00:00Z"
	stdout, stderr, err := apptest.Run(t, "text", New, "why", "ORD", window, "-f", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"origin = ORD in the window from 2001-01-08T00:00:00Z to 2001-01-08T01:00:00Z: exact", "flights-0@1 pane 0: flights 3", "the spec names no raw events"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the text lacks %q:\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "reconcile") {
		t.Errorf("no progress on stderr:\n%s", stderr)
	}
	stdout, _, err = apptest.Run(t, "json", New, "why", "origin=ORD", window, "-f", path)
	var why domain.Why
	if err != nil || json.Unmarshal([]byte(stdout), &why) != nil || why.Version != domain.WhyVersion || *why.Metrics[0].Batch != "3" || why.Events == nil {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}

	tests := []struct {
		name string
		args []string
		code exit.Code
		want string
	}{
		{"no window", []string{"ORD"}, exit.Usage, "KEY and WINDOW are wanted, and 1 of them is given"},
		{"no time", []string{"ORD", "noon"}, exit.Usage, `WINDOW "noon" is not a time`},
		{"an empty window", []string{"ORD", ""}, exit.Usage, "WINDOW is empty"},
		{"no start of a window", []string{"ORD", "2001-01-08T00:30:00Z"}, exit.Usage, "no window starts at 2001-01-08T00:30:00Z"},
		{"no such key", []string{"ATL", window}, exit.Usage, "no such key"},
		{"not settled", []string{"ORD", "2001-01-08T05:00:00Z"}, exit.NoData, "not settled"},
		{"no limit", []string{"ORD", window, "--limit", "0"}, exit.Usage, "--limit is 0"},
		{"no spec", []string{"ORD", window, "-f", filepath.Join(t.TempDir(), "none.yaml")}, 0, "none.yaml"},
	}
	for _, tt := range tests {
		args := append([]string{"why"}, tt.args...)
		if tt.name != "no spec" {
			args = append(args, "-f", path)
		}
		stdout, _, err := apptest.Run(t, "text", New, args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.code != 0 && exit.Of(err) != tt.code || stdout != "" {
			t.Errorf("%s: %v (exit %d), stdout %q", tt.name, err, exit.Of(err), stdout)
		}
	}
}
