// Command accuracy measures how well `kappa compare run` finds causes.
//
// # Flow
//
//  1. Real flights are read, a week that is built in or a file.
//  2. Every key (origin and hour) is given a fate by chance, from a printed seed
//     (inject.go): none, one cause, a mix of causes, or a near miss, which is a
//     cause whose evidence is off by one event or one unit.
//  3. truth.go works out by simple means what each side would then have counted,
//     and which sets of causes reproduce that: the truth that attribution is held
//     against.
//  4. The tables are written into the sandbox (tables.go), and the real program
//     compares them (run.go).
//  5. grade.go counts, per cause, what was found, missed and made up.
//
// # Invariants
//
//   - Nothing of package compare is imported: the truth is not made by what it
//     grades.
//   - A near miss has no set of causes that reproduces both sides; a fate for which
//     chance made one is drawn again.
//   - A false proven fails the run, whatever the shares are.
package main
