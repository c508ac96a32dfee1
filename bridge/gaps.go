package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Kinds of gaps: what happened to the offsets that are gone.
const (
	GapTruncated = "truncated"  // removed before they were read
	GapCutBack   = "cut-back"   // read, and then lost by the cluster: new records take their places
	GapRecreated = "re-created" // the topic was deleted and created again
	GapOther     = "other"      // nothing is gone as far as the log shows: records are skipped because somebody says so
	gapUnknown   = "unknown"    // still being looked up
	gapNone      = "none"       // the offset that was out of range is within the log
)

// gap is why a partition is stopped, and where it could go on.
type gap struct {
	What string // is gone, for people
	Kind string
	Due  int64 // the offset at which reading stopped
	From int64 // the first offset that is gone, or that was due
	To   int64 // where reading could go on; -1: not known
}

// Acceptance is an operator's word that a gap may be passed over (rule B3). It
// stands in the metadata of an offset of the group acceptedGroup names.
type Acceptance struct {
	Kind    string     `json:"kind"`
	TopicID string     `json:"topic_id"` // as kadm writes it
	Due     int64      `json:"due"`      // the offset that was due; -1: the group had none
	From    int64      `json:"from"`     // first offset that is passed over
	To      int64      `json:"to"`       // where reading goes on
	Lost    int64      `json:"lost"`     // offsets that are passed over; -1: nobody knows
	By      string     `json:"by"`
	Reason  string     `json:"reason"`
	Time    time.Time  `json:"time"`
	Applied *time.Time `json:"applied,omitempty"` // when the bridge went on; nil: not yet
}

// acceptedMark begins the metadata of an acceptance.
const acceptedMark = "kappa accepted="

// maxAccepted is what brokers take of an offset's metadata by default, in bytes.
const maxAccepted = 4096

// acceptedGroup is the group that holds the acceptances of a group's gaps. It
// never has members, so that anybody who may commit to it can.
func acceptedGroup(group string) string { return group + ".kappa-accepted" }

// fits reports whether a covers g, of a topic whose id now is now.
//
// invariant B3: nothing is passed over but what somebody has looked at.
func (a *Acceptance) fits(g gap, now kadm.TopicID) bool {
	switch {
	case a.Applied != nil || a.TopicID != now.String():
		return false
	case a.Kind == GapOther || g.Kind == GapOther:
		return a.Due == g.Due && g.Kind != gapUnknown && g.Kind != gapNone
	case a.Kind != g.Kind:
		return false
	case g.Kind == GapTruncated: // what was in flight when it was accepted may have got through since
		return a.Due <= g.Due && g.Due < a.To
	case g.Kind == GapCutBack:
		return a.Due == g.Due
	default:
		return g.Kind == GapRecreated
	}
}

// passed is how many offsets are passed over by accepting g with a; what nobody
// knows counts as none.
func (a *Acceptance) passed(g gap) int64 {
	if g.Kind == GapTruncated {
		return max(0, a.To-g.Due)
	}
	return max(0, a.Lost)
}

// text is the metadata of a.
func (a *Acceptance) text() (string, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	if n := len(acceptedMark) + len(b); n > maxAccepted {
		return "", exit.Usagef("the acceptance has %d bytes, Kafka keeps %d", n, maxAccepted).WithHint("shorten the reason")
	}
	return acceptedMark + string(b), nil
}

// parseAcceptance reads the metadata of an offset; false: it is none.
func parseAcceptance(metadata string) (*Acceptance, bool) {
	text, ok := strings.CutPrefix(metadata, acceptedMark)
	if !ok {
		return nil, false
	}
	var a Acceptance
	if json.Unmarshal([]byte(text), &a) != nil || a.To < 0 {
		return nil, false
	}
	return &a, true
}

// acceptances looks up what was accepted of topics.
func acceptances(ctx context.Context, admin *kadm.Client, group string, topics ...string) (map[partitionID]*Acceptance, error) {
	offsets, err := committedOffsets(ctx, admin, acceptedGroup(group), topics...)
	if err != nil {
		return nil, fmt.Errorf("look up accepted gaps: %w", err)
	}
	found := make(map[partitionID]*Acceptance)
	offsets.Each(func(o kadm.OffsetResponse) {
		if a, ok := parseAcceptance(o.Metadata); ok && o.Err == nil {
			found[partitionID{o.Topic, o.Partition}] = a
		}
	})
	return found, nil
}

// committedOffsets are the committed offsets of a group, none of a group that
// is not there.
func committedOffsets(ctx context.Context, admin *kadm.Client, group string, topics ...string) (kadm.OffsetResponses, error) {
	offsets, err := admin.FetchOffsetsForTopics(ctx, group, topics...)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	return offsets, err
}

// record writes an acceptance of a partition.
func (a *Acceptance) record(ctx context.Context, admin *kadm.Client, group string, id partitionID) error {
	text, err := a.text()
	if err != nil {
		return err
	}
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: id.topic, Partition: id.partition, At: a.To, LeaderEpoch: -1, Metadata: text})
	if err := admin.CommitAllOffsets(ctx, acceptedGroup(group), o); err != nil {
		return fmt.Errorf("record the acceptance in group %s: %w", acceptedGroup(group), err)
	}
	return nil
}
