package bigquery

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

const (
	billingUnit = 1 << 20        // bytes are billed by the MB
	minBilled   = 10 * (1 << 20) // per table and query
)

func billedLimit(limit, need int64) error {
	return &apiError{status: http.StatusBadRequest, reason: "bytesBilledLimitExceeded",
		message: fmt.Sprintf("Query exceeded limit for bytes billed: %d. %d or higher required.", limit, need)}
}

// cost is what a statement processes and what it is billed: the bytes of the
// columns that are read, in the partitions that can matter, once per scan.
func (s *Server) cost(ctx context.Context, snap *snapshot, st *googlesql.Statement) (processed, billed int64, err error) {
	perTable := map[*googlesql.Table]int64{}
	for _, scan := range st.Scans {
		n, err := s.scanBytes(ctx, snap.tables[scan.Table], scan)
		if err != nil {
			return 0, 0, err
		}
		perTable[scan.Table] += n
		processed += n
	}
	if processed == 0 {
		return 0, 0, nil
	}
	for _, n := range perTable {
		billed += max(minBilled, (n+billingUnit-1)/billingUnit*billingUnit)
	}
	return processed, billed, nil
}

// scanBytes is the size of what one scan reads.
func (s *Server) scanBytes(ctx context.Context, t *table, scan *googlesql.Scan) (int64, error) {
	if len(scan.Used) == 0 {
		return 0, nil // COUNT(*) reads no column
	}
	where, err := s.prune(ctx, t, scan)
	if err != nil {
		return 0, err
	}
	parts := make([]string, len(scan.Used))
	for i, c := range scan.Used {
		parts[i] = bytesSQL(c.Physical, c.Type)
	}
	rows, err := s.measure(ctx, t, "SELECT "+strings.Join(parts, ", ")+" FROM "+scan.Table.Physical+where)
	var total int64
	for _, row := range rows {
		for _, v := range row {
			total += asInt(v)
		}
	}
	return total, err
}

// prune returns the WHERE clause of the partitions that a scan reads, empty
// for all of them.
func (s *Server) prune(ctx context.Context, t *table, scan *googlesql.Scan) (string, error) {
	if scan.Table.PartitionColumn == "" || !scan.Filtered() {
		return "", nil
	}
	var col googlesql.Column
	for _, c := range scan.Table.Columns {
		if strings.EqualFold(c.Name, scan.Table.PartitionColumn) {
			col = c
		}
	}
	unit := scan.Table.PartitionUnit
	// A DATE is compared by days, the others by microseconds.
	scale := int64(1)
	if col.Type.Kind == googlesql.Date {
		scale = 24 * 3600 * 1e6
	}
	values, err := s.constants(ctx, scan.Constants(), scale)
	if err != nil {
		return "", err
	}
	constant := func(sql string) (int64, bool) { v, ok := values[sql]; return v, ok }
	trunc := "date_trunc('" + strings.ToLower(unit) + "', CAST(" + col.Physical + " AS TIMESTAMP))"
	var read []string
	all, null := true, false
	rows, err := s.measure(ctx, t, "SELECT DISTINCT "+trunc+" FROM "+scan.Table.Physical)
	for _, row := range rows {
		if row[0] == nil {
			null = scan.Reads(0, 0, true, constant)
			all = all && null
			continue
		}
		lo := row[0].(time.Time).UTC()
		if scan.Reads(lo.UnixMicro()/scale, partitionEnd(lo, unit).UnixMicro()/scale, false, constant) {
			read = append(read, "TIMESTAMP '"+lo.Format("2006-01-02 15:04:05")+"'")
		} else {
			all = false
		}
	}
	switch {
	case err != nil || all:
		return "", err
	case len(read) == 0 && !null:
		return " WHERE false", nil
	}
	conds := []string{}
	if len(read) > 0 {
		conds = append(conds, trunc+" IN ("+strings.Join(read, ", ")+")")
	}
	if null {
		conds = append(conds, col.Physical+" IS NULL")
	}
	return " WHERE " + strings.Join(conds, " OR "), nil
}

func partitionEnd(lo time.Time, unit string) time.Time {
	switch strings.ToUpper(unit) {
	case "HOUR":
		return lo.Add(time.Hour)
	case "MONTH":
		return lo.AddDate(0, 1, 0)
	case "YEAR":
		return lo.AddDate(1, 0, 0)
	}
	return lo.AddDate(0, 0, 1)
}

// constants evaluates expressions without columns; NULLs are left out.
func (s *Server) constants(ctx context.Context, exprs []string, scale int64) (map[string]int64, error) {
	out := map[string]int64{}
	if len(exprs) == 0 {
		return out, nil
	}
	parts := make([]string, len(exprs))
	for i, x := range exprs {
		parts[i] = "epoch_us(CAST(" + x + " AS TIMESTAMP))"
	}
	err := each(ctx, s.engine.db, "SELECT "+strings.Join(parts, ", "), func(row []any) error {
		for i, v := range row {
			if v != nil {
				out[exprs[i]] = asInt(v) / scale
			}
		}
		return nil
	})
	return out, err
}
