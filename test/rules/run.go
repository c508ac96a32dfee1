package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// config is what a run needs.
type config struct {
	root    string // of the module
	temp    string // for all that is written
	jobs    int    // test binaries built at a time
	tests   int    // tests run at a time
	timeout time.Duration
	times   int          // that each mutation must be noticed
	say     func(result) // called once for each package and each mutation, never twice at a time
}

// result is what became of the tests of a package without mutation, or of a
// mutation.
type result struct {
	pkg      string    // of a package
	tests    int       // of a package
	mutation *mutation // of a mutation
	why      string    // what a red test said
	output   string    // of a test that was not as it must be
	err      error
	took     time.Duration
}

// run runs the tests of all packages, as they are and with each mutation. It
// returns how many were not as they must be.
func run(ctx context.Context, cfg config, all []mutation) (bad int) {
	byPackage := map[string][]int{}
	for n, m := range all {
		byPackage[m.pkg()] = append(byPackage[m.pkg()], n)
	}
	var packages []string
	for p := range byPackage {
		packages = append(packages, p)
	}
	// Those that take longest first, so that the last ones are short.
	slices.SortFunc(packages, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byPackage[b]), len(byPackage[a])), strings.Compare(a, b))
	})
	var mu sync.Mutex
	say := func(began time.Time, r result) {
		if ctx.Err() != nil {
			return // it was not finished
		}
		mu.Lock()
		defer mu.Unlock()
		r.took = time.Since(began)
		if r.err != nil {
			bad++
		}
		cfg.say(r)
	}
	builds, tests := make(slots, cfg.jobs), make(slots, cfg.tests)
	var wg sync.WaitGroup
	for i, p := range packages {
		r := packageRun{config: cfg, builds: builds, runs: tests, pkg: p, name: fmt.Sprint("package", i), all: all, numbers: byPackage[p], say: say}
		builds.take() // here, so that they are built in this order
		wg.Go(func() { r.run(ctx) })
	}
	wg.Wait()
	return bad
}

// slots are how much may go on at a time.
type slots chan struct{}

func (s slots) take() { s <- struct{}{} }
func (s slots) free() { <-s }

// each calls fn for each of a list, as many at a time as there are slots.
func each[T any](s slots, list []T, fn func(T)) {
	var wg sync.WaitGroup
	for _, e := range list {
		s.take()
		wg.Go(func() {
			defer s.free()
			fn(e)
		})
	}
	wg.Wait()
}

// packageRun runs the tests of one package.
type packageRun struct {
	config
	builds  slots // for go test -c
	runs    slots // for tests: more, since a test that notices often does so by waiting
	pkg     string
	name    string // for files
	all     []mutation
	numbers []int // of the package's mutations
	say     func(began time.Time, r result)
	args    []string               // of the test binary
	normal  map[test]time.Duration // that a test takes as it is
}

// run begins with a slot for building, which it frees.
func (r *packageRun) run(ctx context.Context) {
	began := time.Now()
	binary, combined, err := r.prepare(ctx)
	r.builds.free()
	defer os.Remove(binary)
	res := result{pkg: r.pkg, err: err}
	if err == nil {
		r.asItIs(ctx, binary, &res)
	}
	r.say(began, res)
	each(r.runs, r.numbers, func(n int) {
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		m := &r.all[n]
		switch {
		case res.err != nil:
			r.say(began, result{mutation: m, err: fmt.Errorf("not tried: the tests of %s do not pass as they are", r.pkg)})
		case slices.Contains(combined, n):
			r.say(began, r.mutated(ctx, binary, fmt.Sprint(n), m))
		default:
			r.say(began, r.alone(ctx, n, m))
		}
	})
}

// asItIs runs the tests of the package, which must pass, without any mutation.
func (r *packageRun) asItIs(ctx context.Context, binary string, res *result) {
	var mu sync.Mutex
	r.normal = map[test]time.Duration{}
	each(r.runs, r.tests(), func(t test) {
		began := time.Now()
		out, text := r.runTest(ctx, binary, "", t, r.timeout)
		mu.Lock()
		defer mu.Unlock()
		r.normal[t] = time.Since(began)
		if out != passed {
			res.output += text
			res.err = errors.Join(res.err, fmt.Errorf("%s %s without any mutation", t, out))
		}
		res.tests++
	})
}

// tests are the tests that the package's mutations name, each once.
func (r *packageRun) tests() []test {
	var ts []test
	for _, n := range r.numbers {
		if t := r.all[n].test(); !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	return ts
}

// prepare builds the package's test binary with all mutations that can be
// combined; those that are in it are returned. If they do not build, the
// binary is without any: one by one it shows which it is.
func (r *packageRun) prepare(ctx context.Context) (binary string, combined []int, err error) {
	if r.args, err = testArgs(filepath.Join(r.root, r.pkg)); err != nil {
		return "", nil, err
	}
	files := map[string]map[int]mutation{}
	for _, n := range r.numbers {
		f := r.all[n].File
		if files[f] == nil {
			files[f] = map[int]mutation{}
		}
		files[f][n] = r.all[n]
	}
	replaced := map[string]string{}
	for f, ms := range files {
		source, err := os.ReadFile(filepath.Join(r.root, f))
		if err != nil {
			return "", nil, err
		}
		text, name, left, err := combine(string(source), ms)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", f, err)
		}
		if len(left) == len(ms) {
			continue
		}
		replaced[f] = text
		replaced[path.Join(path.Dir(f), "rule_switch.go")] = switchFile(name)
		for n := range ms {
			if !slices.Contains(left, n) {
				combined = append(combined, n)
			}
		}
	}
	binary, err = r.build(ctx, r.name, replaced)
	if err != nil && ctx.Err() == nil && len(combined) > 0 {
		combined = nil
		binary, err = r.build(ctx, r.name, nil)
	}
	return binary, combined, err
}

