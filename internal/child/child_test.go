package child

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary plays the child as well; the variable says which.
const roleVariable = "KAPPA_CHILD_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		goleak.VerifyTestMain(m)
	case "echo":
		fmt.Println("out 1")
		fmt.Fprintln(os.Stderr, "err 1")
		fmt.Print("out 2 without an end of line")
		os.Exit(7)
	case "wait":
		ctx := WithParent(context.Background())
		fmt.Println("ready")
		<-ctx.Done()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		select {}
	case "parent":
		p, err := Start(Config{Path: os.Args[0], Env: []string{roleVariable + "=wait"}})
		if err != nil {
			panic(err)
		}
		fmt.Println(p.Pid())
		select {}
	}
}

// start starts the test binary in a role and waits for its first line.
func start(t *testing.T, role string) (*Process, string) {
	t.Helper()
	first := make(chan string, 1)
	p, err := Start(Config{
		Path: os.Args[0], Env: []string{roleVariable + "=" + role},
		Stdout: func(line []byte) {
			select {
			case first <- string(line):
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	select {
	case line := <-first:
		return p, line
	case <-time.After(20 * time.Second):
		t.Fatal("the child printed nothing")
		return nil, ""
	}
}

func TestOutputAndExitCode(t *testing.T) {
	var mu sync.Mutex
	var got []string
	add := func(line []byte) { mu.Lock(); got = append(got, string(line)); mu.Unlock() }
	p, err := Start(Config{Path: os.Args[0], Env: []string{roleVariable + "=echo"}, Stdout: add, Stderr: add})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Err() == nil || p.ExitCode() != 7 {
		t.Errorf("exit code %d, error %v; want 7", p.ExitCode(), p.Err())
	}
	if len(got) != 3 {
		t.Errorf("lines = %q, want three", got)
	}
}

func TestStopEndsAChildThatIgnoresSIGTERM(t *testing.T) {
	p, _ := start(t, "stubborn")
	if err := p.Stop(50 * time.Millisecond); err == nil {
		t.Error("a killed child has no error")
	}
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	p, _ := start(t, "wait")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); err == nil {
		t.Error("Wait returned before the child ended")
	}
}

// TestChildEndsWhenItsParentIsKilled: the promise of this package.
func TestChildEndsWhenItsParentIsKilled(t *testing.T) {
	parent, line := start(t, "parent")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	parent.Kill()
	deadline := time.Now().Add(20 * time.Second)
	for alive(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlived its parent", pid)
		}
		time.Sleep(5 * time.Millisecond) // between two looks, with a deadline
	}
}

// alive reports whether a process runs; one that only waits to be reaped does not.
func alive(pid int) bool {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !os.IsNotExist(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var state string
		if n, _ := fmt.Sscanf(s.Text(), "State: %s", &state); n == 1 {
			return state != "Z"
		}
	}
	return false
}

func TestSibling(t *testing.T) {
	t.Setenv("KAPPA_TEST_BIN", "/somewhere/else")
	if p, err := Sibling("nothing", "KAPPA_TEST_BIN"); err != nil || p != "/somewhere/else" {
		t.Errorf("Sibling = %s, %v", p, err)
	}
	t.Setenv("KAPPA_TEST_BIN", "")
	if _, err := Sibling("kappa-no-such-program", "KAPPA_TEST_BIN"); err == nil {
		t.Error("a program that does not exist was found")
	}
	if p, err := Sibling(filepath.Base(os.Args[0]), "KAPPA_TEST_BIN"); err != nil || filepath.Base(p) != filepath.Base(os.Args[0]) {
		t.Errorf("Sibling of this program = %s, %v", p, err)
	}
}
