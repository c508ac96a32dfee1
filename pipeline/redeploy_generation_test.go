package pipeline

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/option"
	"google.golang.org/grpc"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/worker"
)

// This file is the deployer: it starts, drains, kills and succeeds generations,
// and records what became of them.

// generation is a run.
type generation struct {
	writer    tables.Writer
	plan      *Plan
	topics    []int
	gate      *gate
	transport *transport
	conn      *grpc.ClientConn

	drain       chan struct{}
	done        chan error
	ended       bool        // done was received
	err         error       // from done
	saidDrained atomic.Bool // while it could still be heard
	counters    atomic.Pointer[map[string]int64]
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// start starts what is down, as its next generation.
func (w *world) start() error {
	down := w.down
	w.down = nil
	for _, job := range down {
		log := w.log()
		writer := tables.Writer{Job: job, Generation: log.NextGeneration(job)}
		s := w.spec()
		plan, err := NewPlan(s, job, writer.Generation)
		if err == nil {
			err = plan.Streams(s, false)
		}
		if err != nil {
			return err
		}
		plan.Follow(log.Predecessors(), log.Replaced(jobGroup))
		w.record(writer, tables.WriterStream, tables.StateOpen, nil)
		w.tracef("  start %s, after %v, replaced %d spans", writer, plan.Predecessors, len(plan.Replaced))
		g, err := w.run(plan, writer)
		if err != nil {
			return err
		}
		w.live = append(w.live, g)
	}
	return nil
}

// run runs a plan behind a gate of its own.
func (w *world) run(plan *Plan, writer tables.Writer) (*generation, error) {
	g := &generation{writer: writer, plan: plan, gate: newGate(w, writer), drain: make(chan struct{}), done: make(chan error, 1)}
	g.transport = &transport{g: g.gate, held: map[string]leased{}, ever: map[string]bool{}}
	for i := range worldTopics {
		if slices.Contains(plan.Subscriptions, subscriptionName(i)) {
			g.topics = append(g.topics, i)
		}
	}
	plan.Interval, plan.Shards = 60*time.Millisecond, w.shards
	conn, err := w.dial(grpc.WithUnaryInterceptor(g.transport.unary), grpc.WithStreamInterceptor(g.transport.stream))
	if err != nil {
		return nil, err
	}
	g.conn = conn
	client, err := vkit.NewSubscriptionAdminClient(context.Background(), option.WithGRPCConn(conn))
	if err != nil {
		return nil, err
	}
	w.all = append(w.all, g)
	go func() {
		g.done <- Run(context.Background(), Config{Plan: plan, Runner: Prism, Log: slog.New(slog.DiscardHandler), Rows: g.gate, Cells: g.gate, IDs: g.gate,
			Subscriber: client, Drain: g.drain, Report: g.report})
	}()
	return g, nil
}

// report is what the world hears of a generation.
func (g *generation) report(r worker.Report) {
	if !r.Drained {
		if g.gate.wasCut() == "" {
			g.counters.Store(&r.Counters)
		}
		return
	}
	_ = g.gate.do(opReport, func() {
		g.counters.Store(&r.Counters)
		g.saidDrained.Store(true)
	})
}

// over reports whether a generation has ended, as far as anybody can see.
func (g *generation) over() bool {
	if !g.ended {
		select {
		case g.err = <-g.done:
			g.ended = true
		default:
		}
	}
	return g.ended || g.gate.wasCut() != ""
}

// watch looks for jobs that have ended by themselves: whoever runs them starts
// them again.
func (w *world) watch() error {
	for _, g := range slices.Clone(w.live) {
		if !g.over() {
			continue
		}
		if err := w.bury(g, tables.StateVoid, 0); err != nil {
			return err
		}
		if err := w.start(); err != nil {
			return err
		}
	}
	return nil
}

// heldUp reports whether a job has failed because the machine was too busy for
// Prism: then it may give two panes one index, which the job notices; and it
// fails where it asks after the progress of a stage of its own, which no worker
// runs. Either way the generation is void and has acknowledged nothing.
func heldUp(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "the runner gave pane") || strings.Contains(err.Error(), "worker.(*B).Progress"))
}

