package drain

import (
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
)

// Source is a source of a job with its watermark.
type Source struct {
	Subscription string    `json:"subscription,omitempty"` // projects/P/subscriptions/S
	Topic        string    `json:"topic,omitempty"`        // projects/P/topics/T, where the job reads a topic
	Stage        string    `json:"stage,omitempty"`        // the service's name of the stage that reads it; empty: not known
	Watermark    Watermark `json:"watermark"`
	Backlog      Backlog   `json:"backlog,omitzero"` // not known: the service publishes none
}

// Name is the short name of the subscription or topic.
func (s Source) Name() string {
	full := s.Subscription
	if full == "" {
		full = s.Topic
	}
	return full[strings.LastIndexByte(full, '/')+1:]
}

// Reading is what the API says of a job at one moment.
type Reading struct {
	Job        string           `json:"job"`
	ID         string           `json:"id"`
	Generation int64            `json:"generation,omitempty"` // as labelled; 0: not labelled
	State      string           `json:"state"`                // RUNNING, DRAINING, …
	At         time.Time        `json:"at"`
	Sources    []Source         `json:"sources"`
	Pipeline   Watermark        `json:"pipeline"`           // least watermark of all stages: what has gone through
	Counters   map[string]int64 `json:"counters,omitempty"` // the job's own counters
}

// Watermark is the least watermark of the job's sources: unknown where one of
// them is.
func (r Reading) Watermark() Watermark {
	ws := make([]Watermark, 0, len(r.Sources))
	for _, s := range r.Sources {
		ws = append(ws, s.Watermark)
	}
	return least(ws)
}

// newest is the greatest time of a source's watermark.
func (r Reading) newest() time.Time {
	var t time.Time
	for _, s := range r.Sources {
		if at, ok := s.Watermark.Time(); ok && at.After(t) {
			t = at
		}
	}
	return t
}

// newReading makes a reading of a job with its description, and its metrics.
func newReading(j *pb.Job, metrics []*pb.MetricUpdate, at time.Time) Reading {
	r := Reading{
		Job: j.GetName(), ID: j.GetId(), Generation: dataflowapi.Generation(j),
		State: dataflowapi.StateName(j.GetCurrentState()), At: at,
		Sources: sources(j), Counters: counters(metrics),
	}
	byStage := stageWatermarks(metrics)
	all := make([]Watermark, 0, len(byStage))
	for _, w := range byStage {
		all = append(all, w)
	}
	r.Pipeline = least(all)
	for i := range r.Sources {
		switch w, ok := byStage[r.Sources[i].Stage]; {
		case ok:
			r.Sources[i].Watermark = w
		case len(r.Sources) == 1 && len(byStage) == 1:
			// One source and one watermark that is not joined to it: its own.
			r.Sources[i].Watermark = r.Pipeline
		}
	}
	joinBacklogs(r.Sources, j.GetPipelineDescription(), metrics)
	return r
}

// sources are the Pub/Sub sources of a job, by name, and the stages that read
// them. The description is preliminary on the service's side: a source that
// cannot be joined to a stage has none, and an unknown watermark.
func sources(j *pb.Job) []Source {
	var out []Source
	for _, d := range j.GetJobMetadata().GetPubsubDetails() {
		out = append(out, Source{Subscription: d.GetSubscription(), Topic: d.GetTopic()})
	}
	reads := readTransforms(j.GetPipelineDescription())
	for _, belong := range []func(readTransform, Source) bool{readTransform.displays, readTransform.isNamedAfter} {
		for i := range out {
			if out[i].Stage != "" {
				continue
			}
			if k := slices.IndexFunc(reads, func(r readTransform) bool { return belong(r, out[i]) }); k >= 0 {
				out[i].Stage = reads[k].stage
				reads = slices.Delete(reads, k, k+1)
			}
		}
	}
	// One source and one read are left: they belong together.
	var left []int
	for i := range out {
		if out[i].Stage == "" {
			left = append(left, i)
		}
	}
	if len(left) == 1 && len(reads) == 1 {
		out[left[0]].Stage = reads[0].stage
	}
	slices.SortFunc(out, func(a, b Source) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// readTransform is a transform that reads a source, and the stage that it runs in.
type readTransform struct {
	name    string
	display []string // values of its display data
	stage   string
}

// readTransforms joins read transforms to stages by the stages' components.
// Reads that are in no stage are left out.
func readTransforms(d *pb.PipelineDescription) []readTransform {
	stages := map[string]string{} // by original transform
	for _, s := range d.GetExecutionPipelineStage() {
		for _, c := range s.GetComponentTransform() {
			if _, ok := stages[c.GetOriginalTransform()]; !ok {
				stages[c.GetOriginalTransform()] = s.GetName()
			}
		}
	}
	var out []readTransform
	for _, t := range d.GetOriginalPipelineTransform() {
		stage, ok := stages[t.GetName()]
		if !ok {
			stage = stages[t.GetId()]
		}
		if t.GetKind() != pb.KindType_READ_KIND || stage == "" {
			continue
		}
		r := readTransform{name: t.GetName(), stage: stage}
		for _, v := range t.GetDisplayData() {
			r.display = append(r.display, v.GetStrValue())
		}
		out = append(out, r)
	}
	return out
}

// displays reports whether the transform's display data names the source.
func (r readTransform) displays(s Source) bool {
	return s.Subscription != "" && slices.Contains(r.display, s.Subscription) || s.Topic != "" && slices.Contains(r.display, s.Topic)
}

// isNamedAfter reports whether the transform's name has the source's name in
// it, as a whole: flights-1 is not in "Read flights-10".
func (r readTransform) isNamedAfter(s Source) bool {
	return s.Name() != "" && slices.Contains(strings.FieldsFunc(r.name, func(c rune) bool {
		return c == ' ' || c == '/' || c == '(' || c == ')' || c == ':' || c == '[' || c == ']' || c == '"'
	}), s.Name())
}

// counters are the job's own counters, committed ones before tentative ones.
func counters(metrics []*pb.MetricUpdate) map[string]int64 {
	out := map[string]int64{}
	for _, tentative := range []bool{true, false} {
		for _, m := range metrics {
			n := m.GetName()
			if n.GetOrigin() != "user" || n.GetContext()["step"] != "" || (n.GetContext()["tentative"] != "") != tentative {
				continue
			}
			if v, ok := m.GetScalar().GetKind().(*structpb.Value_NumberValue); ok {
				out[n.GetName()] = int64(v.NumberValue)
			}
		}
	}
	return out
}
