package drain

import (
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestGauge(t *testing.T) {
	at := drain.At(time.Date(2001, 1, 8, 6, 0, 0, 0, time.UTC))
	rate, elements, bytes := 3600.0, int64(1200), int64(96000)
	for want, s := range map[string]drain.SourceProgress{
		"unknown":              {},
		"2001-01-08T06:00:00Z": {Source: drain.Source{Watermark: at}},
		"2001-01-08T06:00:00Z (3600 s of event time a second)":                          {Source: drain.Source{Watermark: at}, PerSecond: &rate},
		"unknown, backlog 96000 bytes":                                                  {Source: drain.Source{Backlog: drain.Backlog{Bytes: &bytes}}, ETA: 0},
		"2001-01-08T06:00:00Z, backlog 1200 elements, 96000 bytes, gone in about 2m00s": {Source: drain.Source{Watermark: at, Backlog: drain.Backlog{Elements: &elements, Bytes: &bytes}}, ETA: 2 * time.Minute},
	} {
		if got := gauge(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNote(t *testing.T) {
	u := drain.Progress{Phase: drain.Cancelling, Reading: drain.Reading{State: "CANCELLING"}, Elapsed: time.Minute, Note: "the service does not take the cancel yet"}
	if got, want := Note(u), "CANCELLING, cancelling it, the service does not take the cancel yet, 1m00s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Flags win over the spec, the spec over the defaults; to cancel takes a word.
func TestLimits(t *testing.T) {
	spec := func(timeout time.Duration, then string) jobspecs.Update {
		return jobspecs.Update{DrainTimeout: jobspecs.Duration(timeout), OnTimeout: then}
	}
	for _, c := range []struct {
		name    string
		args    []string
		spec    jobspecs.Update
		timeout time.Duration
		then    drain.OnTimeout
		code    exit.Code
	}{
		{"nothing", nil, spec(0, ""), drain.DefaultTimeout, drain.Fail, exit.OK},
		{"the spec", nil, spec(time.Hour, "wait"), time.Hour, drain.Wait, exit.OK},
		{"the flags", []string{"--timeout", "2h", "--on-timeout", "fail"}, spec(time.Hour, "cancel"), 2 * time.Hour, drain.Fail, exit.OK},
		{"a zero", []string{"--timeout", "0s"}, spec(time.Hour, "fail"), 0, "", exit.Usage},
		{"an unknown one", []string{"--on-timeout", "pray"}, spec(time.Hour, "fail"), 0, "", exit.Usage},
		{"an empty one", []string{"--on-timeout", ""}, spec(time.Hour, "fail"), 0, "", exit.Usage},
		{"the spec cancels", nil, spec(time.Hour, "cancel"), 0, "", exit.Usage},
		{"the flag cancels", []string{"--on-timeout", "cancel"}, spec(time.Hour, "fail"), 0, "", exit.Usage},
		{"with leave", []string{"--on-timeout", "cancel", "--accept-loss"}, spec(time.Hour, "fail"), time.Hour, drain.Cancel, exit.OK},
		{"the spec, with leave", []string{"--accept-loss"}, spec(time.Hour, "cancel"), time.Hour, drain.Cancel, exit.OK},
		{"leave alone cancels nothing", []string{"--accept-loss"}, spec(time.Hour, "fail"), time.Hour, drain.Fail, exit.OK},
	} {
		cmd := &cobra.Command{}
		l := AddLimits(cmd, "timeout")
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		err := l.Validate()
		var timeout time.Duration
		var then drain.OnTimeout
		if err == nil {
			timeout, then, err = l.Of(c.spec)
		}
		if exit.Of(err) != c.code || timeout != c.timeout || then != c.then {
			t.Errorf("%s: %v, %q, %v", c.name, timeout, then, err)
		}
	}
}
