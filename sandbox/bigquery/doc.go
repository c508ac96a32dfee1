// Package bigquery is a BigQuery service in memory.
package bigquery
