package jobspecs

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kappa-migrate/kappa/internal/sqlexpr"
)

// sides checks where both sides are read from, and what says that their windows
// are complete.
func (k *checker) sides(s *ComparisonSpec) {
	k.side("spec.batch", &s.Batch.Side, s)
	k.side("spec.stream", &s.Stream.Side, s)
	if k.ok("spec.batch.shadow") && s.Batch.Shadow != "" && s.Batch.Table == "" && k.ok("spec.batch.table", "spec.batch.query", "spec.batch.files") {
		k.fail(CodeConflict, "spec.batch.shadow", "name the table that it has written in spec.batch.table", "a shadow writes tables: its rows are in no query and no file")
	}
	if k.ok("spec.stream.job") && s.Stream.Job != "" && s.Stream.Table == "" && k.ok("spec.stream.table", "spec.stream.query", "spec.stream.files") {
		k.fail(CodeConflict, "spec.stream.job", "leave it out, or name the table in spec.stream.table",
			"which rows of %s count is known of its tables alone", s.Stream.Job)
	}
	if k.ok("spec.batch.settledBy", "spec.batch.settleAfter") {
		switch {
		case s.Batch.SettledBy == SettledByClock && s.Batch.Shadow != "":
			k.fail(CodeConflict, "spec.batch.settledBy", "leave it out", "what the shadow %s has computed says which windows are complete", s.Batch.Shadow)
		case s.Batch.SettledBy == SettledByLoads && s.Batch.Table == "" && k.ok("spec.batch"):
			k.fail(CodeConflict, "spec.batch.settledBy", "set it to clock", "loads are listed of tables alone")
		case s.Batch.SettleAfter != 0 && s.Batch.Settled() != SettledByClock:
			k.fail(CodeConflict, "spec.batch.settleAfter", "set spec.batch.settledBy: clock, or remove it", "spec.batch.settleAfter has no meaning: the loads of %s say which windows are complete", s.Batch.Table)
		}
	}
	if (len(s.Batch.Files) > 0) != (len(s.Stream.Files) > 0) && k.ok("spec.batch.files", "spec.batch.table", "spec.batch.query", "spec.stream.files", "spec.stream.table", "spec.stream.query") &&
		s.Batch.given() && s.Stream.given() {
		files, other := "spec.batch.files", "spec.stream"
		if len(s.Stream.Files) > 0 {
			files, other = "spec.stream.files", "spec.batch"
		}
		k.fail(CodeConflict, files, "load the files with kappa load bq, or give "+other+".files", "both sides must be files, or none")
	}
	if s.Batch.Table != "" && s.TableOf(s.Batch.Side) == s.TableOf(s.Stream.Side) && s.Batch.Where == s.Stream.Where &&
		k.ok("spec.batch.table", "spec.batch.where", "spec.stream.table", "spec.stream.where") {
		k.fail(CodeConflict, "spec.stream.table", "", "both sides are table %q", s.Stream.Table)
	}
	if path := s.comparedWithItself(); path != "" && k.ok("spec.batch", "spec.stream", "spec.keys", "spec.metrics") {
		k.fail(CodeConflict, path, "", "both sides are the same: what is compared with itself never differs")
	}
}

// comparedWithItself is where the stream side says that it is the batch side: the
// same query or files, read in the same way. "": it is another one.
func (s *ComparisonSpec) comparedWithItself() string {
	b, t := s.Batch, s.Stream
	if b.Where != t.Where || b.Time != t.Time || slices.ContainsFunc(s.Keys, func(k CompareKey) bool { return k.Batch != k.Stream }) ||
		slices.ContainsFunc(s.Metrics, func(m Metric) bool { return m.Batch != m.Stream }) {
		return ""
	}
	switch {
	case b.Query != "" && strings.TrimSpace(b.Query) == strings.TrimSpace(t.Query):
		return "spec.stream.query"
	case len(b.Files) > 0 && slices.Equal(b.Files, t.Files):
		return "spec.stream.files"
	}
	return ""
}

// given reports whether the side says where it is read from.
func (s *Side) given() bool { return s.Table != "" || s.Query != "" || len(s.Files) > 0 }

var datasetName = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

func (k *checker) side(path string, side *Side, s *ComparisonSpec) {
	if side.Table != "" && k.ok(path+".table") {
		if t := s.TableOf(*side); !datasetName.MatchString(t.Dataset) {
			k.fail(CodeBadValue, path+".table", "write NAME, DATASET.NAME or PROJECT.DATASET.NAME", "%q cannot be the name of a dataset", t.Dataset)
		}
	}
	if side.Query != "" && k.ok(path+".query") {
		k.sql(path+".query", side.Query, sqlexpr.CheckQuery)
	}
	k.sqlExpression(path+".where", side.Where)
	if len(side.Files) == 0 {
		if side.Format != "" && k.ok(path+".format", path+".files") {
			k.fail(CodeConflict, path+".format", "remove it", "%s.format is for files", path)
		}
		return
	}
	k.uniqueStrings("file", path+".files", side.Files)
	if s.Environment == production && k.ok("spec.environment", path+".files") {
		k.fail(CodeConflict, path+".files", "set spec.environment: sandbox", "local files are compared in the sandbox, not in production")
	}
	for i, name := range side.Files {
		k.file(at(path+".files", i), name, side.Format)
	}
}

