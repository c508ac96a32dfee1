// Package examples holds runnable specs. Those of flights are what `kappa demo`
// runs.
package examples

import "embed"

// Flights holds the specs of the demo, below flights/.
//
//go:embed flights/*.yaml
var Flights embed.FS
