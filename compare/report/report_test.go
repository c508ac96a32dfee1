package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/goldentest"
)

func views(r *compare.Result) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"txt": func(w io.Writer) error { return WriteText(w, r, 80, false) }, "wide.txt": func(w io.Writer) error { return WriteText(w, r, 160, false) },
		"color.txt": func(w io.Writer) error { return WriteText(w, r, 60, true) },
		"json":      jsonOf(r), "html": htmlOf(r), "md": markdownOf(r), "junit.xml": junitOf(r),
	}
}

func jsonOf(r *compare.Result) func(io.Writer) error {
	return func(w io.Writer) error { return WriteJSON(w, r) }
}

func htmlOf(r *compare.Result) func(io.Writer) error {
	return func(w io.Writer) error { return WriteHTML(w, r) }
}

func markdownOf(r *compare.Result) func(io.Writer) error {
	return func(w io.Writer) error { return WriteMarkdown(w, r) }
}

func junitOf(r *compare.Result) func(io.Writer) error {
	return func(w io.Writer) error { return WriteJUnit(w, r) }
}

func render(t testing.TB, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGoldenReports(t *testing.T) {
	for name, r := range fixtures() {
		for ext, write := range views(r) {
			t.Run(name+"."+ext, func(t *testing.T) {
				goldentest.Check(t, filepath.Join("testdata", name+"."+ext), render(t, write))
			})
		}
	}
}

func TestTextKeepsToTheWidthAndTheTerminal(t *testing.T) {
	for name, r := range fixtures() {
		for width := 40; width <= 200; width++ {
			got := render(t, func(w io.Writer) error { return WriteText(w, r, width, false) })
			if strings.ContainsAny(got, "\x1b\x00\r") {
				t.Errorf("%s, width %d: control characters from the data reach the terminal", name, width)
			}
			for _, s := range r.Samples { // SQL is never cut
				got = strings.ReplaceAll(got, s.SQL, "")
			}
			for l := range strings.Lines(got) {
				if n := columnsOf(strings.TrimSuffix(l, "\n")); n > width {
					t.Errorf("%s, width %d: line of %d columns: %q", name, width, n, l)
				}
			}
		}
	}
}

// Numbers are folded where there is no room, never cut: a cut number is a wrong
// one.
func TestTextCutsNoNumber(t *testing.T) {
	r := fixture()
	r.Metrics[1].Difference = "-" + strings.Repeat("123456789", 8)
	for _, width := range []int{40, 80} {
		got := render(t, func(w io.Writer) error { return WriteText(w, r, width, false) })
		folded := strings.Join(strings.Fields(got), "")
		if want := signed(r.Metrics[1].Difference); !strings.Contains(folded, want) && strings.Count(folded, "123,456,789") < 3 {
			t.Errorf("width %d: %s is not in the report:\n%s", width, want, got)
		}
	}
}

// Whatever texts a result holds, the terminal gets no control character.
func TestTextIsSafeForTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		evil := rapid.StringOfN(rapid.Rune(), 0, 30, -1).Draw(t, "text") + "\x1b]0;x\x07\u202e\u2028\r\xff"
		r := fixture()
		r.Comparison, r.Description, r.Environment, r.SpecHash, r.Verdict.Rule = evil, evil, evil, evil, evil
		r.Warnings, r.Scope.Keys, r.Scope.TimeZone, r.Cost.Jobs[0].ID = []string{evil}, []string{evil}, evil, evil
		r.Scope.Batch, r.Scope.LeftOut[0].Message = compare.SideScope{Kind: compare.SideFiles, Files: []string{evil}, Where: evil, Job: evil}, evil
		r.Verdict.Checks[0] = compare.Check{Rule: evil, Want: evil, Got: evil, OK: true}
		r.Days[0].Why, r.Days[0].Run, r.Metrics[0].Name, r.Metrics[0].Tolerance = evil, evil, evil, evil
		r.Causes.Entries[0].Cause, r.Causes.Entries[0].Evidence = evil, evil
		r.Known[1] = compare.KnownDifference{Name: evil, Owner: evil, Reason: evil, State: evil}
		r.Last.ID, r.Baseline.File, r.Transitions[0].From, r.Trend[29].ID, r.Trend[29].SpecHash = evil, evil, evil, evil, evil
		r.Stream.Jobs[0].Job, r.Stream.Jobs[0].Problem, r.Stream.Generations[1].Reason = evil, evil, evil
		r.Segments[0].Columns, r.Segments[0].Worst[0].Values = []string{evil}, []*string{&evil}
		r.Samples[0] = compare.Sample{Class: evil, Key: []compare.KeyValue{{Column: evil, Value: &evil}}, Metrics: []compare.SampleMetric{{Name: evil, Batch: &evil, Stream: &evil, Difference: evil}}, Cause: evil, Status: compare.Unexplained, Evidence: evil, Known: evil, SQL: evil}
		var b bytes.Buffer
		if err := WriteText(&b, r, rapid.IntRange(1, 200).Draw(t, "width"), false); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != plainLines(got) {
			t.Fatalf("a harmful character in %q", got)
		}
	})
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  []string
	}{
		{"", 5, []string{""}},
		{"one two", 7, []string{"one two"}},
		{"one two", 6, []string{"one", "two"}},
		{"abcdefgh", 3, []string{"abc", "def", "gh"}},
		{"東京羽田", 5, []string{"東京", "羽田"}},
		{"e\u0301e\u0301", 2, []string{"e\u0301e\u0301"}},
		{"東", 1, []string{"東"}}, // nothing narrower can be made of it
	} {
		if d := cmp.Diff(c.want, fold(c.in, c.width)); d != "" {
			t.Errorf("%q in %d columns (-want +got):\n%s", c.in, c.width, d)
		}
	}
}

