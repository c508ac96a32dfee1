package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// What is appended is what is read, by whoever looks.
func TestDeployment(t *testing.T) {
	everywhere(t, func(w world) {
		ctx, j := w.Context(), w.open("ann@desk").At("ann@desk", at(noon))
		if rs, err := j.Deployments(ctx, 0); err != nil || len(rs) != 0 {
			w.Errorf("a new folder holds %v, %v", rs, err)
		}
		if _, unfinished, err := j.Unfinished(ctx); unfinished || err != nil {
			w.Errorf("a new folder has an unfinished deployment: %v", err)
		}
		l := must(j.Take(ctx, journal.CommandApply))(w)
		d := must(l.Begin(ctx, journal.Entry{Command: journal.CommandApply, Reason: "more workers", Version: "1.2", Spec: "abc", Plan: []byte(`{"jobs":3}`)}))(w)
		step := journal.Entry{Kind: journal.KindStep, Step: "launching", Job: "flights-0", Generation: 2, Text: "from a template"}
		fact := journal.Entry{Kind: journal.KindFact, Step: "running", Job: "flights-0", Generation: 2, DataflowID: "2026-1"}
		for _, e := range []journal.Entry{step, fact} {
			if err := d.Append(ctx, e); err != nil {
				w.Fatal(err)
			}
		}
		r, unfinished, err := j.Unfinished(ctx)
		if err != nil || !unfinished || r.ID != d.ID || r.Outcome() != "" || !strings.HasPrefix(d.ID, "20260301t120000-") {
			w.Fatalf("unfinished: %+v, %v, %v", r, unfinished, err)
		}
		bob := w.open("bob@desk").At("bob@desk", at(noon.Add(time.Hour)))
		other := must(bob.Take(ctx, journal.CommandApply))(w)
		d = must(other.Resume(ctx, r))(w)
		for range 2 { // once more changes nothing
			if err := d.End(ctx, journal.OutcomeFailed, errors.New("no quota"), map[string]int{"launched": 1}); err != nil {
				w.Fatal(err)
			}
		}
		want := []journal.Entry{
			{Kind: journal.KindBegin, Command: journal.CommandApply, Reason: "more workers", Version: "1.2", Spec: "abc", Plan: []byte(`{"jobs":3}`)},
			step, fact, {Kind: journal.KindResume},
			{Kind: journal.KindEnd, Outcome: journal.OutcomeFailed, Error: "no quota", Result: []byte(`{"launched":1}`)},
		}
		for i := range want {
			want[i].Deployment, want[i].Seq, want[i].At, want[i].By = d.ID, i+1, noon, "ann@desk"
			if i > 2 {
				want[i].At, want[i].By = noon.Add(time.Hour), "bob@desk"
			}
		}
		r = must(j.Read(ctx, d.ID))(w)
		if diff := cmp.Diff(journal.Record{ID: d.ID, Entries: want}, r); diff != "" {
			w.Errorf("read (-want +got):\n%s", diff)
		}
		if e, ended := r.End(); !ended || e.Outcome != journal.OutcomeFailed || r.Begin().Spec != "abc" {
			w.Errorf("begins with %+v, ends with %+v", r.Begin(), e)
		}
		if _, unfinished, err := j.Unfinished(ctx); unfinished || err != nil {
			w.Errorf("what has ended is unfinished: %v", err)
		}
		// The next one is newer, though the clock of who begins it is behind.
		late := w.open("cid@desk").At("cid@desk", at(noon.Add(-time.Hour)))
		if err := other.Release(ctx); err != nil {
			w.Fatal(err)
		}
		second := must(must(late.Take(ctx, journal.CommandDrain))(w).Begin(ctx, journal.Entry{Command: journal.CommandDrain}))(w)
		ends := must(j.Ends(ctx, 0))(w)
		if len(ends) != 2 || ends[0].ID != second.ID || ends[1].ID != d.ID {
			w.Errorf("deployments %v", ends)
		}
		if diff := cmp.Diff([]journal.Entry{want[0], want[4]}, ends[1].Entries); diff != "" {
			w.Errorf("ends (-want +got):\n%s", diff)
		}
		if rs := must(j.Deployments(ctx, 1))(w); len(rs) != 1 || rs[0].ID != second.ID || len(rs[0].Entries) != 1 {
			w.Errorf("the newest: %+v", rs)
		}
	})
}

