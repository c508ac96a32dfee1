// Package e2e holds the pipeline's test against the whole sandbox. It is apart
// from the pipeline's own tests because the sandbox brings DuckDB with it.
package e2e
