package deploy

import (
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// What becomes of a job, by the strategy and by what the service says of an update.
// Wanted is spec aa.
func TestDecideStrategy(t *testing.T) {
	row := func(state, id string) *tables.Generation {
		return &tables.Generation{
			Job: "flights-0", Generation: 2, Kind: tables.WriterStream, State: state,
			DataflowJobID: bigquery.NullString{StringVal: id, Valid: id != ""},
		}
	}
	job := func(id string, state pb.JobState, spec string, change ...func(*known)) *known {
		k := &known{id: id, state: state, generation: 2, group: "flights", spec: spec}
		for _, fn := range change {
			fn(k)
		}
		return k
	}
	replaces := func(id string) func(*known) { return func(k *known) { k.replaces = id } }
	replacedBy := func(id string) func(*known) { return func(k *known) { k.replacedBy = id } }
	generation := func(n int64) func(*known) { return func(k *known) { k.generation = n } }
	const update, cancel, managed, drain = jobspecs.StrategyUpdate, jobspecs.StrategyCancel, jobspecs.StrategyManaged, jobspecs.StrategyDrain
	replace := Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "RUNNING"}}
	inPlace := Action{Kind: Update, Generation: 2, DataflowID: "id-1", Handover: &Handover{Generation: 2, From: "id-1"}}
	cancels := func(state string) Action {
		return Action{Kind: Cancel, Generation: 3, Cancels: &Drains{Generation: 2, DataflowID: "id-1", State: state}}
	}
	waits := Action{Kind: Update, Generation: 2, DataflowID: "id-1", Handover: &Handover{Generation: 2, From: "id-1", To: "id-2"}}
	blocked := func(id string) Action { return Action{Kind: Blocked, Generation: 2, DataflowID: id} }
	done := &Handover{Generation: 2, From: "id-1", To: "id-2"}
	for _, c := range []struct {
		name     string
		strategy string
		latest   *tables.Generation // nil: generation 2, open, as id-1
		active   *known
		recorded *known
		last     *known
		launched *launched
		retired  bool
		moves    bool
		want     Action // without Job, Reason and Changes
		reason   string
	}{
		{name: "drain", strategy: drain, active: job("id-1", running, "bb"), want: replace, reason: "with spec bb instead of aa"},
		{name: "update", strategy: update, active: job("id-1", running, "bb"), want: inPlace, reason: "generation 2 goes on with its state"},
		{name: "update of a job that starts", strategy: update, active: job("id-1", pending, "bb"), want: inPlace, reason: "is PENDING with spec bb"},
		{name: "managed, in place", strategy: managed, active: job("id-1", running, "bb"), want: inPlace, reason: "generation 2 goes on"},
		{name: "cancel", strategy: cancel, active: job("id-1", running, "bb"), want: cancels("RUNNING"), reason: "generation 2 becomes void"},
		{name: "update of a job whose launch was not recorded", strategy: update, latest: row(tables.StateOpen, ""), active: job("id-1", running, "bb"), want: inPlace, reason: "goes on"},
		{name: "nothing to update", strategy: update, active: job("id-1", running, "aa"), want: Action{Kind: Keep, Generation: 2, DataflowID: "id-1"}, reason: "is RUNNING"},
		{name: "nothing to cancel", strategy: cancel, active: job("id-1", running, "aa"), want: Action{Kind: Keep, Generation: 2, DataflowID: "id-1"}, reason: "is RUNNING"},
		{name: "what the service refuses is said", strategy: update, active: job("id-1", running, "bb"),
			launched: &launched{changes: []Change{{Path: "spec.horizon"}, {Path: "spec.tuning.streamingEngine"}}}, want: inPlace, reason: "refuse an update that changes spec.tuning.streamingEngine:"},

		{name: "a job that drains cannot be updated", strategy: update, active: job("id-1", draining, "bb"),
			want: Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "DRAINING"}}, reason: "is DRAINING already"},
		{name: "nor is it cancelled", strategy: cancel, active: job("id-1", draining, "bb"),
			want: Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "DRAINING"}}, reason: "is DRAINING already"},
		{name: "a cancel is resumed", strategy: cancel, active: job("id-1", cancelling, "bb"), want: cancels("CANCELLING"), reason: "is CANCELLING already"},
		{name: "a cancel by another strategy is not ours", strategy: update, active: job("id-1", cancelling, "bb"), want: blocked("id-1"), reason: "is CANCELLING: wait"},
		{name: "a retired job that is being cancelled", strategy: cancel, retired: true, active: job("id-1", cancelling, "bb"), want: blocked("id-1"), reason: "is CANCELLING: wait"},
		{name: "a retired job is drained, not cancelled", strategy: cancel, retired: true, active: job("id-1", running, "bb"),
			want: Action{Kind: Retire, Generation: 2, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "RUNNING"}}, reason: "no such job"},
		{name: "a retired job is drained, not updated", strategy: update, retired: true, active: job("id-1", running, "bb"),
			want: Action{Kind: Retire, Generation: 2, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "RUNNING"}}, reason: "no such job"},
		{name: "subscriptions move: drained", strategy: update, moves: true, active: job("id-1", running, "bb"), want: replace, reason: "no update in place can do"},
		{name: "subscriptions move: cancelled", strategy: cancel, moves: true, active: job("id-1", running, "bb"), want: cancels("RUNNING"), reason: "becomes void"},

		{name: "is being updated", strategy: update, active: job("id-2", pending, "aa"), recorded: job("id-1", running, "bb"), want: waits, reason: "is being updated to job id-2, which is PENDING"},
		{name: "is being updated, as the service says", strategy: drain, active: job("id-2", running, "aa", replaces("id-1")), recorded: job("id-1", running, "bb", replacedBy("id-2")), want: waits, reason: "is being updated"},
		{name: "is being updated with another spec", strategy: update, active: job("id-2", pending, "cc"), recorded: job("id-1", running, "bb"), want: blocked("id-2"), reason: "launched with spec cc and is PENDING: wait"},
		{name: "retired while it is being updated", strategy: update, retired: true, active: job("id-2", pending, "aa"), recorded: job("id-1", running, "bb"), want: blocked("id-2"), reason: "wait until that has ended"},
		{name: "the active job updates another one", strategy: update, active: job("id-2", pending, "aa", replaces("id-0")), recorded: job("id-1", running, "bb"), want: blocked("id-2"), reason: "has as job id-1"},
		{name: "the job on record is updated by another one", strategy: update, active: job("id-2", pending, "aa"), recorded: job("id-1", running, "bb", replacedBy("id-3")), want: blocked("id-2"), reason: "has as job id-1"},
		{name: "the active job is of another generation", strategy: update, active: job("id-2", pending, "aa", generation(1)), recorded: job("id-1", running, "bb"), want: Action{Kind: Blocked, Generation: 1, DataflowID: "id-2"}, reason: "history is at 2"},

		{name: "was updated, and runs", strategy: update, active: job("id-2", running, "aa", replaces("id-1")), recorded: job("id-1", updated, "bb", replacedBy("id-2")),
			want: Action{Kind: Adopt, Generation: 2, DataflowID: "id-2", Updated: done}, reason: "the service has updated job id-1 to id-2"},
		{name: "was updated, and the service does not name the other", strategy: update, active: job("id-2", running, "aa"), recorded: job("id-1", updated, "bb"),
			want: Action{Kind: Adopt, Generation: 2, DataflowID: "id-2", Updated: done}, reason: "has updated"},
		{name: "was updated to another one", strategy: update, active: job("id-2", running, "aa"), recorded: job("id-1", updated, "bb", replacedBy("id-3")), want: blocked("id-2"), reason: "has as job id-1"},
		{name: "was updated, and runs with another spec", strategy: update, active: job("id-2", running, "cc", replaces("id-1")), recorded: job("id-1", updated, "bb"),
			want: Action{Kind: Update, Generation: 2, DataflowID: "id-2", Handover: &Handover{Generation: 2, From: "id-2"}, Updated: done}, reason: "with spec cc instead of aa"},
		{name: "was updated, and drains", strategy: update, active: job("id-2", draining, "aa", replaces("id-1")), recorded: job("id-1", updated, "bb"),
			want: Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-2", State: "DRAINING"}, Updated: done}, reason: "is DRAINING already"},
		{name: "was updated, and has drained since", strategy: update, last: job("id-2", drained, "aa", replaces("id-1")), recorded: job("id-1", updated, "bb"),
			want: Action{Kind: Launch, Generation: 3, Ended: &Ended{Generation: 2, State: "drained", DataflowID: "id-2", Why: "its job is DRAINED"}, Updated: done}, reason: "is DRAINED"},
		{name: "was updated, and has failed since (P5)", strategy: update, last: job("id-2", failed, "aa", replaces("id-1")), recorded: job("id-1", updated, "bb"),
			want: Action{Kind: Launch, Generation: 3, Supersedes: "flights-0@2", Ended: &Ended{Generation: 2, State: "void", DataflowID: "id-2", Why: "its job is FAILED"}, Updated: done}, reason: "is FAILED"},
		{name: "retired, was updated, and has drained since", strategy: update, retired: true, last: job("id-2", drained, "aa"), recorded: job("id-1", updated, "bb"),
			want: Action{Kind: Retire, Generation: 2, Ended: &Ended{Generation: 2, State: "drained", DataflowID: "id-2", Why: "its job is DRAINED"}, Updated: done}, reason: "no such job"},
		{name: "an update that has failed: the old one goes on", strategy: update, active: job("id-1", running, "bb"), want: inPlace, reason: "is RUNNING"},
		{name: "the job on record has drained, and one of its generation runs (D3)", strategy: update, active: job("id-2", running, "aa"), recorded: job("id-1", drained, "bb"), want: blocked("id-2"), reason: "has as job id-1"},
		{name: "an ended generation is not updated", strategy: update, latest: row(tables.StateDrained, "id-1"), active: job("id-2", running, "aa"), recorded: job("id-1", updated, "bb"), want: blocked("id-2"), reason: "has as drained"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := observed{
				group: "flights", job: "flights-0", spec: "aa", retired: c.retired, latest: c.latest, active: c.active, last: c.last, recorded: c.recorded,
				launched: c.launched, moves: c.moves, update: jobspecs.Update{Strategy: c.strategy},
			}
			if o.latest == nil {
				o.latest = row(tables.StateOpen, "id-1")
			}
			got, ok := decide(o)
			if !ok {
				t.Fatal("nothing is decided")
			}
			if got.Job != "flights-0" || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("job %q, reason %q, want one with %q", got.Job, got.Reason, c.reason)
			}
			got.Job, got.Reason, got.Changes = "", "", nil
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("action (-want +got):\n%s", diff)
			}
		})
	}
}