// invariant D2: who has been paused while somebody else went on takes no step,
// and neither does who was asked to stop.
func TestFenced(t *testing.T) {
	everywhere(t, func(w world) {
		ctx, clock := w.Context(), noon
		now := func() time.Time { clock = clock.Add(time.Nanosecond); return clock }
		ann, bob := w.open("ann").At("ann", now), w.open("bob").At("bob", now)
		first := must(ann.Take(ctx, journal.CommandApply))(w)
		paused := must(first.Begin(ctx, journal.Entry{}))(w)
		clock = clock.Add(journal.LeaseTTL + 10*time.Second)
		second := must(bob.Take(ctx, journal.CommandApply))(w)
		if err := paused.Append(ctx, journal.Entry{Kind: journal.KindStep}); !errors.Is(err, journal.ErrLeaseLost) {
			w.Errorf("a step after the lease has expired: %v", err)
		}
		if err := first.Renew(ctx); !errors.Is(err, journal.ErrLeaseLost) {
			w.Errorf("renewing a lease that somebody else has: %v", err)
		}
		r, _, err := bob.Unfinished(ctx)
		if err != nil {
			w.Fatal(err)
		}
		d := must(second.Resume(ctx, r))(w)
		// The clock of who was paused may be wrong: the entry is what counts.
		wrong := must(w.open("ann").At("ann", at(noon)).Read(ctx, d.ID))(w)
		if len(wrong.Entries) != 2 {
			w.Errorf("entries %+v", wrong.Entries)
		}
		if err := paused.Append(ctx, journal.Entry{Kind: journal.KindFact}); !errors.Is(err, journal.ErrTaken) || exit.Of(err) != exit.Failed {
			w.Errorf("appending where somebody else has appended: %v", err)
		}
		if _, err := second.Resume(ctx, r); !errors.Is(err, journal.ErrTaken) {
			w.Errorf("resuming what was read before: %v", err)
		}
		for _, want := range []bool{true, false} {
			if first, err := ann.Abort(ctx, d.ID, "wrong spec"); err != nil || first != want {
				w.Errorf("abort: %v, %v", first, err)
			}
		}
		if err := d.Append(ctx, journal.Entry{Kind: journal.KindStep}); !errors.Is(err, journal.ErrAborted) || !strings.Contains(err.Error(), "by ann") {
			w.Errorf("a step of a deployment that was aborted: %v", err)
		}
		if err := d.Append(ctx, journal.Entry{Kind: journal.KindFact}); err != nil {
			w.Errorf("what has happened is recorded all the same: %v", err)
		}
		want := &journal.Abort{At: noon, By: "ann", Reason: "wrong spec"}
		r = must(bob.Read(ctx, d.ID))(w)
		want.At = r.Abort.At
		if diff := cmp.Diff(want, r.Abort); diff != "" || len(r.Entries) != 3 {
			w.Errorf("abort (-want +got):\n%s, entries %+v", diff, r.Entries)
		}
		if got := must(bob.Aborted(ctx, d.ID))(w); !cmp.Equal(want, got) {
			w.Errorf("aborted: %+v", got)
		}
		if got := must(bob.Ends(ctx, 1))(w); !cmp.Equal(want, got[0].Abort) {
			w.Errorf("ends: %+v", got)
		}
	})
}

func TestUnknown(t *testing.T) {
	everywhere(t, func(w world) {
		j := w.open("ann")
		for _, id := range []string{"", ".", "..", "../x", "x/y", `x\y`, "20260301t120000-abcdef"} {
			if _, err := j.Read(w.Context(), id); !errors.Is(err, journal.ErrUnknown) || exit.Of(err) != exit.Usage {
				w.Errorf("read %q: %v", id, err)
			}
			if _, err := j.Abort(w.Context(), id, ""); !errors.Is(err, journal.ErrUnknown) {
				w.Errorf("abort %q: %v", id, err)
			}
		}
	})
}

