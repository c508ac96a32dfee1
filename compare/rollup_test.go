package compare

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// In a table with rollups the rows of the set that has the keys are compared,
// and those of the others count nowhere. (P2)
func TestRollups(t *testing.T) {
	origin, gate := jobspecs.CompareKey{Name: "origin", Type: "STRING"}, jobspecs.CompareKey{Name: "gate", Type: "INT64"}
	for _, c := range []struct {
		name   string
		keys   []jobspecs.CompareKey
		rollup string
		counts Counts
	}{
		{"a rollup", []jobspecs.CompareKey{origin}, "origin", Counts{Total: 2, Exact: 2}},
		{"another", []jobspecs.CompareKey{gate}, "gate", Counts{Total: 2, Exact: 2}},
		{"all dimensions, in another order", []jobspecs.CompareKey{gate, origin}, "origin,gate", Counts{Total: 3, Exact: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.spec.Spec.Keys, w.spec.Spec.Evidence = c.keys, jobspecs.Evidence{}
			w.spec.Spec.Metrics = w.spec.Spec.Metrics[:1]
			w.dimensions, w.rollups = []string{"origin", "gate"}, [][]string{{"origin"}, {"gate"}, {}}
			sums := map[string]map[string]record{}
			for _, e := range []struct {
				origin any
				gate   any
			}{{"ATL", 1}, {"ATL", 1}, {"ATL", nil}, {nil, 1}} {
				for _, set := range [][]string{{"origin", "gate"}, {"origin"}, {"gate"}, {}} {
					r, name := record{}, jobspecs.Rollup(set)
					for _, d := range set {
						if v := map[string]any{"origin": e.origin, "gate": e.gate}[d]; v != nil {
							r[d] = v
						}
					}
					if sums[name] == nil {
						sums[name] = map[string]record{}
					}
					key := fmt.Sprint(r["origin"], "/", r["gate"])
					if sums[name][key] == nil {
						pane := w.pane("flights-0@1", 0, nil, 0, 0, 0, 0)
						delete(pane, "delay_sum")
						delete(pane, "distance_sum")
						pane[jobspecs.RollupColumn] = name
						for d, v := range r {
							pane[d] = v
						}
						sums[name][key] = pane
					}
					sums[name][key]["flights"] = sums[name][key]["flights"].(int64) + 1
				}
			}
			for _, pane := range sums[c.rollup] {
				r := record{"window_start": pane["window_start"], "flights": pane["flights"]}
				for _, k := range c.keys {
					if v, ok := pane[k.Name]; ok {
						r[k.Name] = v
					}
				}
				w.add("batch_flights", r)
			}
			w.batch("LAX", 1, 3, 0, 0) // missing in the stream: the sample's SQL is for this set
			missing := w.rows["batch_flights"][len(w.rows["batch_flights"])-1]
			delete(missing, "delay_sum")
			delete(missing, "distance_sum")
			if c.rollup == "gate" {
				delete(missing, "origin")
				missing["gate"] = 7
			}
			c.counts.Total++
			c.counts.Missing++
			res := w.run()
			if diff := cmp.Diff(c.counts, res.Counts); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if len(res.Samples) != 1 || !strings.Contains(res.Samples[0].SQL, "AND `rollup` = '"+c.rollup+"' ORDER BY") {
				t.Errorf("samples %+v", res.Samples)
			}
		})
	}
}
