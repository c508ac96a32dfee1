package bigquery_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// failsWith checks the code, reason and text of an API error.
func failsWith(t testing.TB, err error, code int, reason, text string) {
	t.Helper()
	var ge *googleapi.Error
	if !errors.As(err, &ge) {
		t.Fatalf("got %v, want an API error %d %s: %s", err, code, reason, text)
	}
	if ge.Code != code || len(ge.Errors) == 0 || ge.Errors[0].Reason != reason || !strings.Contains(ge.Message, text) {
		t.Fatalf("got %d %+v: %s\nwant %d %s: %s", ge.Code, ge.Errors, ge.Message, code, reason, text)
	}
}

func TestDatasets(t *testing.T) {
	c := start(t)
	ctx := within(t)
	ds := c.Dataset("d")
	_, err := ds.Metadata(ctx)
	failsWith(t, err, 404, "notFound", "Not found: Dataset kappa-test:d")
	must(t, ds.Create(ctx, &bq.DatasetMetadata{Description: "one", Labels: map[string]string{"a": "1", "b": "2"}}))
	failsWith(t, ds.Create(ctx, nil), 409, "duplicate", "Already Exists: Dataset kappa-test:d")
	md, err := ds.Metadata(ctx)
	must(t, err)
	if md.Description != "one" || md.Location != "US" || md.FullID != "kappa-test:d" || md.CreationTime.IsZero() || md.ETag == "" {
		t.Errorf("got %+v", md)
	}
	var up bq.DatasetMetadataToUpdate
	up.Description = "two"
	up.DeleteLabel("a")
	up.SetLabel("c", "3")
	_, err = ds.Update(ctx, up, "wrong")
	failsWith(t, err, 412, "conditionNotMet", "")
	got, err := ds.Update(ctx, up, md.ETag)
	must(t, err)
	if got.Description != "two" || !cmp.Equal(got.Labels, map[string]string{"b": "2", "c": "3"}) || got.ETag == md.ETag {
		t.Errorf("got %+v", got)
	}
	for _, id := range []string{"e", "f"} {
		must(t, c.Dataset(id).Create(ctx, nil))
	}
	must(t, c.DatasetInProject("other", "x").Create(ctx, nil))
	it := c.Datasets(ctx)
	it.PageInfo().MaxSize = 2
	var ids []string
	for {
		d, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		must(t, err)
		ids = append(ids, d.DatasetID)
	}
	if diff := cmp.Diff([]string{"d", "e", "f"}, ids); diff != "" {
		t.Error(diff)
	}
	must(t, ds.Table("t").Create(ctx, &bq.TableMetadata{Schema: bq.Schema{{Name: "a", Type: bq.StringFieldType}}}))
	failsWith(t, ds.Delete(ctx), 400, "resourceInUse", "is still in use")
	must(t, ds.DeleteWithContents(ctx))
	_, err = ds.Table("t").Metadata(ctx)
	failsWith(t, err, 404, "notFound", "Dataset kappa-test:d")
	failsWith(t, c.Dataset("no-dashes").Create(ctx, nil), 400, "invalid", "Invalid dataset ID")
	failsWith(t, c.Dataset("g").Create(ctx, &bq.DatasetMetadata{DefaultTableExpiration: time.Hour}), 501, "notImplemented", "expiration")
}

var flightSchema = bq.Schema{
	{Name: "origin", Type: bq.StringFieldType, Required: true},
	{Name: "window_start", Type: bq.TimestampFieldType, Required: true},
	{Name: "flights", Type: bq.IntegerFieldType},
}

