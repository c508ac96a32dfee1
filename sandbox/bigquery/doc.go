// Package bigquery is a BigQuery service in memory: the v2 REST API's calls
// that this project uses, on DuckDB, spoken to by the official client.
//
// Flow: server.go routes a request to its handler; catalog.go holds datasets
// and tables; package googlesql translates a query to DuckDB's SQL and says
// what it reads; cost.go turns that into bytes; engine.go runs it; value.go
// encodes the rows. Jobs run in the background and are remembered (jobs.go).
// Streamed rows go from the request's text (jsonscan.go, insertall.go) straight
// into DuckDB's appender.
//
// Invariants:
//
//   - What is not known is refused by name: 501 notImplemented for calls and
//     settings, 400 notImplemented for SQL. A setting that says nothing (null,
//     false, zero, empty) is not refused.
//   - No name of a user's reaches DuckDB: tables are p1, p2, …, columns c0, c1,
//     …; text and values are literals that this code writes. DuckDB itself has
//     no access to files, network, extensions or its settings.
//   - A job's rows are visible all at once or not at all: one transaction, or a
//     new DuckDB table that takes the old one's place in the catalog. A table
//     that a running query reads is dropped only when the query has ended.
//   - Numbers are BigQuery's: INT64 overflows instead of becoming a HUGEINT,
//     NUMERIC has 29 + 9 digits, division is by FLOAT64 or refused.
//   - Bytes are those of the columns that the result depends on, once for each
//     scan of a table, in the partitions that the conditions on the bare
//     partition column leave, by Google's table of type sizes; billed by the MB
//     with a minimum of 10 MB for each table that is read.
//   - Memory is bounded: DuckDB's by Config.MemoryLimit (beyond it, it spills
//     to a temporary folder that Close removes), results of finished jobs by 64
//     MiB, remembered insert ids by number and age. Uploads wait in files
//     without a name, which end with the process.
//
// Callers own the process: they start and close the Server, and give it the
// address of a Cloud Storage emulator if load jobs are to work.
//
// # Known differences from the real service
//
// General: locations are names only: any is taken, US if none is given, and
// data of different ones can be used together; no credentials, permissions, quotas, audit logs
// or Storage Read and Write APIs; nothing survives Close. List calls do not
// filter. Dataset and table descriptions, labels, clustering and dataset access
// lists are stored and shown, without effect; the expiration of a table is taken,
// and none expires. Etags change with metadata only.
//
// Tables: types STRING, BYTES, INT64, FLOAT64, BOOL, TIMESTAMP, DATE, DATETIME,
// NUMERIC, RECORD, each also REPEATED. Refused: BIGNUMERIC, TIME, JSON,
// GEOGRAPHY, INTERVAL, RANGE; parameterized types; default values; partitions by
// ingestion time or range, and their expiration; external tables, snapshots,
// clones, materialized views, constraints. Views are standard SQL.
//
// Streaming: rows are visible when insertAll returns, and can be changed by DML
// at once (there is no streaming buffer). Ids are remembered for one to two
// minutes or 500,000 ids. Row errors come in BigQuery's shape; where BigQuery's
// wording is not documented it is ours. Strings with a zero byte are refused.
//
// Jobs: they start at once; priority has no effect. A result that was dropped
// to make room answers 404. Results are not cached (cacheHit is false), and
// query jobs have no anonymous destination table. Refused: copy and extract
// jobs, sessions, scripts, DDL, schema update options, legacy SQL, positional
// parameters, ORC, nested and repeated columns of Parquet, uploads over 64 GiB;
// time zones other than UTC but for names of zones in DATE, DATETIME and
// TIMESTAMP (a time that a zone's clock skips or shows twice is DuckDB's to read),
// and forms of NORMALIZE other than NFC.
// A dry run is always PRECISE and ignores clustering, as does billing.
// jobs.query and getQueryResults may answer before BigQuery would.
//
// SQL: a subset, see package googlesql and its tests; all else is refused by
// name. Where the engine differs:
//
//   - FLOAT64: NaN equals NaN and sorts last; operations that overflow give
//     infinity instead of an error; a sum may differ in its last digits.
//   - NUMERIC: no division, AVG, MOD or DIV; a product with more than 20 digits
//     before the point is an overflow.
//   - x IN UNNEST(array of STRUCT) is FALSE, not NULL, if only elements with a
//     NULL field could have matched.
//   - ANY_VALUE, ARRAY_AGG without ORDER BY, LIMIT without ORDER BY and ties in
//     windows choose by DuckDB's order, which is not BigQuery's.
//   - Regular expressions are RE2, as BigQuery's, but a pattern of
//     REGEXP_EXTRACT must be a literal.
//   - APPROX_ functions are exact.
//   - Runtime errors have BigQuery's wording for overflow, division by zero,
//     casts, REQUIRED columns and resources; others are DuckDB's.
//   - Only a comparison of the bare partition column with constants and
//     parameters prunes; BigQuery also sees through some functions.
package bigquery
