package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// help is `kappa help`. Unlike cobra's own it does not show the root's help,
// with success, for a command that there is none of.
func help() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Long:    "Show the help of a command, or of a topic such as exit-codes.",
		Example: "  kappa help compare run\n  kappa help exit-codes",
		GroupID: groupOther,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || found == nil {
				found, rest = cmd.Root(), args
			}
			if len(rest) > 0 {
				return group(found, rest)
			}
			return found.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			found, _, err := cmd.Root().Find(args)
			if err != nil || found == nil {
				found = cmd.Root()
			}
			var names []string
			for _, c := range found.Commands() {
				if c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// usageTemplate is cobra's, without the line that a command which only holds
// others can be run by itself.
func usageTemplate(root *cobra.Command) string {
	return strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1)
}
