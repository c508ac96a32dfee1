package deploy

import (
	"fmt"
	"slices"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
)

// This file decides, without I/O, who may read a subscription. Ids are dropped
// within a job only, and a job's ids are handed over at its end: while two jobs
// read one subscription, an event that is delivered twice would be counted by
// both. So a job is never launched while another one reads what it will read.

// owners is which job will read a subscription, by its full name.
type owners map[string]string

// reshard says why no job may be launched before all that are to be drained
// have drained; empty if each can be replaced by itself. What a job reads is
// taken from the service where it says so; from the spec of a job that already
// runs with the wanted one; else it is not known, and then nothing is assumed
// (invariant D3).
func reshard(wanted owners, jobs []Action, active map[string]known) string {
	for _, a := range jobs {
		j, runs := active[a.Job]
		switch {
		case !runs || a.Kind == Blocked:
			continue
		case a.Kind == Retire:
			return fmt.Sprintf("%s is no longer in the spec", a.Job)
		case j.reads == nil && (a.Kind == Replace || a.Kind == Cancel || a.Kind == Update && !sameSources(a.Changes)):
			return fmt.Sprintf("what %s reads is not known", a.Job)
		}
		for _, s := range j.reads {
			if owner, ok := wanted[s]; ok && owner != a.Job {
				return fmt.Sprintf("%s reads %s, which becomes %s's", a.Job, short(s), owner)
			}
		}
	}
	return ""
}

// reads are the subscriptions that a job reads, by their full names; nil where
// the service does not say, or says only that it reads a topic.
func reads(j *pb.Job) []string {
	var out []string
	for _, d := range j.GetJobMetadata().GetPubsubDetails() {
		s := d.GetSubscription()
		if s == "" {
			return nil
		}
		if !strings.Contains(s, "/") {
			s = subscription(j.GetProjectId(), s)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// reader is a job that reads a subscription which another job is to read.
type reader struct {
	job          *pb.Job
	subscription string // full name
	owner        string // the job that is to read it
}

// readers are the jobs, of those that run, that read a subscription of another
// job.
func (o owners) readers(active []*pb.Job) []reader {
	var out []reader
	for _, j := range active {
		for _, d := range j.GetJobMetadata().GetPubsubDetails() {
			s := d.GetSubscription()
			if !strings.Contains(s, "/") {
				s = subscription(j.GetProjectId(), s)
			}
			if owner, ok := o[s]; ok && owner != j.GetName() {
				out = append(out, reader{job: j, subscription: s, owner: owner})
			}
		}
	}
	return out
}

func subscription(project, name string) string {
	return "projects/" + project + "/subscriptions/" + name
}

// short is the last part of a full name.
func short(full string) string { return full[strings.LastIndexByte(full, '/')+1:] }
