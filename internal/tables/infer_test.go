package tables

import (
	"testing"

	"cloud.google.com/go/bigquery"
)

func mustInfer(t *testing.T, row any) bigquery.Schema {
	t.Helper()
	s, err := bigquery.InferSchema(row)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