func TestTables(t *testing.T) {
	c := start(t)
	ctx := within(t)
	ds := c.Dataset("d")
	must(t, ds.Create(ctx, nil))
	tb := ds.Table("stream-flights")
	_, err := tb.Metadata(ctx)
	failsWith(t, err, 404, "notFound", "Not found: Table kappa-test:d.stream-flights")
	must(t, tb.Create(ctx, &bq.TableMetadata{
		Schema: flightSchema, Description: "one", Labels: map[string]string{"team": "x"},
		TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "window_start"},
		Clustering:       &bq.Clustering{Fields: []string{"origin"}},
	}))
	failsWith(t, tb.Create(ctx, &bq.TableMetadata{Schema: flightSchema}), 409, "duplicate", "Already Exists: Table kappa-test:d.stream-flights")
	md, err := tb.Metadata(ctx)
	must(t, err)
	if diff := cmp.Diff(flightSchema, md.Schema); diff != "" {
		t.Error(diff)
	}
	if md.TimePartitioning.Field != "window_start" || md.TimePartitioning.Type != bq.DayPartitioningType || md.Clustering.Fields[0] != "origin" || md.Type != bq.RegularTable || md.NumRows != 0 {
		t.Errorf("got %+v", md)
	}
	must(t, tb.Inserter().Put(ctx, []*bq.ValuesSaver{
		{Schema: flightSchema, Row: []bq.Value{"ATL", day, 3}},
		{Schema: flightSchema, Row: []bq.Value{"é", day, nil}},
	}))
	md, err = tb.Metadata(ctx)
	must(t, err)
	// STRING 2 + UTF-8 bytes, TIMESTAMP and INT64 8, NULL nothing.
	if md.NumRows != 2 || md.NumBytes != (2+3+8+8)+(2+2+8) {
		t.Errorf("%d rows, %d bytes", md.NumRows, md.NumBytes)
	}

	// Columns may be added and relaxed, nothing else.
	wider := append(append(bq.Schema{}, flightSchema...), &bq.FieldSchema{Name: "delay", Type: bq.IntegerFieldType})
	wider[0] = &bq.FieldSchema{Name: "origin", Type: bq.StringFieldType}
	_, err = tb.Update(ctx, bq.TableMetadataToUpdate{Schema: wider}, "wrong")
	failsWith(t, err, 412, "conditionNotMet", "")
	md, err = tb.Update(ctx, bq.TableMetadataToUpdate{Schema: wider, Description: "two"}, md.ETag)
	must(t, err)
	if diff := cmp.Diff(wider, md.Schema); diff != "" || md.Description != "two" || md.Labels["team"] != "x" {
		t.Error(diff, md)
	}
	must(t, tb.Inserter().Put(ctx, &bq.ValuesSaver{Schema: wider, Row: []bq.Value{nil, day, 1, 9}}))
	want := [][]bq.Value{{nil, int64(9)}, {"ATL", nil}, {"é", nil}}
	if diff := cmp.Diff(want, read(t, c.Query("SELECT origin, delay FROM `d.stream-flights` ORDER BY origin"))); diff != "" {
		t.Error(diff)
	}
	for reason, bad := range map[string]bq.Schema{
		"is missing in new schema":   wider[:2],
		"has changed type":           {wider[0], wider[1], {Name: "flights", Type: bq.StringFieldType}, wider[3]},
		"Cannot add required fields": append(append(bq.Schema{}, wider...), &bq.FieldSchema{Name: "x", Type: bq.StringFieldType, Required: true}),
		"has changed mode":           {{Name: "origin", Type: bq.StringFieldType, Required: true}, wider[1], wider[2], wider[3]},
	} {
		_, err := tb.Update(ctx, bq.TableMetadataToUpdate{Schema: bad}, "")
		failsWith(t, err, 400, "invalid", reason)
	}

	must(t, ds.Table("b").Create(ctx, &bq.TableMetadata{Schema: flightSchema}))
	it := ds.Tables(ctx)
	var ids []string
	for {
		x, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		must(t, err)
		ids = append(ids, x.TableID)
	}
	if diff := cmp.Diff([]string{"b", "stream-flights"}, ids); diff != "" {
		t.Error(diff)
	}
	must(t, tb.Delete(ctx))
	failsWith(t, tb.Delete(ctx), 404, "notFound", "Table kappa-test:d.stream-flights")
	// A name can be used again, with nothing left of the old table.
	must(t, tb.Create(ctx, &bq.TableMetadata{Schema: flightSchema[:1]}))
	if rows := read(t, c.Query("SELECT COUNT(*) AS n FROM `d.stream-flights`")); rows[0][0] != int64(0) {
		t.Error(rows)
	}
}

