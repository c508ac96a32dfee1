package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memory samples what the descendants of this process hold. It reads Linux's /proc;
// elsewhere it finds nothing, and its figures stay zero.
type memory struct {
	mu     sync.Mutex
	total  int64            // most of all together, in bytes
	single map[string]int64 // most of one process, by the program's name
}

// watchMemory samples until ctx ends.
func watchMemory(ctx context.Context) *memory {
	m := &memory{single: map[string]int64{}}
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			m.sample("/proc", os.Getpid())
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return m
}

func (m *memory) sample(proc string, root int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	type process struct {
		parent int
		name   string
		bytes  int64
	}
	all := map[int]process{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		status, err2 := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil || err2 != nil {
			continue // it has ended since
		}
		var p process
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			value = strings.TrimSpace(value)
			switch key {
			case "Name":
				p.name = value
			case "PPid":
				p.parent, _ = strconv.Atoi(value)
			case "VmRSS":
				kib, _ := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
				p.bytes = kib << 10
			}
		}
		all[pid] = p
	}
	sum := int64(0)
	for pid, p := range all {
		for up := pid; up > 1; up = all[up].parent {
			if up == root {
				sum += p.bytes
				m.single[p.name] = max(m.single[p.name], p.bytes)
				break
			}
		}
	}
	m.total = max(m.total, sum)
}

func (m *memory) peaks() (total int64, single map[string]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	single = map[string]int64{}
	for name, bytes := range m.single {
		single[name] = bytes
	}
	return m.total, single
}
