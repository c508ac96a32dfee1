package catchup

import (
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/goldentest"
)

func TestViews(t *testing.T) {
	parts := []*Partition{
		{Source: "main", Topic: "in", TopicID: "id", Partition: 0, From: 0, To: 1000, Curve: Curve{{0, 0}, {1000, 1 << 20}}},
		{Source: "main", Topic: "in", TopicID: "id", Partition: 1, From: 500, To: 9000, Curve: Curve{{500, 0}, {9000, 8 << 20}}},
	}
	p := newPlan("0123456789ab", time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC), Request{Splits: 3}.arguments(), parts, 3)
	fresh := NewPreview(p, false, 0, &Inflow{BytesPerSecond: 20 << 20, RecordsPerSecond: 1000})
	underWay := *p
	underWay.Splits = []Split{p.Splits[0], p.Splits[1], p.Splits[2]}
	underWay.Splits[0].Ranges = []Range{p.Splits[0].Ranges[0], p.Splits[0].Ranges[1]}
	underWay.Splits[0].Ranges[0].Next = 1000
	underWay.Splits[0].Ranges[1].Next = 600
	underWay.Warnings = []string{"something"}
	found := NewPreview(&underWay, true, 1<<20, &Inflow{BytesPerSecond: 2 << 20, RecordsPerSecond: 100})
	result := Result{
		Plan: p.ID, Bytes: p.Bytes, Records: 9500, Published: 9400, Filtered: 90, DeadLettered: 10, Seconds: 12.3,
		HandedOver: []Handed{{"main", "in", 0, 0, 1000, ""}, {"main", "in", 1, 9500, 9500, ""}, {"main", "in", 2, 3, 3, "the group is elsewhere"}},
	}
	var text strings.Builder
	for _, f := range []func() error{
		func() error { return fresh.WriteText(&text) },
		func() error { text.WriteString("\n---\n"); return found.WriteText(&text) },
		func() error { text.WriteString("\n---\n"); return result.WriteText(&text) },
		func() error { text.WriteString("\n---\n"); return NewPreview(&Plan{}, false, 0, nil).WriteText(&text) },
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	goldentest.Check(t, "testdata/views.txt", text.String())
}
