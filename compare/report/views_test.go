package report

import (
	"encoding/json"
	"encoding/xml"
	"html"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/compare"
)

// figures are what every view must say alike (rule C6).
type figures struct {
	Verdict     string
	Total       string
	Classes     map[string]string
	Exact       string
	Unexplained string
	Metrics     map[string][4]string // batch, stream, difference, absolute
}

func figuresOf(r *compare.Result) figures {
	f := figures{Verdict: r.Verdict.Verdict, Total: count(r.Counts.Total), Classes: map[string]string{}, Exact: r.Exact.Percent(2), Unexplained: count(r.Causes.Unexplained), Metrics: map[string][4]string{}}
	for _, c := range compare.Classes {
		f.Classes[c] = count(r.Counts.Of(c))
	}
	for _, m := range r.Metrics {
		f.Metrics[m.Name] = [4]string{total(m.BatchTotal), total(m.StreamTotal), signed(m.Difference), digits(m.Absolute)}
	}
	return f
}

func fromText(doc string, want figures) figures {
	f := figures{Classes: map[string]string{}, Metrics: map[string][4]string{}}
	m := regexp.MustCompile(`^(GO|HOLD|NO DATA)  \S+: (\S+) % of (\S+) keys? exact, (\S+) unexplained\n`).FindStringSubmatch(doc)
	if m == nil {
		return f
	}
	f.Verdict, f.Exact, f.Total, f.Unexplained = m[1], m[2], m[3], m[4]
	section := ""
	for l := range strings.Lines(doc) {
		cells := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(l), -1)
		switch {
		case !strings.HasPrefix(l, " "):
			section = strings.TrimSpace(l)
		case strings.HasSuffix(section, " compared") && slices.Contains(compare.Classes, cells[0]):
			f.Classes[cells[0]] = cells[1]
		case section == "Values" && len(cells) == 5 && cells[0] != "metric":
			f.Metrics[cells[0]] = [4]string(cells[1:])
		}
	}
	// Nothing is tolerated where no tolerance is declared, and there is no row then.
	if f.Classes[compare.ClassTolerated] == "" {
		f.Classes[compare.ClassTolerated] = "0"
	}
	return f
}

func fromMarkdown(doc string, want figures) figures {
	f := figures{Classes: map[string]string{}, Metrics: map[string][4]string{}, Unexplained: "0"}
	if m := regexp.MustCompile(`^## \S+ (GO|HOLD|NO DATA): `).FindStringSubmatch(doc); m != nil {
		f.Verdict = m[1]
	}
	if m := regexp.MustCompile(`are explained; (\S+) (?:is|are) unexplained`).FindStringSubmatch(doc); m != nil {
		f.Unexplained = m[1]
	}
	head, _, _ := strings.Cut(doc, "<details>")
	rows := markdownCells(head)
	for _, c := range compare.Classes {
		if f.Classes[c] = "0"; len(rows[c]) > 1 {
			f.Classes[c] = rows[c][1]
		}
	}
	if all := rows["**all**"]; len(all) > 2 {
		f.Total, f.Exact = all[1], strings.TrimSuffix(all[2], " % exact")
	}
	for name := range want.Metrics {
		if row := rows[markdown(name)]; len(row) == 5 {
			f.Metrics[name] = [4]string(row[1:5])
		}
	}
	return f
}

func fromHTML(doc string, want figures) figures {
	f := figures{Classes: map[string]string{}, Metrics: map[string][4]string{}}
	find := func(pattern string) string {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(doc); m != nil {
			return html.UnescapeString(m[1])
		}
		return ""
	}
	f.Verdict = find(`<div class="verdict [a-z]+">([^<]*)</div>`)
	f.Exact = strings.TrimSuffix(find(`<div class="card"><b title="[^"]*">([^<]*)</b><span>of keys exact`), " %")
	f.Total = find(`<b>([^<]*)</b><span>keys compared`)
	f.Unexplained = find(`<b>([^<]*)</b><span>unexplained`)
	for _, c := range compare.Classes {
		if f.Classes[c] = find(`<tr data-class="` + c + `">.*?</th><td class="n">([^<]*)</td>`); f.Classes[c] == "" {
			f.Classes[c] = "0"
		}
	}
	for name := range want.Metrics {
		row := find(`<tr data-metric="` + name + `">(.*?)</tr>`)
		var cells []string
		for _, m := range regexp.MustCompile(`<td class="n">([^<]*)</td>`).FindAllStringSubmatch(row, -1) {
			cells = append(cells, m[1])
		}
		if len(cells) == 5 {
			f.Metrics[name] = [4]string(cells[:4])
		}
	}
	return f
}

func fromJUnit(doc string, want figures) figures {
	f := figures{Classes: map[string]string{}, Metrics: want.Metrics} // it has no metrics
	var s junit
	if xml.Unmarshal([]byte(doc), &s) != nil {
		return f
	}
	for _, p := range s.Suite.Properties {
		switch {
		case p.Name == "verdict":
			f.Verdict = p.Value
		case p.Name == "keys":
			f.Total = digits(p.Value)
		case p.Name == "exact_percent":
			f.Exact = p.Value
		case p.Name == "unexplained":
			f.Unexplained = digits(p.Value)
		case slices.Contains(compare.Classes, p.Name):
			f.Classes[p.Name] = digits(p.Value)
		}
	}
	return f
}

