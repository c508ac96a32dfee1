package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file guesses a Comparison from the schemas of two tables, without I/O.

// InitTable is a table as its metadata shows it.
type InitTable struct {
	Name      string // as the spec names it
	Schema    bigquery.Schema
	Partition string // column; "": none
}

// InitInput is what a guess is made from.
type InitInput struct {
	Name        string // of the Comparison
	Environment string
	Project     string
	Dataset     string
	Batch       InitTable
	Stream      InitTable
	Job         string      // StreamJob; "": not known
	Loads       bool        // the dataset has the control table batch_loads
	Starts      []time.Time // of some windows of the batch side
}

// How sure a guess is.
const (
	Sure     = "sure"
	Probable = "probable"
	Guessed  = "guess"
)

// Match is a key or a metric that both tables have.
type Match struct {
	Role   string `json:"role"` // key or metric
	Name   string `json:"name"`
	Type   string `json:"type"`            // of a key: BigQuery type; of a metric: count, sum, min, max
	Value  string `json:"value,omitempty"` // of a metric: BigQuery type
	Batch  string `json:"batch"`
	Stream string `json:"stream"`
	Sure   string `json:"confidence"`
	Why    string `json:"why"`
}

// Unmatched is a column that is left out.
type Unmatched struct {
	Side   string `json:"side"`
	Column string `json:"column"`
	Why    string `json:"why"`
}

// Init is a guessed Comparison.
type Init struct {
	Version int         `json:"version"`
	Time    [2]string   `json:"time_columns"` // batch, stream
	Window  string      `json:"window"`
	Matches []Match     `json:"matches"`
	LeftOut []Unmatched `json:"left_out"`
	Guesses []string    `json:"guesses"` // what should be looked at
	Spec    string      `json:"spec"`    // YAML
	in      InitInput
}

// ownColumns are those that kappa writes beside keys and metrics.
var ownColumns = map[string]bool{"job": true, "generation": true, "pane": true, "timing": true, "write_time": true, jobspecs.RollupColumn: true}

// InitSpec guesses.
func InitSpec(in InitInput) (*Init, error) {
	g := &Init{Version: 1, LeftOut: []Unmatched{}, Guesses: []string{}, in: in}
	var err error
	for i, t := range []InitTable{in.Batch, in.Stream} {
		if g.Time[i], err = g.timeColumn(t); err != nil {
			return nil, err
		}
	}
	g.match()
	if !slices.ContainsFunc(g.Matches, func(m Match) bool { return m.Role == "key" }) || !slices.ContainsFunc(g.Matches, func(m Match) bool { return m.Role == "metric" }) {
		return nil, exit.Environmentf("tables %s and %s share no key or no metric: %s", in.Batch.Name, in.Stream.Name, g.unmatchedText()).
			WithHint("write the spec by hand: docs/specs.md")
	}
	g.window()
	g.Spec = g.yaml()
	return g, nil
}

func (g *Init) guess(format string, args ...any) {
	g.Guesses = append(g.Guesses, fmt.Sprintf(format, args...))
}

func (g *Init) unmatchedText() string {
	var parts []string
	for _, u := range g.LeftOut {
		parts = append(parts, u.Side+" "+u.Column+": "+u.Why)
	}
	return strings.Join(parts, "; ")
}

func isTime(f *bigquery.FieldSchema) bool {
	return !f.Repeated && (f.Type == bigquery.TimestampFieldType || f.Type == bigquery.DateTimeFieldType || f.Type == bigquery.DateFieldType)
}

// timeColumn is the column that holds the start of the window: the partition
// column, one that is named so, or the only one of a type of time.
func (g *Init) timeColumn(t InitTable) (string, error) {
	var all []string
	for _, f := range t.Schema {
		if !isTime(f) || ownColumns[f.Name] {
			continue
		}
		if f.Name == t.Partition {
			return f.Name, nil
		}
		all = append(all, f.Name)
	}
	if i := slices.IndexFunc(all, func(n string) bool { return stem(n) == "windowstart" }); i >= 0 {
		return all[i], nil
	}
	if len(all) == 1 {
		g.guess("%s holds the start of the window of %s: it is the only column of a type of time", all[0], t.Name)
		return all[0], nil
	}
	return "", exit.Environmentf("table %s: which column holds the start of the window cannot be told: it is not partitioned, and has %d columns of a type of time", t.Name, len(all)).
		WithHint("write the spec by hand: docs/specs.md")
}

// suffixes that say what a number is, and not of what.
var suffixes = []string{"total", "sum", "count", "cnt"}

func folded(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "") }

func stem(name string) string {
	s := folded(name)
	for _, suffix := range suffixes {
		if t := strings.TrimSuffix(s, suffix); t != "" && t != s {
			return t
		}
	}
	return s
}

