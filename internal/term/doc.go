// Package term shows the progress of long work to people (rule A3): phases
// with counts, rate and time left, and named gauges such as watermarks.
//
// On a terminal the state is drawn in a live region at the bottom, at most ten
// times a second, each time in one write, so that nothing flickers; lines
// printed meanwhile scroll by above it. Elsewhere (pipes, CI, TERM=dumb) plain
// lines are written when a phase changes and every few seconds in between.
//
// Flow: tasks and gauges change a State under the display's lock; render.go
// turns a State into lines and does nothing else, so tests reach all of it
// without a terminal; display.go writes the lines.
//
// Callers own: calling Close, after which the terminal is as it was before,
// with the last state left standing.
package term
