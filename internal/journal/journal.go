package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"cloud.google.com/go/storage"

	"github.com/kappa-migrate/kappa/internal/exit"
)

var (
	// ErrTaken says that somebody else has appended to the deployment meanwhile:
	// stop, and look at what they do.
	ErrTaken = errors.New("another command goes on with this deployment")
	// ErrAborted says that somebody has asked for the deployment to be stopped:
	// take no further step, and end it as aborted.
	ErrAborted = errors.New("the deployment was aborted")
	// ErrUnknown says that there is no such deployment.
	ErrUnknown = errors.New("no such deployment")
)

const (
	deployments = "deployments"
	abortFile   = "abort.json"
)

// Journal is the history of the deployments of one StreamJob.
type Journal struct {
	folder folder
	by     string
	ttl    time.Duration // of leases
	now    func() time.Time
}

// Open opens the journal in a folder: gs://BUCKET/PREFIX, for which the client
// is needed, or a path of this machine. It need not exist. By is who appends.
func Open(location string, client *storage.Client, by string) (*Journal, error) {
	if by == "" {
		return nil, errors.New("journal: nobody's name")
	}
	j := &Journal{by: by, ttl: LeaseTTL, now: time.Now}
	rest, remote := strings.CutPrefix(location, "gs://")
	if !remote {
		if location == "" {
			return nil, errors.New("journal: no folder")
		}
		j.folder = localFolder(location)
		return j, nil
	}
	if client == nil {
		return nil, errors.New("journal: no Cloud Storage client")
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	j.folder = bucketFolder{bucket: client.Bucket(bucket), name: bucket, prefix: prefix}
	return j, nil
}

// LeaseFor returns the journal with leases that hold for another time than
// LeaseTTL: a test cannot wait until a minute is over.
func (j *Journal) LeaseFor(ttl time.Duration) *Journal {
	other := *j
	other.ttl = ttl
	return &other
}

// String names the folder for people.
func (j *Journal) String() string { return j.folder.String() }

// Abort asks whoever goes on with a deployment to stop before its next step.
// False: somebody has asked before. ErrUnknown.
func (j *Journal) Abort(ctx context.Context, id, reason string) (bool, error) {
	if !valid(id) {
		return false, unknown(id)
	}
	if _, _, err := j.folder.read(ctx, entryName(id, 1)); errors.Is(err, errMissing) {
		return false, unknown(id)
	}
	data, err := json.Marshal(Abort{At: j.now().UTC(), By: j.by, Reason: reason})
	if err != nil {
		return false, err
	}
	_, err = j.folder.create(ctx, deployments+"/"+id+"/"+abortFile, data)
	if errors.Is(err, errExists) {
		return false, nil
	}
	if err != nil {
		return false, exit.Environmentf("abort deployment %s in %s: %w", id, j, err)
	}
	return true, nil
}

// Aborted is the request that a deployment be stopped; nil: nobody has asked.
func (j *Journal) Aborted(ctx context.Context, id string) (*Abort, error) {
	var a Abort
	err := j.load(ctx, deployments+"/"+id+"/"+abortFile, &a)
	if errors.Is(err, errMissing) {
		return nil, nil
	}
	return &a, err
}

func (j *Journal) load(ctx context.Context, name string, v any) error {
	data, _, err := j.folder.read(ctx, name)
	if err != nil {
		return exit.Environmentf("read %s of the journal %s: %w", name, j, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return damaged(j, "%s cannot be read: %w", name, err)
	}
	return nil
}

// damaged is the error of a journal that somebody else must have written to.
func damaged(j *Journal, format string, args ...any) error {
	return exit.Environmentf("the journal %s is damaged: %w", j, fmt.Errorf(format, args...)).
		WithHint("restore that file, or move the deployment's folder away: what the jobs are is in the generations table")
}

// Operator names who runs this process: USER@HOST.
func Operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
