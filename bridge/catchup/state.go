package catchup

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// topicIDMark begins the metadata of the offsets that the bridge commits; what
// is handed over carries it too.
const topicIDMark = "kappa topic-id="

// noteMark begins the metadata of the offsets of a plan.
const noteMark = "kappa catch-up "

// note is what is kept with the offset of each range of a plan: all of the plan
// can be read back from the notes. Kafka takes 4,096 bytes.
type note struct {
	Plan      string    `json:"plan"`
	Made      time.Time `json:"made"`
	Arguments string    `json:"args"`
	Split     int       `json:"split"`
	Splits    int       `json:"of"`
	Ranges    int       `json:"ranges"` // of all splits
	From      int64     `json:"from"`
	To        int64     `json:"to"`
	Bytes     int64     `json:"bytes"`
	TopicID   string    `json:"topicId"`
}

func (n note) text() (string, error) {
	b, err := json.Marshal(n)
	if err != nil {
		return "", err
	}
	return noteMark + string(b), nil
}

func parseNote(metadata string) (note, error) {
	var n note
	text, ok := strings.CutPrefix(metadata, noteMark)
	if !ok {
		return n, errors.New("its metadata is not that of a catch-up")
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return n, fmt.Errorf("its metadata cannot be read: %w", err)
	}
	if n.Plan == "" || n.Splits < 1 || n.Split < 0 || n.Split >= n.Splits || n.From < 0 || n.To <= n.From || n.Ranges < 1 || n.Bytes < 0 {
		return n, errors.New("its metadata contradicts itself")
	}
	return n, nil
}

func (p *Plan) note(split int, r *Range) note {
	ranges := 0
	for i := range p.Splits {
		ranges += len(p.Splits[i].Ranges)
	}
	return note{
		Plan: p.ID, Made: p.Made, Arguments: p.Arguments, Split: split, Splits: len(p.Splits), Ranges: ranges,
		From: r.From, To: r.To, Bytes: r.Bytes, TopicID: r.TopicID,
	}
}

// splitGroup is the group that holds the position of a split.
func splitGroup(group string, split int) string { return fmt.Sprintf("%s.catchup-%d", group, split) }

// splitOf is the reverse of splitGroup.
func splitOf(group, name string) (int, bool) {
	number, ok := strings.CutPrefix(name, group+".catchup-")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(number)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == number
}

func parseTopicID(s string) (id [16]byte, err error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is not a topic id", s)
	}
	return [16]byte(b), nil
}

// groups lists the groups of splits of a cluster, by number.
func (c *cluster) groups(ctx context.Context) ([]string, error) {
	listed, err := c.admin.ListGroups(ctx)
	if err != nil {
		return nil, c.wrap("list the consumer groups", err)
	}
	var found []string
	for _, name := range listed.Groups() {
		if _, ok := splitOf(c.Spec.Group, name); ok {
			found = append(found, name)
		}
	}
	slices.SortFunc(found, func(a, b string) int {
		x, _ := splitOf(c.Spec.Group, a)
		y, _ := splitOf(c.Spec.Group, b)
		return cmp.Compare(x, y)
	})
	return found, nil
}

// stored is a range as it was found in Kafka.
type stored struct {
	note note
	Range
}

