// Package transfer emulates the part of the BigQuery Data Transfer API that
// scheduled queries need, spoken to by the official client.
//
// Flow: configs.go keeps transfer configurations of the data source
// scheduled_query; schedule.go reads their schedules and says when they run
// next; runs.go runs the query of one, when it is asked to
// (StartManualTransferRuns), as a query job of BigQuery with the parameters
// @run_time and @run_date.
//
// Invariants:
//
//   - Nothing runs by itself: a test says when a schedule fires. Two runs for
//     the same time are two runs, as on the real service now and then.
//   - A query has no parameters but @run_time and @run_date, no connection
//     properties and no session, as on the real service.
//   - What is not emulated is refused by name: other data sources, destination
//     tables, notifications, keys.
//
// The package's users give it the address of BigQuery and own that service.
package transfer
