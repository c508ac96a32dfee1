package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	sandbox "github.com/kappa-migrate/kappa/sandbox/pubsub"
)

const (
	jobGroup  = "flights"
	rawTable  = "raw_flights"
	lateTable = "late_flights"
	paneTable = "stream_flights"
)

// world is everything around the jobs: Pub/Sub, the tables, the history of
// generations, whoever deploys, and what is true.
type world struct {
	t      testing.TB
	server *sandbox.Server
	client *pubsub.Client
	store  *durable

	trouble    trouble
	partitions int
	shards     int
	files      int
	dir        string

	// What the deployer knows.
	jobs    int
	horizon time.Duration
	live    []*generation // that run, as far as anybody knows
	down    []string      // jobs to be started
	history []tables.Generation
	now     int64 // of the history, in steps

	// What is true.
	clock    time.Time // of the records
	flights  []flight
	messages []published
	archives []archive

	mu        sync.Mutex
	read      map[tables.Writer]map[string]bool // messages whose raw rows have landed
	seen      deliveries
	acked     map[string]tables.Writer
	limbo     []zombie
	counter   atomic.Int64
	lastMoved atomic.Int64

	all   []*generation // that ever ran
	dead  []*generation // whose leases have not lapsed
	trace []string
	did   map[string]int // for coverage
}

// archive is what a backfill read, and its windows.
type archive struct {
	writer tables.Writer
	span   tables.Span
	upTo   int // number of messages in it
}

var worldEpoch = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, dir string, s schedule) (*world, error) {
	w := &world{t: t, store: newDurable(), trouble: s.Trouble, partitions: s.Partitions, shards: s.Shards, files: s.Files, dir: dir,
		jobs: s.Jobs, horizon: s.Horizon, clock: worldEpoch.Add(12 * time.Hour),
		read: map[tables.Writer]map[string]bool{}, seen: deliveries{read: map[delivery]int{}, late: map[delivery]int{}},
		acked: map[string]tables.Writer{}, did: map[string]int{}}
	w.tracef("%d jobs, horizon %s, %d partitions a topic, %d shards of ids; %s", s.Jobs, s.Horizon, s.Partitions, s.Shards, s.Trouble)
	w.moved()
	var err error
	if w.server, err = sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, err
	}
	conn, err := w.dial()
	if err == nil {
		w.client, err = pubsub.NewClient(context.Background(), "kappa-demo", option.WithGRPCConn(conn))
	}
	for i := range worldTopics {
		if err == nil {
			_, err = w.client.TopicAdminClient.CreateTopic(context.Background(), &pubsubpb.Topic{Name: topicName(i)})
		}
		if err == nil {
			_, err = w.client.SubscriptionAdminClient.CreateSubscription(context.Background(), &pubsubpb.Subscription{Name: subscriptionName(i), Topic: topicName(i), AckDeadlineSeconds: 10})
		}
	}
	if err != nil {
		w.close()
		return nil, err
	}
	for i := range s.Jobs {
		w.down = append(w.down, jobName(i))
	}
	return w, nil
}