// formats are the ends of files' names that say how they are read.
var formats = []string{".avro", ".parquet", ".csv", ".json", ".jsonl", ".ndjson"}

func (k *checker) file(p, name, format string) {
	if !k.ok(p) {
		return
	}
	if strings.Contains(name, "://") {
		k.fail(CodeBadValue, p, "load it with kappa load bq, and compare tables", "%q is no local file", name)
		return
	}
	if _, err := path.Match(name, ""); err != nil {
		k.fail(CodeBadValue, p, `a [ that stands for itself is written \[`, "%q is not a pattern of file names", name)
		return
	}
	// What a pattern matches, the file's own name says.
	if end := path.Ext(name); format == "" && !strings.ContainsAny(path.Base(name), "*?[") && !slices.Contains(formats, strings.ToLower(end)) {
		k.fail(CodeBadValue, p, "set format to avro, parquet, csv or json", "the name %q does not say which format the file has", name)
	}
}

// sqlExpression checks a GoogleSQL expression of the columns of a side.
func (k *checker) sqlExpression(path, text string) {
	if text != "" && k.ok(path) {
		k.sql(path, text, sqlexpr.Check)
	}
}

// sql reports what check finds in a text, where it stands.
func (k *checker) sql(path, text string, check func(string) error) {
	err := check(text)
	if err == nil {
		return
	}
	var e *sqlexpr.Error
	if !errors.As(err, &e) {
		k.fail(CodeBadValue, path, "", "%s: %v", path, err)
		return
	}
	before := text[:e.Offset]
	line := strings.Count(before, "\n") + 1
	where := ""
	if strings.Contains(strings.TrimSpace(text), "\n") {
		where = "line " + strconv.Itoa(line) + ": "
	}
	n := k.place(path)
	if n != nil {
		n = n.inside(line, len([]rune(before)))
	}
	k.c.at(n, CodeBadValue, path, e.Hint, "%s: %s%s", path, where, e.Msg)
	k.d.bad[path] = true
}

// TableName is the full name of a table.
type TableName struct{ Project, Dataset, Table string }

// TableOf is the full name of a side's table: what it does not say is the
// comparison's.
func (s *ComparisonSpec) TableOf(side Side) TableName {
	t := TableName{s.Project, s.Dataset, side.Table}
	parts := strings.Split(side.Table, ".") // a project may hold points
	if n := len(parts); n > 1 {
		t.Dataset, t.Table = parts[n-2], parts[n-1]
		if n > 2 {
			t.Project = strings.Join(parts[:n-2], ".")
		}
	}
	return t
}

// classes are those that a known difference may be of.
var classes = []string{"mismatch", "missing", "extra", "nonunique"}

func (k *checker) knownDifferences(s *ComparisonSpec) {
	k.unique("known difference", len(s.Known), func(i int) (string, string) {
		return s.Known[i].Name, at("spec.knownDifferences", i) + ".name"
	})
	for i, d := range s.Known {
		k.knownDifference(at("spec.knownDifferences", i), d, s)
	}
}

func (k *checker) knownDifference(path string, d KnownDifference, s *ComparisonSpec) {
	types := map[string]string{}
	for _, key := range s.Keys {
		types[key.Name] = key.Type
	}
	for name, text := range d.Keys {
		p := join(path+".keys", name)
		if types[name] == "" && k.ok("spec.keys") {
			keys := fieldsOnly(s.KeyFields())
			k.c.at(k.d.keys[p], CodeDanglingReference, p, meant(name, "the keys are", keys), "the comparison has no key %q", name)
		}
		if !k.ok(p) {
			continue
		}
		if want := keyText(types[name], text); want != "" {
			k.fail(CodeBadValue, p, "write "+want, "%q is no value of key %s, which is %s", text, name, types[name])
		}
	}
	if k.ok(path+".from", path+".to") && d.From != "" && d.To != "" && !d.From.Time().Before(d.To.Time()) {
		k.fail(CodeConflict, path+".to", "", "%s.to is not after %s.from: it matches no window", path, path)
	}
	if k.ok(path+".from", path+".expires") && d.From != "" && d.Expires != "" && !d.From.Time().Before(d.Expires.Time()) {
		k.fail(CodeConflict, path+".expires", "", "%s.expires is not after %s.from: it holds no more when its first window begins", path, path)
	}
	k.uniqueStrings("class", path+".classes", d.Classes)
	for n, c := range d.Classes {
		if p := at(path+".classes", n); !slices.Contains(classes, c) && k.ok(p) {
			k.fail(CodeBadValue, p, didYouMean(c, classes), "%s cannot be %q", p, c)
		}
	}
}

// keyText says how a value of a key's type is written, if text is none.
func keyText(typ, text string) string {
	ok, want := true, ""
	switch typ {
	case "INT64":
		ok, want = integerText.MatchString(text), "plain digits"
	case "BOOL":
		ok, want = text == "true" || text == "false", "true or false"
	case "DATE":
		ok, want = len(text) == len("2006-01-02") && !Instant(text).Time().IsZero(), "2006-01-02"
	case "TIMESTAMP":
		ok, want = !Instant(text).Time().IsZero(), "2006-01-02T15:04:05Z"
	}
	if ok {
		return ""
	}
	return want
}

var integerText = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})$`)
