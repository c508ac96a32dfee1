package pipeline

import (
	"time"

	"pgregory.net/rapid"
)

// schedule is what happens to a group of jobs. All of it is drawn beforehand;
// what a draw means is decided when its step comes (an index is taken modulo
// what there is), so that a smaller schedule is still a schedule.
type schedule struct {
	Jobs       int
	Horizon    time.Duration
	Partitions int // of a topic
	Shards     int // of the event ids
	Files      int // of an archive
	Trouble    trouble
	Steps      []step
}

// deed is what a step does, besides publishing.
type deed string

const (
	doPublish  deed = "publish"
	doDrain    deed = "drain"
	doCrash    deed = "crash"
	doCancel   deed = "cancel"
	doLapse    deed = "let leases lapse"
	doReshard  deed = "reshard"
	doHorizon  deed = "change the horizon"
	doBackfill deed = "backfill"
)

// step is one step. Its events are published first, but a crash is armed before
// that, and an archive is written before that.
type step struct {
	Do     deed
	Send   []draft
	Tick   bool // and an event of each origin, so that all watermarks go on
	Leap   bool // and then such events, later by the horizon
	Chunk  int  // messages in a call
	Settle bool // wait until everything is read before the deed, and half of the events before the others
	All    bool // jobs, else Job
	Job    int
	Fuse   *fuse // what kills a job at a crash or a cancel, and in the midst of a drain
	Lapse  int   // leases of the dead lapse: 0 at once, 1 when the successor runs, 2 after another step
	Away   bool  // successors start only with the next step

	Jobs    int           // reshard
	Horizon time.Duration // change of the horizon

	Stopped bool // a backfill: after all jobs have drained; else beside them
	From    int  // its first window, modulo what there is
	Windows int
	End     ending

	Land uint64 // decides which late writes land after the step, and in what order; 0: none
}

// ending is how a backfill ends.
type ending string

const (
	endComplete ending = "completes"
	endDies     ending = "dies and is void"
	endStays    ending = "stays open for ever"
)

// draft is an event to publish.
type draft struct {
	Again   int  // 0: a new event; else an earlier one
	Anew    bool // an earlier one in a record of its own, rather than its own record once more
	Advance int  // minutes by which the records' clock goes on before
	Behind  behind
	By      int // minutes
	Origin  int
}

// behind is how far a new event's time is behind its record's.
type behind string

const (
	behindPrompt  behind = "prompt"
	behindLate    behind = "late"     // by hours, and less than the horizon
	behindTooLate behind = "too late" // by more than the horizon
)

const (
	worldTopics  = 4
	worldOrigins = 8
)

// Horizons have slices of different sizes: of a minute, 15 minutes and an hour.
var horizons = []time.Duration{4 * time.Hour, 2 * time.Hour, 8 * time.Hour, 24 * time.Hour}

var drawDraft = rapid.Custom(func(t *rapid.T) draft {
	d := draft{Advance: rapid.IntRange(0, 40).Draw(t, "advance"), By: rapid.IntRange(0, 90).Draw(t, "by"), Origin: rapid.IntRange(0, worldOrigins-1).Draw(t, "origin")}
	switch rapid.IntRange(0, 11).Draw(t, "event") {
	case 7, 8, 9:
		d.Again = rapid.IntRange(1, 1000).Draw(t, "again")
		d.Anew = rapid.Bool().Draw(t, "anew")
	case 10:
		d.Behind = behindLate
	case 11:
		d.Behind = behindTooLate
	default:
		d.Behind = behindPrompt
	}
	return d
})

// Fuses for a job that runs, one that drains, and a batch.
var (
	fuseRunning = rapid.Custom(func(t *rapid.T) *fuse {
		return drawFuse(t, []operation{opRaw, opPanes, opCells, opIDs, opReadIDs, opLate}, 4)
	})
	fuseDraining = rapid.Custom(func(t *rapid.T) *fuse {
		return drawFuse(t, []operation{opReport, opAck, opIDs, opPanes, opCells, opRaw}, 2)
	})
	fuseBatch = rapid.Custom(func(t *rapid.T) *fuse {
		return drawFuse(t, []operation{opRaw, opPanes, opCells}, 1)
	})
)

