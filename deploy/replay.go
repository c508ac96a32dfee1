package deploy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const (
	// labelJob is the label of a snapshot with the job that it was taken for;
	// the generation has dataflowapi.LabelGeneration.
	labelJob = "kappa-job"
	// replayWithin bounds what is done about one snapshot, once begun.
	replayWithin = time.Minute
)

// replay sees to it that a generation reads what it must, and that, should it
// die, the next one can read the same: it takes a snapshot of every
// subscription, or goes back to the one of the dead generation. Nothing runs
// that reads them meanwhile.
func (t *take) replay(ctx context.Context, a Action) error {
	spec := t.cfg.Job.Spec
	if spec.Sources.Replay != jobspecs.ReplaySnapshot {
		if a.Supersedes != "" {
			text := "recompute its windows from the archive (kappa backfill)"
			if spec.Pipeline == jobspecs.PipelineOther {
				text = "what it had read and not yet written is not read again"
			}
			return t.after(ctx, of(Replaying, tables.Writer{Job: a.Job, Generation: a.Generation}, "", a.Supersedes+" is dead: "+text))
		}
		return nil
	}
	// Side by side: nobody reads the subscriptions until this is done.
	subs := t.cfg.Job.JobSubscriptions(slices.Index(t.cfg.Job.JobNames(), a.Job))
	var log history.Log
	snaps, writers := make([]*pubsubpb.Snapshot, len(subs)), make([]*tables.Writer, len(subs))
	err := each(ctx, len(subs)+1, func(ctx context.Context, i int) (err error) {
		if i == len(subs) {
			log, err = t.cfg.History.Read(ctx)
			return err
		}
		snaps[i], writers[i], err = t.snapshot(ctx, subs[i])
		return err
	})
	if err != nil {
		return err
	}
	var oneByOne sync.Mutex
	return each(ctx, len(subs), func(ctx context.Context, i int) error {
		return t.replaySubscription(ctx, log, a, subs[i], snaps[i], writers[i], &oneByOne)
	})
}

// replaySubscription sees to one subscription: snap is its snapshot, or only the name
// of that, and from the writer that it was taken for. What is a step on record is
// taken one after the other.
func (t *take) replaySubscription(ctx context.Context, log history.Log, a Action, sub string, snap *pubsubpb.Snapshot, from *tables.Writer, oneByOne *sync.Mutex) error {
	// Half of it done would be no harm, but a dead command's successor would
	// have to find out how far it came.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replayWithin)
	defer cancel()
	launched := tables.Writer{Job: a.Job, Generation: a.Generation}
	state := ""
	if from != nil {
		if g, ok := log.Writer(from.Job, from.Generation); ok {
			state = g.State
		}
	}
	do, err := decideSnapshot(snap.GetName(), launched, from, state, a.Supersedes != "" && !t.cfg.WithoutReplay)
	if err != nil {
		return err
	}
	switch do {
	case snapshotSeek:
		oneByOne.Lock()
		defer oneByOne.Unlock()
		if err := t.before(ctx, of(Replaying, launched, "", fmt.Sprintf("%s as %s began to read it", sub, from))); err != nil {
			return err
		}
		err = t.seek(ctx, snap, sub, launched)
	case snapshotRenew:
		if err = t.cfg.Clients.PubSub.SubscriptionAdminClient.DeleteSnapshot(ctx, &pubsubpb.DeleteSnapshotRequest{Snapshot: snap.GetName()}); status.Code(err) == codes.NotFound {
			err = nil
		}
		if err == nil {
			err = t.takeSnapshot(ctx, snap.GetName(), sub, launched)
		}
	case snapshotTake:
		err = t.takeSnapshot(ctx, snap.GetName(), sub, launched)
	}
	if err != nil {
		return exit.Environmentf("keep what %s reads of %s for its successor: %w", launched, sub, err).
			WithHint("the service account needs the permissions pubsub.snapshots.* and pubsub.subscriptions.consume; " +
				"or keep an archive instead, and set spec.sources.replay to archive")
	}
	return nil
}

// snapshot returns the snapshot of a subscription, or only its name, and the
// writer that it was taken for.
func (t *take) snapshot(ctx context.Context, sub string) (*pubsubpb.Snapshot, *tables.Writer, error) {
	name := "projects/" + t.cfg.Job.Spec.Project + "/snapshots/kappa-" + sub
	snap, err := t.cfg.Clients.PubSub.SubscriptionAdminClient.GetSnapshot(ctx, &pubsubpb.GetSnapshotRequest{Snapshot: name})
	if status.Code(err) == codes.NotFound {
		return &pubsubpb.Snapshot{Name: name}, nil, nil
	}
	if err != nil {
		return nil, nil, exit.Environmentf("read the snapshot %s: %w", name, err)
	}
	n, err := strconv.ParseInt(snap.GetLabels()[dataflowapi.LabelGeneration], 10, 64)
	if err != nil {
		return nil, nil, exit.Environmentf("the snapshot %s was not taken by kappa: it has no label %s", name, dataflowapi.LabelGeneration).
			WithHint("delete it, or rename the subscription")
	}
	return snap, &tables.Writer{Job: snap.GetLabels()[labelJob], Generation: n}, nil
}

func snapshotLabels(w tables.Writer) map[string]string {
	return map[string]string{labelJob: w.Job, dataflowapi.LabelGeneration: strconv.FormatInt(w.Generation, 10)}
}

func (t *take) takeSnapshot(ctx context.Context, name, sub string, w tables.Writer) error {
	_, err := t.cfg.Clients.PubSub.SubscriptionAdminClient.CreateSnapshot(ctx, &pubsubpb.CreateSnapshotRequest{
		Name: name, Subscription: subscription(t.cfg.Job.Spec.Project, sub), Labels: snapshotLabels(w),
	})
	return err
}

// seek goes back to a snapshot, and then names it after the new generation: a
// command that dies in between seeks again, which changes nothing.
func (t *take) seek(ctx context.Context, snap *pubsubpb.Snapshot, sub string, w tables.Writer) error {
	client := t.cfg.Clients.PubSub.SubscriptionAdminClient
	_, err := client.Seek(ctx, &pubsubpb.SeekRequest{
		Subscription: subscription(t.cfg.Job.Spec.Project, sub), Target: &pubsubpb.SeekRequest_Snapshot{Snapshot: snap.GetName()},
	})
	if err != nil {
		return err
	}
	_, err = client.UpdateSnapshot(ctx, &pubsubpb.UpdateSnapshotRequest{
		Snapshot: &pubsubpb.Snapshot{Name: snap.GetName(), Labels: snapshotLabels(w)}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	})
	return err
}
