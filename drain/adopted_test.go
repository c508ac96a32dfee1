package drain

import (
	"context"
	"errors"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
)

// A job of another name is found by its id, unless one of its own name has it.
func TestAdopted(t *testing.T) {
	is := func(id string, err error) Adopted {
		return func(_ context.Context, job string) (string, error) {
			if job != "flights-0" {
				t.Errorf("asked for %s", job)
			}
			return id, err
		}
	}
	broken := errors.New("broken")
	for _, c := range []struct {
		name    string
		adopted Adopted
		want    string
		err     error
	}{
		{"nobody to ask", nil, "", nil},
		{"none", is("", nil), "", nil},
		{"another name", is("id-2", nil), "id-2", nil},
		{"its own name", is("id-1", nil), "", nil},
		{"not known", is("", broken), "", broken},
	} {
		got, err := c.adopted.of(t.Context(), "flights-0", []*pb.Job{{Id: "id-0"}, {Id: "id-1"}})
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}
