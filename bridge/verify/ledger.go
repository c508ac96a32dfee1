package verify

import (
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

const hourMillis = 3_600_000

// Samples of what is wrong, beside missing and duplicate positions, are kept up
// to this number; all are counted.
const mostSamples = 1000

// ledger is the account of one partition of one topic: offsets [from, to).
type ledger struct {
	m         *meter
	ids       IDs
	key       string // cluster/topic/partition
	hash      uint64
	partition int32
	from, to  int64

	next     int64 // offset that is read next
	filtered *set  // records that the filter drops
	dead     *set  // records that can only be dead letters
	letters  *set  // of them, those whose dead letter was found
	reasons  map[string]int64
	events   []*eventLedger // by ordinal
	first    int64          // least event time that is expected
	last     int64          // greatest

	hours []hourRun
	count map[int64]*Hour // by hour
	total Counts

	tags map[uint64]struct{} // of the ids of one record that do not follow from the position

	wrong, conflicts, unexpected []Finding
}

// eventLedger is the account of the events with one ordinal.
type eventLedger struct {
	expected, seen, again *set
	ids                   *tags // of ids that do not follow from the position
	messages              *tags // the first message that brought an event
	contents              *tags
	later                 map[int64][]uint64 // further messages of an event
}

// hourRun says that the records from an offset on are of one hour.
type hourRun struct {
	from int64
	hour int64
}

func newLedger(m *meter, ids IDs, s Span) *ledger {
	return &ledger{
		m: m, ids: ids, key: s.Key(), hash: ids.TopicHash(s.Cluster, s.TopicID), partition: s.Partition, from: s.From, to: s.To, next: s.From,
		filtered: newSet(m), dead: newSet(m), letters: newSet(m), reasons: map[string]int64{}, count: map[int64]*Hour{}, tags: map[uint64]struct{}{}, first: 1<<63 - 1, last: -1 << 63,
	}
}

// idTag is what is remembered of an id that does not follow from its position.
func idTag(id *[16]byte) uint64 { return max(1, xxhash.Sum64(id[:])) }

// record enters a record that Kafka holds, in the order of offsets.
func (l *ledger) record(offset, millis int64, x *Expected) {
	l.next = offset + 1
	hour := l.enter(offset, millis)
	l.total.Records++
	hour.Records++
	l.total.Dropped += int64(x.Dropped)
	switch x.Outcome {
	case Filtered:
		l.filtered.add(offset)
		l.total.Filtered++
		hour.Filtered++
	case DeadLettered:
		l.dead.add(offset)
		l.reasons[x.Reason]++
		l.total.DeadLettered++
		hour.DeadLettered++
	default:
		clear(l.tags)
		for i := range x.Events {
			if l.expect(offset, &x.Events[i]) {
				l.total.Expected++
				hour.Expected++
			} else {
				l.total.Repeated++
			}
		}
	}
}

// expect enters an event; it returns false where an event before it in the same
// record has its id: to every reader, those are one event.
func (l *ledger) expect(offset int64, e *Event) bool {
	at, ok := l.ids.Locate(e.ID)
	follows := ok && at == Location{l.hash, l.partition, offset, e.Ordinal}
	tag := idTag(&e.ID)
	if !follows {
		if _, twice := l.tags[tag]; twice {
			return false
		}
		l.tags[tag] = struct{}{}
	}
	for len(l.events) <= int(e.Ordinal) {
		l.events = append(l.events, nil)
	}
	el := l.events[e.Ordinal]
	if el == nil {
		el = &eventLedger{expected: newSet(l.m), seen: newSet(l.m), again: newSet(l.m), later: map[int64][]uint64{}}
		l.events[e.Ordinal] = el
	}
	el.expected.add(offset)
	if !follows {
		if el.ids == nil {
			el.ids = newTags(l.m)
		}
		el.ids.put(offset, tag)
	}
	l.first, l.last = min(l.first, e.Time), max(l.last, e.Time)
	return true
}

// enter notes the hour of a record and returns its counts.
func (l *ledger) enter(offset, millis int64) *Hour {
	hour := millis / hourMillis
	if millis%hourMillis < 0 {
		hour--
	}
	if n := len(l.hours); n == 0 || l.hours[n-1].hour != hour {
		l.hours = append(l.hours, hourRun{offset, hour})
		l.m.take(16)
	}
	return l.hourOf(hour)
}

func (l *ledger) hourOf(hour int64) *Hour {
	h := l.count[hour]
	if h == nil {
		h = &Hour{Hour: timeOf(hour * hourMillis)}
		l.count[hour] = h
	}
	return h
}

// hourAt returns the counts of the hour of a record that was entered.
func (l *ledger) hourAt(offset int64) *Hour {
	i, found := slices.BinarySearchFunc(l.hours, offset, func(r hourRun, o int64) int {
		switch {
		case r.from < o:
			return -1
		case r.from > o:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return l.hourOf(l.hours[i].hour)
}

// arrive enters an event that arrived at one of the partition's offsets.
func (l *ledger) arrive(a *Arrival) {
	if k, ok := l.match(a); ok {
		l.deliver(k, a)
		return
	}
	f := Finding{Position: l.position(a.Offset), ID: formatID(a.ID)}
	at, located := l.ids.Locate(a.ID)
	switch here := located && at.Hash == l.hash && at.Partition == l.partition && at.Offset == a.Offset; {
	case l.expects(a.Offset):
		f.Problem = "another id than the record's events have"
	case l.filtered.has(a.Offset):
		f.Problem = "the spec's filter drops this record"
		l.total.Unexpected += a.Count
		keep(&l.unexpected, f)
		return
	case l.dead.has(a.Offset):
		f.Problem = "the record can only be a dead letter"
		l.total.Unexpected += a.Count
		keep(&l.unexpected, f)
		return
	case !located || here:
		l.total.Unheld += a.Count // Kafka no longer has the record: nothing to hold it against
		return
	default:
		f.Problem = "the id belongs to another position"
	}
	if located {
		f.Problem += l.owner(at, a.Offset)
	}
	l.total.WrongIDs += a.Count
	keep(&l.wrong, f)
}

// owner says where the id of a finding belongs.
func (l *ledger) owner(at Location, offset int64) string {
	switch {
	case at.Hash != l.hash:
		return ": it is of another topic, or of an earlier topic of this name"
	case at.Partition != l.partition:
		return ": it is of partition " + strconv.Itoa(int(at.Partition)) + ", offset " + strconv.FormatInt(at.Offset, 10)
	case at.Offset != offset:
		return ": it is of offset " + strconv.FormatInt(at.Offset, 10)
	}
	return ": it is of event " + strconv.Itoa(int(at.Ordinal)) + " of the record"
}

// keep adds a sample, as long as there are few.
func keep(to *[]Finding, f Finding) {
	if len(*to) < mostSamples {
		*to = append(*to, f)
	}
}

func (l *ledger) expects(offset int64) bool {
	return slices.ContainsFunc(l.events, func(e *eventLedger) bool { return e != nil && e.expected.has(offset) })
}

// match finds which event of a record an arrival is.
func (l *ledger) match(a *Arrival) (ordinal int, ok bool) {
	if at, located := l.ids.Locate(a.ID); located && at.Hash == l.hash && at.Partition == l.partition && at.Offset == a.Offset {
		k := int(at.Ordinal)
		if k < len(l.events) && l.events[k] != nil && l.events[k].expected.has(a.Offset) && l.events[k].ids.get(a.Offset) == 0 {
			return k, true
		}
	}
	tag := idTag(&a.ID)
	for k, e := range l.events {
		if e != nil && e.ids.get(a.Offset) == tag {
			return k, true
		}
	}
	return 0, false
}

// brought reports whether a message has brought an event before.
func (e *eventLedger) brought(offset int64, message uint64) bool {
	return e.messages.get(offset) == message || slices.Contains(e.later[offset], message)
}

// deliver counts the arrival of an expected event.
func (l *ledger) deliver(k int, a *Arrival) {
	e, extra := l.events[k], a.Count
	if e.seen.add(a.Offset) {
		extra--
		l.total.Arrived++
		l.hourAt(a.Offset).Arrived++
		if a.Message != 0 {
			if e.messages == nil {
				e.messages = newTags(l.m)
			}
			e.messages.put(a.Offset, a.Message)
		}
	} else if a.Message != 0 {
		if e.brought(a.Offset, a.Message) {
			l.total.Redelivered++ // by Pub/Sub: the same message, not a second one
			return
		}
		e.later[a.Offset] = append(e.later[a.Offset], a.Message)
		l.m.take(pageCost)
	}
	if extra > 0 {
		if e.again.add(a.Offset) {
			l.total.Duplicated++
		}
		l.total.Duplicates += extra
		l.hourAt(a.Offset).Duplicates += extra
	}
	if l.conflicting(e, a) {
		l.total.Conflicts++
		keep(&l.conflicts, Finding{Position: l.position(a.Offset), ID: formatID(a.ID), Problem: "messages under this id do not hold the same"})
	}
}

// conflicting reports whether an event came with two contents.
func (l *ledger) conflicting(e *eventLedger, a *Arrival) bool {
	if a.Conflict || a.Content == 0 {
		return a.Conflict
	}
	if e.contents == nil {
		e.contents = newTags(l.m)
	}
	had := e.contents.get(a.Offset)
	if had == 0 {
		e.contents.put(a.Offset, a.Content)
	}
	return had != 0 && had != a.Content
}

// letter enters a dead letter, after all that arrived: an event that did not
// arrive and whose record is one was refused by the destination.
func (l *ledger) letter(offset int64) {
	if l.dead.has(offset) {
		if l.letters.add(offset) {
			l.total.LettersFound++
		}
		return
	}
	for _, e := range l.events {
		if e != nil && e.expected.has(offset) && e.seen.add(offset) {
			l.total.Rejected++
			l.hourAt(offset).Rejected++
		}
	}
}

// complete reports whether every expected event was seen.
func (l *ledger) complete() bool { return l.total.Arrived == l.total.Expected }

func (l *ledger) position(offset int64) string { return l.key + "/" + strconv.FormatInt(offset, 10) }

// finish makes the partition's result; lettersRead says whether dead letters
// were looked for.
func (l *ledger) finish(lettersRead bool) Partition {
	p := Partition{Partition: l.key, From: l.from, To: l.to, DeadLetters: l.reasons, Hours: []Hour{}, Missing: []Offsets{}, Duplicated: []Offsets{}, LettersMissing: []Offsets{}}
	for k, e := range l.events {
		if e == nil {
			continue
		}
		e.expected.ranges(e.seen, false, func(first, last, n int64) {
			p.Missing = append(p.Missing, Offsets{First: first, Last: last, Count: n, Ordinal: k})
		})
		e.expected.ranges(e.again, true, func(first, last, n int64) {
			p.Duplicated = append(p.Duplicated, Offsets{First: first, Last: last, Count: n, Ordinal: k})
		})
	}
	slices.SortStableFunc(p.Missing, Offsets.compare)
	slices.SortStableFunc(p.Duplicated, Offsets.compare)
	l.total.Gaps = l.to - l.from - l.total.Records
	l.total.Missing = l.total.Expected - l.total.Arrived - l.total.Rejected
	if lettersRead {
		l.total.LettersMissing = l.total.DeadLettered - l.total.LettersFound
		l.dead.ranges(l.letters, false, func(first, last, n int64) {
			p.LettersMissing = append(p.LettersMissing, Offsets{First: first, Last: last, Count: n})
		})
	}
	p.Counts = l.total
	for _, h := range l.count {
		h.Missing = h.Expected - h.Arrived - h.Rejected
		p.Hours = append(p.Hours, *h)
	}
	slices.SortFunc(p.Hours, func(a, b Hour) int { return a.Hour.Compare(b.Hour) })
	return p
}

// missing calls f with every expected event that did not come.
func (l *ledger) missing(f func(offset int64, ordinal int)) {
	for k, e := range l.events {
		if e != nil {
			e.expected.each(e.seen, func(offset int64, seen bool) {
				if !seen {
					f(offset, k)
				}
			})
		}
	}
}

func formatID(id [16]byte) string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
