package flights

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Flight is one row.
type Flight struct {
	Scheduled   int64 // microseconds since the Unix epoch
	Delay       int32 // minutes; negative: early
	Distance    int32 // miles
	Origin      string
	Destination string
}

// ScheduledAt is the event time.
func (f Flight) ScheduledAt() time.Time { return time.UnixMicro(f.Scheduled).UTC() }

// ArrivesAt is when the flight's report arrives. Kafka keeps milliseconds.
func (f Flight) ArrivesAt() time.Time {
	return f.ScheduledAt().Add(time.Duration(f.Delay) * time.Minute).Truncate(time.Millisecond)
}

// Bounds of what is accepted. Kafka has no times before 1970, BigQuery none
// after 9999; the others are far beyond anything that flies, and keep every
// sum over a file within 64 bits.
const (
	maxDelay    = 10 * 366 * 24 * 60 // minutes
	maxDistance = 1_000_000_000
	maxCode     = 255 // bytes of an airport code
)

var maxTime = time.Date(9990, 1, 1, 0, 0, 0, 0, time.UTC)

// ReadFile reads a file of flights.
func ReadFile(path string) ([]Flight, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, exit.Usagef("read input: %w", err).WithHint("name a CSV file (gzipped or not) or a Parquet file with --input")
	}
	if !st.Mode().IsRegular() {
		return nil, exit.Usagef("read input: %s is not a file", path).WithHint("name a CSV file (gzipped or not) or a Parquet file with --input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, exit.Usagef("read input: %w", err)
	}
	defer f.Close()
	return Read(path, f, st.Size())
}

// ReadBytes reads flights from memory.
func ReadBytes(name string, data []byte) ([]Flight, error) {
	return Read(name, bytes.NewReader(data), int64(len(data)))
}

// Read reads flights; name is for errors. The format is told by the first bytes.
func Read(name string, r io.ReaderAt, size int64) ([]Flight, error) {
	var out []Flight
	head := make([]byte, 4)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, exit.Usagef("read input: %w", err)
	}
	head = head[:n]
	switch {
	case size == 0:
		err = errors.New("the file is empty")
	case bytes.HasPrefix(head, []byte("PAR1")):
		out, err = readParquet(r, size)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		out, err = readGzip(io.NewSectionReader(r, 0, size))
	default:
		out, err = readCSV(io.NewSectionReader(r, 0, size))
	}
	if err == nil && len(out) == 0 {
		err = errors.New("there are no rows below the header")
	}
	if err != nil {
		return nil, exit.Usagef("read input: %s: %w", name, err).
			WithHint("the columns are scheduled (or date), delay, distance, origin, destination")
	}
	return out, nil
}

// column numbers of the five fields that are read.
const (
	colScheduled = iota
	colDelay
	colDistance
	colOrigin
	colDestination
	columns
)

var columnNames = [columns]string{"scheduled", "delay", "distance", "origin", "destination"}

// alternative is another name of the column scheduled.
const alternative = "date"

// locate finds the five columns among the names of a header.
func locate(header []string) ([columns]int, error) {
	at := [columns]int{}
	for i := range at {
		at[i] = -1
	}
	for i, name := range header {
		name = strings.TrimSpace(name)
		for c, want := range columnNames {
			if name != want {
				continue
			}
			if at[c] >= 0 {
				return at, fmt.Errorf("two columns are named %q", name)
			}
			at[c] = i
		}
	}
	if at[colScheduled] < 0 {
		for i, name := range header {
			if strings.TrimSpace(name) == alternative {
				at[colScheduled] = i
			}
		}
	}
	var missing []string
	for c, i := range at {
		if i < 0 {
			missing = append(missing, columnNames[c])
		}
	}
	if len(missing) > 0 {
		return at, fmt.Errorf("missing column %s; the columns are: %s", strings.Join(missing, ", "), strings.Join(header, ", "))
	}
	return at, nil
}

// valueError is an error in one value; where it stands is added by the reader.
func valueError(c int, text, want string) error {
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return fmt.Errorf("column %s: %q is not %s", columnNames[c], text, want)
}

// parse reads one row of text.
func parse(row []string, at [columns]int, intern *interner) (Flight, error) {
	var f Flight
	text := row[at[colScheduled]]
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return f, valueError(colScheduled, text, "a time such as 2001-01-08T13:05:00Z (RFC 3339)")
	}
	delay, err := strconv.ParseInt(row[at[colDelay]], 10, 64)
	if err != nil {
		return f, valueError(colDelay, row[at[colDelay]], "a whole number of minutes")
	}
	distance, err := strconv.ParseInt(row[at[colDistance]], 10, 64)
	if err != nil {
		return f, valueError(colDistance, row[at[colDistance]], "a whole number of miles")
	}
	return build(t, delay, distance, intern.get(row[at[colOrigin]]), intern.get(row[at[colDestination]]))
}

// build checks the bounds of one flight.
func build(t time.Time, delay, distance int64, origin, destination string) (Flight, error) {
	var f Flight
	if delay < -maxDelay || delay > maxDelay {
		return f, valueError(colDelay, strconv.FormatInt(delay, 10), "within ten years")
	}
	if distance < -maxDistance || distance > maxDistance {
		return f, valueError(colDistance, strconv.FormatInt(distance, 10), "within a billion miles")
	}
	arrives := t.Add(time.Duration(delay) * time.Minute)
	if t.Before(time.Unix(0, 0)) || t.After(maxTime) || arrives.Before(time.Unix(0, 0)) {
		return f, valueError(colScheduled, t.Format(time.RFC3339), "a time between 1970 and 9990 (with the delay)")
	}
	for c, code := range map[int]string{colOrigin: origin, colDestination: destination} {
		if code == "" || len(code) > maxCode || !utf8.ValidString(code) {
			return f, valueError(c, code, "an airport code")
		}
	}
	return Flight{Scheduled: t.UnixMicro(), Delay: int32(delay), Distance: int32(distance), Origin: origin, Destination: destination}, nil
}

// interner keeps one copy of each airport code: a file has millions of rows
// and a few hundred codes.
type interner struct{ m map[string]string }

func (i *interner) get(s string) string {
	if v, ok := i.m[s]; ok {
		return v
	}
	if i.m == nil {
		i.m = map[string]string{}
	}
	s = strings.Clone(s)
	i.m[s] = s
	return s
}
