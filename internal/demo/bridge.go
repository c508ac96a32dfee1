package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/exit"
)

const (
	bridgeDeadline = 60 * time.Second // until the bridge has joined its group
	bridgeGrace    = 30 * time.Second // for its outstanding acknowledgements when it stops
	pollFast       = 50 * time.Millisecond
)

// startBridge starts `kappa bridge run` of this very program.
func startBridge(specsDir, logs, logLevel string) (*service, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, exit.Environmentf("find this program: %w", err)
	}
	return startService("bridge", self, logs, []string{
		"bridge", "run", "-f", filepath.Join(specsDir, bridgeFile), "--exit-with-parent", logLevel,
	}, nil)
}

// members are the ids of the members of a consumer group.
type members map[string]bool

// assigned returns the group's members, and how many partitions those of them
// read that are not in old.
func assigned(ctx context.Context, admin *kadm.Client, group string, old members) (members, int, error) {
	groups, err := admin.DescribeGroups(ctx, group)
	if err != nil {
		return nil, 0, exit.Environmentf("look at group %s: %w", group, err)
	}
	g := groups[group]
	all, read := members{}, 0
	for _, m := range g.Members {
		all[m.MemberID] = true
		if a, ok := m.Assigned.AsConsumer(); ok && !old[m.MemberID] && g.State == "Stable" {
			for _, t := range a.Topics {
				read += len(t.Partitions)
			}
		}
	}
	return all, read, nil
}

// joined waits until a bridge that is not among the old members reads all
// partitions.
func joined(ctx context.Context, admin *kadm.Client, group string, old members) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bridgeDeadline,
		exit.Environmentf("the bridge had not joined group %s after %s", group, bridgeDeadline))
	defer cancel()
	return poll(ctx, pollFast, func() (bool, error) {
		_, read, err := assigned(ctx, admin, group, old)
		return read >= partitions, err
	})
}

// committed is the number of records that the bridge has committed: offsets
// begin at zero, and nothing deletes records here.
func committed(ctx context.Context, admin *kadm.Client, group, topic string) (int64, error) {
	offsets, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, exit.Environmentf("read the offsets of group %s: %w", group, err)
	}
	var n int64
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.At > 0 {
			n += o.At
		}
	})
	return n, nil
}

// crashBridge kills the bridge with SIGKILL and starts it again.
func (r *run) crashBridge(ctx context.Context) error {
	group := r.specs.source().Group
	killed, _, err := assigned(ctx, r.clients.admin, group, nil)
	if err != nil {
		return err
	}
	r.bridge.Swap(nil).kill()
	r.restarts.Add(1)
	r.log.Info("bridge killed")
	if err := r.startBridge(); err != nil {
		return err
	}
	return joined(ctx, r.clients.admin, group, killed)
}

// startBridge starts the bridge; if it ends by itself, so does the run.
func (r *run) startBridge() error {
	b, err := startBridge(r.out.path(specsFolder), r.out.path(logsFolder), r.logLevel())
	if err != nil {
		return err
	}
	r.bridge.Store(b)
	b.watch(r.fail)
	r.log.Info("bridge started", "pid", b.proc.Pid())
	return nil
}

// stopBridge ends the bridge as an operator would; it must end well.
func (r *run) stopBridge() error {
	b := r.bridge.Swap(nil)
	if err := b.stop(bridgeGrace); err != nil {
		return exit.With(exit.Failed, fmt.Errorf("the bridge did not stop cleanly (%w)%s", err, b.tail.text()))
	}
	return nil
}

// poll calls fn at an interval until it is satisfied, fails, or ctx ends.
func poll(ctx context.Context, interval time.Duration, fn func() (bool, error)) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		ok, err := fn()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}
