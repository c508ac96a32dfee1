package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestFamilyMemory(t *testing.T) {
	proc := t.TempDir()
	stat := func(pid, ppid int, name string, pages int) {
		dir := filepath.Join(proc, fmt.Sprint(pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 100 1000000 %d 18446744073709551615 1", pid, name, ppid, pages)
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stat(1, 0, "init", 1000)
	stat(10, 1, "kappa", 1)
	stat(11, 10, "kappa (x) y", 20)
	stat(12, 11, "child", 300)
	stat(13, 1, "other", 4000)
	if err := os.Mkdir(filepath.Join(proc, "99"), 0o755); err != nil { // has ended
		t.Fatal(err)
	}
	if got, want := familyMemory(proc, 10), int64(321*os.Getpagesize()); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got := familyMemory(filepath.Join(proc, "none"), 10); got != 0 {
		t.Errorf("got %d without /proc", got)
	}
}