// Where subscriptions move, what would be updated is drained, all of it; what would
// be cancelled is cancelled.
func TestDecideAllMoves(t *testing.T) {
	of := func(name, reads string, strategy string, changes ...Change) observed {
		var list []string
		if reads != "" {
			list = []string{reads}
		}
		l := &launched{changes: changes}
		if changes == nil {
			l.unread = "it is gone"
		}
		return observed{
			group: "flights", job: name, spec: "aa", update: jobspecs.Update{Strategy: strategy},
			latest:   &tables.Generation{Job: name, Generation: 1, State: tables.StateOpen, DataflowJobID: nullString("id-" + name)},
			active:   &known{id: "id-" + name, state: running, generation: 1, group: "flights", spec: "bb", reads: list},
			launched: l,
		}
	}
	wanted := owners{"s-0": "flights-0", "s-1": "flights-1"}
	horizon, jobs := Change{Path: "spec.horizon"}, Change{Path: "spec.jobs"}
	for _, c := range []struct {
		name  string
		jobs  []observed
		kinds []Kind
		moved bool
	}{
		{"nothing moves", []observed{of("flights-0", "s-0", "update"), of("flights-1", "s-1", "update")}, []Kind{Update, Update}, false},
		{"one moves", []observed{of("flights-0", "s-1", "update"), of("flights-1", "s-1", "update")}, []Kind{Replace, Replace}, true},
		{"one moves, cancelled", []observed{of("flights-0", "s-1", "cancel"), of("flights-1", "s-1", "cancel")}, []Kind{Cancel, Cancel}, true},
		{"what is read is not known, and who reads what stays", []observed{of("flights-0", "", "update", horizon)}, []Kind{Update}, false},
		{"what is read is not known, and may move (D3)", []observed{of("flights-0", "", "update", horizon, jobs)}, []Kind{Replace}, true},
		{"what is read is not known, nor what changes (D3)", []observed{of("flights-0", "", "update")}, []Kind{Replace}, true},
		{"what is read is not known, cancelled", []observed{of("flights-0", "", "cancel", horizon)}, []Kind{Cancel}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			actions, why := decideAll(wanted, c.jobs)
			var kinds []Kind
			for _, a := range actions {
				kinds = append(kinds, a.Kind)
			}
			if diff := cmp.Diff(c.kinds, kinds); diff != "" || (why != "") != c.moved {
				t.Errorf("%q, kinds (-want +got):\n%s", why, diff)
			}
		})
	}
}

