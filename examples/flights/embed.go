// Package flights holds the demo's input: one week of real US flights. Its
// README says where they come from.
package flights

import _ "embed"

// WeekName is the file's name.
const WeekName = "flights-week.csv.gz"

// Week is the file: gzipped CSV, 115,245 rows.
//
//go:embed flights-week.csv.gz
var Week []byte
