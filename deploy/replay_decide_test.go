package deploy

import (
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/internal/tables"
)

func TestDecideSnapshot(t *testing.T) {
	mine, other := tables.Writer{Job: "flights-0", Generation: 3}, tables.Writer{Job: "flights-1", Generation: 2}
	for _, c := range []struct {
		name  string
		of    *tables.Writer
		state string
		died  bool
		want  snapshotDo
		err   string
	}{
		{name: "first generation", want: snapshotTake},
		{name: "after a drain, none there", want: snapshotTake},
		{name: "after a death, none there", died: true, err: "flights-0@2 had acknowledged cannot be read again"},
		{name: "of this launch", of: &mine, state: tables.StateOpen, died: true, want: snapshotKeep},
		{name: "of one that drained", of: &other, state: tables.StateDrained, want: snapshotRenew},
		{name: "of one that drained, after a death of another", of: &other, state: tables.StateDrained, died: true, want: snapshotRenew},
		{name: "of a void one", of: &other, state: tables.StateVoid, died: true, want: snapshotSeek},
		{name: "of a cancelled one, before a reshard", of: &other, state: tables.StateCancelled, want: snapshotSeek},
		{name: "of one that runs", of: &other, state: tables.StateOpen, err: "which is open"},
		{name: "of one that nobody knows", of: &other, err: "does not know"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decideSnapshot("kappa-flights-0", mine, c.of, c.state, c.died)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}
