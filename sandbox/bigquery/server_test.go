package bigquery_test

import (
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
)

type flight struct {
	ID     string    `bigquery:"id"`
	Due    time.Time `bigquery:"due"`
	Delay  bq.NullInt64
	Origin string
}

func TestInsertAndQuery(t *testing.T) {
	c := start(t)
	ctx := within(t)
	ds := c.Dataset("d")
	must(t, ds.Create(ctx, nil))
	schema := bq.Schema{
		{Name: "id", Type: bq.StringFieldType, Required: true},
		{Name: "due", Type: bq.TimestampFieldType, Required: true},
		{Name: "Delay", Type: bq.IntegerFieldType},
		{Name: "Origin", Type: bq.StringFieldType},
	}
	must(t, ds.Table("f").Create(ctx, &bq.TableMetadata{Schema: schema}))
	due := time.Date(2001, 1, 8, 0, 1, 0, 123456000, time.UTC)
	must(t, ds.Table("f").Inserter().Put(ctx, []*flight{
		{ID: "a", Due: due, Delay: bq.NullInt64{Int64: 5, Valid: true}, Origin: "ATL"},
		{ID: "b", Due: due.Add(time.Hour), Origin: "MSY"},
	}))
	q := c.Query("SELECT id, due, Delay, origin FROM `kappa-test.d.f` WHERE due >= @from ORDER BY id DESC")
	q.Parameters = []bq.QueryParameter{{Name: "from", Value: due}}
	want := [][]bq.Value{{"b", due.Add(time.Hour), nil, "MSY"}, {"a", due, int64(5), "ATL"}}
	if diff := cmp.Diff(want, read(t, q)); diff != "" {
		t.Error(diff)
	}
}