func (w *world) dial(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient(w.server.Addr(), append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

// close ends everything. Generations that were killed may still be dying.
func (w *world) close() {
	for _, g := range w.all {
		g.gate.cut("the end")
	}
	for _, g := range w.all {
		if !g.ended {
			<-g.done
		}
		g.transport.pumps.Wait()
		if g.conn != nil {
			g.conn.Close()
		}
	}
	if w.client != nil {
		w.client.Close()
	}
	w.server.Close()
}

func topicName(i int) string { return fmt.Sprintf("projects/kappa-demo/topics/flights-%d", i) }
func subscriptionName(i int) string {
	return fmt.Sprintf("projects/kappa-demo/subscriptions/flights-%d", i)
}
func jobName(i int) string { return fmt.Sprintf("%s-%d", jobGroup, i) }

func (w *world) tracef(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// count notes that something happened, for coverage.
func (w *world) count(what string) { w.did[what]++ }

// moved notes that the world does not stand still.
func (w *world) moved()      { w.lastMoved.Store(time.Now().UnixNano()) }
func (w *world) tick() int64 { return w.counter.Add(1) }

func (w *world) noted(op operation, d delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if op == opLate {
		w.seen.late[d]++
	} else {
		w.seen.read[d]++
	}
}

func (w *world) wasRead(writer tables.Writer, rows []*Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.read[writer] == nil {
		w.read[writer] = map[string]bool{}
	}
	for _, r := range rows {
		w.read[writer][rowColumn(r, "message_id").(string)] = true
	}
}

func (w *world) acknowledged(by tables.Writer, l leased) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[l.message] = by
}

func (w *world) postpone(z zombie) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limbo = append(w.limbo, z)
}

// record appends a row to the generations table.
func (w *world) record(writer tables.Writer, kind, state string, span *tables.Span) {
	w.now++
	row := tables.Generation{Job: writer.Job, Generation: writer.Generation, Kind: kind, State: state, Group: jobGroup, Seq: w.now,
		RecordedAt: worldEpoch.Add(time.Duration(w.now) * time.Second)}
	if span != nil {
		row.WindowFrom = bigquery.NullTimestamp{Timestamp: span.From, Valid: true}
		row.WindowTo = bigquery.NullTimestamp{Timestamp: span.To, Valid: true}
	}
	w.history = append(w.history, row)
	if state != tables.StateOpen {
		w.tracef("  %s is recorded %s", writer, state)
	}
}

func (w *world) log() history.Log { return history.Fold(w.history) }

// state is a writer's newest one.
func (w *world) state(of tables.Writer) string {
	row, _ := w.log().Writer(of.Job, of.Generation)
	return row.State
}

// spec is the job's, as it is now.
func (w *world) spec() *jobspecs.StreamJob {
	return spec(w.t, func(s *jobspecs.StreamJobSpec) {
		s.Jobs, s.Sources.Count, s.Horizon = w.jobs, worldTopics, jobspecs.Duration(w.horizon)
	})
}

// unread are the messages that jobs which run have yet to read.
func (w *world) unread() (out []string) {
	stuck := map[string]bool{}
	for _, g := range w.dead {
		for _, l := range g.transport.leases() {
			stuck[l.message] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.messages {
		if _, gone := w.acked[m.id]; gone || stuck[m.id] {
			continue
		}
		for _, g := range w.live {
			if slices.Contains(g.topics, m.topic) && !w.read[g.writer][m.id] {
				out = append(out, m.id)
			}
		}
	}
	return out
}

// lost are messages that nobody gets again and that no row that counts is of.
func (w *world) lost() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.messages {
		by, acked := w.acked[m.id]
		if !acked || w.read[by][m.id] && w.counts(by) {
			continue
		}
		return fmt.Errorf("message %s (event %d) is lost: %s has acknowledged it, and is %s", m.id, m.f.id, by, cmp.Or(w.state(by), "unknown"))
	}
	return nil
}

// counts reports whether a writer has drained or still may: it said so.
func (w *world) counts(by tables.Writer) bool {
	for _, g := range w.all {
		if g.writer == by {
			return g.saidDrained.Load()
		}
	}
	return false
}

// worldStall is how long the world may stand still while something is waited for.
const worldStall = 30 * time.Second

// settle waits until everything that can be read is read.
func (w *world) settle() error {
	return w.until("everything is read", func() bool { return len(w.unread()) == 0 })
}

// until waits for a condition, and looks after jobs meanwhile.
func (w *world) until(what string, cond func() bool) error {
	w.moved()
	for {
		if err := w.watch(); err != nil {
			return err
		}
		if cond() {
			return nil
		}
		if err := w.lost(); err != nil {
			return err
		}
		if w.stalled() {
			return fmt.Errorf("waiting until %s: nothing moves; unread %v; %s", what, w.unread(), w.describe())
		}
	}
}

// still is how long nothing has moved.
func (w *world) still() time.Duration { return time.Since(time.Unix(0, w.lastMoved.Load())) }

// stalled lets a moment pass between two looks at what is waited for; it
// reports whether that is in vain, for the world has stood still too long.
func (w *world) stalled() bool {
	if w.still() > worldStall {
		return true
	}
	time.Sleep(4 * time.Millisecond) // between two looks, with a deadline
	return false
}

func (w *world) describe() string {
	var b strings.Builder
	for _, g := range w.live {
		fmt.Fprintf(&b, "%s holds %d; ", g.writer, len(g.transport.leases()))
	}
	return b.String()
}

// watermark is what a generation's watermark of a topic has certainly reached:
// the least of its partitions' greatest record times among what it has read.
func (w *world) watermark(g *generation, topic int) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	greatest := map[int]time.Time{}
	for _, m := range w.messages {
		if m.topic != topic {
			continue
		}
		if at := greatest[m.f.partition]; !w.read[g.writer][m.id] {
			greatest[m.f.partition] = at // a partition that it has not read, too
		} else if m.f.arrival.After(at) {
			greatest[m.f.partition] = m.f.arrival
		}
	}
	if len(greatest) == 0 {
		return time.Time{}, false
	}
	least := slices.MinFunc(slices.Collect(maps.Values(greatest)), time.Time.Compare)
	return least, !least.IsZero()
}