func TestHTMLIsSelfContainedAndEscaped(t *testing.T) {
	got := render(t, htmlOf(fixture()))
	for _, bad := range []string{`<script>alert`, "\x1b", "</pre><script>", "<b>\"O'Hare", "<i>ATL", "ZgotmplZ"} {
		if strings.Contains(got, bad) {
			t.Errorf("the page holds %q unescaped", bad)
		}
	}
	loads := regexp.MustCompile(`(?i)(\bsrc\s*=|\bhref\s*=\s*"[^#]|\burl\s*\(|@import|https?:|\bfetch\s*\(|XMLHttp|import\s*\()`).FindAllString(got, -1)
	if loads != nil {
		t.Errorf("the page would load something: %q", loads)
	}
	if n := strings.Count(got, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	for _, want := range []string{`<html lang="en">`, `(prefers-color-scheme:dark)`, `default-src 'none'`, `id="h-time"`, `id="h-heat"`, `id="h-trend"`, `id="h-diff0"`, `<h1>flights</h1>`, strings.ReplaceAll(scriptSource, "+", "&#43;")[1:40]} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	// Every id that is pointed at exists, once.
	for _, m := range regexp.MustCompile(`(?:aria-(?:labelledby|describedby)="|href="#)([^"]+)"`).FindAllStringSubmatch(got, -1) {
		if n := strings.Count(got, `id="`+m[1]+`"`); n != 1 {
			t.Errorf("id %s exists %d times", m[1], n)
		}
	}
}

func TestJSONReadsBack(t *testing.T) {
	for name, want := range fixtures() {
		got, err := ReadJSON(strings.NewReader(render(t, jsonOf(want))))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s read back (-want +got):\n%s", name, diff)
		}
	}
}

// A list is an empty one, not null, even where the run has left it nil; and
// writing changes nothing of the result.
func TestJSONHasNoNullList(t *testing.T) {
	r := &compare.Result{Version: compare.ResultVersion}
	got := render(t, jsonOf(r))
	if m := regexp.MustCompile(`"(\w+)": null`).FindAllStringSubmatch(got, -1); len(m) != 9 {
		t.Errorf("null: %q; want those of last_run, second_look, covered_to, last_loaded, settled_to and the percents of ratios of nothing", m)
	}
	if r.Days != nil {
		t.Error("the result was changed")
	}
}

// markdownCells are the cells of the rows of tables, by the first cell.
func markdownCells(doc string) map[string][]string {
	rows := map[string][]string{}
	for l := range strings.Lines(strings.ReplaceAll(doc, "\u00a0", " ")) {
		if cells := strings.Split(strings.TrimSpace(l), " | "); strings.HasPrefix(l, "| ") {
			cells[0], cells[len(cells)-1] = strings.TrimPrefix(cells[0], "| "), strings.TrimSuffix(cells[len(cells)-1], " |")
			rows[cells[0]] = cells
		}
	}
	return rows
}