// A cancel that comes to its end by itself does not make a plan stale.
func TestSameCancelling(t *testing.T) {
	plan := func(a Action) *Plan { a.Job = "flights-0"; return &Plan{Jobs: []Action{a}} }
	cancels := func(state string) *Plan {
		return plan(Action{Kind: Cancel, Generation: 3, Cancels: &Drains{Generation: 2, DataflowID: "id-1", State: state}})
	}
	ended := plan(Action{Kind: Launch, Generation: 3, Supersedes: "flights-0@2", Ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "its job is CANCELLED"}})
	if !cancels("CANCELLING").same(ended) {
		t.Error("stale once the cancel is over")
	}
	if cancels("RUNNING").same(ended) {
		t.Error("a job that ran when the plan was made has been cancelled, and the plan is not stale")
	}
	if !cancels("RUNNING").same(cancels("PENDING")) {
		t.Error("stale because of a state that moves by itself")
	}
}

// An update that comes to its end by itself does not make a plan stale; one that
// fails does.
func TestSameUpdating(t *testing.T) {
	plan := func(a Action) *Plan { a.Job, a.Generation = "flights-0", 2; return &Plan{Jobs: []Action{a}} }
	h := &Handover{Generation: 2, From: "id-1", To: "id-2"}
	goesOn := plan(Action{Kind: Update, DataflowID: "id-1", Handover: h})
	if !goesOn.same(plan(Action{Kind: Adopt, DataflowID: "id-2", Updated: h})) {
		t.Error("stale once the update is over")
	}
	if goesOn.same(plan(Action{Kind: Update, DataflowID: "id-1", Handover: &Handover{Generation: 2, From: "id-1"}})) {
		t.Error("the update has failed, and the plan is not stale")
	}
}
