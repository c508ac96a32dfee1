package catchup

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Partition is the part of a range that lies in one partition.
type Partition struct {
	Source    string // name of the cluster in the spec
	Topic     string
	TopicID   string
	Partition int32
	From, To  int64 // offsets; To is the first one that is not read
	Curve     Curve // of [From, To)

	start, end int64 // of the whole partition
	size       int64 // bytes that it takes on a broker's disk; 0 if unknown
}

func (p *Partition) String() string { return position(p.Source, p.Topic, p.Partition) }

func position(source, topic string, partition int32) string {
	return fmt.Sprintf("%s/%s/%d", source, topic, partition)
}

// Range is the part of a split that lies in one partition.
type Range struct {
	Source    string `json:"source"`
	Topic     string `json:"topic"`
	TopicID   string `json:"topicId"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"` // first offset
	To        int64  `json:"to"`   // first offset that is not part of it
	Next      int64  `json:"next"` // next offset to read: From at the start, To at the end
	Bytes     int64  `json:"bytes"`
}

func (r *Range) String() string { return position(r.Source, r.Topic, r.Partition) }

// left returns the bytes that are still to be read.
func (r *Range) left() float64 {
	if r.To <= r.From {
		return 0
	}
	return float64(r.Bytes) * float64(r.To-r.Next) / float64(r.To-r.From)
}

// Split is read by one reader.
type Split struct {
	Number int     `json:"number"`
	Bytes  int64   `json:"bytes"`
	Ranges []Range `json:"ranges"` // at most one of a partition
}

// Done reports whether all of the split was read.
func (s *Split) Done() bool {
	return !slices.ContainsFunc(s.Ranges, func(r Range) bool { return r.Next < r.To })
}

// Plan is a bounded range of records, cut into splits.
type Plan struct {
	ID        string    `json:"id"`
	Made      time.Time `json:"made"`
	Arguments string    `json:"arguments"` // that it was made with
	Bytes     int64     `json:"bytes"`
	Offsets   int64     `json:"offsets"` // records, or a little more: compaction and transactions leave offsets without one
	Splits    []Split   `json:"splits"`

	Warnings []string `json:"warnings,omitempty"`
}

// Left returns the bytes that are still to be read.
func (p *Plan) Left() int64 {
	var left float64
	for r := range p.ranges {
		left += r.left()
	}
	return int64(math.Round(left))
}

// Done reports whether all of the range was read.
func (p *Plan) Done() bool {
	return !slices.ContainsFunc(p.Splits, func(s Split) bool { return !s.Done() })
}

// Even is the largest deviation of a split from the mean, the last split aside,
// as a fraction of the mean.
func (p *Plan) Even() float64 {
	if len(p.Splits) < 2 {
		return 0
	}
	mean, worst := float64(p.Bytes)/float64(len(p.Splits)), 0.0
	for _, s := range p.Splits[:len(p.Splits)-1] {
		worst = max(worst, math.Abs(float64(s.Bytes)-mean)/mean)
	}
	return worst
}

// ranges yields the ranges of all splits.
func (p *Plan) ranges(yield func(*Range) bool) {
	for i := range p.Splits {
		for j := range p.Splits[i].Ranges {
			if !yield(&p.Splits[i].Ranges[j]) {
				return
			}
		}
	}
}

// divide cuts a range into n splits of equal bytes: partitions are laid end to
// end and cut wherever a cut falls, so that a split is what lies between two
// cuts. Cuts are placed by the sum of all bytes before them, so that an error
// of one, which is half a record at most, is not passed on. Where there are
// fewer offsets than splits, there are fewer splits.
func divide(parts []*Partition, n int) []Split {
	var total float64
	for _, p := range parts {
		total += p.Curve.Bytes()
	}
	splits := []Split{}
	current := Split{}
	add := func(p *Partition, before float64, from, to int64) {
		// The sums are rounded, not the parts: so the parts add up.
		bytes := int64(math.Round(before+p.Curve.Before(to))) - int64(math.Round(before+p.Curve.Before(from)))
		current.Bytes += bytes
		current.Ranges = append(current.Ranges, Range{
			Source: p.Source, Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition,
			From: from, To: to, Next: from, Bytes: bytes,
		})
	}
	end := func() {
		if len(current.Ranges) > 0 {
			current.Number = len(splits)
			splits = append(splits, current)
		}
		current = Split{}
	}
	var before float64 // bytes of the partitions before p
	cut := 1           // the next one to be made
	for _, p := range parts {
		at := p.From
		for ; cut < n; cut++ {
			due := total * float64(cut) / float64(n)
			if due > before+p.Curve.Bytes() {
				break
			}
			to := min(max(p.Curve.Offset(due-before), at), p.To)
			if to > at {
				add(p, before, at, to)
			}
			at = to
			end()
		}
		if at < p.To {
			add(p, before, at, p.To)
		}
		before += p.Curve.Bytes()
	}
	end()
	return splits
}

// newPlan makes a plan of n splits.
func newPlan(id string, made time.Time, arguments string, parts []*Partition, n int) *Plan {
	p := &Plan{ID: id, Made: made.UTC().Truncate(time.Second), Arguments: arguments, Splits: divide(parts, n)}
	for _, s := range p.Splits {
		p.Bytes += s.Bytes
		for _, r := range s.Ranges {
			p.Offsets += r.To - r.From
		}
	}
	return p
}
