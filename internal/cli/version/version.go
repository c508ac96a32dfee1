// Package version is `kappa version`: which build this is.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
)

// Info is what a build knows about itself.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit, RFC 3339
	Modified bool   `json:"modified"`       // built from a tree with changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read reads the build's information. linked is the version that was set at
// link time; without it the module's version is taken.
func Read(linked string) Info {
	i := Info{Version: linked, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		if i.Version == "" {
			i.Version = "unknown"
		}
		return i
	}
	if i.Version == "" {
		i.Version = b.Main.Version
	}
	if i.Version == "" || i.Version == "(devel)" {
		i.Version = "devel"
	}
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = s.Value
		case "vcs.time":
			i.Time = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	return i
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print which build of kappa this is: version, commit, Go version and platform.",
		Example: "  kappa version\n  kappa version --output json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			i := Read(a.Version)
			if a.JSON() {
				return a.PrintJSON(i)
			}
			_, err := fmt.Fprintf(a.Out, "kappa %s\n", i.Version)
			if err == nil && i.Commit != "" {
				modified := ""
				if i.Modified {
					modified = " (modified)"
				}
				_, err = fmt.Fprintf(a.Out, "commit %s%s of %s\n", i.Commit, modified, i.Time)
			}
			if err == nil {
				_, err = fmt.Fprintf(a.Out, "%s %s\n", i.Go, i.Platform)
			}
			return err
		},
	}
}
