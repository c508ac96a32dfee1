// Package exit holds the one table of exit codes of every kappa program
// (rule A2) and the error type that carries a code from where the cause is
// known to main.
package exit

import (
	"context"
	"errors"
	"fmt"
)

// Code is a process exit code. Schedulers and CI branch on it, so a code never
// changes its meaning.
type Code int

// The codes. Below 10 they speak of the run itself, from 10 on of what the run
// found out about the user's data or jobs.
const (
	OK           Code = 0   // done
	Failed       Code = 1   // failed while running
	Usage        Code = 2   // bad flag, bad argument or bad spec: nothing was done
	Environment  Code = 3   // no connection, no permission, missing table, file or program
	GateNotMet   Code = 10  // compare: verdict HOLD; compare duplicates: ALERT; deploy: the rollout's comparison does not say GO; bridge verify: INCOMPLETE; bridge check: REFUSES
	Pending      Code = 11  // deploy: changes are pending
	DrainTimeout Code = 12  // drain, deploy: the job did not reach DRAINED in time, or was cancelled for it
	NoData       Code = 13  // compare, bridge verify: verdict NO DATA; bridge verify: INCONCLUSIVE
	Aborted      Code = 14  // deploy: somebody has stopped the deployment
	Interrupted  Code = 130 // stopped by SIGINT or SIGTERM
)

// Table lists every code with what it means, in order; the documentation and
// `kappa help exit-codes` are made from it.
var Table = []struct {
	Code    Code
	Meaning string
}{
	{OK, "done"},
	{Failed, "failed while running"},
	{Usage, "bad flag, argument or spec; nothing was done"},
	{Environment, "no connection, no permission, or something that must exist is missing"},
	{GateNotMet, "compare: the gate is not met (verdict HOLD), or duplicates are above a threshold (ALERT); deploy: the comparison that the rollout waits for does not say GO; bridge verify: events are missing or wrong (INCOMPLETE); bridge check: records would be refused (REFUSES)"},
	{Pending, "deploy: changes are pending"},
	{DrainTimeout, "drain, deploy: the job was not drained in time, or was cancelled for it"},
	{NoData, "compare: no settled data to judge (verdict NO DATA); bridge verify: nothing to judge, or not all was read (INCONCLUSIVE)"},
	{Aborted, "deploy: the deployment was stopped with kappa deploy abort"},
	{Interrupted, "stopped by Ctrl-C or SIGTERM"},
}

// Error is an error with the exit code it leads to and, where there is one, a
// line that says how to mend it.
type Error struct {
	Code Code
	Err  error
	Hint string // imperative, without a full stop; may be empty

	// Printed says that the command's result, which is printed already, holds
	// the error: main exits with Code and prints nothing more.
	Printed bool
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Usagef is an error in what the user typed or wrote: exit code 2.
func Usagef(format string, args ...any) *Error {
	return &Error{Code: Usage, Err: fmt.Errorf(format, args...)}
}

// Environmentf is an error in what surrounds the program: exit code 3.
func Environmentf(format string, args ...any) *Error {
	return &Error{Code: Environment, Err: fmt.Errorf(format, args...)}
}

// With gives err an exit code.
func With(code Code, err error) *Error { return &Error{Code: code, Err: err} }

// WithHint returns e with a line that says how to mend it.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Of returns the exit code that err leads to: OK for nil, the code of the
// outermost Error in its chain, Interrupted for a cancelled context, and
// Failed for anything else.
func Of(err error) Code {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}
