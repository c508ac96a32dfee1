package kafka

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// maxSecret is far more than a secret has, so that a wrong path (a device, a
// log) is not read into memory.
const maxSecret = 1 << 20

// Secret reads a secret: from its file, without a line break at the end, or
// from its environment variable. Errors carry exit.Environment and name the
// file or the variable, never what is in it. An empty secret is an error: it
// comes of a file that is being written, or of a variable that was never set.
func Secret(s jobspecs.Secret) (string, error) {
	switch {
	case s.File != "" && s.Env != "":
		return "", exit.Usagef("a secret is read from file %s and from environment variable %s: only one can be meant", s.File, s.Env)
	case s.File != "":
		text, err := readFile("secret file", s.File)
		if err != nil {
			return "", err
		}
		secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if secret == "" {
			return "", exit.Environmentf("secret file %s is empty", s.File)
		}
		return secret, nil
	case s.Env != "":
		secret, ok := os.LookupEnv(s.Env)
		if !ok || secret == "" {
			return "", exit.Environmentf("environment variable %s, which must hold a secret, is not set", s.Env).
				WithHint("set %s where kappa runs, or read the secret from a file", s.Env)
		}
		return secret, nil
	}
	return "", exit.Usagef("a secret has neither a file nor an environment variable")
}

// readFile reads a small file that a spec names.
func readFile(what, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(what, path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fileError(what, path, err)
	}
	if st.IsDir() {
		return nil, exit.Environmentf("%s %s is a folder", what, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, fileError(what, path, err)
	}
	if len(text) > maxSecret {
		return nil, exit.Environmentf("%s %s is larger than 1 MiB: it cannot be the right file", what, path)
	}
	return text, nil
}

// fileError says what is wrong with a file, without the name of the system call.
func fileError(what, path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	e := exit.Environmentf("read %s %s: %w", what, path, err)
	if errors.Is(err, fs.ErrPermission) {
		return e.WithHint("let the user that kappa runs as (uid %d) read %s", os.Getuid(), path)
	}
	return e
}
