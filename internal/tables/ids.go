package tables

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// Table of event ids, version 1: what a generation knew of the ids it had
// counted when it forgot them, for the generations after it (rule P3). One row
// per subscription, shard of ids and slice of event time, one cell per writer
// and chunk:
//
//	row key    SUBSCRIPTION#SHARD.SHARDS#START#SIZE   slice's start as
//	           20060102T150405Z, its size in seconds
//	family     i
//	qualifier  JOB/GENERATION/CHUNK
//	timestamp  when it was written; cells older than IDMaxAge are of no use
//	value      ids, 16 bytes each
//
// Slices are of the sizes in SliceSizes, each of which divides the next, and
// are aligned to the epoch: so that a generation with another horizon, hence
// other slices, finds what overlaps its own.
const (
	IDFamily = "i"
	// IDMaxAge is how long a cell can be of use: Pub/Sub keeps a message for at
	// most 31 days, so that no job stays behind for longer, and an event within
	// the horizon of what it then reads is not older than that again.
	IDMaxAge = 31*24*time.Hour + jobspecs.MaxHorizon
)

// SliceSizes are the sizes of slices of event time, ascending.
var SliceSizes = []time.Duration{time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// SliceSize is the size of slices for a horizon: a sixteenth of it or the next
// size below, so that ids are not kept much longer than they must be, and few
// slices are alive at a time.
func SliceSize(horizon time.Duration) time.Duration {
	size := SliceSizes[0]
	for _, s := range SliceSizes {
		if s <= horizon/16 {
			size = s
		}
	}
	return size
}

// IDSlice names a row: the ids of a shard that belong to events of one
// subscription and one slice of event time.
type IDSlice struct {
	Subscription string // short name
	Shard        uint32
	Shards       int
	Start        time.Time
	Size         time.Duration
}

// RowKey is the row key of a slice.
func (s IDSlice) RowKey() string {
	return s.prefix() + s.Start.UTC().Format(rowWindowLayout) + "#" + strconv.FormatInt(int64(s.Size/time.Second), 10)
}

func (s IDSlice) prefix() string {
	return fmt.Sprintf("%s#%d.%d#", s.Subscription, s.Shard, s.Shards)
}

// Overlapping is ranges of row keys, each end exclusive, that hold the slices
// which share a moment with s, and no others.
func (s IDSlice) Overlapping() [][2]string {
	within := s.prefix() + s.Start.UTC().Format(rowWindowLayout)
	ranges := [][2]string{{within, s.prefix() + s.Start.Add(s.Size).UTC().Format(rowWindowLayout)}}
	for _, size := range SliceSizes {
		larger := s
		if larger.Start, larger.Size = s.Start.Truncate(size), size; larger.Start.Before(s.Start) {
			ranges = append(ranges, [2]string{larger.RowKey(), larger.RowKey() + "\x00"})
		}
	}
	return ranges
}

// ParseIDRowKey reads a row key.
func ParseIDRowKey(key string) (IDSlice, error) {
	bad := fmt.Errorf("row key %q is not SUBSCRIPTION#SHARD.SHARDS#START#SIZE", key)
	parts := strings.Split(key, "#")
	if len(parts) != 4 {
		return IDSlice{}, bad
	}
	shard, shards, _ := strings.Cut(parts[1], ".")
	s := IDSlice{Subscription: parts[0]}
	n, err1 := strconv.ParseUint(shard, 10, 32)
	of, err2 := strconv.ParseUint(shards, 10, 32)
	start, err3 := time.Parse(rowWindowLayout, parts[2])
	size, err4 := strconv.ParseInt(parts[3], 10, 32)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || n >= of || size < 1 {
		return IDSlice{}, bad
	}
	s.Shard, s.Shards, s.Start, s.Size = uint32(n), int(of), start, time.Duration(size)*time.Second
	return s, nil
}

// IDQualifier is the column qualifier of a chunk of a writer's ids.
func IDQualifier(w Writer, chunk int) string {
	return w.Job + "/" + strconv.FormatInt(w.Generation, 10) + "/" + strconv.Itoa(chunk)
}

// ParseIDQualifier reads a column qualifier.
func ParseIDQualifier(q string) (w Writer, chunk int, err error) {
	p := strings.Split(q, "/")
	if len(p) == 3 {
		var err1, err2 error
		w.Job = p[0]
		w.Generation, err1 = strconv.ParseInt(p[1], 10, 64)
		chunk, err2 = strconv.Atoi(p[2])
		if err1 == nil && err2 == nil {
			return w, chunk, nil
		}
	}
	return Writer{}, 0, fmt.Errorf("qualifier %q is not JOB/GENERATION/CHUNK", q)
}