// What somebody else has written over is said, with where it is.
func TestDamaged(t *testing.T) {
	everywhere(t, func(w world) {
		ctx, j := w.Context(), w.open("ann")
		l := w.acquire(j)
		d := must(l.Begin(ctx, journal.Entry{Command: journal.CommandApply}))(w)
		for range 2 {
			if err := d.Append(ctx, journal.Entry{Kind: journal.KindFact}); err != nil {
				w.Fatal(err)
			}
		}
		folder := "deployments/" + d.ID
		for _, c := range []struct{ file, data, want string }{
			{"/notes.txt", "by hand", ""},
			{"/000003.json.bak", "{", ""},
			{"/abort.json", "{", "abort.json cannot be read: unexpected end"},
			{"/abort.json", "{}", ""},
			{"/000003.json", "{", "000003.json cannot be read: unexpected end"},
			{"/000003.json", "{}", "000003.json is not that entry"},
			{"/000003.json", fmt.Sprintf(`{"deployment":%q,"seq":2,"kind":"fact"}`, d.ID), "000003.json is not that entry"},
			{"/000003.json", fmt.Sprintf(`{"deployment":%q,"seq":3,"kind":"fact","new":1}`, d.ID), ""},
			{"/000007.json", "{}", "entry 4 of deployment " + d.ID + " is missing"},
		} {
			if err := j.Put(ctx, folder+c.file, c.data); err != nil {
				w.Fatal(err)
			}
			r, err := j.Read(ctx, d.ID)
			if c.want == "" && (err != nil || len(r.Entries) != 3) {
				w.Errorf("%s %q: %+v, %v", c.file, c.data, r, err)
			}
			if c.want != "" && (exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), j.String())) {
				w.Errorf("%s %q: got %v, want %q", c.file, c.data, err, c.want)
			}
			if _, _, uerr := j.Unfinished(ctx); (uerr == nil) != (err == nil) {
				w.Errorf("%s %q: unfinished: %v", c.file, c.data, uerr)
			}
		}
		if err := l.Release(ctx); err != nil {
			w.Fatal(err)
		}
		for _, text := range []string{"{", "{}", "null", ""} {
			if err := j.Put(ctx, "lease.json", text); err != nil {
				w.Fatal(err)
			}
			_, _, err := j.Acquire(ctx, journal.CommandApply)
			if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "/lease.json is damaged") {
				w.Errorf("lease %q: %v", text, err)
			}
			if _, _, err := j.Holder(ctx); err == nil {
				w.Errorf("lease %q has a holder", text)
			}
		}
	})
}

// However many append at once, the entries of a deployment have no gap and none
// is there twice: all that was said to be recorded is.
func TestAppendersProperty(t *testing.T) {
	w := local(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		ctx, clock := w.Context(), noon.Add(time.Duration(n)*24*time.Hour)
		j := w.open("ann").At("ann", at(clock))
		l := must(j.Take(ctx, journal.CommandApply))(w)
		d := must(l.Begin(ctx, journal.Entry{}))(w)
		want := []string{""}
		record := must(j.Read(ctx, d.ID))(w)
		appenders := []*journal.Deployment{d}
		for i := range rapid.IntRange(1, 3).Draw(t, "others") {
			if other, err := l.Resume(ctx, record); err == nil {
				appenders = append(appenders, other)
				want = append(want, "")
			} else if i == 0 || !errors.Is(err, journal.ErrTaken) {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for a, d := range appenders {
			for k := range rapid.IntRange(1, 4).Draw(t, "entries") {
				wg.Go(func() {
					text := fmt.Sprint(a, ".", k)
					switch err := d.Append(ctx, journal.Entry{Kind: journal.KindFact, Text: text}); {
					case err == nil:
						mu.Lock()
						defer mu.Unlock()
						want = append(want, text)
					case !errors.Is(err, journal.ErrTaken):
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		r, err := j.Read(ctx, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range r.Entries {
			got = append(got, e.Text)
		}
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Fatalf("entries (-said +there):\n%s", diff)
		}
		if err := l.Release(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// A history is read many files at a time, but not all at once.
func TestReadsAtOnce(t *testing.T) {
	w := local(t)
	ctx := w.Context()
	j, faults := w.open("ann").Faulty()
	l := w.acquire(j)
	defer l.Release(context.WithoutCancel(ctx))
	var ids []string
	for range 10 {
		d := must(l.Begin(ctx, journal.Entry{}))(w)
		for range 20 {
			if err := d.Append(ctx, journal.Entry{Kind: journal.KindFact}); err != nil {
				w.Fatal(err)
			}
		}
		ids = append(ids, d.ID)
	}
	slices.Reverse(ids)
	faults.MaxReads.Store(0)
	faults.Set(false, 0, 2*time.Millisecond)
	rs := must(j.Deployments(ctx, 0))(w)
	var got []string
	for _, r := range rs {
		got = append(got, r.ID)
		if len(r.Entries) != 21 {
			w.Errorf("%s has %d entries", r.ID, len(r.Entries))
		}
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		w.Errorf("deployments (-want +got):\n%s", diff)
	}
	if n := faults.MaxReads.Load(); n < 8 || n > 32 {
		w.Errorf("%d reads at a time", n)
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct{ location, by, want string }{
		{"", "ann", "no folder"},
		{"x", "", "nobody's name"},
		{"gs://bucket/x", "ann", "no Cloud Storage client"},
	} {
		if _, err := journal.Open(c.location, nil, c.by); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if journal.Operator() == "" {
		t.Error("nobody runs this test")
	}
}
