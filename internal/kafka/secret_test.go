package kafka

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// hidden is a secret that no error may show.
const hidden = "S3cr3t-Xq7"

// write writes a file of a test and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// secret is a secret in a file.
func secret(t *testing.T, text string) jobspecs.Secret {
	t.Helper()
	return jobspecs.Secret{File: write(t, "secret", text)}
}

func TestSecret(t *testing.T) {
	t.Setenv("KAPPA_TEST_SECRET", "of the environment\n")
	for text, want := range map[string]string{
		"one line": "one line", "unix\n": "unix", "dos\r\n": "dos", "two\n\n": "two\n", " spaces \n": " spaces ", "\n\n": "\n",
	} {
		if got, err := Secret(secret(t, text)); err != nil || got != want {
			t.Errorf("file %q: %q, %v; want %q", text, got, err, want)
		}
	}
	if got, err := Secret(jobspecs.Secret{Env: "KAPPA_TEST_SECRET"}); err != nil || got != "of the environment\n" {
		t.Errorf("environment: %q, %v; want it as it is", got, err)
	}
}

func TestSecretErrorsNameTheirSource(t *testing.T) {
	t.Setenv("KAPPA_TEST_EMPTY", "")
	missing := filepath.Join(t.TempDir(), "missing")
	large := secret(t, strings.Repeat(hidden, maxSecret/len(hidden)+1))
	empty := secret(t, "\n")
	for _, c := range []struct {
		from jobspecs.Secret
		name string
		code exit.Code
	}{
		{jobspecs.Secret{File: missing}, missing, exit.Environment},
		{jobspecs.Secret{File: t.TempDir()}, "is a folder", exit.Environment},
		{empty, empty.File + " is empty", exit.Environment},
		{large, large.File, exit.Environment},
		{jobspecs.Secret{Env: "KAPPA_TEST_EMPTY"}, "KAPPA_TEST_EMPTY", exit.Environment},
		{jobspecs.Secret{Env: "KAPPA_TEST_NOT_SET"}, "KAPPA_TEST_NOT_SET", exit.Environment},
		{jobspecs.Secret{}, "neither a file nor", exit.Usage},
		{jobspecs.Secret{File: missing, Env: "X"}, "only one", exit.Usage},
	} {
		_, err := Secret(c.from)
		if exit.Of(err) != c.code || !strings.Contains(err.Error(), c.name) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%+v: %v; want code %d and %q, without the secret", c.from, err, c.code, c.name)
		}
	}
}
