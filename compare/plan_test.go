package compare

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The plan of sides that are no plain tables shows what only a dry run answers, and
// no control table.
func TestPlanOfSidesThatAreUnlike(t *testing.T) {
	w := unlike(t)
	w.spec.Spec.Batch.Query = "SELECT hour, airport, gate, minutes, kind FROM `kappa-demo." + w.spec.Spec.Dataset + ".old` WHERE hour >= DATETIME(@from) AND hour < DATETIME(@to)"
	w.spec.Spec.Batch.Table = ""
	w.create()
	p, err := PlanRun(ctxBackground, Config{Spec: w.spec, Client: client, Range: w.from, Now: func() time.Time { return hours(200) }})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, q := range p.Queries {
		if got[q.Purpose] = q.DryRun; q.Bytes == nil {
			t.Errorf("%s has no dry run", q.Purpose)
		}
	}
	if diff := cmp.Diff(map[string]bool{"batch_schema": true, "batch_types": true, "reconcile": false}, got); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
	if p.Bytes == 0 || p.LowerBound != 2*billingMinimum || p.Ratio != NewRatio(2*billingMinimum, 2*billingMinimum) {
		t.Errorf("%d bytes, lower bound %d, ratio %v", p.Bytes, p.LowerBound, p.Ratio)
	}
	text := Text(p, 0)
	for _, want := range []string{"-- batch_types, dry run alone, ", "-- @from_datetime = 2001-01-08T00:00:00", "AND (`kind` IN ('x', 'it\\'s') AND `minutes` IS NOT NULL)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
	data, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(data), `"bytes_lower_bound":20971520`) {
		t.Errorf("JSON %s, %v", data, err)
	}
}
