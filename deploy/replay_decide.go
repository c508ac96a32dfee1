package deploy

import (
	"fmt"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file decides, without I/O, what becomes of a subscription's snapshot
// when a generation is launched that reads the subscription (invariant P5).
// The snapshot is taken when a generation begins and bears its name. If that
// generation drains, it is of no more use. If it dies, it is what the next one
// reads from; and it stays, under the name of that one, in case it dies too.

// snapshotDo is what is done about a snapshot.
type snapshotDo int

const (
	snapshotTake  snapshotDo = iota // there is none yet
	snapshotRenew                   // the generation that it was taken for has drained
	snapshotSeek                    // that generation is dead: read again what it read
	snapshotKeep                    // taken, or sought, for this very launch
)

// decideSnapshot decides for a launch. Of is the writer that the snapshot was
// taken for, nil if there is none; state is how the history has that writer,
// empty if it does not know it; died: the writer before the launched one is
// dead.
func decideSnapshot(name string, launched tables.Writer, of *tables.Writer, state string, died bool) (snapshotDo, error) {
	switch {
	case of == nil && died:
		// invariant P5: what the dead generation had acknowledged would be lost.
		return 0, exit.Environmentf("the snapshot %s, which the successor of a dead generation reads again from, is gone: what %s had acknowledged cannot be read again",
			name, tables.Writer{Job: launched.Job, Generation: launched.Generation - 1}).
			WithHint("recompute its windows from the archive with `kappa backfill`, then go on with --without-replay")
	case of == nil:
		return snapshotTake, nil
	case *of == launched:
		return snapshotKeep, nil
	case state == tables.StateDrained:
		return snapshotRenew, nil
	case state == tables.StateVoid || state == tables.StateCancelled:
		return snapshotSeek, nil
	case state == "":
		return 0, exit.Environmentf("the snapshot %s was taken for %s, which the history does not know", name, of).
			WithHint("delete the snapshot if it is of no use, then apply again")
	}
	return 0, fmt.Errorf("the snapshot %s was taken for %s, which is %s: another job may read the subscription", name, of, state)
}
