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
	"github.com/kappa-migrate/kappa/internal/tables"
)

func init() {
	beam.RegisterDoFn(&archiveFn{})
	beam.RegisterDoFn(&filesFn{})
	beam.RegisterDoFn(&tableFn{})
}

const gsPrefix = "gs://"

// Batch is what a backfill reads: the archive, files of events or a table, and
// the events of a span of event time alone.
type Batch struct {
	Archive []string // Avro files of a Cloud Storage subscription
	Files   []string // files of events
	Table   string   // PROJECT.DATASET.TABLE with the columns of a raw table

	From, To int64    // event time, the end exclusive, in microseconds; both 0: all
	Slices   []string // of the table: one query each
	Counting []string // writers, JOB@GENERATION, whose rows of the table are preferred
	MaxBytes int64    // that a query on the table may bill; 0: any
}

// Given reports whether there is anything to read, so that the run is a batch.
func (b *Batch) Given() bool { return len(b.Archive) > 0 || len(b.Files) > 0 || b.Table != "" }

// Within makes p leave out what happened outside of a span.
func (p *Plan) Within(span tables.Span) {
	p.Batch.From, p.Batch.To = span.From.UnixMicro(), span.To.UnixMicro()
}

// within reports whether an event is in the span. What has no time is not known
// to be outside: it is kept in the raw table, and reported.
func (b *Batch) within(m *Message) bool {
	return b.From == b.To || m.Time == unknownTime || b.From <= m.Time && m.Time < b.To
}

// FindArchive makes p a batch over the Avro files that match a pattern: local
// (as filepath.Match has it) or gs://BUCKET/PATTERN (as path.Match has it).
func (p *Plan) FindArchive(ctx context.Context, pattern string) (err error) {
	p.Batch.Archive, err = p.find(ctx, "archive", pattern, "name the Avro files that the archive's Cloud Storage subscription wrote")
	return err
}

// FindFiles makes p a batch over files of events; the pattern as FindArchive has it.
func (p *Plan) FindFiles(ctx context.Context, pattern string) (err error) {
	p.Batch.Files, err = p.find(ctx, "files", pattern, "name files of events: JSON lines or Avro")
	return err
}

// find lists the files that match a pattern, sorted.
func (p *Plan) find(ctx context.Context, flag, pattern, hint string) ([]string, error) {
	files, err := p.matches(ctx, flag, pattern)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, exit.Environmentf("no file matches --%s=%s", flag, pattern).WithHint("%s", hint)
	}
	sort.Strings(files)
	return files, nil
}

func (p *Plan) matches(ctx context.Context, flag, pattern string) ([]string, error) {
	if !strings.HasPrefix(pattern, gsPrefix) {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, exit.Usagef("--%s=%s: %w", flag, pattern, err)
		}
		return files, nil
	}
	bucket, glob, ok := strings.Cut(strings.TrimPrefix(pattern, gsPrefix), "/")
	if _, err := path.Match(glob, ""); err != nil || !ok || bucket == "" {
		return nil, exit.Usagef("--%s=%s is not gs://BUCKET/PATTERN", flag, pattern)
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

// readBatch reads what a batch is over: one element for each file or query, so that
// they are spread over the workers.
func readBatch(s beam.Scope, p *Plan) beam.PCollection {
	parts := func(s beam.Scope, list []string) beam.PCollection { return beam.Reshuffle(s, beam.CreateList(s, list)) }
	switch {
	case len(p.Batch.Archive) > 0:
		s = s.Scope("ReadArchive")
		return beam.ParDo(s, &archiveFn{Plan: p}, parts(s, p.Batch.Archive))
	case len(p.Batch.Files) > 0:
		s = s.Scope("ReadFiles")
		return beam.ParDo(s, &filesFn{Plan: p}, parts(s, p.Batch.Files))
	}
	s = s.Scope("ReadTable")
	return beam.ParDo(s, &tableFn{Plan: p}, parts(s, p.Batch.Slices))
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
	return f.rt.readFile(ctx, f.Plan, file, emit, func(r io.Reader, add func(...*Message)) error {
		return readArchive(r, func(a *archived) {
			add(newMessages(a.MessageID, a.Data, a.Attributes, a.PublishTime.UnixMicro(), unknownTime)...)
		})
	})
}

// readFile opens a file of a batch, hands it to read and emits the messages that
// are added.
func (rt *runtime) readFile(ctx context.Context, p *Plan, file string, emit func(beam.EventTime, *Messages), read func(io.Reader, func(...*Message)) error) error {
	platform, err := p.platform()
	if err != nil {
		return rt.fail(err)
	}
	r, err := OpenFile(ctx, platform, file)
	if err != nil {
		return rt.fail(err)
	}
	defer r.Close()
	g := &gathering{ctx: ctx, rt: rt, batch: &p.Batch, emit: emit}
	if err := read(r, g.add); err != nil {
		return rt.fail(fmt.Errorf("read %s: %w", file, err))
	}
	g.flush()
	return nil
}

// gathering emits messages of a batch together.
type gathering struct {
	ctx   context.Context
	rt    *runtime
	batch *Batch
	emit  func(beam.EventTime, *Messages)
	list  []*Message
}

// add adds what is in the span, and counts all.
func (g *gathering) add(ms ...*Message) {
	g.rt.add(g.ctx, counterMessages, int64(len(ms)))
	for _, m := range ms {
		if g.batch.within(m) {
			g.list = append(g.list, m)
		}
	}
	if len(g.list) >= pullMessages {
		g.flush()
	}
}

func (g *gathering) flush() {
	if len(g.list) == 0 {
		return
	}
	ms := &Messages{noSubscription, g.list}
	g.list = nil
	g.emit(eventTime(ms.least()), ms)
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
