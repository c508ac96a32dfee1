package operations

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestAlerts: each alert asks for what a bridge shows, and the guide says what
// it means.
func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions([]byte(read(t, examples+"/alerts.yaml")), &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	known, anchors := registry(t), anchors(read(t, guide))
	var alerts []string
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			for _, w := range check(r.Expr, known) {
				t.Errorf("%s: %s", r.Alert, w)
			}
			page, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
			if page != "docs/bridge.md" || anchor != strings.ToLower(r.Alert) || !slices.Contains(anchors, anchor) {
				t.Errorf("%s: %q is no heading of the guide", r.Alert, r.Annotations["runbook_url"])
			}
			if r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s has no summary or severity", r.Alert)
			}
			_, by, _ := uses(r.Expr)
			for _, l := range templateLabel.FindAllStringSubmatch(r.Annotations["summary"], -1) {
				if !slices.Contains(by, l[1]) {
					t.Errorf("%s: its summary has the label %s, which the expression does not keep", r.Alert, l[1])
				}
			}
		}
	}
	if len(alerts) < 10 {
		t.Errorf("only %d alerts", len(alerts))
	}
	for _, a := range anchors {
		if strings.HasPrefix(a, "kappabridge") && !slices.ContainsFunc(alerts, func(n string) bool { return strings.ToLower(n) == a }) {
			t.Errorf("the guide explains #%s, which is no alert", a)
		}
	}
}

var (
	templateLabel = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	heading       = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAnchor   = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are those of a page's headings.
func anchors(page string) []string {
	var found []string
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		found = append(found, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return found
}

// TestDashboard: each panel asks for what a bridge shows, and nothing that a
// bridge shows is left out.
func TestDashboard(t *testing.T) {
	var d struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, RefID string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, examples+"/grafana.json")), &d); err != nil {
		t.Fatal(err)
	}
	known := registry(t)
	shown := map[string]bool{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 {
			t.Errorf("panel %q: its id or place is wrong", p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, w := range check(target.Expr, known) {
				t.Errorf("panel %q: %s: %s", p.Title, w, target.Expr)
			}
			found, _, _ := uses(target.Expr)
			for _, u := range found {
				shown[strings.TrimSuffix(u.metric, "_bucket")] = true
			}
		}
	}
	for n := range known {
		if strings.HasPrefix(n, "kappa_bridge_") && !strings.Contains(known[n].kind, "histogram_") && !shown[n] {
			t.Errorf("no panel shows %s", n)
		}
	}
	for _, v := range d.Templating.List {
		if m := regexp.MustCompile(`label_values\((\w+),`).FindStringSubmatch(v.Query); m != nil && known[m[1]] == nil {
			t.Errorf("variable %s: there is no metric %s", v.Name, m[1])
		}
	}
}