func fromJSON(doc string, _ figures) figures {
	r, err := ReadJSON(strings.NewReader(doc))
	if err != nil {
		return figures{}
	}
	return figuresOf(r)
}

// randomResult is a result with random figures.
func randomResult(t *rapid.T) *compare.Result {
	r := small(fixture())
	n := func(label string) int64 { return rapid.Int64Range(0, 3_000_000).Draw(t, label) }
	r.Counts = compare.Counts{Exact: n("exact") + 1, Mismatch: n("mismatch"), Missing: n("missing"), Extra: n("extra"), Nonunique: n("nonunique")}
	if rapid.Bool().Draw(t, "tolerance") {
		r.Counts.Tolerated = n("tolerated")
	}
	c := r.Counts
	r.Counts.Total = c.Exact + c.Tolerated + c.Differing()
	r.Exact, r.Agree = compare.NewRatio(c.Exact, r.Counts.Total), compare.NewRatio(c.Exact+c.Tolerated, r.Counts.Total)
	unexplained := rapid.Int64Range(0, c.Differing()).Draw(t, "unexplained")
	r.Causes = compare.Causes{Differing: c.Differing(), Unexplained: unexplained, Explained: compare.NewRatio(1, 1), EvidenceRead: true}
	if unexplained > 0 {
		r.Causes.Entries = append(r.Causes.Entries, compare.Cause{Cause: compare.Unexplained, Status: compare.Unexplained, Keys: unexplained, Share: compare.NewRatio(unexplained, c.Differing())})
	}
	if rest := c.Differing() - unexplained; rest > 0 {
		r.Causes.Entries = append(r.Causes.Entries, compare.Cause{Cause: "late_dropped_by_batch", Status: compare.Proven, Keys: rest, Share: compare.NewRatio(rest, c.Differing())})
	}
	decimal := rapid.StringMatching(`-?[1-9][0-9]{0,37}(\.[0-9]{0,8}[1-9])?|0`)
	for i := range r.Metrics {
		m := &r.Metrics[i]
		m.Difference, m.Absolute = decimal.Draw(t, "difference"), strings.TrimPrefix(decimal.Draw(t, "absolute"), "-")
		if m.Type != "max" {
			m.BatchTotal, m.StreamTotal = decimal.Draw(t, "batch"), decimal.Draw(t, "stream")
		}
	}
	r.Verdict = compare.Verdict{Verdict: rapid.SampledFrom([]string{compare.Go, compare.Hold, compare.NoData}).Draw(t, "verdict"), Rule: "because", Checks: []compare.Check{{Rule: "maxUnexplained", Want: "none", Got: "none", OK: true}}}
	return r
}

// All views say the same verdict and the same figures (invariant C6), as read back
// from each of them.
func TestViewsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := randomResult(t)
		want := figuresOf(r)
		for name, view := range map[string]struct {
			write func(io.Writer) error
			read  func(string, figures) figures
		}{
			"text": {func(w io.Writer) error { return WriteText(w, r, 400, false) }, fromText}, "JSON": {jsonOf(r), fromJSON},
			"JUnit": {junitOf(r), fromJUnit}, "Markdown": {markdownOf(r), fromMarkdown}, "HTML": {htmlOf(r), fromHTML},
		} {
			var b strings.Builder
			if err := view.write(&b); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, view.read(b.String(), want)); d != "" {
				t.Fatalf("%s says something else (-want +got):\n%s", name, d)
			}
		}
	})
}

// notShown are the fields that a view leaves to others, with the reason.
var notShown = map[string]map[string]string{
	"text": {
		"Scope.project": "part of the tables' names", "Scope.dataset": "part of the tables' names", "SideScope.query": "long; it is in the spec",
		"Cause.sql": "long; that of the first sample is shown", "MetricDelta.absolute": "no room; in all it is shown",
		"HeatMap.*": "a picture", "DayMetric.*": "no room", "Day.end": "no room", "Day.windows": "no room", "Metric.type": "no room",
		"TrendPoint.agree": "no room", "TrendPoint.spec_hash": "that it changed is said", "LastRun.spec_hash": "that it changed is said", "Baseline.spec_hash": "that it changed is said", "Baseline.new_unexplained_value": "no room",
		"QueryJob.bytes_processed": "the sum is shown", "Writer.kind": "no room", "Writer.state": "the reason is shown",
		"DifferingKey.*": "for programs", "Result.version": "for programs", "SampleMetric.difference": "both values are shown",
	},
	"HTML": {"DifferingKey.*": "for programs"},
	"Markdown": {
		"Result.version": "for programs", "DifferingKey.*": "for programs", "Scope.project": "part of the tables' names", "Scope.dataset": "part of the tables' names",
		"SideScope.query": "long; it is in the spec", "Cause.sql": "long; those of samples are shown", "Metric.type": "no room", "MetricDelta.absolute": "no room; in all it is shown",
		"Scope.range_is_default": "no room", "Day.end": "no room", "Day.windows": "no room", "Day.run": "no room", "DayMetric.*": "no room", "HeatMap.*": "a picture",
		"Sample.batch_rows": "no room", "Sample.stream_rows": "no room", "Sample.known": "it is the cause", "LastRun.started": "part of its name", "LastRun.spec_hash": "no room",
		"TrendPoint.id": "no room", "TrendPoint.started": "no room", "TrendPoint.agree": "no room", "TrendPoint.unexplained": "no room", "TrendPoint.spec_hash": "no room",
		"Baseline.spec_hash": "no room", "Baseline.new_unexplained_value": "no room", "JobState.*": "no room, but for problems",
		"Writer.*": "no room; a warning says what does not count", "ReplacedRange.by": "no room", "Cost.estimate_accuracy": "no room",
	},
}

