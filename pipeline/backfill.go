package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
)

func init() {
	beam.RegisterDoFn(&archiveFn{})
}

const gsPrefix = "gs://"

// FindArchive makes p a batch over the Avro files that match a pattern: local
// (as filepath.Match has it) or gs://BUCKET/PATTERN (as path.Match has it).
func (p *Plan) FindArchive(ctx context.Context, pattern string) error {
	files, err := p.matches(ctx, pattern)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return exit.Environmentf("no file matches --archive=%s", pattern).
			WithHint("name the Avro files that the archive's Cloud Storage subscription wrote")
	}
	sort.Strings(files)
	p.Archive = files
	return nil
}

func (p *Plan) matches(ctx context.Context, pattern string) ([]string, error) {
	if !strings.HasPrefix(pattern, gsPrefix) {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, exit.Usagef("--archive=%s: %w", pattern, err)
		}
		return files, nil
	}
	bucket, glob, ok := strings.Cut(strings.TrimPrefix(pattern, gsPrefix), "/")
	if _, err := path.Match(glob, ""); err != nil || !ok || bucket == "" {
		return nil, exit.Usagef("--archive=%s is not gs://BUCKET/PATTERN", pattern)
	}
	client, err := p.storage(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	prefix := glob
	if i := strings.IndexAny(glob, `*?[\`); i >= 0 {
		prefix = glob[:i]
	}
	var files []string
	it := client.Bucket(bucket).Objects(ctx, &storage.Query{Prefix: prefix})
	for {
		o, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return files, nil
		}
		if err != nil {
			return nil, exit.Environmentf("list %s: %w", pattern, err)
		}
		if match, _ := path.Match(glob, o.Name); match {
			files = append(files, gsPrefix+bucket+"/"+o.Name)
		}
	}
}

func (p *Plan) storage(ctx context.Context) (*storage.Client, error) {
	platform, err := p.platform()
	if err != nil {
		return nil, err
	}
	return platform.Storage(ctx)
}

// OpenFile opens a local file or an object, gs://BUCKET/OBJECT.
func OpenFile(ctx context.Context, platform gcp.Platform, name string) (io.ReadCloser, error) {
	if !strings.HasPrefix(name, gsPrefix) {
		f, err := os.Open(name)
		if err != nil {
			return nil, exit.Environmentf("%w", err)
		}
		return f, nil
	}
	bucket, object, _ := strings.Cut(strings.TrimPrefix(name, gsPrefix), "/")
	client, err := platform.Storage(ctx)
	if err != nil {
		return nil, err
	}
	r, err := client.Bucket(bucket).Object(object).NewReader(ctx)
	if err != nil {
		client.Close()
		return nil, exit.Environmentf("read %s: %w", name, err)
	}
	return objectReader{Reader: r, client: client}, nil
}

type objectReader struct {
	*storage.Reader
	client *storage.Client
}

// Close closes the object and its client.
func (r objectReader) Close() error { return errors.Join(r.Reader.Close(), r.client.Close()) }

// archived is a record of the archive, as a Cloud Storage subscription writes
// it with write_metadata. What else a record holds is skipped.
type archived struct {
	MessageID   string            `avro:"message_id"`
	PublishTime time.Time         `avro:"publish_time"`
	Attributes  map[string]string `avro:"attributes"`
	Data        []byte            `avro:"data"`
}

var archivedSchema = avro.MustParse(`{"type":"record","name":"PubsubMessage","namespace":"com.google.pubsub","fields":[
	{"name":"message_id","type":"string"},
	{"name":"publish_time","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"attributes","type":{"type":"map","values":"string"}},
	{"name":"data","type":"bytes"}]}`)

// archiveFn reads a file of the archive. A batch has no watermark, so nothing
// in it is late.
type archiveFn struct {
	Plan *Plan
	rt   *runtime
}

// Setup finds the run.
func (f *archiveFn) Setup(ctx context.Context) (err error) {
	f.rt, err = openRuntime(ctx, f.Plan)
	return err
}

// ProcessElement reads a file.
func (f *archiveFn) ProcessElement(ctx context.Context, file string, emit func(beam.EventTime, *Messages)) error {
	platform, err := f.Plan.platform()
	if err != nil {
		return f.rt.fail(err)
	}
	r, err := OpenFile(ctx, platform, file)
	if err != nil {
		return f.rt.fail(err)
	}
	defer r.Close()
	var batch Messages
	flush := func() {
		if len(batch.List) > 0 {
			f.rt.add(ctx, counterMessages, int64(len(batch.List)))
			emit(eventTime(batch.least()), &Messages{noSubscription, batch.List})
			batch.List = nil
		}
	}
	err = readArchive(r, func(a *archived) {
		batch.List = append(batch.List, newMessages(a.MessageID, a.Data, a.Attributes, a.PublishTime.UnixMicro(), unknownTime)...)
		if len(batch.List) >= pullMessages {
			flush()
		}
	})
	if err != nil {
		return f.rt.fail(fmt.Errorf("read %s: %w", file, err))
	}
	flush()
	return nil
}

// readArchive calls fn for each record of an Avro file.
func readArchive(r io.Reader, fn func(*archived)) error {
	file, err := ocf.NewReader(r, ocf.WithReaderSchema(archivedSchema))
	if err != nil {
		return fmt.Errorf("not an Avro file of a Pub/Sub archive (written with write_metadata?): %w", err)
	}
	defer file.Close()
	for n := 0; ; n++ {
		var a archived
		if err := file.Decode(&a); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		fn(&a)
	}
}
