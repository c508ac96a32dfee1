// Package drain drains streaming jobs and watches them while they drain.
//
// Flow of Run, for each job: find it through the API; find its sources
// (PubsubDetails; read transform → stage → watermark metric); request the
// drain; poll its state and watermarks, and report the progress; once the
// service says DRAINED, record the end of its generation. One job after the
// other, unless told otherwise (rule D4). A job that drains already is
// watched, one that has drained is recorded, so that a killed Run is resumed
// by running it again (rule D2). A job that does not drain in time is left
// draining, waited for, or cancelled; or all are cancelled without a drain, if the
// caller says so (Config.CancelNow). The generation of a cancelled one is recorded
// as void (rule P5).
//
// Files: watermark.go, sources.go, backlog.go, progress.go and timeout.go are
// pure; drain.go is the course of one job; cancel.go is the course of one that
// did not drain in time; run.go is the group.
//
// Invariants:
//
//   - Only the job's state from the API decides that a drain is over
//     (rule D3). Watermarks show progress: services that publish none, and
//     states that this version does not know, are tolerated and waited out.
//   - A job that ends in any other way than DRAINED is an error: its
//     generation did not end by a drain.
//   - A job is cancelled only where the caller has said so, and only while it
//     drains, unless the caller wants no drain. If it drains before the cancel reaches it, that is a drain.
//   - Stopping Run never stops a drain: the service has no way back.
//
// The caller owns the API client and the recorder.
package drain