// small is a result with few windows: it is drawn fast.
func small(r *compare.Result) *compare.Result {
	r.Windows, r.Trend = r.Windows[:min(24, len(r.Windows))], r.Trend[:min(14, len(r.Trend))]
	for i := range r.Heat.Values {
		r.Heat.Differing[i], r.Heat.Unexplained[i] = r.Heat.Differing[i][:6], r.Heat.Unexplained[i][:6]
	}
	r.Heat.Starts = r.Heat.Starts[:min(6, len(r.Heat.Starts))]
	return r
}

// Every field of a result is seen in the text, in the page and in a comment, but for those that
// are listed: whatever changes in the result changes the view.
func TestEachFieldIsShown(t *testing.T) {
	views := map[string]func(*compare.Result) func(io.Writer) error{
		"text": func(r *compare.Result) func(io.Writer) error {
			return func(w io.Writer) error { return WriteText(w, r, 160, false) }
		},
		"HTML": htmlOf, "Markdown": markdownOf,
	}
	before := map[string]string{}
	for name, view := range views {
		before[name] = render(t, view(small(fixture())))
	}
	unused := map[string]bool{}
	for _, fields := range notShown {
		for f := range fields {
			unused[f] = true
		}
	}
	for _, field := range leaves(reflect.TypeFor[compare.Result](), map[reflect.Type]bool{}) {
		for name, view := range views {
			r := small(fixture())
			if n := change(reflect.ValueOf(r).Elem(), field); n == 0 {
				t.Errorf("the fixture has no %s", field)
				continue
			}
			shown := render(t, view(r)) != before[name]
			typ, _, _ := strings.Cut(field, ".")
			_, one := notShown[name][field]
			_, all := notShown[name][typ+".*"]
			if !shown && !one && !all {
				t.Errorf("%s does not show %s", name, field)
			}
			if !shown {
				delete(unused, field)
				delete(unused, typ+".*")
			}
		}
	}
	for f := range unused {
		t.Errorf("%s is shown by now: it need not be listed", f)
	}
}

// leaves are the fields that hold no further struct, as Type.json_name.
func leaves(typ reflect.Type, seen map[reflect.Type]bool) (all []string) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || seen[typ] || !strings.HasSuffix(typ.PkgPath(), "/compare") {
		return nil
	}
	seen[typ] = true
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if isLeaf(f.Type) {
			all = append(all, typ.Name()+"."+name)
		} else {
			all = append(all, leaves(f.Type, seen)...)
		}
	}
	return all
}

func isLeaf(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() != reflect.Struct || t == reflect.TypeFor[compare.Ratio]() || !strings.HasSuffix(t.PkgPath(), "/compare")
}

// change changes every value of a field below v, and returns how many.
func change(v reflect.Value, field string) (n int) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return change(v.Elem(), field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += change(v.Index(i), field)
		}
	case reflect.Struct:
		if !strings.HasSuffix(v.Type().PkgPath(), "/compare") || v.Type() == reflect.TypeFor[compare.Ratio]() {
			return 0
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if v.Type().Name()+"."+name == field {
				n += other(v.Field(i))
			} else {
				n += change(v.Field(i), field)
			}
		}
	}
	return n
}

// other gives a value another one, and returns how many it has changed.
func other(v reflect.Value) (n int) {
	switch x := v.Addr().Interface().(type) {
	case *string:
		if _, err := strconv.ParseFloat(*x, 64); err == nil {
			*x += "7"
		} else {
			*x = "x" + *x
		}
		return 1
	case *bool:
		*x = !*x
		return 1
	case *int:
		*x += 1000
		return 1
	case *int64:
		*x += 1 << 30
		return 1
	case *float64:
		*x += 1000
		return 1
	case *compare.Ratio:
		*x = compare.NewRatio(1, 3)
		return 1
	case *json.Number:
		*x = "1"
		return 1
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		return other(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			n += other(v.Index(i))
		}
		return n
	case reflect.Map:
		if v.Len() == 0 {
			return 0
		}
		v.Set(reflect.Zero(v.Type()))
		return 1
	case reflect.Struct: // a time
		v.Set(reflect.ValueOf(hours(3.21)))
		return 1
	}
	return 0
}
