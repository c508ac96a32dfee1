package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Of returns what a process has used; it has to be running.
func Of(pid int) (Usage, error) {
	var u Usage
	// The kernel's clock of a process's CPU time (MAKE_PROCESS_CPUCLOCK with
	// CPUCLOCK_SCHED): nanoseconds, where /proc/PID/stat has hundredths of
	// seconds.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return u, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	u.CPU = time.Duration(ts.Nano())
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	u.PeakRSS, u.RSS, err = parseStatus(string(b))
	return u, err
}

// parseStatus reads VmHWM and VmRSS of /proc/PID/status.
func parseStatus(s string) (peak, now int64, err error) {
	for line := range strings.Lines(s) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmHWM": &peak, "VmRSS": &now}[name]
		if to == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read %q: %w", strings.TrimSpace(line), err)
		}
		*to = kib << 10
	}
	if peak == 0 || now == 0 {
		return 0, 0, fmt.Errorf("the process's status has no VmHWM or VmRSS: it has ended")
	}
	return peak, now, nil
}

// CPUModel is the name of the CPU.
func CPUModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
