// Command rules shows that every rule of docs/rules.md has a test that fails
// when the rule is broken. It breaks each rule on purpose, a few characters of
// the code at a time, and runs the test that must notice:
//
//	go run ./test/rules              all of them
//	go run ./test/rules --rule P3    those of one rule, or of several: P3,P5
//	go run ./test/rules --run Acks   those whose words or test match
//	go run ./test/rules --list       what is broken and which test must notice
//
// Flow: every mutation's old text must stand exactly once in its file. For each
// package a test binary is built in which all its mutations are switched off
// (combine.go); those that cannot be combined get binaries of their own. The
// tests must pass as they are; then, with each mutation, the one test that it
// names must fail. Several tests run at a time: those that notice a mutation by
// waiting in vain would keep all others waiting. A mutation that is not noticed,
// no longer applies or does not build fails the run, and so does a test that is
// not there, is skipped or fails without the mutation.
//
// Invariants:
//
//   - The tree is never written: changed files (go test -overlay), binaries and
//     what the tests leave behind are in a temporary folder, which is deleted.
//   - Only the test's own failure counts, or a crash of the changed code while
//     the test runs. Code that does not build says nothing, and neither does a
//     test that hangs, unless the mutation says that it makes it hang.
//
// Files: mutations_*.go are the table, by part; mutate.go, combine.go and
// outcome.go decide without I/O; run.go builds and runs; main.go is flags and
// output.
package main
