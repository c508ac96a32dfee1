package dataflowtest

import (
	"io"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/storage"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// What the flights' spec names.
const (
	FlightsStaging   = "kappa-demo-staging"     // bucket
	FlightsTemplates = "kappa-demo-templates"   // bucket
	FlightsTemplate  = "kappa-pipeline-v1.json" // object
)

// Load loads the one StreamJob of a file.
func Load(t testing.TB, file string) *jobspecs.StreamJob {
	t.Helper()
	set, err := jobspecs.Load([]string{file}, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	return set.StreamJobs[0]
}

// PrepareFlights creates what deploying the flights' spec expects to find: the
// subscriptions on a topic each, the buckets and the template.
func PrepareFlights(t testing.TB, job *jobspecs.StreamJob, ps *pubsub.Client, st *storage.Client) {
	t.Helper()
	for _, name := range job.Spec.Sources.Names() {
		Subscribe(t, job, ps, name, name)
	}
	for _, bucket := range []string{FlightsStaging, FlightsTemplates} {
		if err := st.Bucket(bucket).Create(t.Context(), job.Spec.Project, &storage.BucketAttrs{}); err != nil {
			t.Fatal(err)
		}
	}
	Write(t, st, FlightsTemplates, FlightsTemplate, TemplateJSON)
}

// Reading are behaviours of workers that read what a spec gives to its jobs.
func Reading(job *jobspecs.StreamJob) map[string]Behaviour {
	behaviours := map[string]Behaviour{}
	for i, name := range job.JobNames() {
		var b Behaviour
		for _, s := range job.JobSubscriptions(i) {
			b.Sources = append(b.Sources, "projects/"+job.Spec.Project+"/subscriptions/"+s)
		}
		behaviours[name] = b
	}
	return behaviours
}

// Subscribe creates a topic, unless there is one, and a subscription, changed.
func Subscribe(t testing.TB, job *jobspecs.StreamJob, ps *pubsub.Client, topic, subscription string, change ...func(*pubsubpb.Subscription)) {
	t.Helper()
	full := "projects/" + job.Spec.Project + "/topics/" + topic
	if _, err := ps.TopicAdminClient.GetTopic(t.Context(), &pubsubpb.GetTopicRequest{Topic: full}); err != nil {
		if _, err := ps.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: full}); err != nil {
			t.Fatal(err)
		}
	}
	s := &pubsubpb.Subscription{Name: "projects/" + job.Spec.Project + "/subscriptions/" + subscription, Topic: full, AckDeadlineSeconds: 60}
	for _, fn := range change {
		fn(s)
	}
	if _, err := ps.SubscriptionAdminClient.CreateSubscription(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// Write writes an object.
func Write(t testing.TB, st *storage.Client, bucket, object, text string) {
	t.Helper()
	w := st.Bucket(bucket).Object(object).NewWriter(t.Context())
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Read reads an object.
func Read(t testing.TB, st *storage.Client, bucket, object string) []byte {
	t.Helper()
	r, err := st.Bucket(bucket).Object(object).NewReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
