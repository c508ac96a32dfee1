package apachekafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
)

//go:embed Broker.java
var brokerSource []byte

// install returns the class path of Apache Kafka and of Broker, and resolves
// and compiles them if that has not been done for this pom.
func install(ctx context.Context) (classPath string, err error) {
	for _, program := range []string{"java", "javac"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", exit.Environmentf("%s is not on PATH, which Apache Kafka runs on", program).
				WithHint("install a JDK, 17 or later")
		}
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	pomFile := filepath.Join(root, "test", "kafka", "pom.xml")
	pom, err := os.ReadFile(pomFile)
	if err != nil {
		return "", exit.Environmentf("resolve Apache Kafka: %w", err)
	}
	sum := sha256.Sum256(append(pom, brokerSource...))
	cache := filepath.Join(root, "out", "kafka")
	dir := filepath.Join(cache, hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir + string(filepath.ListSeparator) + filepath.Join(dir, "*"), nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", exit.Environmentf("resolve Apache Kafka: %w", err)
	}
	fresh, err := os.MkdirTemp(cache, "resolving-")
	if err != nil {
		return "", exit.Environmentf("resolve Apache Kafka: %w", err)
	}
	defer os.RemoveAll(fresh)
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", exit.Environmentf("mvn is not on PATH, which Apache Kafka is resolved with").WithHint("install Maven")
	}
	if err := run(ctx, "mvn", "-q", "-B", "-f", pomFile, "dependency:copy-dependencies", "-DoutputDirectory="+fresh); err != nil {
		return "", exit.Environmentf("resolve Apache Kafka from Maven Central: %w", err).
			WithHint("check that Maven reaches its repository: mvn -f %s dependency:resolve", pomFile)
	}
	source := filepath.Join(fresh, "Broker.java")
	if err := os.WriteFile(source, brokerSource, 0o644); err != nil {
		return "", exit.Environmentf("compile %s: %w", source, err)
	}
	if err := run(ctx, "javac", "-proc:none", "-cp", filepath.Join(fresh, "*"), "-d", fresh, source); err != nil {
		return "", exit.Environmentf("compile Broker.java: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, other := os.Stat(dir); other != nil { // else another process was faster
			return "", exit.Environmentf("resolve Apache Kafka: %w", err)
		}
	}
	return dir + string(filepath.ListSeparator) + filepath.Join(dir, "*"), nil
}

// run runs a program to its end; the error has the end of its output.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Errorf("%s: %w:\n%s", name, err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

// moduleRoot finds the folder of this module from the working folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "test", "kafka", "pom.xml")); err == nil {
			return dir, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", exit.Environmentf("test/kafka/pom.xml is in no folder above the working folder").WithHint("run this within the repository")
		}
		dir = up
	}
}
