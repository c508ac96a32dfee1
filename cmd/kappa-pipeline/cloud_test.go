package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/bigtable/bttest"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/worker"
	sandbox "github.com/kappa-migrate/kappa/sandbox/pubsub"
)

// cloud is what a job talks to, with a note of each call.
type cloud struct {
	t      *testing.T
	env    []string
	client *pubsub.Client
	spec   string // path

	mu    sync.Mutex
	calls []string // tables written to and "Acknowledge", in order
	rows  map[string]int
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{t: t, rows: map[string]int{}, spec: filepath.Join(t.TempDir(), "stream.yaml")}
	if err := os.WriteFile(c.spec, []byte(strings.Replace(specYAML, "ENVIRONMENT", "sandbox", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	bq := httptest.NewServer(http.HandlerFunc(c.bigquery))
	t.Cleanup(bq.Close)
	bt, err := bttest.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bt.Close)
	ps, err := sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ps.Close)
	c.env = []string{"PUBSUB_EMULATOR_HOST=" + c.proxy(ps.Addr()), "BIGTABLE_EMULATOR_HOST=" + bt.Addr, "BIGQUERY_EMULATOR_HOST=" + strings.TrimPrefix(bq.URL, "http://")}

	t.Setenv("BIGTABLE_EMULATOR_HOST", bt.Addr)
	admin, err := bigtable.NewAdminClient(t.Context(), "kappa-demo", "kappa-serving")
	if err == nil {
		defer admin.Close()
		err = admin.CreateTableFromConf(t.Context(), &bigtable.TableConf{TableID: "aggregates", Families: map[string]bigtable.GCPolicy{tables.Family: bigtable.NoGcPolicy()}})
	}
	if err == nil {
		err = admin.CreateTableFromConf(t.Context(), &bigtable.TableConf{TableID: "event-ids", Families: map[string]bigtable.GCPolicy{tables.IDFamily: bigtable.NoGcPolicy()}})
	}
	if err != nil {
		t.Fatal(err)
	}
	c.client, err = pubsub.NewClient(context.Background(), "kappa-demo", option.WithEndpoint(ps.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.client.Close() })
	const topic = "projects/kappa-demo/topics/flights-0"
	if _, err = c.client.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic}); err == nil {
		_, err = c.client.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: "projects/kappa-demo/subscriptions/flights-0", Topic: topic})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cloud) note(call string, rows int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
	c.rows[call] += rows
}

func (c *cloud) count(call string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows[call]
}

// bigquery takes rows, and has an empty history of generations.
func (c *cloud) bigquery(w http.ResponseWriter, r *http.Request) {
	var req struct{ Rows []json.RawMessage }
	parts := strings.Split(r.URL.Path, "/")
	if parts[len(parts)-1] == "queries" {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"bigquery#queryResponse","jobComplete":true,"totalRows":"0","schema":{"fields":[{"name":"job","type":"STRING"}]},"rows":[],
			"jobReference":{"projectId":"kappa-demo","jobId":"generations","location":"US"}}`)
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || parts[len(parts)-1] != "insertAll" {
		http.Error(w, "what?", http.StatusNotImplemented)
		return
	}
	c.note(parts[len(parts)-2], len(req.Rows))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, "{}")
}

// proxy forwards gRPC calls to addr and notes acknowledgements.
func (c *cloud) proxy(addr string) string {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(func(_ any, in grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(in)
		if strings.HasSuffix(method, "/Acknowledge") {
			c.note("Acknowledge", 1)
		}
		ctx, cancel := context.WithCancel(in.Context())
		defer cancel()
		out, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodecV2(raw{}))
		if err != nil {
			return err
		}
		go func() {
			for {
				var m []byte
				if in.RecvMsg(&m) != nil {
					_ = out.CloseSend()
					return
				}
				_ = out.SendMsg(&m)
			}
		}()
		for {
			var m []byte
			if err := out.RecvMsg(&m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := in.SendMsg(&m); err != nil {
				return err
			}
		}
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	c.t.Cleanup(func() { srv.Stop(); conn.Close() })
	return l.Addr().String()
}

// raw passes messages on as they are.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// publish publishes events of one hour each.
func (c *cloud) publish(n int) {
	c.t.Helper()
	req := &pubsubpb.PublishRequest{Topic: "projects/kappa-demo/topics/flights-0"}
	for i := range n {
		at := envelope.FormatTime(time.Date(2001, 1, 8, i%24, i%60, 0, 0, time.UTC))
		req.Messages = append(req.Messages, &pubsubpb.PubsubMessage{Data: fmt.Appendf(nil, `{"origin":"A%d","delay":%d}`, i/24%3, i), Attributes: map[string]string{
			envelope.AttrID: fmt.Sprintf("00000000-0000-5000-8000-%012d", i), envelope.AttrEventTime: at, envelope.AttrSourceTime: at, envelope.AttrPosition: fmt.Sprintf("c/t/0/%d", i)}})
	}
	if _, err := c.client.TopicAdminClient.Publish(c.t.Context(), req); err != nil {
		c.t.Fatal(err)
	}
}

// program is a running kappa-pipeline.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	done   chan error

	mu      sync.Mutex
	reports []worker.Report
	noise   []string // lines of stdout that are no reports
}

func (c *cloud) start(args ...string) *program {
	c.t.Helper()
	p := &program{t: c.t, cmd: exec.Command(os.Args[0], append([]string{"--jobspec=" + c.spec, "--job=flights-0"}, args...)...), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), append(c.env, beMain+"=1")...)
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r worker.Report
			d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
			d.DisallowUnknownFields()
			p.mu.Lock()
			if err := d.Decode(&r); err != nil {
				p.noise = append(p.noise, lines.Text())
			} else {
				p.reports = append(p.reports, r)
			}
			p.mu.Unlock()
		}
		p.done <- p.cmd.Wait()
	}()
	return p
}

func (p *program) last() worker.Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reports) == 0 {
		return worker.Report{}
	}
	return p.reports[len(p.reports)-1]
}

func (p *program) until(what string, cond func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !cond(); {
		select {
		case err := <-p.done:
			p.t.Fatalf("waiting for %s: ended: %v\n%s", what, err, &p.stderr)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waiting for %s: %+v\n", what, p.last())
		}
	}
}

// ended waits for the end and returns the exit code.
func (p *program) ended() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		p.t.Fatal("the program does not end")
	}
	if len(p.noise) > 0 {
		p.t.Errorf("on stdout, which is the protocol's alone: %q", p.noise)
	}
	return p.cmd.ProcessState.ExitCode()
}
