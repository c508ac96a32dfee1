package load

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// folderLayout is how a batch folder is named: by the start of its batch, UTC.
const folderLayout = "2006-01-02T15"

// maxObjects is how many URIs BigQuery takes in one load job.
const maxObjects = 10_000

// listAttempts bounds the retries of a page of the listing, to half a minute:
// the client retries refused connections for ever.
const listAttempts = 6

// Object is one file of a batch.
type Object struct {
	Name       string // within the bucket
	Generation int64
}

// Folder is one batch as it lies in Cloud Storage.
type Folder struct {
	URI     string // gs://BUCKET/PREFIX/2001-01-08T00/
	Start   time.Time
	Objects []Object // by name
}

// Source is what the batch_loads table says of a loaded folder: its URI and a
// hash over the generations of its objects.
func (f Folder) Source() string { return f.URI + "#" + f.hash() }

func (f Folder) hash() string {
	h := sha256.New()
	for _, o := range f.Objects {
		fmt.Fprintf(h, "%s\x00%d\x00", o.Name, o.Generation)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// splitURI takes gs://BUCKET/PREFIX/ apart.
func splitURI(uri string) (bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	return bucket, prefix
}

// list reads the batch folders below uri, in order of their start.
func list(ctx context.Context, client *storage.Client, uri string) ([]Folder, error) {
	bucket, prefix := splitURI(uri)
	q := &storage.Query{Prefix: prefix}
	if err := q.SetAttrSelection([]string{"Name", "Generation"}); err != nil {
		return nil, fmt.Errorf("list %s: %w", uri, err)
	}
	var objects []Object
	it := client.Bucket(bucket).Retryer(storage.WithMaxAttempts(listAttempts)).Objects(ctx, q)
	for {
		a, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if errors.Is(err, storage.ErrBucketNotExist) {
			return nil, exit.Environmentf("bucket %s does not exist", bucket).
				WithHint("create it, or mend spec.source.uri")
		}
		if err != nil {
			return nil, exit.Environmentf("list %s: %w", uri, err)
		}
		objects = append(objects, Object{Name: a.Name, Generation: a.Generation})
	}
	return folders(uri, objects)
}

// folders sorts objects into batches. What is not a batch's file is refused:
// a misnamed folder would otherwise be a batch that silently never loads.
func folders(uri string, objects []Object) ([]Folder, error) {
	_, prefix := splitURI(uri)
	byName := map[string]*Folder{}
	var errs []error
	for _, o := range objects {
		rest := strings.TrimPrefix(o.Name, prefix)
		if ignored(rest) {
			continue
		}
		name, file, nested := strings.Cut(rest, "/")
		start, err := time.Parse(folderLayout, name)
		switch {
		case !nested || err != nil:
			errs = append(errs, fmt.Errorf("gs object %s is not in a batch folder such as %s", o.Name, folderLayout))
			continue
		case strings.Contains(file, "/"):
			errs = append(errs, fmt.Errorf("gs object %s lies deeper than its batch folder", o.Name))
			continue
		case !strings.HasSuffix(file, ".avro"):
			errs = append(errs, fmt.Errorf("gs object %s is not an .avro file", o.Name))
			continue
		}
		f := byName[name]
		if f == nil {
			f = &Folder{URI: uri + name + "/", Start: start}
			byName[name] = f
		}
		f.Objects = append(f.Objects, o)
	}
	if len(errs) > 0 {
		const most = 10
		if n := len(errs); n > most {
			errs = append(errs[:most], fmt.Errorf("and %d more", n-most))
		}
		return nil, exit.Environmentf("list %s: %w", uri, errors.Join(errs...)).
			WithHint("keep only batch folders with Avro files below it; names that begin with _ or . are ignored")
	}
	out := make([]Folder, 0, len(byName))
	for _, f := range byName {
		if len(f.Objects) > maxObjects {
			return nil, exit.Environmentf("%s holds %d files; a load job takes %d", f.URI, len(f.Objects), maxObjects).
				WithHint("write fewer, larger files per batch")
		}
		sort.Slice(f.Objects, func(i, j int) bool { return f.Objects[i].Name < f.Objects[j].Name })
		out = append(out, *f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Start.Before(out[j].Start) })
	return out, nil
}

// ignored follows Hadoop: a path with a part that begins with _ or . is not
// data (_SUCCESS, _temporary), nor is a folder's own placeholder.
func ignored(rest string) bool {
	if rest == "" || strings.HasSuffix(rest, "/") {
		return true
	}
	for _, part := range strings.Split(rest, "/") {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return true
		}
	}
	return false
}
