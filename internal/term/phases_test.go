package term

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPhases(t *testing.T) {
	for _, c := range []struct {
		name  string
		enter []string
		err   error
		want  []string
	}{
		{"none", nil, errors.New("refused"), nil},
		{"one after the other", []string{"read", "read", "judge"}, nil,
			[]string{"read: …, 0/2 rows\n", "read: done, 0 rows, 1.0s\n", "judge: …, 0/2 rows\n", "judge: done, 0 rows, 1.0s\n"}},
		{"the last one failed", []string{"read", "judge"}, errors.New("cut off"),
			[]string{"read: …, 0/2 rows\n", "read: done, 0 rows, 1.0s\n", "judge: …, 0/2 rows\n", "judge: FAILED, 0 rows, failed, 1.0s\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w writes
			p := NewPhases(NewWith(&w, testOptions(false, nil)))
			for _, name := range c.enter {
				p.Enter(name, "rows", 2)
			}
			p.Close(c.err)
			if diff := cmp.Diff(c.want, w.all); diff != "" {
				t.Error(diff)
			}
		})
	}
}
