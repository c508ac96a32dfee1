package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/test/program"
)

func main() {
	program.Main("rules", func(ctx context.Context, args []string, out io.Writer) error {
		return rules(ctx, mutations(), args, out)
	})
}

// mutations are all of them, in the order of the rules.
func mutations() []mutation {
	return slices.Concat(bridgeMutations, pipelineMutations, deployMutations, rolloutMutations, compareMutations, verdictMutations, everywhereMutations)
}

// rules breaks the rules that the arguments select.
func rules(ctx context.Context, all []mutation, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("rules", flag.ContinueOnError)
	rule := flags.String("rule", "", "only these `rules`, separated by commas")
	words := flags.String("run", "", "only mutations whose words or test match this `regexp`")
	list := flags.Bool("list", false, "list the mutations and run nothing")
	jobs := flags.Int("jobs", 2, "test binaries built at a time; twice as many tests are run at a time")
	timeout := flags.Duration("timeout", 90*time.Second, "longest time for one test")
	times := flags.Int("times", 1, "`runs` of each mutation's test, all of which must notice it: finds those that notice by chance")
	verbose := flags.Bool("v", false, "show what each red test says")
	if err := program.Parse(flags, args, out); err != nil {
		return err
	}
	match, err := regexp.Compile(*words)
	if err != nil {
		return exit.Usagef("--run: %w", err)
	}
	if flags.NArg() > 0 || *jobs < 1 || *times < 1 || *timeout <= 0 {
		return exit.Usagef("no arguments are taken, and --jobs, --times and --timeout must be positive")
	}
	var wanted []string
	if *rule != "" {
		wanted = strings.Split(strings.ToUpper(*rule), ",")
	}
	for _, w := range wanted {
		if !slices.Contains(known(all), w) {
			return exit.Usagef("no mutation breaks a rule %s", w).WithHint("rules that can be broken: %s", strings.Join(known(all), ", "))
		}
	}
	chosen := selected(all, wanted, match)
	if len(chosen) == 0 {
		return exit.Usagef("no mutation matches")
	}
	if *list {
		for _, m := range chosen {
			fmt.Fprintf(out, "%s  %s\n    %s must notice\n", m.Rule, m.Breaks, m.test())
		}
		return nil
	}
	return execute(ctx, chosen, config{jobs: *jobs, tests: 2 * *jobs, timeout: *timeout, times: *times}, *verbose, out)
}

// execute runs mutations and says what came of them.
func execute(ctx context.Context, chosen []mutation, cfg config, verbose bool, out io.Writer) error {
	if cfg.root == "" {
		dir, err := os.Getwd()
		if err == nil {
			cfg.root, err = moduleRoot(dir)
		}
		if err != nil {
			return exit.Environmentf("%w", err)
		}
	}
	if err := check(cfg.root, chosen); err != nil {
		return fmt.Errorf("mutations that do not apply; bring them up to date in test/rules:\n%w", err)
	}
	var err error
	if cfg.temp, err = os.MkdirTemp("", "kappa-rules-"); err != nil {
		return exit.Environmentf("%w", err)
	}
	defer os.RemoveAll(cfg.temp)
	began, n := time.Now(), 0
	var failures strings.Builder
	cfg.say = func(r result) {
		if r.mutation != nil {
			n++
		}
		l := line(r, n, len(chosen), verbose)
		if r.err != nil {
			failures.WriteString(l)
		}
		fmt.Fprint(out, l)
	}
	bad := run(ctx, cfg, chosen)
	took := time.Since(began).Round(time.Second)
	switch {
	case ctx.Err() != nil:
		return exit.With(exit.Interrupted, fmt.Errorf("stopped after %d of %d mutations", n, len(chosen)))
	case bad > 0:
		fmt.Fprintf(out, "\nwhat failed, again:\n%s", &failures) // they may be hundreds of lines above
		return fmt.Errorf("%d failures; %d mutations of the rules %s in %s", bad, len(chosen), strings.Join(known(chosen), ", "), took)
	}
	fmt.Fprintf(out, "every mutation was noticed: %d, of the rules %s, in %s\n", len(chosen), strings.Join(known(chosen), ", "), took)
	return nil
}

// line is what is printed of a result.
func line(r result, n, of int, verbose bool) string {
	var b strings.Builder
	if r.mutation == nil {
		verdict := "pass"
		if r.err != nil {
			verdict = "FAIL"
		}
		fmt.Fprintf(&b, "as it is  %s  %5.1fs  %s: %d tests\n", verdict, r.took.Seconds(), r.pkg, r.tests)
	} else {
		verdict := "red "
		if r.err != nil {
			verdict = "FAIL"
		}
		fmt.Fprintf(&b, "%3d/%-3d %s  %s  %5.1fs  %s [%s]\n", n, of, r.mutation.Rule, verdict, r.took.Seconds(), r.mutation.Breaks, r.mutation.test())
	}
	if verbose && r.err == nil && r.why != "" {
		fmt.Fprintf(&b, "          %s\n", r.why)
	}
	if r.err != nil {
		fmt.Fprintf(&b, "          %s\n", indent(r.err.Error()))
	}
	if r.output != "" {
		fmt.Fprintf(&b, "          %s\n", indent(tail(r.output, 30)))
	}
	return b.String()
}

func indent(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n          ") }

// tail is the last lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
