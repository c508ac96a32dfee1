// Package report shows what package compare has found: the result of a run for
// people (text, Markdown, one HTML page), for programs (JSON) and for CI (JUnit), and
// the texts of plans, decisions, the account of one key and the monitor of
// duplicates.
//
// # Flow
//
//  1. compare.Run, or [ReadJSON] from a file, gives a result;
//  2. view.go says in words what several views say alike, without I/O; charts*.go
//     turns figures into shapes for the page, without I/O;
//  3. each Write function writes one view of it; [WriteFiles] writes all of them into
//     a folder, each file in one step.
//
// # Invariants
//
//   - C6: every view is a function of the one typed result and of nothing else: none
//     decides, counts or reads by itself. TestViewsAgree reads the figures back from
//     each of them, TestEachFieldIsShown finds a field that no view shows.
//   - C3: JUnit passes if and only if the verdict is GO, and [ReadJSON] refuses a GO
//     that no run could have given.
//   - A4: whatever the data holds, no control character reaches a terminal, no markup
//     the page or a comment, and the page loads and runs nothing but its own script.
//   - Numbers are never cut, only folded; SQL is never folded: it is there to be
//     copied.
//
// Callers own the writers, and say how wide they are and whether they show colours.
package report