// load reads what the groups of a cluster hold.
func (c *cluster) load(ctx context.Context) ([]stored, error) {
	names, err := c.groups(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var found []stored
	for chunk := range slices.Chunk(names, 100) {
		many, _ := patiently(ctx, func() (kadm.FetchOffsetsResponses, error) {
			many := c.admin.FetchManyOffsets(ctx, chunk...)
			return many, many.Error() // the error of each is looked at below
		})
		for _, name := range chunk {
			of, ok := many[name]
			if !ok {
				return nil, c.wrap("read the plan of the catch-up", fmt.Errorf("group %s was not answered for", name))
			}
			if of.Err != nil {
				return nil, c.wrap("read the plan of the catch-up from group "+name, of.Err)
			}
			for _, o := range of.Fetched.Sorted() {
				if o.Err != nil {
					return nil, c.wrap("read the plan of the catch-up from group "+name, o.Err)
				}
				if o.At < 0 {
					continue
				}
				n, err := parseNote(o.Metadata)
				if number, _ := splitOf(c.Spec.Group, name); err == nil && n.Split != number {
					err = fmt.Errorf("it says it is split %d", n.Split)
				}
				if err == nil && (o.At < n.From || o.At > n.To) {
					err = fmt.Errorf("its offset %d is not within %d to %d", o.At, n.From, n.To)
				}
				if err != nil {
					return nil, exit.Environmentf("source %s: group %s, %s/%d: %w", c.Name, name, o.Topic, o.Partition, err).
						WithHint("something else commits to that group; drop the plan with kappa bridge catchup --discard and begin again")
				}
				found = append(found, stored{n, Range{
					Source: c.Name, Topic: o.Topic, TopicID: n.TopicID, Partition: o.Partition,
					From: n.From, To: n.To, Next: o.At, Bytes: n.Bytes,
				}})
			}
		}
	}
	return found, nil
}

// errIncomplete says that only a part of a plan is in Kafka.
type errIncomplete struct {
	found   []stored
	missing int // ranges; -1: parts of several plans
}

func (e *errIncomplete) Error() string {
	if e.missing < 0 {
		return "the plan in Kafka is mixed of parts of several"
	}
	return fmt.Sprintf("%d of the %d ranges of the plan are missing in Kafka", e.missing, len(e.found)+e.missing)
}

// untouched reports whether nothing of what was found has been read yet.
func (e *errIncomplete) untouched() bool {
	return !slices.ContainsFunc(e.found, func(s stored) bool { return s.Next != s.From })
}

// finished reports whether all of what was found has been read.
func (e *errIncomplete) finished() bool {
	return !slices.ContainsFunc(e.found, func(s stored) bool { return s.Next != s.To })
}

// assemble puts a plan together again; nil if there is none.
func assemble(found []stored) (*Plan, error) {
	if len(found) == 0 {
		return nil, nil
	}
	first := found[0].note
	for _, s := range found {
		if s.note.Plan != first.Plan || s.note.Splits != first.Splits || s.note.Ranges != first.Ranges {
			return nil, &errIncomplete{found: found, missing: -1}
		}
	}
	if missing := first.Ranges - len(found); missing != 0 {
		return nil, &errIncomplete{found: found, missing: missing}
	}
	p := &Plan{ID: first.Plan, Made: first.Made, Arguments: first.Arguments, Splits: make([]Split, first.Splits)}
	for i := range p.Splits {
		p.Splits[i].Number = i
	}
	for _, s := range found {
		to := &p.Splits[s.note.Split]
		to.Ranges = append(to.Ranges, s.Range)
		to.Bytes += s.Bytes
		p.Bytes += s.Bytes
		p.Offsets += s.To - s.From
	}
	for i := range p.Splits {
		slices.SortFunc(p.Splits[i].Ranges, func(a, b Range) int {
			return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
	}
	return p, nil
}

// commit commits the positions of a split's ranges: r.Next of each.
func (c *cluster) commit(ctx context.Context, p *Plan, split int, ranges []*Range) error {
	offsets := make(kadm.Offsets)
	for _, r := range ranges {
		text, err := p.note(split, r).text()
		if err != nil {
			return err
		}
		offsets.Add(kadm.Offset{Topic: r.Topic, Partition: r.Partition, At: r.Next, LeaderEpoch: -1, Metadata: text})
	}
	if err := c.set(ctx, splitGroup(c.Spec.Group, split), offsets); err != nil {
		return c.wrap(fmt.Sprintf("commit the positions of split %d", split), err)
	}
	return nil
}

// drop deletes the groups of all splits and returns how many there were.
func (c *cluster) drop(ctx context.Context) (int, error) {
	names, err := c.groups(ctx)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	resp, err := c.admin.DeleteGroups(ctx, names...)
	if err != nil {
		return 0, c.wrap("delete the groups of the catch-up", err)
	}
	for _, r := range resp.Sorted() {
		if r.Err != nil && !errors.Is(r.Err, kerr.GroupIDNotFound) {
			return 0, c.wrap("delete group "+r.Group, r.Err)
		}
	}
	return len(names), nil
}