func drawFuse(t *rapid.T, ops []operation, most int) *fuse {
	op, nth := rapid.SampledFrom(ops).Draw(t, "operation"), rapid.IntRange(1, most).Draw(t, "nth")
	moments := []moment{momentBefore, momentAfter, momentLimbo, momentRefused}
	if op == opReport { // there is one, and it is heard or not
		nth, moments = 1, moments[:2]
	}
	return &fuse{Op: op, Nth: nth, When: rapid.SampledFrom(moments).Draw(t, "moment")}
}

var drawStep = rapid.Custom(func(t *rapid.T) step {
	s := step{
		Do:    rapid.SampledFrom([]deed{doPublish, doPublish, doPublish, doPublish, doDrain, doDrain, doCrash, doCrash, doBackfill, doBackfill, doReshard, doHorizon, doCancel, doLapse}).Draw(t, "do"),
		Chunk: rapid.IntRange(1, 20).Draw(t, "chunk"), Settle: rapid.Bool().Draw(t, "settle"),
		All: rapid.Bool().Draw(t, "all"), Job: rapid.IntRange(0, worldTopics-1).Draw(t, "job"), Lapse: rapid.IntRange(0, 2).Draw(t, "lapse"),
		Away: rapid.IntRange(0, 3).Draw(t, "away") == 3, Land: rapid.Uint64Range(0, 99).Draw(t, "land"),
	}
	if rapid.IntRange(0, 4).Draw(t, "quiet") > 0 {
		s.Send = rapid.SliceOfN(drawDraft, 2, 20).Draw(t, "send")
		s.Tick = rapid.Bool().Draw(t, "tick")
	}
	s.Horizon = rapid.SampledFrom(horizons).Draw(t, "horizon")
	s.Jobs = rapid.SampledFrom([]int{1, 2, 1, 2, 4}).Draw(t, "jobs")
	switch s.Do {
	case doPublish:
		s.Leap = rapid.IntRange(0, 5).Draw(t, "leap") == 5
	case doCrash, doCancel:
		s.Fuse = fuseRunning.Draw(t, "fuse")
	case doDrain, doReshard, doHorizon:
		if rapid.Bool().Draw(t, "dies") {
			s.Fuse = fuseDraining.Draw(t, "fuse")
		}
	case doBackfill:
		s.Stopped = rapid.Bool().Draw(t, "stopped")
		s.From, s.Windows = rapid.IntRange(0, 23).Draw(t, "from"), rapid.IntRange(1, 8).Draw(t, "windows")
		s.End = rapid.SampledFrom([]ending{endComplete, endComplete, endComplete, endDies, endStays}).Draw(t, "end")
		if s.End == endDies {
			s.Fuse = fuseBatch.Draw(t, "fuse")
		}
	}
	return s
})

var drawSchedule = rapid.Custom(func(t *rapid.T) schedule {
	every := func(name string) int {
		return rapid.SampledFrom([]int{0, 0, 0, 5, 9, 13}).Draw(t, name)
	}
	return schedule{
		Jobs:       rapid.SampledFrom([]int{1, 2, 1, 2, 4}).Draw(t, "jobs"),
		Horizon:    rapid.SampledFrom(horizons).Draw(t, "horizon"),
		Partitions: rapid.IntRange(1, 2).Draw(t, "partitions"),
		Shards:     rapid.SampledFrom([]int{1, 1, localShards}).Draw(t, "shards"),
		Files:      rapid.IntRange(1, 3).Draw(t, "files"),
		Trouble:    trouble{Flaky: every("flaky"), Lost: every("lost"), Copied: every("copied")},
		Steps:      rapid.SliceOfN(drawStep, 3, 8).Draw(t, "steps"),
	}
})
