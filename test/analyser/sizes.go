package analyser

import (
	"encoding/base64"
	"fmt"
)

// fixedSizes are the logical bytes of a value that is not NULL, by type: the table
// "Data type sizes" of BigQuery's documentation. A NULL has none.
var fixedSizes = map[string]int64{
	"BIGNUMERIC": 32,
	"BOOL":       1,
	"DATE":       8,
	"DATETIME":   8,
	"FLOAT64":    8,
	"INT64":      8,
	"INTERVAL":   16,
	"NUMERIC":    16,
	"TIME":       8,
	"TIMESTAMP":  8,
}

// stringOverhead is what STRING and BYTES have beside their (UTF-8) bytes.
const stringOverhead = 2

// Billing: by the megabyte, at least ten for each table that a query reads.
const (
	billingUnit = 1 << 20
	leastBilled = 10 << 20
)

// sizeOf is the size of a value, as it stands in a row of the exchange.
func sizeOf(c column, value any) (int64, error) {
	if value == nil {
		return 0, nil
	}
	if c.Mode == "REPEATED" {
		values, ok := value.([]any)
		if !ok {
			return 0, fmt.Errorf("column %s: %T is no list", c.Name, value)
		}
		var sum int64
		for _, v := range values {
			n, err := sizeOf(column{c.Name, c.Type, "NULLABLE"}, v)
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}
	switch c.Type {
	case "STRING":
		s, ok := value.(string)
		if !ok {
			return 0, fmt.Errorf("column %s: %T is no text", c.Name, value)
		}
		return stringOverhead + int64(len(s)), nil
	case "BYTES":
		s, ok := value.(string)
		if !ok {
			return 0, fmt.Errorf("column %s: %T is no text", c.Name, value)
		}
		data, err := base64.StdEncoding.DecodeString(s)
		return stringOverhead + int64(len(data)), err
	}
	n, ok := fixedSizes[c.Type]
	if !ok {
		return 0, fmt.Errorf("column %s has the type %s, whose size is not written down", c.Name, c.Type)
	}
	return n, nil
}

// billed rounds the bytes of each table as they are charged.
func billed(perTable map[string]int64) int64 {
	var sum int64
	for _, n := range perTable {
		sum += max(leastBilled, (n+billingUnit-1)/billingUnit*billingUnit)
	}
	return sum
}
