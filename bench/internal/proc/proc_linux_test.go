package proc

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestOfAgreesWithRusage: the clock that is read from outside is the one that
// the process itself sees.
func TestOfAgreesWithRusage(t *testing.T) {
	end := time.Now().Add(100 * time.Millisecond)
	for time.Now().Before(end) { // use some
	}
	u, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		t.Fatal(err)
	}
	own := time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	if d := own - u.CPU; d < -20*time.Millisecond || d > 20*time.Millisecond || u.CPU < 30*time.Millisecond {
		t.Errorf("from outside %v, from inside %v", u.CPU, own)
	}
	if u.RSS < 1<<20 || u.PeakRSS < u.RSS/2 || CPUModel() == "" {
		t.Errorf("%+v", u)
	}
	if _, err := Of(1 << 30); err == nil {
		t.Error("a process that is not there was measured")
	}
}

func TestParseStatus(t *testing.T) {
	peak, now, err := parseStatus("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n")
	if err != nil || peak != 2<<20 || now != 1<<20 {
		t.Errorf("%d, %d, %v", peak, now, err)
	}
	for _, bad := range []string{"", "VmHWM:\tmany kB\n"} {
		if _, _, err := parseStatus(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
