package drain

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Limits are the flags that say how long a drain may take, and what is done
// about a job that takes longer. What is not given is as in the spec.
type Limits struct {
	flag       string // name of the timeout's flag
	cmd        *cobra.Command
	timeout    time.Duration
	onTimeout  string
	acceptLoss bool
}

// AddLimits adds the flags to a command; the timeout's has that name.
func AddLimits(cmd *cobra.Command, timeoutFlag string) *Limits {
	l := &Limits{flag: timeoutFlag, cmd: cmd}
	cmd.Flags().DurationVar(&l.timeout, timeoutFlag, 0, "longest wait for the drain of one job (default: the spec's update.drainTimeout)")
	cmd.Flags().StringVar(&l.onTimeout, "on-timeout", "", "what is done about a job that has not drained by then: fail, wait or cancel (default: the spec's update.onTimeout)")
	cmd.Flags().BoolVar(&l.acceptLoss, "accept-loss", false, "allow to cancel a job: its state is lost, and its whole generation is void")
	return l
}

// Validate checks the flags, before a spec is read.
func (l *Limits) Validate() error {
	if l.cmd.Flags().Changed(l.flag) && l.timeout <= 0 {
		return exit.Usagef("--%s %s: must be longer than 0", l.flag, l.timeout)
	}
	var known []string
	for _, o := range drain.OnTimeouts() {
		known = append(known, string(o))
	}
	if !l.cmd.Flags().Changed("on-timeout") || slices.Contains(known, l.onTimeout) {
		return nil
	}
	e := exit.Usagef("--on-timeout %q: must be one of %s", l.onTimeout, strings.Join(known, ", "))
	if s := suggest.Closest(l.onTimeout, known); s != "" {
		return e.WithHint("did you mean %s?", s)
	}
	return e
}

// AcceptLoss reports whether jobs may be cancelled.
func (l *Limits) AcceptLoss() bool { return l.acceptLoss }

// Of returns the limits for a job with that spec. To cancel takes the word of
// whoever runs the command: a spec is written long before anybody knows what
// would be lost.
func (l *Limits) Of(u jobspecs.Update) (time.Duration, drain.OnTimeout, error) {
	timeout, then, from := u.DrainTimeout.D(), drain.OnTimeout(u.OnTimeout), "spec.update.onTimeout: cancel"
	if l.timeout > 0 {
		timeout = l.timeout
	}
	if timeout <= 0 {
		timeout = drain.DefaultTimeout
	}
	if l.onTimeout != "" {
		then, from = drain.OnTimeout(l.onTimeout), "--on-timeout cancel"
	}
	if then == "" {
		then = drain.Fail
	}
	if then == drain.Cancel && !l.acceptLoss {
		return 0, "", exit.Usagef("%s: a job that is cancelled loses its state, open windows included, and no row of its generation counts until its successor has read all of it again: refused without --accept-loss", from).
			WithHint("add --accept-loss, or let it drain on with --on-timeout fail")
	}
	return timeout, then, nil
}
