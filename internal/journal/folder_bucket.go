package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// callWithin bounds one call: the client itself tries for ever.
const callWithin = time.Minute

// bucketFolder is a folder of Cloud Storage. A version is the object's generation.
type bucketFolder struct {
	bucket *storage.BucketHandle
	name   string // of the bucket
	prefix string // with a slash at the end, or empty
}

func (b bucketFolder) String() string {
	return "gs://" + b.name + "/" + strings.TrimSuffix(b.prefix, "/")
}

func (b bucketFolder) create(ctx context.Context, name string, data []byte) (string, error) {
	return b.write(ctx, name, data, storage.Conditions{DoesNotExist: true}, errExists)
}

func (b bucketFolder) replace(ctx context.Context, name string, data []byte, version string) (string, error) {
	generation, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return "", fmt.Errorf("version %q of %s: %w", version, name, err)
	}
	return b.write(ctx, name, data, storage.Conditions{GenerationMatch: generation}, errChanged)
}

// write writes an object if a condition holds, else it fails with the error given.
func (b bucketFolder) write(ctx context.Context, name string, data []byte, c storage.Conditions, otherwise error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin) // cancelling discards a half-written object
	defer cancel()
	w := b.bucket.Object(b.prefix + name).If(c).Retryer(storage.WithPolicy(storage.RetryAlways)).NewWriter(ctx)
	w.ContentType = "application/json"
	w.ChunkSize = 0 // a small object, in one request
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	switch {
	case err == nil:
		return strconv.FormatInt(w.Attrs().Generation, 10), nil
	case !refused(err):
		return "", err
	}
	// A request whose answer was lost was tried again: the object may be ours.
	if old, version, rerr := b.read(ctx, name); rerr == nil && string(old) == string(data) {
		return version, nil
	}
	return "", otherwise
}

func (b bucketFolder) read(ctx context.Context, name string) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	r, err := b.bucket.Object(b.prefix + name).NewReader(ctx)
	if errors.Is(err, storage.ErrObjectNotExist) {
		return nil, "", errMissing
	}
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return data, strconv.FormatInt(r.Attrs.Generation, 10), err
}

func (b bucketFolder) remove(ctx context.Context, name, version string) error {
	generation, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return fmt.Errorf("version %q of %s: %w", version, name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	err = b.bucket.Object(b.prefix + name).If(storage.Conditions{GenerationMatch: generation}).Delete(ctx)
	if refused(err) || errors.Is(err, storage.ErrObjectNotExist) {
		return errChanged
	}
	return err
}

func (b bucketFolder) list(ctx context.Context, dir string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	prefix := b.prefix + dir + "/"
	query := &storage.Query{Prefix: prefix, Delimiter: "/"}
	if err := query.SetAttrSelection([]string{"Name"}); err != nil { // prefixes come all the same
		return nil, err
	}
	it := b.bucket.Objects(ctx, query)
	var names []string
	for {
		o, err := it.Next()
		if errors.Is(err, iterator.Done) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if name := strings.TrimPrefix(o.Prefix+o.Name, prefix); name != "" { // one of the two is empty
			names = append(names, name)
		}
	}
}

// refused reports whether a precondition did not hold.
func refused(err error) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && (e.Code == http.StatusPreconditionFailed || e.Code == http.StatusConflict)
}
