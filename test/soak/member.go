package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// Limits of the bridges under test: small, so that an outage fills them.
const (
	memory       = 8 << 20
	memoryCut    = 4 << 20 // of the bridge that is truncated in front of
	batchRecords = 100
	drainSeconds = 5
)

// specText is the spec of a bridge; %[1]s … are name, brokers, topics, group
// and transform.
const specText = `apiVersion: kappa/v1
kind: Bridge
metadata: {name: %[1]s}
spec:
  environment: sandbox
  project: ` + project + `
  sources:
    main: {brokers: [%[2]q], topics: [%[3]s], group: %[4]s}
  %[5]s
  deadLetter: {topic: ` + deadTopic + `}
  limits: {memory: %[6]d, batchBytes: 256KiB, batchRecords: %[7]d, drain: %[8]ds}
`

// writeSpecs writes the specs of both groups.
func writeSpecs(dir string, brokers []string) error {
	split := fmt.Sprintf("split: {topicPrefix: %s, count: %d", topicPrefix, splits)
	for _, s := range []struct {
		group, rest string
		topics      map[string]int
		memory      int
	}{
		{groupMain, "transform: {decode: json, rename: {orig: origin}}\n  " + split + ", key: [origin]}", mainTopics, memory},
		{groupCut, split + "}\n  ordering: {buckets: 5}", cutTopics, memoryCut},
	} {
		var names []string
		for t := range s.topics {
			names = append(names, t)
		}
		text := fmt.Sprintf(specText, s.group, strings.Join(brokers, ","), strings.Join(names, ", "), s.group, s.rest, s.memory, batchRecords, drainSeconds)
		if err := os.WriteFile(specPath(dir, s.group), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write a spec: %w", err)
		}
	}
	return nil
}

func specPath(dir, group string) string { return filepath.Join(dir, group+".yaml") }

// slot is a place where a bridge runs; it is started there again and again.
type slot struct {
	*fleet
	group    string
	instance string // "": a dynamic member of the group

	busy sync.Mutex // held by an event that starts or ends the bridge here

	mu      sync.Mutex
	running *process
}

// process is one bridge process.
type process struct {
	*child.Process
	slot     *slot
	endpoint *endpoint
	asked    atomic.Bool // the soak ends it
	url      atomic.Pointer[string]

	mu   sync.Mutex
	tail []string // of its stderr
	log  *os.File // all of it, where it is kept
}

// fleet is all bridge processes.
type fleet struct {
	kappa   string
	dir     string
	backend *backend
	log     func(format string, args ...any)
	logs    string // folder for what the bridges log; "" for none
	count   atomic.Uint32
	done    atomic.Bool // the run is over

	mu       sync.Mutex
	slots    []*slot
	restarts int
	ends     []string // processes that ended as they should not
	resident int64
	charged  int64
	watching sync.WaitGroup
}

func (f *fleet) slot(group, instance string) *slot {
	s := &slot{fleet: f, group: group, instance: instance}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots = append(f.slots, s)
	return s
}

// now returns the process that runs in a slot, nil if none does.
func (s *slot) now() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// start starts a bridge in a slot, in the place of the process that is there:
// nil where the slot has to be empty.
func (s *slot) start(instead *process) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != instead || s.done.Load() {
		return nil
	}
	e, err := s.backend.serve(s.fleet.count.Add(1), "")
	if err != nil {
		return err
	}
	p := &process{slot: s, endpoint: e}
	if s.logs != "" {
		p.log, _ = os.Create(filepath.Join(s.logs, fmt.Sprintf("bridge-%03d-%s.log", e.member, s.name())))
	}
	p.Process, err = child.Start(child.Config{
		Path: s.kappa,
		Args: []string{"bridge", "run", "-f", specPath(s.dir, s.group), "--instance-id", s.instance, "--exit-with-parent", "--output", "json"},
		Env:  []string{"PUBSUB_EMULATOR_HOST=" + e.addr},
		Stdout: func(line []byte) {
			var at struct {
				Listen string `json:"listen"`
			}
			if json.Unmarshal(line, &at) == nil && at.Listen != "" {
				p.url.Store(&at.Listen)
			}
		},
		Stderr: p.said,
	})
	if err != nil {
		e.close()
		return err
	}
	s.running = p
	s.watching.Go(func() { s.watch(p) })
	return nil
}

// left matches how a bridge logs that partitions are not its own any more:
// which, and how many of their records are not done.
var left = regexp.MustCompile(`msg="partitions (?:given|taken) away.* partitions="?([^"]*?)"? undone=(\d+)`)

