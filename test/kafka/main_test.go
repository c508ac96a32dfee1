//go:build kafka

// Package kafka holds the tests of the real `kappa bridge` against real Apache
// Kafka brokers: `make test-kafka`. The destination is the sandbox's Pub/Sub
// server. The tests share one cluster of three brokers; each has topics and a
// group of its own.
package kafka

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	pubsubclient "cloud.google.com/go/pubsub/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/pubsub"
)

// What the tests share.
var (
	cluster   *apachekafka.Cluster
	authority *apachekafka.Authority
	client    *kgo.Client // of the cluster, for questions
	admin     *kadm.Client
	dest      *pubsubclient.Client
	destAddr  string
	kappa     string // the program
)

// users of the cluster; the password is also searched for in all that is said.
var users = map[string]string{"alice": password}

const password = "S3cr3t-Xq7"

var verbose = flag.Bool("brokers", false, "print what the brokers say")

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the tests against Apache Kafka cannot run:", err)
		var e *exit.Error
		if errors.As(err, &e) && e.Hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", e.Hint)
		}
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "kappa-test-kafka-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if kappa, err = program(ctx, dir); err != nil {
		return 0, err
	}
	if authority, err = apachekafka.NewAuthority(dir); err != nil {
		return 0, err
	}
	cfg := apachekafka.Config{
		Brokers: 3, Secure: &apachekafka.Secure{Authority: authority, Users: users},
		Properties: map[string]string{"min.insync.replicas": "2", "connections.max.reauth.ms": "3600000"},
	}
	if *verbose {
		cfg.Log = func(n int, line string) { fmt.Fprintf(os.Stderr, "broker %d: %s\n", n, line) }
	}
	begin := time.Now()
	if cluster, err = apachekafka.Start(ctx, cfg); err != nil {
		return 0, err
	}
	defer cluster.Close()
	fmt.Printf("three Kafka brokers started in %s\n", time.Since(begin).Round(100*time.Millisecond))
	if client, err = kgo.NewClient(kgo.SeedBrokers(cluster.Addrs(apachekafka.Plaintext)...)); err != nil {
		return 0, err
	}
	defer client.Close()
	admin = kadm.NewClient(client)

	server, err := pubsub.New(pubsub.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer server.Close()
	destAddr = server.Addr()
	conn, err := grpc.NewClient(destAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	if dest, err = pubsubclient.NewClient(ctx, project, option.WithGRPCConn(conn)); err != nil {
		return 0, err
	}
	defer dest.Close()
	return m.Run(), nil
}

// program returns the kappa to test: the one in KAPPA_BIN_DIR, else it is built.
func program(ctx context.Context, dir string) (string, error) {
	if bin := os.Getenv("KAPPA_BIN_DIR"); bin != "" {
		return filepath.Join(bin, "kappa"), nil
	}
	path := filepath.Join(dir, "kappa")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "../../cmd/kappa").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build kappa: %w\n%s", err, out)
	}
	return path, nil
}
