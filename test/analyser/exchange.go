package analyser

import (
	"encoding/json"
	"fmt"
	"os"
)

// exchange is the file of recorded statements; test/statements says what its
// fields mean.
type exchange struct {
	Tables     []*table    `json:"tables"`
	Statements []statement `json:"statements"`
}

type table struct {
	Project   string           `json:"project"`
	Dataset   string           `json:"dataset"`
	Name      string           `json:"name"`
	View      string           `json:"view"`
	Partition string           `json:"partition"`
	Made      bool             `json:"made"`
	Columns   []column         `json:"columns"`
	Rows      []map[string]any `json:"rows"`
}

func (t *table) id() string { return t.Project + "." + t.Dataset + "." + t.Name }

type column struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Mode string `json:"mode"`
}

type statement struct {
	Name       string      `json:"name"`
	Purpose    string      `json:"purpose"`
	Dataset    string      `json:"dataset"`
	SQL        string      `json:"sql"`
	Parameters []parameter `json:"parameters"`
	Processed  int64       `json:"processed"`
	Billed     int64       `json:"billed"`
	Written    bool        `json:"written"`
	Needs      []need      `json:"needs"`

	Wants []map[string]*string `json:"wants"`
}

type parameter struct {
	Name string `json:"name"`
	Type struct {
		Type  string `json:"type"`
		Array *struct {
			Type string `json:"type"`
		} `json:"arrayType"`
	} `json:"parameterType"`
	Value struct {
		Value *string `json:"value"`
	} `json:"parameterValue"`
}

type need struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	From    string   `json:"from"`
	To      string   `json:"to"`
}

func load(path string) (*exchange, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var x exchange
	if err := json.Unmarshal(data, &x); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &x, nil
}
