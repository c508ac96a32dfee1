// Package proc measures what a process has used so far.
package proc

import "time"

// Usage is what a process has used since it began.
type Usage struct {
	CPU     time.Duration // user and system, all threads
	PeakRSS int64         // bytes, the highest resident set
	RSS     int64         // bytes, now
}
