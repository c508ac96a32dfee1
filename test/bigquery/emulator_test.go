//go:build bigquery

package bigquery

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	sandbox "github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// envDir names the folder that install.sh has installed the emulator into.
const envDir = "KAPPA_BQEMULATOR"

const (
	readyWithin = 90 * time.Second // importing its packages takes seconds, more on a busy machine
	stopWithin  = 15 * time.Second
)

// Addresses of the two services.
var emulatorAddr, sandboxAddr string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		stop, err := startEmulator(os.Getenv(envDir))
		if err != nil {
			fmt.Fprintln(os.Stderr, "test-bigquery:", err)
			return 3
		}
		defer stop()
		srv, err := sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Fprintln(os.Stderr, "test-bigquery:", err)
			return 3
		}
		defer srv.Close()
		sandboxAddr = srv.Addr()
		return m.Run()
	}())
}

// startEmulator starts the emulator and waits until it answers.
func startEmulator(dir string) (stop func(), err error) {
	path := filepath.Join(dir, "venv", "bin", "bqemulator")
	if _, err := os.Stat(path); dir == "" || err != nil {
		return nil, fmt.Errorf("there is no emulator at %q (%s): run `make test-bigquery`, which installs it", path, envDir)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	home, err := filepath.Abs(filepath.Join(dir, "home"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "start", "--ephemeral", "--log-level", "error", "--rest-port", strconv.Itoa(ports[0]), "--grpc-port", strconv.Itoa(ports[1]))
	cmd.Env = append(os.Environ(), "HOME="+home, "BQEMU_ENABLE_FORMAT_EXTENSIONS=false")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log tail
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(stopWithin):
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	emulatorAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-ended:
			return nil, fmt.Errorf("the emulator ended before it was ready: %s\n%s", cmd.ProcessState, log.String())
		case <-ctx.Done():
			stop()
			return nil, fmt.Errorf("the emulator did not answer within %s\n%s", readyWithin, log.String())
		case <-tick.C:
			if answers(ctx, "http://"+emulatorAddr+"/readyz") {
				tick.Stop()
				return stop, nil
			}
		}
	}
}

// freePorts are ports that nothing listens on now: the emulator does not say which
// it has taken, so it is told.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// tail keeps the last bytes of a log.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 4000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if extra := t.buf.Len() - tailBytes; extra > 0 {
		t.buf.Next(extra)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
