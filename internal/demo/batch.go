package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/storage"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// batchLayer plays the old batch layer: over the same records as the stream,
// it counts, for every origin and window, the flights whose report arrived at
// or before the window's end plus the cut-off, and drops the later ones. It
// drops copies by event id, as the old one did.
type batchLayer struct {
	window, cutoff, batch time.Duration

	seen    map[int64]bool
	rows    map[batchKey]*batchRow
	batches map[int64]bool // start of every batch with an event, kept or dropped, in seconds
	dropped int64
}

type batchKey struct {
	origin string
	window int64 // start, in seconds since the Unix epoch
}

// batchRow is a row of the old batch layer's output, and of its Avro files.
type batchRow struct {
	Origin      string `avro:"origin"`
	WindowStart int64  `avro:"window_start"` // microseconds since the Unix epoch
	Flights     int64  `avro:"flights"`
	DelaySum    int64  `avro:"delay_sum"`
	DistanceSum int64  `avro:"distance_sum"`
}

// batchSchema has a union where the table has a nullable column, so that
// BigQuery takes the files as they are.
var batchSchema = avro.MustParse(`{
  "type": "record", "name": "flights_by_origin", "namespace": "batch",
  "fields": [
    {"name": "origin", "type": ["null", "string"]},
    {"name": "window_start", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "flights", "type": ["null", "long"]},
    {"name": "delay_sum", "type": ["null", "long"]},
    {"name": "distance_sum", "type": ["null", "long"]}
  ]
}`)

func newBatchLayer(window, cutoff, batch time.Duration) *batchLayer {
	return &batchLayer{
		window: window, cutoff: cutoff, batch: batch,
		seen: map[int64]bool{}, rows: map[batchKey]*batchRow{}, batches: map[int64]bool{},
	}
}

// add takes a report that arrived at a time.
func (b *batchLayer) add(r report, arrived time.Time) error {
	if b.seen[r.EventID] {
		return nil
	}
	b.seen[r.EventID] = true
	at, err := time.Parse(time.RFC3339, r.Scheduled)
	if err != nil {
		return fmt.Errorf("flight %d: time %q is not RFC 3339", r.EventID, r.Scheduled)
	}
	// Both floors are exact: times are not before 1970, windows align to the epoch.
	start := at.Unix() - at.Unix()%int64(b.window.Seconds())
	b.batches[start-start%int64(b.batch.Seconds())] = true
	if arrived.After(time.Unix(start, 0).Add(b.window + b.cutoff)) {
		b.dropped++
		return nil
	}
	k := batchKey{r.Origin, start}
	row := b.rows[k]
	if row == nil {
		row = &batchRow{Origin: r.Origin, WindowStart: start * 1e6}
		b.rows[k] = row
	}
	row.Flights++
	row.DelaySum += r.Delay
	row.DistanceSum += r.Distance
	return nil
}

// batchFile is one batch: a folder and the rows of its only file. A batch in
// which every event was too late has a file without rows, for it was run.
type batchFile struct {
	start time.Time
	rows  []batchRow
}

// files returns the batches in order, their rows by window and origin.
func (b *batchLayer) files() []batchFile {
	byStart := map[int64]*batchFile{}
	for start := range b.batches {
		byStart[start] = &batchFile{start: time.Unix(start, 0).UTC()}
	}
	for k, row := range b.rows {
		f := byStart[k.window-k.window%int64(b.batch.Seconds())]
		f.rows = append(f.rows, *row)
	}
	out := make([]batchFile, 0, len(byStart))
	for _, f := range byStart {
		slices.SortFunc(f.rows, func(a, b batchRow) int {
			return cmp.Or(cmp.Compare(a.WindowStart, b.WindowStart), cmp.Compare(a.Origin, b.Origin))
		})
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b batchFile) int { return a.start.Compare(b.start) })
	return out
}

// encode writes the rows as an Avro file.
func (f batchFile) encode() ([]byte, error) {
	var buf bytes.Buffer
	w, err := ocf.NewWriter(&buf, batchSchema, ocf.WithCodec(ocf.SnappyCodec()))
	if err != nil {
		return nil, fmt.Errorf("write Avro: %w", err)
	}
	for i := range f.rows {
		if err := w.Encode(&f.rows[i]); err != nil {
			return nil, fmt.Errorf("write Avro: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write Avro: %w", err)
	}
	return buf.Bytes(), nil
}

// write puts the batches below a folder gs://BUCKET/PREFIX/, as Hadoop's
// transcoded outputs are staged.
func (b *batchLayer) write(ctx context.Context, client *storage.Client, bucket, prefix string, each func(done, total int)) error {
	files := b.files()
	for i, f := range files {
		data, err := f.encode()
		if err != nil {
			return err
		}
		name := prefix + f.start.Format("2006-01-02T15") + "/part-00000.avro"
		if err := putObject(ctx, client, bucket, name, "application/avro", data); err != nil {
			return err
		}
		each(i+1, len(files))
	}
	return nil
}

// putObject writes a small object in one request.
func putObject(ctx context.Context, client *storage.Client, bucket, name, contentType string, data []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // an upload that is left half-way must not go on
	w := client.Bucket(bucket).Object(name).NewWriter(ctx)
	w.ChunkSize, w.ContentType = 0, contentType
	if _, err := w.Write(data); err != nil {
		return exit.Environmentf("write gs://%s/%s: %w", bucket, name, err)
	}
	if err := w.Close(); err != nil {
		return exit.Environmentf("write gs://%s/%s: %w", bucket, name, err)
	}
	return nil
}

// readBack reads the topic from its beginning up to the given end offsets, and
// hands every record to fn.
func readBack(ctx context.Context, brokers []string, topic string, ends map[int32]int64, fn func(*kgo.Record) error) error {
	starts := map[int32]kgo.Offset{}
	left := int64(0)
	for p, end := range ends {
		if end > 0 {
			starts[p] = kgo.NewOffset().At(0)
			left += end
		}
	}
	if left == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	if err != nil {
		return exit.Environmentf("read %s back: %w", topic, err)
	}
	defer client.Close()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fetches.Err(); err != nil {
			return exit.Environmentf("read %s back: %w", topic, err)
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= ends[r.Partition] || bad != nil {
				return
			}
			left--
			bad = fn(r)
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

// runBatchLayer counts over the records of the topic.
func runBatchLayer(ctx context.Context, b *batchLayer, brokers []string, topic string, ends map[int32]int64) error {
	return readBack(ctx, brokers, topic, ends, func(r *kgo.Record) error {
		var rep report
		if err := json.Unmarshal(r.Value, &rep); err != nil {
			return fmt.Errorf("record %s/%d/%d: %w", topic, r.Partition, r.Offset, err)
		}
		if err := b.add(rep, r.Timestamp); err != nil {
			return fmt.Errorf("record %s/%d/%d: %w", topic, r.Partition, r.Offset, err)
		}
		return nil
	})
}
