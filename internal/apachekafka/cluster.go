package apachekafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/child"
)

// Listener is one of the ways in which every broker is reached.
type Listener string

// The listeners. Those but Plaintext are there if Config.Secure is set.
const (
	Plaintext     Listener = "PLAINTEXT"
	SASLPlaintext Listener = "SASL_PLAINTEXT" // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (unsecured tokens)
	SSL           Listener = "SSL"
	MutualSSL     Listener = "MTLS" // asks for a certificate of the authority
	SASLSSL       Listener = "SASL_SSL"
)

// Config says what to start.
type Config struct {
	Brokers    int               // 1 where 0
	Dir        string            // for logs, kept by Close; empty: a temporary folder, removed by Close
	Secure     *Secure           // further listeners, and permissions
	Properties map[string]string // of every broker, over those that Start sets
	JVM        []string          // options of java; nil: small and quick to start
	Log        func(broker int, line string)
}

// Secure is what the listeners beside Plaintext need. On those, who is not
// named may do everything that no ACL speaks of; Plaintext may do everything.
type Secure struct {
	Authority *Authority        // of the brokers' certificates, and of the clients'
	Users     map[string]string // password by name: for PLAIN and both SCRAMs
}

// Cluster is a running cluster.
type Cluster struct {
	cfg       Config
	id        string
	dir       string
	classPath string

	mu      sync.Mutex
	brokers []*broker
}

type broker struct {
	number  int // 1 and up
	ports   map[Listener]int
	control int
	process *child.Process // nil: down

	mu   sync.Mutex
	tail []string // the end of what it said
}

// startTimeout bounds the start of a broker on a busy machine.
const startTimeout = 90 * time.Second

// Start starts a cluster and waits until it serves. Errors carry
// exit.Environment where java, mvn or the network is missing.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg.Brokers = max(cfg.Brokers, 1)
	classPath, err := install(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, id: newID(), dir: cfg.Dir, classPath: classPath}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "kappa-kafka-"); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Brokers {
		b := &broker{number: i + 1, ports: make(map[Listener]int)}
		for _, l := range c.listeners() {
			if b.ports[l], err = freePort(); err != nil {
				return nil, err
			}
		}
		if b.control, err = freePort(); err != nil {
			return nil, err
		}
		c.brokers = append(c.brokers, b)
	}
	for _, b := range c.brokers {
		if err := c.launch(b); err != nil {
			c.Close()
			return nil, err
		}
	}
	if err := c.Ready(ctx, cfg.Brokers); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) listeners() []Listener {
	if c.cfg.Secure == nil {
		return []Listener{Plaintext}
	}
	return []Listener{Plaintext, SASLPlaintext, SSL, MutualSSL, SASLSSL}
}

// Addrs returns the addresses of all brokers, running or not.
func (c *Cluster) Addrs(l Listener) []string {
	var addrs []string
	for _, b := range c.brokers {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", b.ports[l]))
	}
	return addrs
}

// Size is the number of brokers; they are numbered from 1.
func (c *Cluster) Size() int { return len(c.brokers) }

// Pid is the process of a broker, 0 if it is down.
func (c *Cluster) Pid(number int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.brokers[number-1].process; p != nil {
		return p.Pid()
	}
	return 0
}

// Kill ends a broker with SIGKILL.
func (c *Cluster) Kill(number int) { c.end(number, (*child.Process).Kill) }

// Stop ends a broker in order: it hands its partitions over first.
func (c *Cluster) Stop(number int) {
	c.end(number, func(p *child.Process) { _ = p.Stop(30 * time.Second) })
}

func (c *Cluster) end(number int, how func(*child.Process)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.brokers[number-1]
	if b.process != nil {
		how(b.process)
		b.process = nil
	}
}

// Restart starts a broker that is down, on the same ports and with the same
// logs, and waits until all that are up serve.
func (c *Cluster) Restart(ctx context.Context, number int) error {
	c.mu.Lock()
	b := c.brokers[number-1]
	var err error
	if b.process == nil {
		err = c.launch(b)
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.Ready(ctx, c.up())
}

func (c *Cluster) up() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, b := range c.brokers {
		if b.process != nil {
			n++
		}
	}
	return n
}

// Close ends the brokers and removes the temporary folder.
func (c *Cluster) Close() {
	for _, b := range c.brokers {
		c.Kill(b.number)
	}
	if c.cfg.Dir == "" {
		os.RemoveAll(c.dir)
	}
}

// launch starts the process of a broker.
func (c *Cluster) launch(b *broker) error {
	dir := filepath.Join(c.dir, strconv.Itoa(b.number))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, "server.properties")
	text, err := c.properties(b, dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	jvm := c.cfg.JVM
	if jvm == nil {
		jvm = []string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto"}
	}
	args := append(slices.Clone(jvm), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Djava.awt.headless=true", "-cp", c.classPath, "Broker", file, c.id)
	if s := c.cfg.Secure; s != nil {
		for _, user := range slices.Sorted(maps.Keys(s.Users)) {
			for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
				args = append(args, fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, s.Users[user]))
			}
		}
	}
	say := func(line []byte) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.tail = append(b.tail[max(0, len(b.tail)-99):], string(line))
		if c.cfg.Log != nil {
			c.cfg.Log(b.number, string(line))
		}
	}
	p, err := child.Start(child.Config{Path: "java", Args: args, Stdout: say, Stderr: say})
	if err != nil {
		return err
	}
	b.process = p
	return nil
}

// Ready waits until a controller and so many brokers serve.
func (c *Cluster) Ready(ctx context.Context, brokers int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.serving(ctx, brokers)
		if err == nil {
			return nil
		}
		if gone := c.gone(); gone != nil {
			return gone
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the Kafka cluster is not ready: %w; %s", err, c.said())
		case <-tick.C:
		}
	}
}

// serving asks every broker that is up whom it knows.
func (c *Cluster) serving(ctx context.Context, brokers int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c.mu.Lock()
	var addrs []string
	for _, b := range c.brokers {
		if b.process != nil {
			addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", b.ports[Plaintext]))
		}
	}
	c.mu.Unlock()
	for _, addr := range addrs {
		client, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, client.Close)
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		resp, err := client.SeedBrokers()[0].Request(ctx, req)
		stop()
		client.Close()
		if err != nil {
			return err
		}
		m := resp.(*kmsg.MetadataResponse)
		if len(m.Brokers) < brokers || m.ControllerID < 0 {
			return fmt.Errorf("%s knows %d of %d brokers", addr, len(m.Brokers), brokers)
		}
	}
	return nil
}

// gone is an error if a broker that should be up has ended.
func (c *Cluster) gone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.brokers {
		if b.process == nil {
			continue
		}
		select {
		case <-b.process.Done():
			return fmt.Errorf("the Kafka broker %d ended: %w; it said:\n%s", b.number, errors.Join(b.process.Err()), b.said())
		default:
		}
	}
	return nil
}

func (b *broker) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.tail, "\n")
}

func (c *Cluster) said() string {
	var all []string
	for _, b := range c.brokers {
		all = append(all, fmt.Sprintf("broker %d said:\n%s", b.number, b.said()))
	}
	return strings.Join(all, "\n")
}

// newID makes the id of a cluster.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x3f           // an id must not begin with a dash
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// freePort finds a port below those that the kernel gives to outgoing
// connections: a broker that is down must find its own again.
func freePort() (int, error) {
	for range 200 {
		n, err := rand.Int(rand.Reader, big.NewInt(12_000))
		if err != nil {
			return 0, err
		}
		port := 20_000 + int(n.Int64())
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port between 20000 and 31999 is free")
}
