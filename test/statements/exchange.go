package statements

import (
	"encoding/json"
	"fmt"
	"os"
)

// Exchange is what the judges are given.
type Exchange struct {
	Tables     []Table     `json:"tables"`
	Statements []Statement `json:"statements"`
}

// Table is a table, or a view, and its rows before the first statement.
type Table struct {
	Project   string           `json:"project"`
	Dataset   string           `json:"dataset"`
	Name      string           `json:"name"`
	View      string           `json:"view,omitempty"`      // the query of a view
	Partition string           `json:"partition,omitempty"` // column of daily partitions
	Made      bool             `json:"made"`                // kappa has made it: what is in it depends on the statements before
	Columns   []Column         `json:"columns"`
	Rows      []map[string]any `json:"rows"` // as insertAll takes them; NULL is absent
}

// ID is the table's full name.
func (t Table) ID() string { return t.Project + "." + t.Dataset + "." + t.Name }

// Column is a column of a table.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // STRING, INT64, …
	Mode string `json:"mode"` // REQUIRED, NULLABLE or REPEATED
}

// Statement is one statement as it was sent.
type Statement struct {
	Name       string          `json:"name"`    // SCENARIO/PURPOSE
	Purpose    string          `json:"purpose"` // label of the job
	Dataset    string          `json:"dataset"`
	SQL        string          `json:"sql"`
	Parameters json.RawMessage `json:"parameters"` // queryParameters of the API
	Processed  int64           `json:"processed"`  // bytes that the sandbox says it read
	Billed     int64           `json:"billed"`
	DryRun     bool            `json:"dry_run"`         // it was never sent to be run
	Written    bool            `json:"written"`         // the sandbox lacks a type or a function of it
	Needs      []Need          `json:"needs,omitempty"` // what it should read; nil: not laid down

	// Wants are rows that it should give, by the columns that matter, numbers as
	// decimals and NULL as null; nil: not laid down.
	Wants []map[string]*string `json:"wants,omitempty"`
}

// Need is what a statement should read of a table: each of the columns once, in
// the partitions of the range, and nothing else.
type Need struct {
	Table   string   `json:"table"` // NAME in the statement's dataset
	Columns []string `json:"columns"`
	From    string   `json:"from,omitempty"` // bounds of the partition column, RFC 3339; empty: the whole table
	To      string   `json:"to,omitempty"`
}

// Read reads an exchange from a file.
func Read(path string) (*Exchange, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the recorded statements: %w", err)
	}
	var x Exchange
	if err := json.Unmarshal(data, &x); err != nil {
		return nil, fmt.Errorf("read the recorded statements: %s: %w", path, err)
	}
	return &x, nil
}