func TestMarkdownIsSafe(t *testing.T) {
	got := render(t, markdownOf(fixture()))
	prose := regexp.MustCompile("(?s)(`{3,})sql\n.*?\n`{3,}\n").ReplaceAllString(got, "")
	for _, bad := range []string{"<script", "<b>", "@data-team", "\x1b", "name | until", "`\n"} {
		if strings.Contains(prose, bad) {
			t.Errorf("the report holds %q", bad)
		}
	}
	if len(got) > 65_536 {
		t.Errorf("%d bytes are more than a comment holds", len(got))
	}
	for _, table := range regexp.MustCompile(`(?m)(^\| .* \|\n)+`).FindAllString(prose, -1) {
		columns := -1
		for l := range strings.Lines(table) {
			n := strings.Count(strings.ReplaceAll(l, `\|`, ""), "|")
			if columns >= 0 && n != columns {
				t.Errorf("a row of %d columns in a table of %d: %s", n-1, columns-1, l)
			}
			columns = n
		}
	}
	if open, end := strings.Count(prose, "<details>"), strings.Count(prose, "</details>"); open != end || open == 0 {
		t.Errorf("%d details are opened and %d closed", open, end)
	}
}

type junit struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Suite    struct {
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	} `xml:"testsuite"`
}

func readJUnit(t testing.TB, doc string) junit {
	t.Helper()
	var s junit
	if err := xml.Unmarshal([]byte(doc), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJUnitIsXML(t *testing.T) {
	for name, want := range map[string]string{"hold": "12 tests, 4 failures, 0 errors, 1 skipped", "go": "11 tests, 0 failures, 0 errors, 0 skipped", "nodata": "1 tests, 0 failures, 1 errors, 0 skipped"} {
		s := readJUnit(t, render(t, junitOf(fixtures()[name])))
		if got := fmt.Sprintf("%d tests, %d failures, %d errors, %d skipped", s.Tests, s.Failures, s.Errors, s.Skipped); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if s.Tests != len(s.Suite.Cases) {
			t.Errorf("%s: %d cases of %d", name, len(s.Suite.Cases), s.Tests)
		}
	}
}

// A suite passes if and only if the verdict is GO.
func TestJUnitPassesWithGOAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := passed()
		r.Verdict.Verdict = rapid.SampledFrom([]string{compare.Go, compare.Hold, compare.NoData, ""}).Draw(t, "verdict")
		if r.Verdict.Verdict != compare.Go {
			r.Verdict.Checks = r.Verdict.Checks[:rapid.IntRange(0, 2).Draw(t, "checks")]
			for i := range r.Verdict.Checks {
				r.Verdict.Checks[i].OK = rapid.Bool().Draw(t, "met")
			}
		}
		r.Gate.Days = rapid.IntRange(0, 10).Draw(t, "days wanted")
		r.Days = r.Days[:rapid.IntRange(0, 8).Draw(t, "days")]
		for i := range r.Days {
			r.Days[i].OK = rapid.Bool().Draw(t, "day")
		}
		var b bytes.Buffer
		if err := WriteJUnit(&b, r); err != nil {
			t.Fatal(err)
		}
		var s junit
		if err := xml.Unmarshal(b.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if passes := s.Failures+s.Errors == 0; passes != (r.Verdict.Verdict == compare.Go) || s.Tests == 0 {
			t.Fatalf("verdict %q, and the suite has %d failures and %d errors", r.Verdict.Verdict, s.Failures, s.Errors)
		}
	})
}

func TestWriteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 { // the second time replaces
		if err := WriteFiles(dir, fixture()); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(Files) {
		t.Errorf("%d files, want %d: nothing may be left behind", len(entries), len(Files))
	}
	for _, f := range Files {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestChartsGroupLongRanges(t *testing.T) {
	r := fixture()
	for h := 168; h < 24*400; h++ {
		r.Windows = append(r.Windows, compare.WindowResult{Start: hours(float64(h)), Counts: compare.Counts{Total: 1, Exact: 1}, Metrics: r.Windows[0].Metrics})
	}
	bs, size := buckets(r)
	if len(bs) > maxBars || size%day != 0 {
		t.Errorf("%d bars of %s", len(bs), size)
	}
	var total int64
	for _, b := range bs {
		total += b.counts.Total
	}
	if want := r.Counts.Total + 24*400 - 168; total != want {
		t.Errorf("bars hold %d keys, want %d", total, want)
	}
}
