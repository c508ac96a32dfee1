package locate

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// Record is a record as it is shown. Bytes that are no UTF-8 are base64.
type Record struct {
	Timestamp time.Time `json:"timestamp"`
	Key       *Text     `json:"key"`        // null: it has none
	ValueSize int       `json:"value_size"` // -1: a tombstone
	Headers   []Header  `json:"headers"`
	Value     *Text     `json:"value,omitempty"` // where it was asked for
}

// Header is a record's header.
type Header struct {
	Name  string `json:"name"`
	Value *Text  `json:"value"`
}

// Text is bytes as text: as they are, or in an encoding.
type Text struct {
	Text     string `json:"text"`
	Encoding string `json:"encoding,omitempty"` // base64
	Note     string `json:"note,omitempty"`     // what was done to it
}

func textOf(b []byte) *Text {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return &Text{Text: string(b)}
	}
	return &Text{Text: base64.StdEncoding.EncodeToString(b), Encoding: "base64"}
}

// Show says how a record is shown.
type Show struct {
	Value       bool // with its value
	Uncommitted bool // the bridge reads records of aborted transactions too
	// Decode makes JSON of a value; nil: values are not decoded. Fields are
	// hashed in what it returns.
	Decode    func(value []byte) ([]byte, error)
	Sensitive [][]string // fields that are hashed, as lists of names
}

// Show reads the record and adds it to the result.
func (r *Result) Show(ctx context.Context, how Show) error {
	if r.State != Held {
		return exit.Environmentf("the log of %s holds offsets %d to %d: %s", r.Position, r.First, r.End-1,
			map[string]string{Gone: "the record is gone", Beyond: "the record is not there"}[r.State])
	}
	rec, err := r.read(ctx, how.Uncommitted)
	if err != nil {
		return err
	}
	if rec == nil {
		return exit.Environmentf("the log has no record at %s: compaction took it, or it is part of an aborted transaction", r.Position)
	}
	r.Record = how.record(rec)
	return nil
}

func (how *Show) record(rec *kgo.Record) *Record {
	r := &Record{Timestamp: rec.Timestamp.UTC(), Key: textOf(rec.Key), ValueSize: len(rec.Value), Headers: []Header{}}
	if rec.Value == nil {
		r.ValueSize = -1
	}
	for _, h := range rec.Headers {
		r.Headers = append(r.Headers, Header{h.Key, textOf(h.Value)})
	}
	if how.Value && rec.Value != nil {
		r.Value = how.value(rec.Value)
	}
	return r
}

// value shows a value. Where fields of it are to be hashed and it cannot be
// decoded, it is not shown.
func (how *Show) value(b []byte) *Text {
	if how.Decode == nil && len(how.Sensitive) == 0 {
		return textOf(b)
	}
	hidden := &Text{Note: "not shown: its sensitive fields cannot be found in it"}
	if how.Decode == nil {
		return hidden
	}
	text, err := how.Decode(b)
	if err != nil {
		if len(how.Sensitive) > 0 {
			return hidden
		}
		t := textOf(b)
		t.Note = "it cannot be decoded: " + err.Error()
		return t
	}
	if len(how.Sensitive) == 0 {
		return textOf(text)
	}
	text, n, err := hashFields(text, how.Sensitive)
	if err != nil {
		return hidden
	}
	t := textOf(text)
	if n == 1 {
		t.Note = "1 sensitive value is hashed"
	} else if n > 1 {
		t.Note = fmt.Sprintf("%d sensitive values are hashed", n)
	}
	return t
}

// hashFields replaces the values of fields in a JSON text by their hashes, in
// every item of a list on the way. It returns how many there were.
func hashFields(text []byte, paths [][]string) ([]byte, int, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, 0, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, 0, errors.New("more than one JSON value")
	}
	n := 0
	for _, p := range paths {
		v = hashAt(v, p, &n)
	}
	out, err := json.Marshal(v)
	return out, n, err
}

func hashAt(v any, path []string, n *int) any {
	if len(path) == 0 {
		b, _ := json.Marshal(v) // it was decoded from JSON
		*n++
		return hashed(b)
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = hashAt(v[i], path, n)
		}
	case map[string]any:
		if x, ok := v[path[0]]; ok {
			v[path[0]] = hashAt(x, path[1:], n)
		}
	}
	return v
}

// hashed is what stands in the place of a sensitive value: equal values have
// equal hashes.
func hashed(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// WriteText writes the result for people.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Position)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("source", "%s", r.Source)
	line("cluster", "%s", r.Cluster)
	line("topic", "%s (id %s)", r.Topic, r.TopicID)
	line("partition", "%d", r.Partition)
	line("offset", "%d", r.Offset)
	line("event", "%d of the record", r.Ordinal)
	switch r.State {
	case Held:
		line("log", "offsets %d to %d", r.First, r.End-1)
	case Gone:
		line("log", "begins at offset %d: the record is gone", r.First)
	default:
		line("log", "ends at offset %d: the record is not there (an unclean election can cut a log back)", r.End-1)
	}
	if rec := r.Record; rec != nil {
		line("timestamp", "%s", envelope.FormatTime(rec.Timestamp))
		line("key", "%s", rec.Key)
		if rec.ValueSize < 0 {
			line("value", "none (a tombstone)")
		} else {
			line("value", "%d bytes", rec.ValueSize)
		}
		for _, h := range rec.Headers {
			line("header", "%s: %s", h.Name, h.Value)
		}
		if rec.Value != nil {
			fmt.Fprintf(&b, "%s\n", rec.Value)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Text) String() string {
	if t == nil {
		return "none"
	}
	s := t.Text
	if !plain(s) { // it would play with the terminal
		s = fmt.Sprintf("%q", s)
	}
	for _, note := range []string{t.Encoding, t.Note} {
		if note != "" {
			s = strings.TrimSpace(s + " (" + note + ")")
		}
	}
	return s
}

// plain reports whether s can be printed as it is.
func plain(s string) bool {
	for _, r := range s {
		if (r < ' ' && r != '\n' && r != '\t') || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	return true
}

// SplitPath splits a path to a field as specs write it: a.b.c; a dot that
// belongs to a name is written \., a backslash \\.
func SplitPath(path string) ([]string, error) {
	names, name := []string{}, ""
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\'):
			i++
			name += path[i : i+1]
		case c == '\\':
			return nil, errors.New(`after a backslash only a dot or a backslash may stand`)
		case c == '.':
			names, name = append(names, name), ""
		default:
			name += path[i : i+1]
		}
	}
	names = append(names, name)
	for _, n := range names {
		if n == "" {
			return nil, errors.New("a name in it is empty")
		}
	}
	return names, nil
}
