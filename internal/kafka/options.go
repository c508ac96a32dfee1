package kafka

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// dialTimeout bounds the making of a connection, the TLS handshake included.
const dialTimeout = 10 * time.Second

// Options returns how the client reaches and authenticates to a cluster: seed
// brokers, dialer and SASL. Every secret and file is read once here, so that
// what is wrong with one is said at the start and not by the first connection;
// errors carry exit.Usage or exit.Environment. ctx bounds only that.
func Options(ctx context.Context, c jobspecs.KafkaCluster) ([]kgo.Opt, error) {
	if len(c.Brokers) == 0 {
		return nil, exit.Usagef("a Kafka cluster has no brokers")
	}
	dial, err := dialer(c.TLS)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.Dialer(dial)}
	mechanism, err := mechanism(ctx, c.SASL)
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// dialFunc makes a connection to a broker.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// DialError is a connection that could not be made: the network or the TLS
// handshake failed.
type DialError struct {
	Addr string // of the broker
	TLS  bool   // the connection stood, the handshake failed
	Err  error
}

// Error says which broker and why.
func (e *DialError) Error() string {
	if e.TLS {
		return "TLS handshake with " + e.Addr + ": " + e.Err.Error()
	}
	return "connect to " + e.Addr + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Connect makes a client of a cluster and asks the cluster something, so that
// it is known to be reachable and to let us in; the error says what to mend.
// clientID names the client in the brokers' logs and quotas; more are further
// options. The caller closes the client. Without a deadline in ctx the question
// is asked once of each broker.
func Connect(ctx context.Context, c jobspecs.KafkaCluster, clientID string, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := Options(ctx, c)
	if err != nil {
		return nil, err
	}
	seen := new(lastFailure)
	opts = append(opts, kgo.ClientID(clientID), kgo.WithHooks(seen))
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, exit.Usagef("set up the Kafka client: %w", err)
	}
	stop := context.AfterFunc(ctx, client.Close) // a silent broker is waited for beyond ctx
	err = client.Ping(ctx)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		client.Close()
		if cause := seen.get(); cause != nil && errors.Is(err, context.DeadlineExceeded) {
			err = cause // why it took so long
		}
		return nil, Explain(err, c)
	}
	return client, nil
}

// NewAdmin is Connect for a client that only asks and commands. Close closes
// the connections.
func NewAdmin(ctx context.Context, c jobspecs.KafkaCluster, clientID string) (*kadm.Client, error) {
	client, err := Connect(ctx, c, clientID)
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

// lastFailure keeps the last reason for which no connection could be made.
type lastFailure struct {
	mu  sync.Mutex
	err error
}

// OnBrokerConnect is called by the client with every attempt.
func (l *lastFailure) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil || errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !tlsFailed(err) {
		return // it says nothing about the cluster
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lastFailure) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
