package main

import (
	"context"
	"fmt"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

const (
	project  = "kappa-bench"
	origins  = 60_000 // keys of a window
	firstDay = "2001-01-08"
)

// A key is a number i: its origin i mod origins, its window i div origins. What
// differs is known by i: of 1,000 keys one is on the batch side alone, one on
// the stream side alone, and five have other values.
const (
	missingOf  = "MOD(i, 1000) != 500" // keeps a row on the stream side
	extraOf    = "MOD(i, 1000) != 501" // keeps a row on the batch side
	differsOf  = "MOD(i, 1000) BETWEEN 502 AND 506"
	perMissing = 1
	perDiffers = 5
)

// keyColumns are the key, the window and the values of the old side.
const keyColumns = `CONCAT('A', CAST(MOD(i, 60000) AS STRING)), TIMESTAMP_ADD(TIMESTAMP '` + firstDay + ` 00:00:00+00', INTERVAL DIV(i, 60000) HOUR)`

// numbers yields i from 0 up to hours × origins; %d is the number of windows.
const numbers = `(SELECT h * 60000 + n AS i FROM UNNEST(GENERATE_ARRAY(0, %d - 1)) AS h CROSS JOIN UNNEST(GENERATE_ARRAY(0, 59999)) AS n)`

func batchRows(hours int) string {
	return fmt.Sprintf("SELECT "+keyColumns+", 1 + MOD(i, 97), MOD(i, 1009) - 300 FROM "+numbers+" WHERE "+extraOf, hours)
}

// streamRows are plain rows; writers says that they have a writer and a pane.
func streamRows(hours int, writers bool) string {
	more := ""
	if writers {
		more = ", 'flights-0', 3, 0"
	}
	return fmt.Sprintf("SELECT "+keyColumns+", 1 + MOD(i, 97) + IF("+differsOf+", 1, 0), MOD(i, 1009) - 300"+more+" FROM "+numbers+" WHERE "+missingOf, hours)
}

// expected are the counts that a comparison must find.
type expected struct{ keys, exact, mismatch, missing, extra int64 }

func expect(hours int) expected {
	all := int64(hours) * origins
	n := all / 1000
	return expected{keys: all, exact: all - n*(2*perMissing+perDiffers), mismatch: n * perDiffers, missing: n * perMissing, extra: n * perMissing}
}

var sideSchema = bigquery.Schema{
	{Name: "origin", Type: bigquery.StringFieldType}, {Name: "window_start", Type: bigquery.TimestampFieldType},
	{Name: "flights", Type: bigquery.IntegerFieldType}, {Name: "delay", Type: bigquery.IntegerFieldType},
}

var writerSchema = bigquery.Schema{
	{Name: "job", Type: bigquery.StringFieldType}, {Name: "generation", Type: bigquery.IntegerFieldType}, {Name: "pane", Type: bigquery.IntegerFieldType},
}

// makeTables makes both sides, and with writers the control tables that say
// that all of it is complete.
func makeTables(ctx context.Context, c *bigquery.Client, hours int, writers bool) error {
	ds := c.Dataset("kappa")
	if err := ds.Create(ctx, nil); err != nil {
		return err
	}
	stream := sideSchema
	if writers {
		stream = append(append(bigquery.Schema{}, sideSchema...), writerSchema...)
	}
	for _, t := range []struct { // in this order, by which raw knows them
		name   string
		schema bigquery.Schema
	}{{"batch_flights", sideSchema}, {"stream_flights", stream}} {
		if err := ds.Table(t.name).Create(ctx, &bigquery.TableMetadata{Schema: t.schema,
			TimePartitioning: &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: "window_start"}}); err != nil {
			return err
		}
	}
	statements := []string{"INSERT INTO kappa.batch_flights " + batchRows(hours), "INSERT INTO kappa.stream_flights " + streamRows(hours, writers)}
	if writers {
		for _, t := range []tables.Table{tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable()} {
			if err := ds.Table(t.Name).Create(ctx, &bigquery.TableMetadata{Schema: t.Schema}); err != nil {
				return err
			}
		}
		end := fmt.Sprintf("TIMESTAMP_ADD(TIMESTAMP '%s 00:00:00+00', INTERVAL %d HOUR)", firstDay, hours)
		statements = append(statements,
			`INSERT INTO kappa.generations (job, generation, kind, state, recorded_at, seq, job_group) VALUES ('flights-0', 3, 'stream', 'open', TIMESTAMP '2001-01-01 00:00:00+00', 1, 'flights')`,
			"INSERT INTO kappa.watermarks (job_group, job, generation, watermark, at_maximum, observed_at) SELECT 'flights', 'flights-0', 3, TIMESTAMP_ADD("+end+", INTERVAL 30 DAY), FALSE, TIMESTAMP '2001-02-28 00:00:00+00'",
			"INSERT INTO kappa.batch_loads (`load`, target, range_start, range_end, row_count, source, job_id, loaded_at) SELECT 'l', 'batch_flights', TIMESTAMP '"+firstDay+" 00:00:00+00', "+end+", 1, 's', 'j', TIMESTAMP '2001-02-28 00:00:00+00'")
	}
	for _, sql := range statements {
		job, err := c.Query(sql).Run(ctx)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, sql)
		}
		st, err := job.Wait(ctx)
		if err == nil {
			err = st.Err()
		}
		if err != nil {
			return fmt.Errorf("%w\n%s", err, sql)
		}
	}
	return nil
}
