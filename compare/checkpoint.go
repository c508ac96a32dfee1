package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/wholefile"
)

// Checkpoints let a run that was stopped go on with the partition that it was at.
// A checkpoint is what was found in a partition, in a file that is named after the
// hash of all that it was found by: the query with its parameters, which hold the
// settled spans and the writers that count; the standings of all writers; the batch
// loads; when a table was last written of which nothing else says what is complete;
// and the spec. What has changed since is therefore compared anew. A file that
// cannot be read, or is older than maxCheckpointAge, counts for nothing.

const (
	checkpointVersion = 1
	maxCheckpointAge  = 24 * time.Hour // a view or a late pane may have changed what no hash sees
)

// checkpoints are the files of one comparison; nil keeps none.
type checkpoints struct {
	dir string
	now func() time.Time
	log *slog.Logger
}

// checkpoint is the content of a file.
type checkpoint struct {
	Version int             `json:"version"`
	Key     string          `json:"key"`
	Saved   time.Time       `json:"saved"`
	Sum     string          `json:"sha256"` // of the part
	Part    json.RawMessage `json:"part"`
}

// openCheckpoints makes the folder of a comparison. Only its owner may read it:
// checkpoints hold keys and values of both sides.
func openCheckpoints(state, comparison string, now func() time.Time, log *slog.Logger) (*checkpoints, error) {
	if state == "" {
		return nil, nil
	}
	c := &checkpoints{dir: filepath.Join(state, labelValue(comparison)), now: now, log: log}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, exit.Environmentf("make the folder of checkpoints: %w", err).WithHint("name another one with --state")
	}
	return c, nil
}

// checkpointKey is the hash of what a partition is compared by.
func checkpointKey(comparison, specHash string, q query, standings []tables.Standing, loads []tables.BatchLoad, written []time.Time) (string, error) {
	params := make([][2]string, len(q.params))
	for i, p := range q.params {
		params[i] = [2]string{p.Name, fmt.Sprint(p.Value)}
	}
	data, err := json.Marshal(struct {
		Version              int
		Comparison, SpecHash string
		SQL                  string
		Params               [][2]string
		Standings            []tables.Standing
		Loads                []tables.BatchLoad
		Written              []time.Time
	}{checkpointVersion, comparison, specHash, q.sql, params, standings, loads, written})
	if err != nil {
		return "", fmt.Errorf("hash a partition: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func (c *checkpoints) path(key string) string { return filepath.Join(c.dir, key[:32]+".json") }

// load returns what an earlier run found in a partition; nil if there is nothing to
// rely on.
func (c *checkpoints) load(key string) *part {
	if c == nil {
		return nil
	}
	data, err := os.ReadFile(c.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var p *part
	if err == nil {
		p, err = c.decode(key, data)
	}
	if err != nil {
		c.log.Warn("checkpoint not used", "file", c.path(key), "error", err)
		return nil
	}
	return p
}

func (c *checkpoints) decode(key string, data []byte) (*part, error) {
	var saved checkpoint
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(saved.Part)
	switch {
	case saved.Version != checkpointVersion || saved.Key != key:
		return nil, errors.New("it is of something else")
	case saved.Sum != hex.EncodeToString(sum[:]):
		return nil, errors.New("it is damaged")
	case c.now().Sub(saved.Saved) > maxCheckpointAge:
		return nil, fmt.Errorf("it is older than %s", maxCheckpointAge)
	}
	return loadPart(saved.Part)
}

// save keeps what was found in a partition. A checkpoint that cannot be written
// ends the run: the user has been told that it can be stopped.
func (c *checkpoints) save(key string, p *part) error {
	if c == nil {
		return nil
	}
	data, err := savePart(p)
	if err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	sum := sha256.Sum256(data)
	file, err := json.Marshal(checkpoint{checkpointVersion, key, c.now().UTC(), hex.EncodeToString(sum[:]), data})
	if err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	err = os.MkdirAll(c.dir, 0o700) // another run may have removed it when it ended
	if err == nil {
		err = wholefile.Write(c.path(key), file, 0o600)
	}
	if err != nil {
		return exit.Environmentf("save a checkpoint: %w", err).WithHint("name another folder with --state")
	}
	return nil
}

// remove removes the checkpoints of a run that has ended, and those that are too
// old to be of use to another one.
func (c *checkpoints) remove(parts []partition) {
	if c == nil {
		return
	}
	for _, p := range parts {
		if err := os.Remove(c.path(p.key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("checkpoint not removed", "file", c.path(p.key), "error", err)
		}
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && c.now().Sub(info.ModTime()) > maxCheckpointAge {
			_ = os.Remove(filepath.Join(c.dir, e.Name())) // tried again by the next run
		}
	}
	_ = os.Remove(c.dir) // fails while another run of the comparison has checkpoints there
}
