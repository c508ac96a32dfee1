package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// exitCodes is the help topic `kappa help exit-codes`.
func exitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every kappa program ends with one of these codes. Below 10 they speak of the run\nitself, from 10 on of what the run found out.\n\n")
	for _, row := range exit.Table {
		fmt.Fprintf(&b, "  %3d  %s\n", row.Code, row.Meaning)
	}
	return topic("exit-codes", "The exit codes", b.String())
}

// specsTopic is the help topic `kappa help specs`.
func specsTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString(`Specs are YAML documents, several to a file if need be:

  apiVersion: kappa/v1
  kind: Bridge            # or BatchLoad, Comparison, DuplicateMonitor, StreamJob
  metadata: {name: flights}
  spec: …

` + "`kappa explain`" + ` says what a kind or a field means, ` + "`kappa schema`" + ` prints the JSON
Schema for editors, ` + "`kappa validate`" + ` checks specs, and ` + "`kappa init`" + ` writes the first ones.

Variables. A document declares those that it uses; ${NAME} stands for the value
in any string below metadata and spec:

  variables:
    KAFKA_BROKERS: {description: Bootstrap addresses, default: "kafka:9092"}

The value is that of --set NAME=VALUE, else of the environment, else the
default. $${ stands for ${ itself.

Inheritance. With "extends: base.yaml" a document takes over the fields of the
one document of its kind in that file; with "extends: NAME" those of the
document of its kind with that name in its own file. Mappings are merged,
everything else is replaced. A document with "abstract: true" is there to be
extended: it may lack fields, and is not loaded itself.

Environments. What differs between environments stands in overlays, which hold
fields of metadata and spec:

  overlays:
    staging:
      spec: {project: kappa-staging}

With --env staging that is merged over the document as the document is over what
it extends: mappings are merged, everything else is replaced. An overlay of a
base holds for all that extend it; what they say themselves wins over it. A
document without an overlay of that name stays as it is; if none has one, it is
an error. All overlays are checked, also those that are not chosen. A required
field may be left to the overlays: the document is then of use with --env alone.

Values. A string field takes any value as it is written: no is "no". Durations
are written 20ms, 90m, 4h or 2d, sizes 1000, 64KiB, 10MB or 1GiB. A key that is
given twice is an error; anchors, aliases, merge keys and tags are refused.

Warnings are about what is allowed and probably wrong. Each has the name of its
rule; "kappa validate --list-rules" lists them. A document that breaks one on
purpose says so beside its kind, with a comment that says why:

  ignore: [start-at-latest]

Errors have a code that does not change:

`)
	for _, row := range jobspecs.Codes {
		fmt.Fprintf(&b, "  %-19s %s\n", row.Code, row.Meaning)
	}
	return topic("specs", "The language of specs", b.String())
}

// outputTopic is the help topic `kappa help output`.
func outputTopic() *cobra.Command {
	return topic("output", "Results, progress and errors, and their JSON", `Results go to stdout, everything else (progress, log lines, errors) to stderr.

With --output json the result is one JSON value, with the fields that the
command's text shows. Fields may be added; those that are there keep their
names and meanings.

Errors are printed once. With --output json as one object on one line:

  {"error": {"message": "…", "code": 2, "hint": "…", "specs": [
    {"file": "bridge.yaml", "line": 7, "column": 11, "code": "unknown-field",
     "path": "spec.split.topicPrefx", "message": "…", "hint": "…",
     "source": "  split: {topicPrefx: flights-}", "width": 10}]}}

"code" is the exit code (kappa help exit-codes). "hint" says how to mend it, and
is left out where there is nothing to say; "specs" is there if specs have
errors (kappa help specs): "path" is the field, "source" the offending line,
"column" and "width" where in it, in characters, the offending text stands.

A command whose result holds the error already, as kappa validate and kappa
compare run do, prints no second one.`)
}

func topic(name, short, long string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Long: strings.TrimRight(long, "\n")}
}
