package journal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// atOnce is how many files are read at a time: a deployment has one per step,
// and reading one takes as long as the way to the bucket is.
const atOnce = 32

// each calls fn for 0 to n-1, some at a time, until one fails.
func each(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error { return fn(ctx, i) })
	}
	return g.Wait()
}

func entryName(id string, seq int) string {
	return fmt.Sprintf("%s/%s/%06d.json", deployments, id, seq)
}

// ids are the newest deployments, newest first, at most limit of them; 0: all.
func (j *Journal) ids(ctx context.Context, limit int) ([]string, error) {
	names, err := j.folder.list(ctx, deployments)
	if err != nil {
		return nil, exit.Environmentf("read the journal %s: %w", j, err)
	}
	slices.Reverse(names)
	var ids []string
	for _, n := range names {
		if id, ok := strings.CutSuffix(n, "/"); ok && (limit == 0 || len(ids) < limit) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Deployments are the newest deployments, newest first, at most limit of them; 0:
// all.
func (j *Journal) Deployments(ctx context.Context, limit int) ([]Record, error) {
	return j.newest(ctx, limit, every)
}

// Ends are the newest deployments, newest first, at most limit of them (0: all),
// each with its first and its last entry alone: what it was begun for and how far
// it is. A deployment has an entry per step, and reading all of all takes long.
func (j *Journal) Ends(ctx context.Context, limit int) ([]Record, error) {
	return j.newest(ctx, limit, func(n int) []int { return slices.Compact([]int{1, n}) })
}

// Read reads a deployment. ErrUnknown.
func (j *Journal) Read(ctx context.Context, id string) (Record, error) {
	if !valid(id) {
		return Record{ID: id}, unknown(id)
	}
	rs, err := j.records(ctx, []string{id}, every)
	if err != nil {
		return Record{ID: id}, err
	}
	if len(rs) == 0 {
		return Record{ID: id}, unknown(id)
	}
	return rs[0], nil
}

// Unfinished is the newest deployment, if it has not ended.
func (j *Journal) Unfinished(ctx context.Context) (Record, bool, error) {
	rs, err := j.Deployments(ctx, 1)
	if err != nil || len(rs) == 0 || rs[0].Outcome() != "" {
		return Record{}, false, err
	}
	return rs[0], true, nil
}

// every picks all of n entries.
func every(n int) []int {
	var seqs []int
	for seq := 1; seq <= n; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}

func (j *Journal) newest(ctx context.Context, limit int, pick func(n int) []int) ([]Record, error) {
	ids, err := j.ids(ctx, limit)
	if err != nil {
		return nil, err
	}
	return j.records(ctx, ids, pick)
}

// records reads deployments: those entries that pick picks of so many. One whose
// first entry is just being written is left out.
func (j *Journal) records(ctx context.Context, ids []string, pick func(n int) []int) ([]Record, error) {
	out := make([]Record, len(ids))
	aborted := make([]bool, len(ids))
	err := each(ctx, len(ids), func(ctx context.Context, i int) error {
		n, abort, err := j.files(ctx, ids[i])
		if err != nil || n == 0 {
			return err
		}
		out[i].ID, aborted[i] = ids[i], abort
		for _, seq := range pick(n) {
			out[i].Entries = append(out[i].Entries, Entry{Seq: seq})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var loads []func(context.Context) error
	for i := range out {
		r := &out[i]
		for k := range r.Entries {
			loads = append(loads, func(ctx context.Context) error { return j.entry(ctx, r.ID, &r.Entries[k]) })
		}
		if aborted[i] {
			loads = append(loads, func(ctx context.Context) (err error) {
				r.Abort, err = j.Aborted(ctx, r.ID)
				return err
			})
		}
	}
	if err := each(ctx, len(loads), func(ctx context.Context, i int) error { return loads[i](ctx) }); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(r Record) bool { return len(r.Entries) == 0 }), nil
}

// files looks how many entries a deployment has, and whether somebody wants it to
// be stopped. What is nothing of ours does not count.
func (j *Journal) files(ctx context.Context, id string) (n int, aborted bool, err error) {
	names, err := j.folder.list(ctx, deployments+"/"+id)
	if err != nil {
		return 0, false, exit.Environmentf("read the journal %s: %w", j, err)
	}
	for _, name := range names {
		seq, ok := seqOf(name)
		if ok && seq != n+1 {
			return n, false, damaged(j, "entry %d of deployment %s is missing", n+1, id)
		}
		if ok {
			n = seq
		}
		aborted = aborted || name == abortFile
	}
	return n, aborted && n > 0, nil
}

// entry reads the entry with the number that e has.
func (j *Journal) entry(ctx context.Context, id string, e *Entry) error {
	seq := e.Seq
	if err := j.load(ctx, entryName(id, seq), e); err != nil {
		return err
	}
	if e.Deployment != id || e.Seq != seq || e.Kind == "" {
		return damaged(j, "%s is not that entry", entryName(id, seq))
	}
	return nil
}

// valid reports whether an id names a folder of its own.
func valid(id string) bool {
	return id != "" && !strings.ContainsAny(id, "/\\") && !strings.HasPrefix(id, ".")
}

func unknown(id string) error {
	return exit.Usagef("deployment %q: %w", id, ErrUnknown).WithHint("`kappa deploy history` lists them")
}

// seqOf is the number of the entry in a file; false: it is none.
func seqOf(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, ".json")
	if !ok || len(digits) < 6 {
		return 0, false
	}
	seq, err := strconv.Atoi(digits)
	return seq, err == nil && seq > 0
}
