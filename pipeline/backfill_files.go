package pipeline

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/twmb/avro/ocf"
)

// This file reads files of events: histories that never went through Pub/Sub. A
// record has the columns of a raw table: event_id and event_time, which it must
// have, message_id, publish_time, source_time and position, which it may have, and
// the event's fields. Others are skipped, so that an export of a raw table is such
// a file.

// Columns of a record, beside the event's fields.
const (
	columnEventID     = "event_id"
	columnMessageID   = "message_id"
	columnEventTime   = "event_time"
	columnSourceTime  = "source_time"
	columnPublishTime = "publish_time"
	columnPosition    = "position"
)

// maxLine bounds a line of JSON: more than a message of Pub/Sub may have.
const maxLine = 16 << 20

// filesFn reads a file of events.
type filesFn struct {
	Plan *Plan
	rt   *runtime
}

// Setup finds the run.
func (f *filesFn) Setup(ctx context.Context) (err error) {
	f.rt, err = openRuntime(ctx, f.Plan)
	return err
}

// ProcessElement reads a file.
func (f *filesFn) ProcessElement(ctx context.Context, file string, emit func(beam.EventTime, *Messages)) error {
	return f.rt.readFile(ctx, f.Plan, file, emit, func(r io.Reader, add func(...*Message)) error {
		return readEvents(r, path.Base(file), f.Plan.Fields, func(m *Message) { add(m) })
	})
}

// readEvents calls fn for each record of a file of events: Avro, or lines of JSON,
// gzipped or not, as its first bytes tell.
func readEvents(r io.Reader, name string, fields []Field, fn func(*Message)) error {
	b := bufio.NewReader(r)
	if head, err := b.Peek(2); err == nil && bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return err
		}
		b = bufio.NewReader(z)
	}
	if head, err := b.Peek(4); err == nil && string(head) == "Obj\x01" {
		return readAvroEvents(b, name, fields, fn)
	}
	return readJSONEvents(b, name, fn)
}

func readJSONEvents(r io.Reader, name string, fn func(*Message)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		m, err := jsonEvent(bytes.Clone(line), fmt.Sprintf("%s:%d", name, n))
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		fn(m)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// jsonEvent makes a message of a record. Its data is the record as it is: the
// event's fields are read from it as from any message.
func jsonEvent(line []byte, place string) (*Message, error) {
	var r struct {
		EventID     string `json:"event_id"`
		MessageID   string `json:"message_id"`
		EventTime   string `json:"event_time"`
		SourceTime  string `json:"source_time"`
		PublishTime string `json:"publish_time"`
		Position    string `json:"position"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fmt.Errorf("not a JSON object of an event: %w", err)
	}
	m := &Message{ID: r.MessageID, Data: line, EventID: r.EventID, Position: r.Position}
	for _, t := range []struct {
		column, text string
		to           *int64
	}{{columnEventTime, r.EventTime, &m.Time}, {columnSourceTime, r.SourceTime, &m.Source}, {columnPublishTime, r.PublishTime, &m.Publish}} {
		*t.to = unknownTime
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, t.text)
		if err != nil {
			return nil, fmt.Errorf("%s %q is not an RFC 3339 time", t.column, t.text)
		}
		*t.to = at.UnixMicro()
	}
	return m, m.complete(place)
}

// complete checks that a record of a file is an event, and fills what it need not
// say: where it is found then tells it from its copies.
func (m *Message) complete(place string) error {
	switch {
	case m.EventID == "":
		return errors.New("the record has no " + columnEventID)
	case m.Time == unknownTime:
		return errors.New("the record has no " + columnEventTime)
	case m.Time < 0: // Beam's fixed windows are wrong before the epoch
		return errors.New(columnEventTime + " is before 1970")
	}
	if m.ID == "" {
		m.ID = place
	}
	if m.Publish == unknownTime {
		m.Publish = m.Time
	}
	m.Watermark = unknownTime
	return nil
}

func readAvroEvents(r io.Reader, name string, fields []Field, fn func(*Message)) error {
	file, err := ocf.NewReader(r)
	if err != nil {
		return fmt.Errorf("not an Avro file: %w", err)
	}
	defer file.Close()
	for n := 1; ; n++ {
		var record map[string]any
		if err := file.Decode(&record); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		m, err := recordEvent(record, fields)
		if err == nil {
			err = m.complete(fmt.Sprintf("%s:%d", name, n))
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		fn(m)
	}
}

// recordEvent makes a message of a record that is no JSON yet.
func recordEvent(record map[string]any, fields []Field) (*Message, error) {
	m := &Message{Time: unknownTime, Source: unknownTime, Publish: unknownTime, Watermark: unknownTime}
	for column, to := range map[string]*string{columnEventID: &m.EventID, columnMessageID: &m.ID, columnPosition: &m.Position} {
		v := record[column]
		if s, ok := v.(string); ok {
			*to = s
		} else if v != nil {
			return nil, fmt.Errorf("%s is %T instead of a string", column, v)
		}
	}
	for column, to := range map[string]*int64{columnEventTime: &m.Time, columnSourceTime: &m.Source, columnPublishTime: &m.Publish} {
		v := record[column]
		if t, ok := v.(time.Time); ok {
			*to = t.UnixMicro()
		} else if v != nil {
			return nil, fmt.Errorf("%s is %T instead of a timestamp", column, v)
		}
	}
	data := map[string]any{}
	for _, f := range fields {
		switch v := record[f.Name].(type) {
		case nil:
		case time.Time:
			data[f.Name] = v.UTC().Format(time.RFC3339Nano)
		case string, int, int32, int64, float32, float64, bool, json.Number:
			data[f.Name] = v
		default:
			return nil, fmt.Errorf("field %s is %T, which no field of an event can be", f.Name, v)
		}
	}
	var err error
	m.Data, err = json.Marshal(data)
	return m, err
}
