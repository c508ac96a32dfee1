package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"cloud.google.com/go/bigquery"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file is a generation's way out: everything that it writes, and every
// acknowledgement, goes through a gate of its own. A killed generation is one
// whose gate is cut: from that moment on nothing of what its process still does
// can be seen by anybody, which is what SIGKILL does. That makes it truer than
// cancelling the run, after which a process has manners: it gives its messages
// back.

// operation is what a generation does to the world.
type operation string

const (
	opRaw     operation = "raw rows"
	opLate    operation = "late rows"
	opPanes   operation = "pane rows"
	opCells   operation = "cells"
	opIDs     operation = "event ids"
	opReadIDs operation = "reading event ids"
	opAck     operation = "acknowledgements"
	opReport  operation = "the report Drained"
)

// moment is when in an operation a generation dies.
type moment string

const (
	momentBefore moment = "before"     // nothing of it is done
	momentAfter  moment = "just after" // it is done, and nobody hears of it
	momentLimbo  moment = "during"     // it is under way, and is done when the world says so
	// Not dead at all: the operation is refused for good, and the job fails in
	// good order, giving its messages back.
	momentRefused moment = "because of refused"
)

// fuse kills a generation at the nth operation of a kind from when it is lit.
type fuse struct {
	Op   operation
	Nth  int
	When moment
}

func (f fuse) String() string { return fmt.Sprintf("%s %s no. %d", f.When, f.Op, f.Nth) }

// waits: what sets it off comes some time after events were read.
func (f fuse) waits() bool { return f.Op != opRaw && f.Op != opLate && f.Op != opReadIDs }

// trouble is how unreliable the sinks are: every so many writes (0: never)
type trouble struct {
	Flaky  int // are done and reported as failed
	Lost   int // are reported as failed and done later
	Copied int // are done, and once more later
}

func (t trouble) String() string {
	return fmt.Sprintf("of the writes, one in %d is done but reported as failed, one in %d reported as failed and done later, one in %d done twice", t.Flaky, t.Lost, t.Copied)
}

// delivery is a message as one generation read it.
type delivery struct {
	writer  tables.Writer
	message string
}

// deliveries counts, for each delivery, how often it was read and how often
// that was too late. A message whose lease lapses is read twice.
type deliveries struct{ read, late map[delivery]int }

// gate implements the sinks of one generation on the world's tables.
type gate struct {
	w      *world
	writer tables.Writer

	mu     sync.Mutex
	dead   chan struct{} // closed when the gate is cut
	isCut  bool
	lit    *fuse
	burnt  string // what the fuse, or the world, has cut it by
	failed bool   // the fuse was a refusal
	counts map[operation]int
	writes int
	known  map[*Row]bool // rows of deliveries: a retry has the same ones

	under sync.WaitGroup // operations that are being done
}

func newGate(w *world, writer tables.Writer) *gate {
	return &gate{w: w, writer: writer, dead: make(chan struct{}), known: map[*Row]bool{}}
}

// errCut fails a run for good, so that the rest of it ends soon.
var errCut = status.Error(codes.PermissionDenied, "this generation was killed")

// light arms a fuse.
func (g *gate) light(f fuse) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lit, g.counts = &f, map[operation]int{}
}

// cut ends all that the generation does.
func (g *gate) cut(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cutLocked(why)
}

func (g *gate) cutLocked(why string) {
	if !g.isCut {
		g.isCut, g.burnt = true, why
		close(g.dead)
	}
}

// wasCut says by what the gate was cut; "" if it was not.
func (g *gate) wasCut() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.burnt
}

