package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is a Kafka cluster and what can befall it.
type cluster interface {
	addrs() []string
	// restart stops a broker, waits for down, and starts it again.
	restart(ctx context.Context, broker int, down time.Duration) error
	// moveLeaders gives the partitions of a topic other leaders.
	moveLeaders(ctx context.Context, topic string, partitions int, dice *rand.Rand) error
	// confuse makes coordinators move and commits fail for a while.
	confuse(ctx context.Context, d time.Duration) error
	// compact compacts what can be compacted.
	compact(ctx context.Context) error
	// expire applies the retention that a topic has just been given.
	expire(ctx context.Context, topic string) error
	brokers() int
	close()
}

// watcher is a cluster that can tell what is asked of it: it calls seen with
// every offset that a member of a group asks to commit.
type watcher interface {
	watch(topics map[string][16]byte, seen func(group string, p tp, offset int64))
}

// fake is kfake, in this process.
type fake struct {
	*kfake.Cluster
	nodes []int32
	ports []int

	mu    sync.Mutex
	conns map[int]map[net.Conn]struct{} // by port
}

func newFake(brokers int) (*fake, error) {
	f := &fake{conns: make(map[int]map[net.Conn]struct{})}
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.ClusterID("soak-cluster"), kfake.ListenFn(f.listen))
	if err != nil {
		return nil, fmt.Errorf("start kfake: %w", err)
	}
	f.Cluster = c
	// kfake leaves out the aborted transactions of the partition in which an
	// answer reaches its largest size, so that a reader takes their records for
	// committed ones. The sizes of partitions still bound an answer.
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		r.(*kmsg.FetchRequest).MaxBytes = 1 << 30
		return nil, nil, false
	})
	// kfake begins to wait anew for members that are gone whenever another one
	// joins. Those give up an answer to a join 10 s after the group's time for it,
	// and join again, so that with a group's usual minute none of them gets any.
	c.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		r.(*kmsg.JoinGroupRequest).RebalanceTimeoutMillis = int32((20 * time.Second).Milliseconds())
		return nil, nil, false
	})
	for i, addr := range c.ListenAddrs() {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("start kfake: %w", err)
		}
		f.nodes, f.ports = append(f.nodes, int32(i)), append(f.ports, a.Port)
	}
	return f, nil
}

// listen listens and keeps the connections, so that a broker's can be broken.
func (f *fake) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: l, f: f, port: l.Addr().(*net.TCPAddr).Port}, nil
}

type listener struct {
	net.Listener
	f    *fake
	port int
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	if l.f.conns[l.port] == nil {
		l.f.conns[l.port] = make(map[net.Conn]struct{})
	}
	k := &conn{Conn: c, l: l}
	l.f.conns[l.port][k] = struct{}{}
	return k, nil
}

type conn struct {
	net.Conn
	l *listener
}

func (c *conn) Close() error {
	c.l.f.mu.Lock()
	delete(c.l.f.conns[c.l.port], c)
	c.l.f.mu.Unlock()
	return c.Conn.Close()
}

func (f *fake) addrs() []string {
	var all []string
	for _, p := range f.ports {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", p))
	}
	return all
}

func (f *fake) brokers() int { return len(f.nodes) }
func (f *fake) close()       { f.Close() }

func (f *fake) restart(ctx context.Context, broker int, down time.Duration) error {
	node, port := f.nodes[broker], f.ports[broker]
	if err := f.RemoveNode(node); err != nil {
		return fmt.Errorf("stop broker %d: %w", broker, err)
	}
	f.mu.Lock()
	var open []net.Conn
	for c := range f.conns[port] {
		open = append(open, c)
	}
	f.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
	wait(ctx, down)
	for {
		_, _, err := f.AddNode(node, port)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("start broker %d: %w", broker, err)
		}
		wait(ctx, 50*time.Millisecond) // its port may rest
	}
}

func (f *fake) moveLeaders(_ context.Context, topic string, partitions int, dice *rand.Rand) error {
	for p := range partitions {
		if err := f.MoveTopicPartition(topic, int32(p), f.nodes[dice.IntN(len(f.nodes))]); err != nil {
			return fmt.Errorf("move the leader of %s/%d: %w", topic, p, err)
		}
	}
	return nil
}

func (f *fake) confuse(ctx context.Context, d time.Duration) error {
	f.RehashCoordinators()
	h := f.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RequestTimedOut, Count: 2}, // applied, and answered with an error
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 5},
	)
	wait(ctx, d)
	h.Remove()
	f.RehashCoordinators()
	return nil
}

func (f *fake) compact(context.Context) error {
	f.Compact()
	return nil
}

func (f *fake) expire(context.Context, string) error {
	f.ApplyRetention()
	return nil
}

