package bigquery

import (
	"context"
	"slices"
	"sync"
)

// measured remembers what queries have said of a table alone, such as the bytes of
// its columns, until its rows change: a reconciliation asks for them several times.
type measured struct {
	mu      sync.Mutex
	changes int64
	rows    map[string][][]any // by query
}

// maxMeasured bounds the queries that are remembered of a table.
const maxMeasured = 64

// measure runs a query that reads t and nothing else. The rows must not be changed.
func (s *Server) measure(ctx context.Context, t *table, query string) ([][]any, error) {
	m, now := &t.measured, t.changes.Load() // before the query: what it misses counts as a change after it
	m.mu.Lock()
	if m.changes != now || len(m.rows) >= maxMeasured {
		m.changes, m.rows = now, nil
	}
	rows, ok := m.rows[query]
	m.mu.Unlock()
	if ok {
		return rows, nil
	}
	err := each(ctx, s.engine.db, query, func(row []any) error {
		rows = append(rows, slices.Clone(row))
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changes == now {
		if m.rows == nil {
			m.rows = map[string][][]any{}
		}
		m.rows[query] = rows
	}
	return rows, nil
}
