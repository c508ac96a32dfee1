// Package schema is `kappa schema`: the JSON Schema of the spec language.
package schema

import (
	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of specs",
		Long: `Print the JSON Schema (draft 2020-12) of all kinds of spec documents.

Editors with a YAML language server check and complete specs with it: save it,
and start a spec with the line

  # yaml-language-server: $schema=kappa.schema.json

The schema is JSON whatever --output says. ` + "`kappa explain`" + ` tells people what it
tells editors.`,
		Example: "  kappa schema > kappa.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := jobspecs.Schema()
			if err != nil {
				return err
			}
			_, err = a.Out.Write(s)
			return err
		},
	}
}
