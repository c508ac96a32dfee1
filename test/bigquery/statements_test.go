//go:build bigquery

package bigquery

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/test/statements"
)

// envStatements names the file of recorded statements.
const envStatements = "KAPPA_STATEMENTS"

func recorded(t *testing.T) *statements.Exchange {
	t.Helper()
	path := os.Getenv(envStatements)
	if path == "" {
		t.Fatalf("%s names no file of recorded statements: run `make test-bigquery`", envStatements)
	}
	x, err := statements.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Statements) == 0 {
		t.Fatalf("%s holds no statements", path)
	}
	return x
}

// TestStatements runs every statement on both services, in the order in which it was
// sent: statements that write are seen by those that follow.
func TestStatements(t *testing.T) {
	x := recorded(t)
	for _, s := range services() {
		s.load(t, x)
	}
	met := map[string]bool{}
	rows := 0
	for _, st := range x.Statements {
		if st.Written { // the services lack a type or a function of it
			continue
		}
		t.Run(st.Name, func(t *testing.T) {
			want, err := service{"sandbox", sandboxAddr}.query(t.Context(), x.Tables[0].Project, st)
			if err != nil {
				t.Fatalf("%v\n%s", err, st.SQL)
			}
			got, ok := onEmulator(t, x, st, want, met)
			if !ok {
				return
			}
			rows += len(want.rows)
			if diff := cmp.Diff(want.columns, got.columns); diff != "" {
				t.Errorf("columns (-sandbox +emulator):\n%s", diff)
			}
			if diff := cmp.Diff(want.rows, got.rows); diff != "" {
				t.Errorf("rows (-sandbox +emulator):\n%s\n%s", diff, st.SQL)
			}
		})
	}
	if rows == 0 {
		t.Error("no statement gave a row: nothing was compared")
	}
	for _, d := range differences {
		if !met[d.name] && !t.Failed() {
			t.Errorf("the difference %q does not occur any more: take it off the list", d.name)
		}
	}
}