func TestTableLayoutsRefused(t *testing.T) {
	c := start(t)
	ctx := within(t)
	ds := c.Dataset("d")
	must(t, ds.Create(ctx, nil))
	for text, md := range map[string]*bq.TableMetadata{
		"type TIME (field x)":             {Schema: bq.Schema{{Name: "x", Type: bq.TimeFieldType}}},
		"type GEOGRAPHY":                  {Schema: bq.Schema{{Name: "x", Type: bq.GeographyFieldType}}},
		"type BIGNUMERIC":                 {Schema: bq.Schema{{Name: "x", Type: bq.BigNumericFieldType}}},
		"a parameterized type":            {Schema: bq.Schema{{Name: "x", Type: bq.NumericFieldType, Precision: 10}}},
		"a default value":                 {Schema: bq.Schema{{Name: "x", Type: bq.StringFieldType, DefaultValueExpression: "'a'"}}},
		"partitioning by ingestion time":  {Schema: flightSchema, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType}},
		"partition expiration":            {Schema: flightSchema, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "window_start", Expiration: time.Hour}},
		"table.rangePartitioning":         {Schema: flightSchema, RangePartitioning: &bq.RangePartitioning{Field: "flights", Range: &bq.RangePartitioningRange{Start: 0, End: 10, Interval: 1}}},
		"table.externalDataConfiguration": {ExternalDataConfig: &bq.ExternalDataConfig{SourceFormat: bq.CSV, SourceURIs: []string{"gs://b/o"}}},
		"table.materializedView":          {MaterializedView: &bq.MaterializedViewDefinition{Query: "SELECT 1"}},
		"a view in legacy SQL":            {ViewQuery: "SELECT 1", UseLegacySQL: true},
	} {
		failsWith(t, ds.Table("t").Create(ctx, md), 501, "notImplemented", text)
	}
	for text, md := range map[string]*bq.TableMetadata{
		"The field specified for partitioning cannot be found": {Schema: flightSchema, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "nope"}},
		"can only be of type TIMESTAMP, DATE or DATETIME":      {Schema: flightSchema, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "origin"}},
		"The field specified for clustering cannot be found":   {Schema: flightSchema, Clustering: &bq.Clustering{Fields: []string{"nope"}}},
		"already exists in schema":                             {Schema: bq.Schema{{Name: "a", Type: bq.StringFieldType}, {Name: "A", Type: bq.StringFieldType}}},
		"Invalid field name":                                   {Schema: bq.Schema{{Name: "a b", Type: bq.StringFieldType}}},
	} {
		failsWith(t, ds.Table("t").Create(ctx, md), 400, "invalid", text)
	}
}

func TestViews(t *testing.T) {
	c := start(t)
	ctx := within(t)
	ds := c.Dataset("d")
	must(t, ds.Create(ctx, nil))
	must(t, ds.Table("t").Create(ctx, &bq.TableMetadata{Schema: flightSchema}))
	must(t, ds.Table("t").Inserter().Put(ctx, &bq.ValuesSaver{Schema: flightSchema, Row: []bq.Value{"ATL", day, 3}}))
	v := ds.Table("v")
	must(t, v.Create(ctx, &bq.TableMetadata{UseStandardSQL: true, ViewQuery: "SELECT origin, flights * 2 AS twice FROM `kappa-test.d.t`"}))
	md, err := v.Metadata(ctx)
	must(t, err)
	if md.Type != bq.ViewTable || len(md.Schema) != 2 || md.Schema[1].Type != bq.IntegerFieldType {
		t.Errorf("got %+v", md)
	}
	if rows := read(t, c.Query("SELECT twice FROM d.v")); rows[0][0] != int64(6) {
		t.Error(rows)
	}
	_, err = v.Update(ctx, bq.TableMetadataToUpdate{ViewQuery: "SELECT 1 AS one"}, "")
	must(t, err)
	if rows := read(t, c.Query("SELECT one FROM d.v")); rows[0][0] != int64(1) {
		t.Error(rows)
	}
	err = ds.Table("bad").Create(ctx, &bq.TableMetadata{UseStandardSQL: true, ViewQuery: "SELECT nope FROM d.t"})
	failsWith(t, err, 400, "invalidQuery", "Unrecognized name: nope")
	err = v.Inserter().Put(ctx, &bq.ValuesSaver{Schema: flightSchema, Row: []bq.Value{"x", day, 1}})
	failsWith(t, err, 400, "invalid", "Cannot add rows to a view")
}

func TestUnknownCallsAreRefused(t *testing.T) {
	c := start(t)
	ctx := within(t)
	must(t, c.Dataset("d").Create(ctx, nil))
	_, err := c.Dataset("d").Routine("r").Metadata(ctx)
	failsWith(t, err, 501, "notImplemented", "GET /bigquery/v2/projects/kappa-test/datasets/d/routines/r is not supported by the sandbox")
	_, err = c.Dataset("d").Table("t").CopierFrom(c.Dataset("d").Table("u")).Run(ctx)
	failsWith(t, err, 501, "notImplemented", "configuration.copy")
	_, err = c.Dataset("d").Table("t").ExtractorTo(bq.NewGCSReference("gs://b/o")).Run(ctx)
	failsWith(t, err, 501, "notImplemented", "configuration.extract")
	_, err = c.Dataset("d").Model("m").Metadata(ctx)
	failsWith(t, err, http.StatusNotImplemented, "notImplemented", "models/m")
}
