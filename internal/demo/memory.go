package demo

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// memory samples how much memory this process and all its descendants hold.
// It reads Linux's /proc; elsewhere it finds nothing, and the peak stays zero.
type memory struct {
	peak atomic.Int64 // bytes
	done chan struct{}
}

const memoryInterval = 500 * time.Millisecond

// watchMemory samples until ctx ends; wait for done before reading a last peak.
func watchMemory(ctx context.Context) *memory {
	m := &memory{done: make(chan struct{})}
	go func() {
		defer close(m.done)
		t := time.NewTicker(memoryInterval)
		defer t.Stop()
		for {
			m.sample("/proc", os.Getpid())
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	return m
}

func (m *memory) sample(proc string, root int) {
	if sum := familyMemory(proc, root); sum > m.peak.Load() {
		m.peak.Store(sum)
	}
}

// familyMemory sums the resident memory of a process and its descendants.
func familyMemory(proc string, root int) int64 {
	dirs, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return 0
	}
	children := map[int][]int{}
	resident := map[int]int64{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		ppid, pages, ok := parseStat(stat)
		if !ok {
			continue
		}
		children[ppid] = append(children[ppid], pid)
		resident[pid] = pages * int64(os.Getpagesize())
	}
	var sum int64
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		sum += resident[queue[0]]
		queue = append(queue, children[queue[0]]...)
	}
	return sum
}

// parseStat reads the parent and the resident pages of /proc/PID/stat. The
// program's name, in parentheses, may hold spaces and parentheses itself.
func parseStat(stat []byte) (ppid int, pages int64, ok bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(stat[end+1:])
	const atPpid, atPages = 1, 21 // fields 4 and 24, counted from the state
	if len(fields) <= atPages {
		return 0, 0, false
	}
	ppid, err1 := strconv.Atoi(string(fields[atPpid]))
	pages, err2 := strconv.ParseInt(string(fields[atPages]), 10, 64)
	return ppid, pages, err1 == nil && err2 == nil
}