// bury records what became of a generation that is over, and makes its job
// start again. One that said Drained has drained, whatever followed.
func (w *world) bury(g *generation, otherwise string, later int) error {
	w.live = slices.DeleteFunc(w.live, func(o *generation) bool { return o == g })
	g.gate.under.Wait() // what is done later than now is a zombie's
	why, state := g.gate.wasCut(), otherwise
	switch {
	case g.saidDrained.Load() && why == "" && g.err != nil && !g.gate.refused():
		return fmt.Errorf("%s has drained, and then failed: %w", g.writer, g.err)
	case g.saidDrained.Load():
		state = tables.StateDrained
		if why != "" || g.err != nil {
			w.count("killed between the report and the acknowledgements")
		}
	case why == "" && g.err == nil:
		return fmt.Errorf("%s has ended without a word", g.writer)
	case why == "" && g.gate.refused():
		w.count("failed in good order")
		w.tracef("  %s fails: %v", g.writer, g.err)
	case why == "" && heldUp(g.err):
		w.count("failed by itself")
		w.tracef("  %s fails: %v", g.writer, g.err)
	case why == "":
		return fmt.Errorf("%s has failed: %w", g.writer, g.err)
	}
	if why != "" {
		w.tracef("  %s is killed %s", g.writer, why)
	}
	g.gate.cut("it is over")
	w.record(g.writer, tables.WriterStream, state, nil)
	w.down = append(w.down, g.writer.Job)
	w.dead = append(w.dead, g)
	if later == 0 {
		return w.lapseDead()
	}
	return nil
}

// lapseDead lets the leases of all that is dead lapse.
func (w *world) lapseDead() error {
	dead := w.dead
	w.dead = nil
	for _, g := range dead {
		g.transport.pumps.Wait() // what is on its way is leased as well
		if err := g.transport.lapse(g.transport.leases()); err != nil {
			return fmt.Errorf("lapse leases of %s: %w", g.writer, err)
		}
	}
	return nil
}

// drainThese drains jobs, and waits for their end, by whatever.
func (w *world) drainThese(gs []*generation, f *fuse, later int) error {
	for i, g := range gs {
		if f != nil && i == 0 {
			g.gate.light(*f)
		}
		w.tracef("  drain %s", g.writer)
		close(g.drain)
	}
	for _, g := range gs {
		w.moved()
		for !g.over() {
			if w.stalled() {
				return fmt.Errorf("%s does not drain; %s", g.writer, w.describe())
			}
		}
		if err := w.bury(g, tables.StateVoid, later); err != nil {
			return err
		}
		if w.state(g.writer) == tables.StateDrained {
			w.count("drain")
		} else {
			w.count("killed in a drain")
		}
	}
	return nil
}

// archiveTo writes everything that was published as an archive.
func (w *world) archiveTo(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	schema := avro.MustParse(archiveSchema)
	for i := range w.files {
		out, err := os.Create(filepath.Join(dir, fmt.Sprintf("part-%d.avro", i)))
		if err != nil {
			return err
		}
		if err := writeMessages(out, schema, w.messages, i, w.files); err != nil {
			out.Close()
			return err
		}
		if err := out.Close(); err != nil {
			return err
		}
	}
	return nil
}

func writeMessages(out io.Writer, schema *avro.Schema, ms []published, first, every int) error {
	f, err := ocf.NewWriter(out, schema)
	if err != nil {
		return err
	}
	for i := first; i < len(ms); i += every {
		m := ms[i].m
		if err := f.Encode(map[string]any{"subscription_name": "projects/p/subscriptions/archive", "message_id": ms[i].id,
			"publish_time": worldEpoch, "attributes": m.GetAttributes(), "data": m.GetData()}); err != nil {
			return err
		}
	}
	return f.Close()
}
