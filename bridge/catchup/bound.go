package catchup

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Bound is an end of a range.
type Bound struct {
	given   bool // not the default for want of a value
	kind    boundKind
	time    time.Time
	offsets map[string]int64 // by SOURCE/TOPIC/PARTITION or TOPIC/PARTITION
}

type boundKind int

const (
	boundDefault boundKind = iota // from: the group's committed offset; to: the end
	boundEarliest
	boundTime
	boundOffsets
)

// ParseBound reads the values of --from or --to (flag is its name): one of
// committed or earliest (from), end (to) or a time (RFC 3339), or any number of
// TOPIC/PARTITION=OFFSET, with SOURCE/ in front where several clusters are
// read. No value is the default: committed, end. The errors carry exit.Usage.
func ParseBound(flag string, values []string) (Bound, error) {
	b := Bound{offsets: make(map[string]int64)}
	var all []string
	for _, v := range values {
		for _, one := range strings.Split(v, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	bad := func(v string) error {
		word := "committed, earliest"
		if flag == "to" {
			word = "end"
		}
		return exit.Usagef("--%s %q is neither %s, a time nor an offset", flag, v, word).
			WithHint("write a time as 2026-01-31T08:00:00Z, offsets as TOPIC/PARTITION=OFFSET, separated by commas")
	}
	b.given = len(all) > 0
	for _, v := range all {
		if place, number, ok := strings.Cut(v, "="); ok {
			n, err := strconv.ParseInt(number, 10, 64)
			slashes := strings.Count(place, "/")
			partition := place[strings.LastIndex(place, "/")+1:]
			if _, perr := strconv.ParseUint(partition, 10, 31); err != nil || perr != nil || n < 0 || slashes < 1 || slashes > 2 {
				return Bound{}, bad(v)
			}
			if _, twice := b.offsets[place]; twice {
				return Bound{}, exit.Usagef("--%s names %s twice", flag, place)
			}
			b.kind, b.offsets[place] = boundOffsets, n
			continue
		}
		if len(all) > 1 {
			return Bound{}, exit.Usagef("--%s %q stands beside other values: only offsets may be several", flag, v)
		}
		switch {
		case flag == "from" && v == "committed", flag == "to" && v == "end":
		case flag == "from" && v == "earliest":
			b.kind = boundEarliest
		default:
			t, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return Bound{}, bad(v)
			}
			b.kind, b.time = boundTime, t
		}
	}
	return b, nil
}

// text writes a bound so that equal ones are written alike.
func (b Bound) text(other string) string {
	switch b.kind {
	case boundEarliest:
		return "earliest"
	case boundTime:
		return b.time.UTC().Format(time.RFC3339Nano)
	case boundOffsets:
		var s []string
		for _, place := range slices.Sorted(maps.Keys(b.offsets)) {
			s = append(s, fmt.Sprintf("%s=%d", place, b.offsets[place]))
		}
		return strings.Join(s, ",")
	}
	return other
}

// offset looks up an explicit offset.
func (b Bound) offset(source, topic string, partition int32) (int64, bool) {
	if o, ok := b.offsets[position(source, topic, partition)]; ok {
		return o, true
	}
	o, ok := b.offsets[fmt.Sprintf("%s/%d", topic, partition)]
	return o, ok
}

// partitions lists the partitions of a topic that have an explicit offset.
func (b Bound) partitions(source, topic string) []int32 {
	var found []int32
	for place := range b.offsets {
		i := strings.LastIndex(place, "/")
		if of := place[:i]; of == topic || of == source+"/"+topic {
			n, _ := strconv.ParseInt(place[i+1:], 10, 32) // as ParseBound has checked
			found = append(found, int32(n))
		}
	}
	return found
}

// extent is what is known of a partition when a range is resolved.
type extent struct {
	name       string
	start, end int64 // end: of what can be read
	committed  int64 // -1: the group has no offset
	begin      int64 // where the group starts without an offset
	accepted   int64 // where it goes on after a gap that was accepted; -1: none was
	from, to   int64 // of the bounds' times, where they are times
}

// resolve returns the offsets of a range in a partition. It refuses what is
// not there any more, or not there yet (invariant B3): a range begins where it
// is said to, never somewhat later.
func resolve(from, to Bound, e extent, source, topic string, partition int32) (int64, int64, error) {
	var a, b int64
	explicit := false
	switch from.kind {
	case boundEarliest:
		a = e.start
	case boundTime:
		a = e.from
	case boundOffsets:
		a, explicit = from.offset(source, topic, partition)
	}
	if from.kind == boundDefault || from.kind == boundOffsets && !explicit {
		if a = e.committed; a < 0 {
			a = e.begin
		}
		if a < e.start {
			a = max(a, e.accepted)
		}
	}
	if a < e.start {
		err := exit.Environmentf("%s: offsets %d to %d (%d of them) are gone from Kafka, and the range begins at %d", e.name, a, e.start-1, e.start-a, a)
		if explicit {
			return 0, 0, err.WithHint("begin the range at %d or later", e.start)
		}
		return 0, 0, err.WithHint("accept the gap (kappa bridge accept), or read what is left with --from earliest")
	}
	switch b = e.end; to.kind {
	case boundTime:
		b = min(b, e.to)
	case boundOffsets:
		if o, ok := to.offset(source, topic, partition); ok {
			if b = o; o > e.end {
				return 0, 0, exit.Usagef("--to: %s ends at offset %d, before %d", e.name, e.end, o)
			}
		}
	}
	if a > e.end {
		return 0, 0, exit.Environmentf("%s: the range begins at offset %d, but the log ends at %d: it was cut back, or the topic was created again", e.name, a, e.end).
			WithHint("see which offsets are gone with kappa bridge check, and accept the gap with kappa bridge accept")
	}
	return a, max(a, b), nil
}

// maxBound is how much of a bound is kept with each range of a plan; Kafka
// takes 4,096 bytes of metadata.
const maxBound = 500

// kept is text, or a digest of it where it is too long to be kept.
func (b Bound) kept(other string) string {
	text := b.text(other)
	if len(text) <= maxBound {
		return text
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
}

// Request says what is to be planned.
type Request struct {
	From, To    Bound
	Splits      int
	SplitsGiven bool // not the default
}

// arguments writes a request so that equal ones are written alike.
func (r Request) arguments() string {
	return fmt.Sprintf("--from %s --to %s --splits %d", r.From.kept("committed"), r.To.kept("end"), r.Splits)
}

// Accords reports whether a plan was made with the arguments that are given;
// those that are not may be what they are.
func (p *Plan) Accords(r Request) bool {
	before, splits, _ := strings.Cut(p.Arguments, " --splits ")
	from, to, _ := strings.Cut(strings.TrimPrefix(before, "--from "), " --to ")
	return (!r.From.given || from == r.From.kept("committed")) && (!r.To.given || to == r.To.kept("end")) &&
		(!r.SplitsGiven || splits == strconv.Itoa(r.Splits))
}

// named refuses explicit offsets of partitions that there are not: a mistyped
// name would leave a partition at its default.
func (c *Catchup) named(req Request) error {
	for flag, b := range map[string]Bound{"from": req.From, "to": req.To} {
		for place := range b.offsets {
			parts := strings.Split(place, "/")
			var sources []string
			for _, s := range c.cfg.Sources {
				if (len(parts) == 2 || parts[0] == s.Name) && slices.Contains(c.clusters[s.Name].topics, parts[len(parts)-2]) {
					sources = append(sources, s.Name)
				}
			}
			if len(sources) == 0 {
				return exit.Usagef("--%s: %s is of none of the topics that the spec reads", flag, place).
					WithHint("write TOPIC/PARTITION=OFFSET with a topic of spec.sources")
			}
			if len(sources) > 1 {
				return exit.Usagef("--%s: %s is in several clusters (%s)", flag, place, strings.Join(sources, ", ")).
					WithHint("write SOURCE/TOPIC/PARTITION=OFFSET")
			}
		}
	}
	return nil
}
