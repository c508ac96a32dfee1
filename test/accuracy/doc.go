// Command accuracy measures how well `kappa compare run` finds causes.
//
// # Flow
//
//  1. Real flights are read, a week that is built in or a file.
//  2. Every key (origin and hour) is given a fate by chance, from a printed seed
//     (fates.go, inject.go, misses.go): none, one cause, a mix of causes, or a near
//     miss, which is a cause whose evidence is off by one event, unit, letter or
//     millisecond. What hours and days have in common (a load that is missing, a shift,
//     fewer decimals) is drawn for them (worlds.go).
//  3. The tables are written into the sandbox (tables.go), and the real program
//     compares them by several sets of metrics (run.go).
//  4. By simple means it is worked out what each side would have had under any set of
//     flaws (values.go, truth.go), and so which sets reproduce what it has, by docs/causes.md
//     (expect.go).
//  5. grade.go counts, per cause, what was found, missed and made up.
//
// # Invariants
//
//   - Nothing of package compare is imported: the truth is not made by what it
//     grades.
//   - A cause counts for a key if it was done to it; that it fits as well does not make
//     it one. What fits and was not done must not be called proven.
//   - A near miss has no set of causes that reproduces both sides in some comparison,
//     and none that was not done in any; a fate for which chance made one is drawn again.
//   - A false proven fails the run, whatever the shares are.
package main