func (f *fake) watch(topics map[string][16]byte, seen func(group string, p tp, offset int64)) {
	names := make(map[[16]byte]string)
	for name, id := range topics {
		names[id] = name
	}
	f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Count: -1, Observe: true, When: func(r kmsg.Request) bool {
		req := r.(*kmsg.OffsetCommitRequest)
		for _, t := range req.Topics {
			if t.Topic == "" {
				t.Topic = names[t.TopicID]
			}
			for _, p := range t.Partitions {
				seen(req.Group, tp{t.Topic, p.Partition}, p.Offset)
			}
		}
		return true
	}})
}

// admin asks the cluster, again and again until it answers: brokers restart
// while it does.
type admin struct {
	*kadm.Client
	client *kgo.Client
}

func newAdmin(addrs []string) (*admin, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ClientID("soak-admin"), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("set up a Kafka client: %w", err)
	}
	return &admin{kadm.NewClient(c), c}, nil
}

// Configuration of topics.
const (
	compactionLag = "min.compaction.lag.ms"
	retention     = "retention.ms"
	forever       = "9223372036854775807"
)

// configure sets a configuration of a topic; "" takes it back.
func (a *admin) configure(ctx context.Context, topic, name, value string) error {
	c := kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
	if value == "" {
		c = kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name}
	}
	return again(ctx, "configure "+topic, func(ctx context.Context) error {
		resp, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{c}, topic)
		if err != nil {
			return err
		}
		for _, r := range resp {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	})
}

// patience is how long the soak waits for what must happen at some time.
const patience = 90 * time.Second

// again calls f until it succeeds, for as long as patience lasts.
func again(ctx context.Context, what string, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 15*time.Second)
		err := f(try)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		wait(ctx, 100*time.Millisecond)
	}
}

// committed returns what a group has committed of topics; 0 where nothing is.
func (a *admin) committed(ctx context.Context, group string, topics map[string]int) (map[tp]int64, error) {
	found := make(map[tp]int64)
	for topic, n := range topics {
		for i := range n {
			found[tp{topic, int32(i)}] = 0
		}
	}
	err := again(ctx, "look up committed offsets of "+group, func(ctx context.Context) error {
		offsets, err := a.FetchOffsets(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := offsets.Error(); err != nil {
			return err
		}
		offsets.Each(func(o kadm.OffsetResponse) {
			if p := (tp{o.Topic, o.Partition}); topics[o.Topic] > 0 && o.At > 0 {
				found[p] = o.At
			}
		})
		return nil
	})
	return found, err
}

// anchored reports whether a group has an offset of every partition: the place
// where it began.
func (a *admin) anchored(ctx context.Context, group string, topics map[string]int) bool {
	offsets, err := a.FetchOffsets(ctx, group)
	if err != nil || offsets.Error() != nil {
		return false
	}
	for topic, n := range topics {
		for i := range n {
			if o, ok := offsets.Lookup(topic, int32(i)); !ok || o.At < 0 {
				return false
			}
		}
	}
	return true
}

// ends returns the end of each partition, as a reader of committed
// transactions sees it.
func (a *admin) ends(ctx context.Context, topics map[string]int) (map[tp]int64, error) {
	return a.bounds(ctx, topics, a.ListCommittedOffsets)
}

func (a *admin) starts(ctx context.Context, topics map[string]int) (map[tp]int64, error) {
	return a.bounds(ctx, topics, a.ListStartOffsets)
}

func (a *admin) bounds(ctx context.Context, topics map[string]int, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[tp]int64, error) {
	found := make(map[tp]int64)
	var names []string
	for t := range topics {
		names = append(names, t)
	}
	err := again(ctx, "look up the bounds of topics", func(ctx context.Context) error {
		offsets, err := list(ctx, names...)
		if err == nil {
			err = offsets.Error()
		}
		if err != nil {
			return err
		}
		offsets.Each(func(o kadm.ListedOffset) { found[tp{o.Topic, o.Partition}] = o.Offset })
		return nil
	})
	return found, err
}

// owners returns which member each partition of a group is assigned to, "" for
// none; ok is false while the group rebalances.
func (a *admin) owners(ctx context.Context, group string, topics map[string]int) (owners map[tp]string, ok bool) {
	groups, err := a.DescribeGroups(ctx, group)
	g := groups[group]
	if err != nil || g.Err != nil || g.State != "Stable" {
		return nil, false
	}
	owners = make(map[tp]string)
	for topic, n := range topics {
		for i := range n {
			owners[tp{topic, int32(i)}] = ""
		}
	}
	for _, m := range g.Members {
		c, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range c.Topics {
			for _, p := range t.Partitions {
				owners[tp{t.Topic, p}] = m.MemberID
			}
		}
	}
	return owners, true
}
