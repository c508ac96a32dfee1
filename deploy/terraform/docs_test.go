package terraform

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	grants     = regexp.MustCompile(`(?ms)^resource "google_[a-z_]+_iam_member" "([A-Za-z0-9_]+)" \{$(.*?)^\}$`)
	roleLine   = regexp.MustCompile(`(?m)^  role += (?:"([^"]+)"|google_project_iam_custom_role\.([A-Za-z]+)_\w+\.name|each\.value)$`)
	writerLine = regexp.MustCompile(`"(roles/[^"]+)",`)
	docRow     = regexp.MustCompile("(?m)^\\| `((?:roles/|kappa)[A-Za-z./]+)` \\|")
)

// granted are the roles that any of the cases grants, by part.
func granted(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, c := range cases {
		for _, f := range generate(t, load(t, c.paths...), c.options).Files {
			for _, m := range grants.FindAllStringSubmatch(f.Text, -1) {
				part, _, _ := strings.Cut(m[1], "_")
				switch {
				case part == "archive", strings.Contains(m[1], "_kms"):
					part = "service agents"
				}
				role := roleLine.FindStringSubmatch(m[2])
				if role == nil {
					t.Fatalf("%s grants no role:\n%s", m[1], m[2])
				}
				roles := []string{role[1] + role[2]}
				if roles[0] == "" {
					roles = nil
					for _, w := range writerLine.FindAllStringSubmatch(m[2], -1) {
						roles = append(roles, w[1])
					}
				}
				out[part] = append(out[part], roles...)
			}
		}
	}
	return out
}

// documented are the roles of docs/iam.md, by part.
func documented(t *testing.T) (byPart map[string][]string, text string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/iam.md")
	if err != nil {
		t.Fatal(err)
	}
	byPart = map[string][]string{}
	for _, section := range strings.Split(string(data), "\n### ")[1:] {
		head, body, _ := strings.Cut(section, "\n")
		body, _, _ = strings.Cut(body, "\n## ")
		for _, m := range docRow.FindAllStringSubmatch(body, -1) {
			byPart[head] = append(byPart[head], m[1])
		}
	}
	return byPart, string(data)
}

// docs/iam.md gives a reason for every role that is granted, and for no other.
func TestRolesAreDocumented(t *testing.T) {
	have, text := documented(t)
	want := granted(t)
	if len(want) != 9 {
		t.Errorf("%d parts get roles: %v", len(want), want)
	}
	for part, roles := range want {
		for _, r := range roles {
			if !slices.Contains(have[part], r) {
				t.Errorf("%s gets %s, of which docs/iam.md says nothing", part, r)
			}
		}
	}
	for part, roles := range have {
		for _, r := range roles {
			if !slices.Contains(want[part], r) {
				t.Errorf("docs/iam.md says that %s gets %s, which it does not", part, r)
			}
		}
	}
	for _, r := range []customRole{replayRole, trackingRole, scheduleRole} {
		for _, p := range r.permissions {
			if !strings.Contains(text, "`"+p+"`") {
				t.Errorf("docs/iam.md does not name %s of %s", p, r.id)
			}
		}
	}
}