func (p *process) said(line []byte) {
	if m := left.FindSubmatch(line); m != nil {
		undone, _ := strconv.ParseInt(string(m[2]), 10, 64)
		p.slot.backend.oracle.left(p.endpoint.member, partitions(string(m[1])), undone)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log != nil {
		fmt.Fprintf(p.log, "%s\n", line)
	}
	if p.tail = append(p.tail, string(line)); len(p.tail) > 20 {
		p.tail = p.tail[1:]
	}
}

// partitions reads a list of partitions such as "in/0,3 tx/1".
func partitions(list string) (found []tp) {
	for _, of := range strings.Fields(list) {
		topic, numbers, _ := strings.Cut(of, "/")
		for n := range strings.SplitSeq(numbers, ",") {
			if i, err := strconv.ParseInt(n, 10, 32); err == nil {
				found = append(found, tp{topic, int32(i)})
			}
		}
	}
	return found
}

// watch waits for the end of a process. One that could not start because a
// service was away is started again, as whatever runs it in production does;
// every other end that nobody asked for is a fault.
func (s *slot) watch(p *process) {
	<-p.Done()
	defer p.log.Close()
	if p.asked.Load() {
		return
	}
	p.endpoint.close()
	p.mu.Lock()
	tail := strings.Join(p.tail, "\n    ")
	p.mu.Unlock()
	s.fleet.mu.Lock()
	if p.ExitCode() == int(exit.Environment) {
		s.restarts++
	} else {
		s.ends = append(s.ends, fmt.Sprintf("bridge %d (%s) ended by itself with %d:\n    %s", p.endpoint.member, s.name(), p.ExitCode(), tail))
	}
	s.fleet.mu.Unlock()
	s.log("bridge %d (%s) ended by itself with exit code %d", p.endpoint.member, s.name(), p.ExitCode())
	wait(context.Background(), time.Second)
	if err := s.start(p); err != nil {
		s.log("start a bridge again: %v", err)
	}
}

func (s *slot) name() string {
	if s.instance == "" {
		return s.group + " dynamic"
	}
	return s.instance
}

// take takes the running process out of the slot, to end it; nil if none runs.
func (s *slot) take() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.running
	if p != nil {
		p.asked.Store(true)
		s.running = nil
	}
	return p
}

// stop stops the bridge in order and reports an exit code that is not 0: except
// for one that says that it left work behind, which is what it has to say when
// the destination is away.
func (s *slot) stop() (code int, stopped bool) {
	p := s.take()
	if p == nil {
		return 0, false
	}
	_ = p.Stop((drainSeconds + 30) * time.Second)
	p.endpoint.close()
	code = p.ExitCode()
	if code != 0 && code != int(exit.Interrupted) && code != int(exit.Environment) {
		p.mu.Lock()
		tail := strings.Join(p.tail, "\n    ")
		p.mu.Unlock()
		s.fleet.mu.Lock()
		s.ends = append(s.ends, fmt.Sprintf("bridge %d (%s) was asked to stop and ended with %d:\n    %s", p.endpoint.member, s.name(), code, tail))
		s.fleet.mu.Unlock()
	}
	return code, true
}

// pause stops the process's time; resume lets it go on.
func (p *process) pause() error  { return syscall.Kill(p.Pid(), syscall.SIGSTOP) }
func (p *process) resume() error { return syscall.Kill(p.Pid(), syscall.SIGCONT) }

// tellStacks has the process write what all of its goroutines do to its log,
// which ends it.
func (p *process) tellStacks() { _ = syscall.Kill(p.Pid(), syscall.SIGQUIT) }

// get reads a page of the bridge's own server.
func (p *process) get(ctx context.Context, path string) (code int, body []byte, err error) {
	url := p.url.Load()
	if url == nil {
		return 0, nil, fmt.Errorf("bridge %d does not listen yet", p.endpoint.member)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.Bytes(), err
}

// metric reads the sum of a metric over its labels.
func metric(page []byte, name string) (sum float64, ok bool) {
	for sc := bufio.NewScanner(bytes.NewReader(page)); sc.Scan(); {
		rest, found := strings.CutPrefix(sc.Text(), name)
		if !found || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			sum, ok = sum+v, true
		}
	}
	return sum, ok
}

// observe notes what the bridges hold, until ctx is done.
func (f *fleet) observe(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.mu.Lock()
		slots := append([]*slot(nil), f.slots...)
		f.mu.Unlock()
		for _, s := range slots {
			p := s.now()
			if p == nil {
				continue
			}
			resident := residentPeak(p.Pid())
			var charged float64
			if _, page, err := p.get(ctx, "/metrics"); err == nil {
				charged, _ = metric(page, "kappa_bridge_memory_used_bytes")
			}
			f.mu.Lock()
			f.resident, f.charged = max(f.resident, resident), max(f.charged, int64(charged))
			f.mu.Unlock()
		}
	}
}

// residentPeak is the most memory that a process has had resident, in bytes; 0
// where the system does not say.
func residentPeak(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}

// forget drops a slot that is used no more.
func (f *fleet) forget(s *slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots = slices.DeleteFunc(f.slots, func(o *slot) bool { return o == s })
}

// killAll ends every process, at the end of a run however it ends.
func (f *fleet) killAll() {
	f.done.Store(true)
	f.mu.Lock()
	slots := slices.Clone(f.slots)
	f.mu.Unlock()
	for _, s := range slots {
		if p := s.take(); p != nil {
			_ = p.resume()
			p.Kill()
			p.endpoint.close()
		}
	}
	f.watching.Wait()
}