// refused reports whether the generation has been made to fail by itself.
func (g *gate) refused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// do does an operation, or not. land does it; it may be called later, and more
// than once. Reading has none.
func (g *gate) do(op operation, land func()) error {
	g.mu.Lock()
	if g.isCut {
		g.mu.Unlock()
		return errCut
	}
	if land == nil {
		land = func() {}
	}
	g.under.Add(1)
	defer g.under.Done()
	now, later, last, err := true, false, "", error(nil)
	if g.lit != nil {
		if g.counts[op]++; g.lit.Op == op && g.counts[op] == g.lit.Nth {
			now, later, err = g.lit.When == momentAfter, g.lit.When == momentLimbo, errCut
			g.failed = g.lit.When == momentRefused
			if now {
				last = g.lit.String()
			} else if !g.failed {
				g.cutLocked(g.lit.String())
			}
		}
	}
	if t := g.w.trouble; err == nil && op != opReadIDs && op != opAck && op != opReport {
		g.writes++
		switch {
		case t.Flaky > 0 && g.writes%t.Flaky == 0:
			err = errFlaky
		case t.Lost > 0 && g.writes%t.Lost == 0:
			now, later, err = false, true, errFlaky
		case t.Copied > 0 && g.writes%t.Copied == 0:
			later = true
		}
	}
	g.mu.Unlock()
	if now {
		land()
	}
	if last != "" { // nobody must find it dead before that is done
		g.cut(last)
	}
	if later {
		g.w.postpone(zombie{g.writer, op, land})
	}
	g.w.moved()
	return err
}

// Insert implements RowWriter.
func (g *gate) Insert(ctx context.Context, table string, rows []*Row) error {
	op := map[string]operation{rawTable: opRaw, lateTable: opLate, paneTable: opPanes}[table]
	if op != opPanes {
		g.note(op, rows)
	}
	return g.do(op, func() {
		_ = g.w.store.Insert(ctx, table, rows) // it is in memory
		if op == opRaw {
			g.w.wasRead(g.writer, rows)
		}
	})
}

// note counts deliveries, each once however often its row is written.
func (g *gate) note(op operation, rows []*Row) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isCut {
		return
	}
	for _, r := range rows {
		if !g.known[r] {
			g.known[r] = true
			g.w.noted(op, delivery{g.writer, rowColumn(r, "message_id").(string)})
		}
	}
}

// column is a row's value.
func rowColumn(r *Row, name string) bigquery.Value {
	for i, c := range r.Columns {
		if c == name {
			return r.Values[i]
		}
	}
	return nil
}

// Apply implements CellWriter.
func (g *gate) Apply(ctx context.Context, rows []CellRow) error {
	return g.do(opCells, func() {
		g.w.store.same(rows)
		_ = g.w.store.Apply(ctx, rows)
	})
}

// Read implements IDStore.
func (g *gate) Read(ctx context.Context, s tables.IDSlice, each func(tables.Writer, []byte)) error {
	if err := g.do(opReadIDs, nil); err != nil {
		return err
	}
	return g.w.store.Read(ctx, s, each)
}

// Write implements IDStore. As in Bigtable, of two writes of a cell that one
// holds which was begun last, in whatever order they land.
func (g *gate) Write(_ context.Context, s tables.IDSlice, w tables.Writer, ids []byte) error {
	begun := g.w.tick()
	return g.do(opIDs, func() { g.w.store.keep(s.RowKey(), w, ids, begun) })
}

// durable is the tables, those of all generations.
type durable struct {
	*memory
	begun map[string]int64 // of the ids in memory.kept
	wrong []string         // what must never have been written
}

func newDurable() *durable { return &durable{memory: newMemory(), begun: map[string]int64{}} }

func (d *durable) keep(row string, w tables.Writer, ids []byte, begun int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cell := row + " " + w.String()
	if begun < d.begun[cell] {
		return
	}
	d.begun[cell] = begun
	if d.kept[row] == nil {
		d.kept[row] = map[tables.Writer][]byte{}
	}
	d.kept[row][w] = ids
}

// same notes cells that are written again with another value. invariant P1
func (d *durable) same(rows []CellRow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		for _, c := range r.Cells {
			id := r.Key + " " + c.Qualifier + " " + strconv.FormatInt(r.Window.UnixMicro(), 10)
			if old, ok := d.cells[id]; ok && string(old) != string(c.Value) {
				d.wrong = append(d.wrong, fmt.Sprintf("cell %s was written with %x and %x", id, old, c.Value))
			}
		}
	}
}
