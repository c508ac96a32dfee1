// Package racetest tells tests whether they run under the race detector, which
// makes processes start slowly.
package racetest

import (
	"runtime/debug"
	"slices"
)

// Enabled reports whether this binary was built with the race detector.
func Enabled() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}