// match pairs columns: by name, then by name without case and underscores, then
// without what a suffix says. A column is in one pair.
func (g *Init) match() {
	taken := map[string]bool{}
	paired := map[string]bool{}
	ways := []struct {
		of        func(string) string
		sure, why string
	}{
		{func(s string) string { return s }, Sure, "same name"},
		{folded, Probable, "same name but for case and underscores"},
		{stem, Guessed, "same name but for a suffix"},
	}
	byBatch := map[string]Match{}
	for _, way := range ways {
		for _, b := range g.in.Batch.Schema {
			if paired[b.Name] || b.Name == g.Time[0] || ownColumns[b.Name] {
				continue
			}
			var fits []*bigquery.FieldSchema
			for _, s := range g.in.Stream.Schema {
				if !taken[s.Name] && s.Name != g.Time[1] && !ownColumns[s.Name] && way.of(s.Name) == way.of(b.Name) {
					fits = append(fits, s)
				}
			}
			if len(fits) != 1 {
				continue
			}
			paired[b.Name], taken[fits[0].Name] = true, true
			m, why := pair(b, fits[0])
			if why != "" {
				g.LeftOut = append(g.LeftOut, Unmatched{"batch", b.Name, why}, Unmatched{"stream", fits[0].Name, why})
				continue
			}
			m.Sure, m.Why = way.sure, way.why
			byBatch[b.Name] = m
		}
	}
	for _, role := range []string{"key", "metric"} {
		for _, b := range g.in.Batch.Schema {
			if m, ok := byBatch[b.Name]; ok && m.Role == role {
				g.Matches = append(g.Matches, m)
			}
		}
	}
	rest := func(side, time string, schema bigquery.Schema, seen map[string]bool) {
		for _, f := range schema {
			if !seen[f.Name] && f.Name != time && !ownColumns[f.Name] {
				g.LeftOut = append(g.LeftOut, Unmatched{side, f.Name, "the other table has no column like it"})
			}
		}
	}
	rest("batch", g.Time[0], g.in.Batch.Schema, paired)
	rest("stream", g.Time[1], g.in.Stream.Schema, taken)
}

// parts of names by which whole numbers are told to be keys, and numbers not to
// add up.
var (
	keyWords   = []string{"id", "key", "code", "no", "number", "year", "month", "day", "hour", "bucket", "version"}
	ratioWords = []string{"avg", "average", "mean", "rate", "ratio", "pct", "percent", "median", "p50", "p90", "p95", "p99", "distinct", "unique", "stddev"}
)

func hasWord(name string, words ...string) bool {
	return slices.ContainsFunc(strings.Split(strings.ToLower(name), "_"), func(part string) bool { return slices.Contains(words, part) })
}

// pair is what two columns are; why says why they are nothing that can be compared.
func pair(b, s *bigquery.FieldSchema) (m Match, why string) {
	m = Match{Name: s.Name, Batch: b.Name, Stream: s.Name}
	numbers := map[bigquery.FieldType]string{bigquery.IntegerFieldType: "INT64", bigquery.NumericFieldType: "NUMERIC", bigquery.BigNumericFieldType: "BIGNUMERIC", bigquery.FloatFieldType: "FLOAT64"}
	switch {
	case b.Repeated || s.Repeated:
		return m, "it is repeated"
	case numbers[b.Type] != "" && numbers[s.Type] != "":
		if b.Type == s.Type && b.Type == bigquery.IntegerFieldType && hasWord(b.Name, keyWords...) {
			m.Role, m.Type = "key", "INT64"
			return m, ""
		}
		if hasWord(b.Name, ratioWords...) || hasWord(s.Name, ratioWords...) {
			return m, "it does not add up: compare what it is made from"
		}
		m.Role, m.Type, m.Value = "metric", metricType(b, s), numbers[s.Type]
		order := []string{"INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64"} // the wider one
		if slices.Index(order, numbers[b.Type]) > slices.Index(order, m.Value) {
			m.Value = numbers[b.Type]
		}
		return m, ""
	case b.Type != s.Type:
		return m, fmt.Sprintf("it is %s on the batch side and %s on the stream side", b.Type, s.Type)
	}
	for name, t := range fieldTypes {
		if t == b.Type && slices.Contains([]string{"STRING", "TIMESTAMP", "DATE", "BOOL"}, name) {
			m.Role, m.Type = "key", name
			return m, ""
		}
	}
	return m, fmt.Sprintf("%s can be neither a key nor a metric", b.Type)
}

func metricType(b, s *bigquery.FieldSchema) string {
	for _, f := range []*bigquery.FieldSchema{b, s} {
		switch {
		case hasWord(f.Name, "min", "least", "first"):
			return "min"
		case hasWord(f.Name, "max", "greatest", "last"):
			return "max"
		case f.Type == bigquery.IntegerFieldType && hasWord(f.Name, "count", "cnt", "num", "n"):
			return "count"
		}
	}
	return "sum"
}

// window is the size of the windows: the greatest length that all starts are
// multiples of, apart from each other.
func (g *Init) window() {
	var size time.Duration
	for i := 1; i < len(g.in.Starts); i++ {
		d := g.in.Starts[i].Sub(g.in.Starts[i-1]).Abs()
		for d != 0 {
			size, d = d, size%d
		}
	}
	if size == 0 {
		size = time.Hour
		g.guess("window: 1h: too few windows are there to tell")
	} else if len(g.in.Starts) < 10 {
		g.guess("window: %s, from %d windows alone", shortDuration(size), len(g.in.Starts))
	}
	g.Window = shortDuration(size)
}
