package drain

import (
	"math"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Backlog is what a source has not yet given to the job, as the service
// estimates it. The zero value is not known: many jobs publish none.
type Backlog struct {
	Bytes    *int64 `json:"bytes,omitempty"`
	Elements *int64 `json:"elements,omitempty"`
}

// Known reports whether anything is known of it.
func (b Backlog) Known() bool { return b.Bytes != nil || b.Elements != nil }

// String writes "12 elements, 3400 bytes"; "unknown" if nothing is known.
func (b Backlog) String() string {
	var parts []string
	if b.Elements != nil {
		parts = append(parts, strconv.FormatInt(*b.Elements, 10)+" elements")
	}
	if b.Bytes != nil {
		parts = append(parts, strconv.FormatInt(*b.Bytes, 10)+" bytes")
	}
	if len(parts) == 0 {
		return "unknown"
	}
	return strings.Join(parts, ", ")
}

// size is the figure that an ETA is taken from.
func (b Backlog) size() (float64, bool) {
	switch {
	case b.Elements != nil:
		return float64(*b.Elements), true
	case b.Bytes != nil:
		return float64(*b.Bytes), true
	}
	return 0, false
}

// The names of backlog metrics end in these, whatever their separators: Beam's
// SourceMetrics and the monitoring metrics of a stage share them. Beam's metric
// of a single split has the split behind the name, and is left out.
const (
	backlogBytes    = "backlog_bytes"
	backlogElements = "backlog_elements"
)

// metricBacklog returns what a metric's name says before its ending, and which
// figure it is; false if it is no backlog.
func metricBacklog(name string) (head, figure string, ok bool) {
	name = strings.ReplaceAll(name, "-", "_")
	for _, figure := range []string{backlogBytes, backlogElements} {
		if head, ok := strings.CutSuffix(strings.ToLower(name), figure); ok {
			return strings.TrimRight(name[:len(head)], "_./"), figure, true
		}
	}
	return "", "", false
}

// backlogs returns the backlog of each place that a metric names: a stage, in
// the name or in its context, or a step, by the name of its transform.
// Committed values are preferred to tentative ones.
func backlogs(metrics []*pb.MetricUpdate) map[string]Backlog {
	out := map[string]Backlog{}
	type figure struct{ place, name string }
	tentative := map[figure]bool{}
	for _, m := range metrics {
		place, name, ok := metricBacklog(m.GetName().GetName())
		v, isNumber := m.GetScalar().GetKind().(*structpb.Value_NumberValue)
		if !ok || !isNumber || math.IsNaN(v.NumberValue) || v.NumberValue < 0 || v.NumberValue > math.MaxInt64/2 {
			continue // negative: not known
		}
		context := m.GetName().GetContext()
		for _, key := range []string{"stage", "execution_step", "step"} {
			if place == "" || strings.EqualFold(place, "windmill") {
				place = context[key]
			}
		}
		f, isTentative := figure{place, name}, context["tentative"] != ""
		if before, seen := tentative[f]; seen && (isTentative || !before) {
			continue
		}
		tentative[f] = isTentative
		b, n := out[place], int64(v.NumberValue)
		if name == backlogBytes {
			b.Bytes = &n
		} else {
			b.Elements = &n
		}
		out[place] = b
	}
	return out
}

// joinBacklogs gives the sources their backlogs: by the stage that reads them,
// else by a step of that stage. A single source takes what names no place.
func joinBacklogs(sources []Source, d *pb.PipelineDescription, metrics []*pb.MetricUpdate) {
	byPlace := backlogs(metrics)
	if len(byPlace) == 0 {
		return
	}
	steps := map[string][]string{} // names of a stage's transforms
	for _, s := range d.GetExecutionPipelineStage() {
		for _, c := range s.GetComponentTransform() {
			steps[s.GetName()] = append(steps[s.GetName()], c.GetUserName(), c.GetName(), c.GetOriginalTransform())
		}
	}
	for i, s := range sources {
		places := append([]string{s.Stage}, steps[s.Stage]...)
		if len(sources) == 1 {
			places = append(places, "")
		}
		for _, p := range places {
			if b, ok := byPlace[p]; ok && (p != "" || len(sources) == 1) {
				sources[i].Backlog = b
				break
			}
		}
	}
}

// shrinking follows a backlog and says when it is gone. The zero value is ready
// for use. It does no I/O and reads no clock.
type shrinking struct {
	samples []backlogSample // in order of time
}

type backlogSample struct {
	at   time.Time
	size float64
}

// add adds what was read at a time; what is not known is left out.
func (s *shrinking) add(at time.Time, b Backlog) {
	size, ok := b.size()
	if !ok {
		return
	}
	s.samples = append(s.samples, backlogSample{at, size})
	for len(s.samples) > 2 && (len(s.samples) > rateSamples || at.Sub(s.samples[0].at) > rateWindow) {
		s.samples = s.samples[1:]
	}
}

// eta is how long the backlog takes to be gone as it shrinks now; 0: not known,
// or it does not shrink.
func (s *shrinking) eta() time.Duration {
	if len(s.samples) < 2 {
		return 0
	}
	first, last := s.samples[0], s.samples[len(s.samples)-1]
	wall, gone := last.at.Sub(first.at), first.size-last.size
	if wall <= 0 || gone <= 0 {
		return 0
	}
	if eta := last.size / gone * float64(wall); eta < float64(longestETA) {
		return time.Duration(eta)
	}
	return 0
}
