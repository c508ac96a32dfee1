package exit

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, OK},
		{errors.New("x"), Failed},
		{Usagef("x"), Usage},
		{fmt.Errorf("wrapped: %w", Environmentf("x")), Environment},
		{With(GateNotMet, errors.New("x")), GateNotMet},
		{fmt.Errorf("wrapped: %w", context.Canceled), Interrupted},
		{With(Failed, context.Canceled), Failed},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("Of(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestTableHasEveryCodeOnceInOrder(t *testing.T) {
	last := Code(-1)
	for _, e := range Table {
		if e.Code <= last {
			t.Errorf("code %d after %d", e.Code, last)
		}
		if e.Meaning == "" {
			t.Errorf("code %d has no meaning", e.Code)
		}
		last = e.Code
	}
	if len(Table) != 10 {
		t.Errorf("%d codes in the table, 10 are declared", len(Table))
	}
}
