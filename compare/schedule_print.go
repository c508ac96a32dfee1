package compare

import (
	_ "embed"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// What PrintSchedule writes.
const (
	PrintCronJob      = "cronjob"
	PrintGitHubAction = "github-action"
)

//go:embed schedule_cronjob.yaml.tmpl
var cronJobText string

//go:embed schedule_action.yaml.tmpl
var actionText string

var scheduleTemplates = map[string]*template.Template{
	PrintCronJob:      template.Must(template.New(PrintCronJob).Parse(cronJobText)),
	PrintGitHubAction: template.Must(template.New(PrintGitHubAction).Parse(actionText)),
}

// Printed is the comparison as the printed files run it.
type Printed struct {
	Name       string // of the Comparison
	Project    string
	Recurrence Recurrence
	Specs      []string // paths, as they were given
	Env        string   // environment of the specs; "": none
	Sets       []string // NAME=VALUE of variables
}

// PrintSchedule writes the file of a kind that runs the comparison elsewhere than
// in BigQuery.
func PrintSchedule(w io.Writer, kind string, p Printed) error {
	if p.Recurrence.Cron == "" {
		return exit.Usagef("%q cannot be said in cron's format", p.Recurrence.Text).
			WithHint("give 1h, 2h, 3h, 4h, 6h, 8h, 12h, 24h, 168h, or a time of the day on days of the week")
	}
	data := struct {
		Printed
		Every, Cron string
		Args        []string
	}{Printed: p, Every: p.Recurrence.Text, Cron: p.Recurrence.Cron, Args: []string{"compare", "run"}}
	for _, s := range p.Specs {
		// A ConfigMap is flat: the files of a folder are beside those that are named.
		at := "/etc/kappa"
		if e := filepath.Ext(s); e == ".yaml" || e == ".yml" {
			at += "/" + filepath.Base(s)
		}
		data.Args = append(data.Args, "-f", at)
	}
	data.Args = append(data.Args, "--name", p.Name)
	if p.Env != "" {
		data.Args = append(data.Args, "--env", p.Env)
	}
	for _, s := range p.Sets {
		data.Args = append(data.Args, "--set", s)
	}
	data.Args = append(data.Args, "--out", "/tmp/reports")
	for i, a := range data.Args {
		data.Args[i] = yamlText(a)
	}
	data.Env = yamlText(p.Env)
	var b strings.Builder
	if err := scheduleTemplates[kind].Execute(&b, data); err != nil {
		return fmt.Errorf("write the %s: %w", kind, err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// yamlText quotes a text that YAML could take for something else.
func yamlText(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("/._-", r) || r >= '0' && r <= '9')
	})
	first := strings.TrimLeft(s, "-")
	switch {
	case s == "":
		return ""
	case plain && first != "" && (first[0] >= 'a' && first[0] <= 'z' || first[0] >= 'A' && first[0] <= 'Z' || first[0] == '/') && !yamlWords[strings.ToLower(s)]:
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// yamlWords are texts that YAML reads as other than text.
var yamlWords = map[string]bool{"true": true, "false": true, "yes": true, "no": true, "on": true, "off": true, "null": true, "y": true, "n": true}
