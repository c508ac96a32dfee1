package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file decides, without I/O, whether a job that somebody has started by hand
// can be taken for a generation of a job of the group.

// Adopted is a job that is, or is to be, adopted.
type Adopted struct {
	Job        string   `json:"job"`
	Kind       Kind     `json:"kind"` // adopt; keep: it was adopted before
	Generation int64    `json:"generation"`
	DataflowID string   `json:"dataflow_id"`
	Name       string   `json:"name"`  // by the service
	State      string   `json:"state"` // RUNNING, …
	Reads      []string `json:"reads"` // short names of the subscriptions; null: not known
	Unknown    []string `json:"unknown"`
}

// adopting is all that is known of a job that is to be adopted.
type adopting struct {
	group   string
	job     string
	reads   []string           // subscriptions that the spec gives to the job, full names
	owners  owners             // of all subscriptions of the group
	writes  bool               // what the job writes is kappa's to read
	latest  *tables.Generation // newest row of the highest generation; nil: none
	running *pb.Job            // the job of that name that has not ended; nil: none
	live    *pb.Job            // the job that is to be adopted
}

// decideAdoption says what a job is taken for, or all that is in the way.
func decideAdoption(a adopting) (Adopted, []string) {
	k := asKnown(a.live)
	out := Adopted{
		Job: a.job, Kind: Adopt, DataflowID: k.id, Name: a.live.GetName(), State: dataflowapi.StateName(k.state), Unknown: []string{},
	}
	var wrong []string
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if g := a.latest; g != nil && g.State == tables.StateOpen && g.DataflowJobID.StringVal == k.id {
		out.Kind, out.Generation = Keep, g.Generation
	}
	switch {
	case !starting(k.state):
		refuse("it is %s: only a job that runs can be adopted", out.State)
	case a.live.GetType() == pb.JobType_JOB_TYPE_BATCH:
		refuse("it is a batch job")
	}
	if a.running != nil && a.running.GetId() != k.id {
		refuse("a job named %s runs already, %s: drain or cancel one of the two", a.job, a.running.GetId())
	}
	if k.group != "" && k.group != a.group {
		refuse("it was launched for %s", k.group)
	}
	out.Reads = a.sources(k, refuse, &out)
	if out.Kind == Keep {
		return out, wrong
	}
	a.writer(k, &out, refuse)
	return out, wrong
}

// sources checks what the job reads, and returns the short names.
func (a adopting) sources(k *known, refuse func(string, ...any), out *Adopted) []string {
	if len(k.reads) == 0 {
		out.Unknown = append(out.Unknown, "what it reads: before the first redeploy all jobs are drained")
		return nil
	}
	var names []string
	for _, s := range k.reads {
		names = append(names, short(s))
		if _, ok := a.owners[s]; !ok {
			refuse("it reads %s, which is none of the subscriptions of %s", s, a.group)
		}
	}
	for _, s := range a.reads {
		if !slices.Contains(k.reads, s) {
			refuse("it does not read %s, which the spec gives to %s: nobody would", short(s), a.job)
		}
	}
	return names
}

// writer decides which generation the job is. Its rows count under the writer that
// it writes as: another one on record would count what is not there, and miss what
// is (invariant P2).
func (a adopting) writer(k *known, out *Adopted, refuse func(string, ...any)) {
	next := int64(1)
	if g := a.latest; g != nil {
		if next = g.Generation + 1; g.State == tables.StateOpen {
			refuse("the history has generation %d of %s as open%s: `kappa deploy apply` says how it ended", g.Generation, a.job, as(g.DataflowJobID.StringVal))
		}
	}
	out.Generation = next
	is := k.generation // as labelled
	if a.writes {
		options := pipelineOptions(a.live)
		job, okJob := options["job"]
		text, okGeneration := options["generation"]
		generation, err := strconv.ParseInt(text, 10, 64)
		switch {
		case okJob && job != a.job:
			refuse("it writes as %s: its rows would not count as those of %s", job, a.job)
		case okGeneration && (err != nil || generation < 1):
			refuse("it writes as generation %q, which is none", text)
		case okGeneration && is != 0 && is != generation:
			refuse("it writes as generation %d and is labelled as %d", generation, is)
		case okGeneration:
			is = generation
		}
		if !okJob || !okGeneration && is == 0 {
			out.Unknown = append(out.Unknown, fmt.Sprintf("which writer it is: its rows count only if its parameters say --job=%s --generation=%d", a.job, max(is, next)))
		}
	}
	switch {
	case is == 0:
	case is < next:
		refuse("it writes as generation %d, which the history has already", is)
	default:
		out.Generation = is
	}
	out.Unknown = append(out.Unknown, "which spec it runs with: the next apply replaces it")
}

func as(id string) string {
	if id == "" {
		return ""
	}
	return " as " + id
}

// pipelineOptions are the options that a pipeline was launched with, as the
// service shows them: by name, or as display data.
func pipelineOptions(j *pb.Job) map[string]string {
	out := map[string]string{}
	fields := j.GetEnvironment().GetSdkPipelineOptions().GetFields()
	for _, v := range fields["display_data"].GetListValue().GetValues() {
		f := v.GetStructValue().GetFields()
		if s, ok := scalar(f["value"]); ok {
			out[f["key"].GetStringValue()] = s
		}
	}
	shown := map[string]string{}
	for name, v := range fields["options"].GetStructValue().GetFields() {
		if s, ok := scalar(v); ok {
			shown[name] = s
		}
	}
	maps.Copy(out, shown)
	return out
}

// scalar is a string or a number as text.
func scalar(v *structpb.Value) (string, bool) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return strings.TrimSpace(k.StringValue), k.StringValue != ""
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(k.NumberValue, 'f', -1, 64), true
	}
	return "", false
}
