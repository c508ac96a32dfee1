// Package journal keeps the history of deployments: who did what to the jobs of
// a StreamJob, when and why, because the Dataflow API forgets jobs 30 days after
// their end and has never known who started them.
//
// It lives in a folder of Cloud Storage or of this machine:
//
//	FOLDER/deployments/ID/000001.json   one entry each, never changed
//	FOLDER/deployments/ID/abort.json    somebody asks for it to be stopped
//	FOLDER/lease.json                   who deploys now
//
// Flow: Acquire the lease, Begin (or Resume) a deployment with it, Append every
// step before it is taken, End it. What is appended can be mirrored to a table
// (mirror.go, bigquery.go), for queries. Readers need no lease.
//
// Invariants:
//
//   - Entries are appended and never changed: each is an object of its own that
//     is created only if it does not exist. So of two that append to one
//     deployment the second is refused (ErrTaken): who was paused for longer than
//     its lease takes no further step (rule D2).
//   - The lease is one object that is replaced only in the version that was read
//     (an object-generation precondition; on this machine a lock of the file
//     system). It is renewed while its holder lives and expires a minute after it
//     died, so that a kill blocks nobody for long; a process of this machine that
//     is dead blocks nobody at all.
//   - Who holds a lease that has expired by the clock does not hold it, even if
//     nobody has told it so yet: no step is appended (ErrLeaseLost).
//   - The mirror is a copy: whether it can be written stops nobody.
//
// The caller owns the clients.
package journal
