package compare

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// skeleton is SQL without its quoted texts, by code that shares nothing with what
// writes them: the texts are listed, decoded. It fails on what GoogleSQL would not
// read as a text.
func skeleton(sql string) (code string, texts []string, err error) {
	var b strings.Builder
	for i := 0; i < len(sql); i++ {
		q := sql[i]
		if q != '\'' && q != '"' && q != '`' {
			b.WriteByte(q)
			continue
		}
		raw := i > 0 && sql[i-1] == 'r'
		var text []byte
		for i++; ; i++ {
			if i >= len(sql) || sql[i] == '\n' || sql[i] == '\r' {
				return "", nil, fmt.Errorf("a text does not end: %q", sql)
			}
			if sql[i] == q {
				break
			}
			if sql[i] != '\\' || raw {
				text = append(text, sql[i])
				continue
			}
			i++
			switch sql[i] {
			case 'n':
				text = append(text, '\n')
			case '\'', '\\':
				text = append(text, sql[i])
			case 'x', 'u':
				n := map[byte]int{'x': 2, 'u': 4}[sql[i]]
				var r rune
				if _, err := fmt.Sscanf(sql[i+1:i+1+n], "%x", &r); err != nil {
					return "", nil, err
				}
				text, i = utf8.AppendRune(text, r), i+n
			default:
				return "", nil, fmt.Errorf("an escape that nobody writes: %q", sql[i-1:i+1])
			}
		}
		b.WriteString("TEXT")
		texts = append(texts, string(text))
	}
	return b.String(), texts, nil
}

// hostileTexts are values that try to leave their place.
var hostileTexts = []string{"ORD", "' OR TRUE --", `\`, `\'`, "a\nb\r\x00", "`;DROP TABLE x;`", "\u2028\u0085", "'''", "\xff\xfe", "Å", "#0123456789abcdef", `r'\'`, "@from", "/*"}

// sampleSQLHolds is that the values of a key get into the SQL to copy as texts alone,
// whole in their places, whatever a cause adds to it; those of a sensitive key do not
// get into it at all.
func sampleSQLHolds(t *testing.T, text string, gate int64, cause string, sensitive bool) {
	t.Helper()
	write := func(text string) string {
		q := testQueries(t, func(s *jobspecs.ComparisonSpec) {
			s.Keys = append(s.Keys, jobspecs.CompareKey{Name: "gate", Type: "INT64"}, jobspecs.CompareKey{Name: "day", Type: "DATE"}, jobspecs.CompareKey{Name: "slot", Type: "TIMESTAMP"})
			s.Evidence.DeadLetters = "dead_letters"
			if sensitive {
				s.Sensitive = []string{"origin"}
			}
		})
		return q.sampleSQL(&difference{window: hours(1), cause: cause,
			keys: []bigqueryValue{text, gate, civil.Date{Year: 2004, Month: 2, Day: 29}, hours(1).Add(time.Microsecond)}})
	}
	want, others, err := skeleton(write("another text"))
	if err != nil {
		t.Fatal(err)
	}
	code, texts, err := skeleton(write(text))
	if err != nil {
		t.Fatal(err)
	}
	if code != want || len(texts) != len(others) {
		t.Fatalf("the value %q has changed the SQL:\n%s\n%s", text, want, code)
	}
	whole := string([]rune(text)) // what is not UTF-8 cannot be in a STRING
	for i, s := range texts {
		switch {
		case s == others[i] && s != "another text": // it is of something else
		case sensitive && (s == whole || len(s) != hashDigits):
			t.Errorf("the value %q of a sensitive key is in the SQL as %q", text, s)
		case !sensitive && s != whole:
			t.Errorf("the value %q is in the SQL as %q", text, s)
		}
	}
}

var causesOfSQL = []string{Unexplained, "key_form", allFlaws.String()}

func TestSampleSQLKeepsValuesInTheirPlace(t *testing.T) {
	for _, text := range hostileTexts {
		for _, cause := range causesOfSQL {
			sampleSQLHolds(t, text, -7, cause, false)
			sampleSQLHolds(t, text, 7, cause, true)
		}
	}
}

func FuzzSampleSQL(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s, int64(7), uint8(0), true)
	}
	f.Fuzz(func(t *testing.T, text string, gate int64, cause uint8, sensitive bool) {
		sampleSQLHolds(t, text, gate, causesOfSQL[int(cause)%len(causesOfSQL)], sensitive)
	})
}