// alone builds the package with one mutation and runs its test.
func (r *packageRun) alone(ctx context.Context, n int, m *mutation) result {
	source, err := os.ReadFile(filepath.Join(r.root, m.File))
	var text, binary string
	if err == nil {
		text, err = m.apply(string(source))
	}
	if err == nil {
		r.builds.take()
		binary, err = r.build(ctx, fmt.Sprint("mutation", n), map[string]string{m.File: text})
		r.builds.free()
		if err != nil {
			err = fmt.Errorf("the mutated code does not build: %w", err)
		}
	}
	if err != nil {
		return result{mutation: m, err: err}
	}
	defer os.Remove(binary)
	return r.mutated(ctx, binary, "", m)
}

// mutated runs the test of a mutation, which must fail.
func (r *packageRun) mutated(ctx context.Context, binary, number string, m *mutation) result {
	res := result{mutation: m}
	timeout := r.timeout
	if m.Hangs > 0 {
		timeout = max(m.Hangs, 4*r.normal[m.test()]) // on a slow machine what is slow does not hang
	}
	for n := range max(r.times, 1) {
		out, text := r.runTest(ctx, binary, number, m.test(), timeout)
		res.why = why(text)
		if out.red(*m) {
			continue
		}
		res.err = fmt.Errorf("%s %s, broken as the rule is", m.test(), out)
		if r.times > 1 {
			res.err = fmt.Errorf("%w, at run %d of %d", res.err, n+1, r.times)
		}
		if out != passed {
			res.output = text
		}
		break
	}
	return res
}

// build builds the test binary of the package, with texts in the place of
// files of the tree or beside them.
func (r *packageRun) build(ctx context.Context, name string, texts map[string]string) (binary string, err error) {
	binary = filepath.Join(r.temp, name+".test")
	args := []string{"test", "-c", "-vet=off", "-o", binary, "-ldflags=-s -w"} // links faster without what debuggers need
	if len(texts) > 0 {
		overlay := map[string]string{}
		for f, text := range texts {
			changed := filepath.Join(r.temp, fmt.Sprintf("%s_%d.go", name, len(overlay)))
			if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
				return "", err
			}
			overlay[filepath.Join(r.root, f)] = changed
		}
		text, err := json.Marshal(map[string]map[string]string{"Replace": overlay})
		if err != nil {
			return "", err
		}
		file := filepath.Join(r.temp, name+".json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return "", err
		}
		args = append(args, "-overlay", file)
	}
	cmd := command(ctx, r.root, "go", append(args, "./"+r.pkg)...)
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", fmt.Errorf("go test -c ./%s: %w\n%s", r.pkg, err, bytes.TrimSpace(out))
	}
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("package %s has no tests", r.pkg)
	}
	return binary, nil
}

// runTest runs one test of a test binary, with a mutation of those that are
// combined in it, in the folder of its package as go test does.
func (r *packageRun) runTest(ctx context.Context, binary, number string, t test, timeout time.Duration) (outcome, string) {
	// The binary ends itself first, and then says where it hangs.
	ctx, cancel := context.WithTimeout(ctx, timeout+10*time.Second)
	defer cancel()
	args := append([]string{"-test.v", "-test.run=" + t.pattern(), "-test.timeout=" + timeout.String()}, r.args...)
	cmd := command(ctx, filepath.Join(r.root, t.pkg), binary, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+r.temp, switchEnv+"="+number)
	out, err := cmd.CombinedOutput()
	return classify(t.name, string(out), err == nil, ctx.Err() != nil), string(out)
}

// testArgs are the further arguments of a package's test binary: rapid writes
// what it found into the tree, unless told not to, and looks for half a minute for
// the smallest case that fails, which nobody reads here.
func testArgs(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, f := range files {
		text, rerr := os.ReadFile(f)
		err = errors.Join(err, rerr)
		if bytes.Contains(text, []byte(`"pgregory.net/rapid"`)) {
			return []string{"-rapid.nofailfile", "-rapid.shrinktime=0s"}, err
		}
	}
	return nil, err
}

// command is a child process which ends, with its own children, when ctx does.
func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// check says which mutations do not apply to the tree.
func check(root string, all []mutation) error {
	var errs []error
	for _, m := range all {
		source, err := os.ReadFile(filepath.Join(root, m.File))
		if err == nil {
			_, err = m.apply(string(source))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s, %q: %w", m.Rule, m.Breaks, err))
		}
	}
	return errors.Join(errs...)
}

// moduleRoot is the folder of the module that dir is in.
func moduleRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is in no Go module", dir)
		}
	}
}

// known are the rules that have mutations, sorted.
func known(all []mutation) []string {
	var rules []string
	for _, m := range all {
		rules = append(rules, m.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}
