// Package terraform writes the Terraform configuration of what specs need on
// Google Cloud: topics, subscriptions and their archive, datasets, the Bigtable
// instance, buckets, service accounts, and the roles that each of these must
// have. It reads specs and returns text; it talks to no service.
//
// Flow: Generate goes through the documents; each adds its resources to a
// generator (pubsub.go, storage.go, bigquery.go, bigtable.go) and the accounts
// that work with them (accounts.go, iam.go). The generator names resources,
// remembers what is declared and granted, and prints the files (hcl.go).
//
// Invariants:
//
//   - The same specs give the same text, in the order of the documents.
//   - A text of a spec stands in a file only through quote, so that none can end
//     a string or begin an interpolation.
//   - What two documents share is one resource: the first one declares it.
//   - What holds data cannot be destroyed by a plan (prevent_destroy).
//   - docs/iam.md names every role that is granted here, with the reason.
package terraform
