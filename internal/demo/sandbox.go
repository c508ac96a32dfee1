package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
)

// sandboxDeadline is how long the platform may take to come up.
const sandboxDeadline = 60 * time.Second

// startSandbox starts the platform as a child process and waits until it is up.
func startSandbox(ctx context.Context, logs, temp, logLevel string) (*service, sandboxchild.Endpoints, error) {
	temp, err := filepath.Abs(temp)
	if err != nil {
		return nil, sandboxchild.Endpoints{}, fmt.Errorf("find the folder for temporary files: %w", err)
	}
	s, err := newService(sandboxchild.Program, logs)
	if err != nil {
		return nil, sandboxchild.Endpoints{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sandboxDeadline,
		exit.Environmentf("%s was not ready after %s", sandboxchild.Program, sandboxDeadline))
	defer cancel()
	p, err := sandboxchild.Start(ctx, sandboxchild.Config{
		Args: []string{"--job-logs", filepath.Join(logs, "jobs"), logLevel},
		Env:  []string{"TMPDIR=" + temp},
		Log:  s.write,
	})
	if err != nil {
		s.log.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, sandboxchild.Endpoints{}, err
	}
	s.proc = p.Process
	return s, p.Endpoints, nil
}

// export puts the sandbox's addresses into the environment, where Google's
// clients, the specs' variables and child processes find them.
func export(e sandboxchild.Endpoints) error {
	for name, value := range e.Environment {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}
