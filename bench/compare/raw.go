package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

var physicalTable = regexp.MustCompile(`\bp[0-9]+\b`)

// raw runs the SQL that the sandbox ran on DuckDB alone: no server, no JSON, no
// client, and DuckDB's own settings but for the memory and the threads.
func raw(ctx context.Context, o options, writers bool, query string) (seconds []float64, err error) {
	names := physicalTable.FindAllString(query, -1)
	slices.SortFunc(names, func(a, b string) int {
		x, _ := strconv.Atoi(a[1:])
		y, _ := strconv.Atoi(b[1:])
		return x - y
	})
	names = slices.Compact(names)
	if len(names) != 2 {
		return nil, fmt.Errorf("the query reads the tables %v, not two", names)
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	dir, err := os.MkdirTemp("", "kappa-bench-raw-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, set := range []string{"SET memory_limit = '" + o.memory + "'", "SET threads = 2", "SET temp_directory = '" + filepath.Join(dir, "spill") + "'"} {
		if _, err := db.ExecContext(ctx, set); err != nil {
			return nil, err
		}
	}
	columns := "(c0 VARCHAR, c1 TIMESTAMP, c2 BIGINT, c3 BIGINT"
	for i, t := range []struct{ rows, more string }{{batchRows(o.hours), ")"}, {streamRows(o.hours, writers), ")"}} {
		if i == 1 && writers {
			t.more = ", c4 VARCHAR, c5 BIGINT, c6 BIGINT)"
		}
		st, err := googlesql.Translate(t.rows, googlesql.Options{Project: project, Now: time.Now()})
		if err != nil {
			return nil, err
		}
		name := names[i] // the sandbox numbers them as they are made
		for _, q := range []string{"CREATE TABLE " + name + columns + t.more, "INSERT INTO " + name + " " + st.SQL} {
			if _, err := db.ExecContext(ctx, q); err != nil {
				return nil, err
			}
		}
	}
	for range o.rounds {
		begin := time.Now()
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, errors.New("the query returned nothing")
		}
		seconds = append(seconds, time.Since(begin).Seconds())
	}
	return seconds, nil
}
