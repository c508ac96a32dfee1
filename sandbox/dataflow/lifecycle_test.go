package dataflow

import (
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestNext(t *testing.T) {
	const (
		queued     = pb.JobState_JOB_STATE_QUEUED
		pending    = pb.JobState_JOB_STATE_PENDING
		running    = pb.JobState_JOB_STATE_RUNNING
		draining   = pb.JobState_JOB_STATE_DRAINING
		drained    = pb.JobState_JOB_STATE_DRAINED
		cancelling = pb.JobState_JOB_STATE_CANCELLING
		cancelled  = pb.JobState_JOB_STATE_CANCELLED
		failed     = pb.JobState_JOB_STATE_FAILED
		done       = pb.JobState_JOB_STATE_DONE
	)
	force := map[string]string{"force_cancel_job": "true"}
	for _, c := range []struct {
		name             string
		current, request pb.JobState
		labels           map[string]string
		batch            bool
		want             pb.JobState
		code             codes.Code
	}{
		{name: "drain of a running job", current: running, request: drained, want: draining},
		{name: "drain again", current: draining, request: drained, want: draining},
		{name: "drain before it runs", current: pending, request: drained, want: pending, code: codes.FailedPrecondition},
		{name: "drain of a queued job", current: queued, request: drained, want: queued, code: codes.FailedPrecondition},
		{name: "drain of a batch job", current: running, request: drained, batch: true, want: running, code: codes.FailedPrecondition},
		{name: "drain while cancelling", current: cancelling, request: drained, want: cancelling, code: codes.FailedPrecondition},
		{name: "drain of a drained job", current: drained, request: drained, want: drained, code: codes.FailedPrecondition},
		{name: "drain of a failed job", current: failed, request: drained, want: failed, code: codes.FailedPrecondition},
		{name: "cancel of a running job", current: running, request: cancelled, want: cancelling},
		{name: "cancel of a pending job", current: pending, request: cancelled, want: cancelling},
		{name: "cancel of a draining job", current: draining, request: cancelled, want: cancelling},
		{name: "cancel again", current: cancelling, request: cancelled, want: cancelling},
		{name: "forced cancel too early", current: cancelling, request: cancelled, labels: force, want: cancelling, code: codes.FailedPrecondition},
		{name: "cancel of a done job", current: done, request: cancelled, want: done, code: codes.FailedPrecondition},
		{name: "a state nobody can ask for", current: running, request: done, want: running, code: codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := next("id", c.current, c.request, c.labels, !c.batch)
			if got != c.want || status.Code(err) != c.code {
				t.Errorf("got %v, %v; want %v, %v", got, err, c.want, c.code)
			}
		})
	}
}

func TestFinal(t *testing.T) {
	for _, c := range []struct {
		name    string
		current pb.JobState
		ending  ending
		want    pb.JobState
	}{
		{"drained", pb.JobState_JOB_STATE_DRAINING, ending{drained: true}, pb.JobState_JOB_STATE_DRAINED},
		{"exit without the report", pb.JobState_JOB_STATE_DRAINING, ending{}, pb.JobState_JOB_STATE_FAILED},
		{"died once it had drained", pb.JobState_JOB_STATE_DRAINING, ending{code: -1, drained: true}, pb.JobState_JOB_STATE_DRAINED},
		{"cancelled once it had drained", pb.JobState_JOB_STATE_CANCELLING, ending{code: -1, drained: true}, pb.JobState_JOB_STATE_DRAINED},
		{"killed while draining", pb.JobState_JOB_STATE_DRAINING, ending{code: -1}, pb.JobState_JOB_STATE_FAILED},
		{"killed", pb.JobState_JOB_STATE_RUNNING, ending{code: -1}, pb.JobState_JOB_STATE_FAILED},
		{"bad exit before it ran", pb.JobState_JOB_STATE_PENDING, ending{code: 2}, pb.JobState_JOB_STATE_FAILED},
		{"batch job has finished", pb.JobState_JOB_STATE_RUNNING, ending{}, pb.JobState_JOB_STATE_DONE},
		{"cancelled", pb.JobState_JOB_STATE_CANCELLING, ending{code: -1}, pb.JobState_JOB_STATE_CANCELLED},
		{"updated", pb.JobState_JOB_STATE_RUNNING, ending{code: -1, replacedBy: "id-2"}, pb.JobState_JOB_STATE_UPDATED},
		{"an update that is refused", pb.JobState_JOB_STATE_PENDING, ending{code: 1, refused: true}, pb.JobState_JOB_STATE_FAILED},
		{"an update that is cancelled", pb.JobState_JOB_STATE_CANCELLING, ending{code: -1, refused: true}, pb.JobState_JOB_STATE_CANCELLED},
		{"killed by the service", pb.JobState_JOB_STATE_PENDING, ending{code: -1, failure: "it reads"}, pb.JobState_JOB_STATE_FAILED},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, why := final(c.current, c.ending); got != c.want || why == "" {
				t.Errorf("got %v (%q), want %v", got, why, c.want)
			}
		})
	}
}

func TestImportance(t *testing.T) {
	for line, want := range map[string]pb.JobMessageImportance{
		`time=2026-01-02T03:04:05Z level=DEBUG msg=x`:     pb.JobMessageImportance_JOB_MESSAGE_DEBUG,
		`time=2026-01-02T03:04:05Z level=INFO msg=x`:      pb.JobMessageImportance_JOB_MESSAGE_DETAILED,
		`time=2026-01-02T03:04:05Z level=WARN msg=x`:      pb.JobMessageImportance_JOB_MESSAGE_WARNING,
		`time=2026-01-02T03:04:05Z level=ERROR msg="a b"`: pb.JobMessageImportance_JOB_MESSAGE_ERROR,
		`{"time":"2026-01-02T03:04:05Z","level":"WARN"}`:  pb.JobMessageImportance_JOB_MESSAGE_WARNING,
		`{"severity":"error","message":"x"}`:              pb.JobMessageImportance_JOB_MESSAGE_ERROR,
		`2026/01/02 03:04:05 ERROR something`:             pb.JobMessageImportance_JOB_MESSAGE_ERROR,
		`panic: runtime error: index out of range`:        pb.JobMessageImportance_JOB_MESSAGE_ERROR,
		`goroutine 1 [running]:`:                          pb.JobMessageImportance_JOB_MESSAGE_DETAILED,
		`{not json`:                                       pb.JobMessageImportance_JOB_MESSAGE_DETAILED,
		`no ERROR here, but in the text`:                  pb.JobMessageImportance_JOB_MESSAGE_DETAILED,
	} {
		if got := importance(line); got != want {
			t.Errorf("%s: got %v, want %v", line, got, want)
		}
	}
}
