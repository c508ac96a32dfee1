package terraform

import (
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// own is the principal of a service account that is declared for one part.
func (g *generator) own(project, role, name, shows, why string) principal {
	wish := identifier(role, name)
	if name == "" {
		wish = identifier(role, project)
	}
	ref := g.serviceAccount(project, accountID(role, name), wish, shows, why)
	return principal{wish, ref + ".member"}
}

// bridgeAccount adds what a bridge runs as: it publishes, looks whether its
// topics keep what is published, and gives dead letters another try.
func (g *generator) bridgeAccount(b *jobspecs.Bridge, topics []string) {
	name, project := b.Metadata.Name, b.Spec.Project
	who := g.own(project, "bridge", name, "kappa bridge "+name, "Runs kappa bridge run, check and redrive for bridge "+name+".")
	if t := b.Spec.DeadLetter.Topic; t != "" {
		topics = append(slices.Clone(topics), t)
	}
	over := g.named("topic", project, topics)
	g.grant("google_pubsub_topic_iam_member", "publisher", rolePublisher, who, topics, "", each(over, project, "topic")...)
	g.grant("google_pubsub_topic_iam_member", "viewer", rolePubSubViewer, who, topics,
		"A bridge refuses a topic that has neither a subscription nor retention: it has to see them.", each(over, project, "topic")...)
	if letters := g.refs[thing("letters", project, b.Spec.DeadLetter.Topic)]; letters != "" {
		why := "kappa bridge redrive reads the dead letters."
		for _, role := range []string{roleSubscriber, rolePubSubViewer} {
			g.grant("google_pubsub_subscription_iam_member", "dead_letters_"+short(role), role, who, nil, why,
				attr("project", str(project)), attr("subscription", raw(letters+".name")))
			why = ""
		}
	}
}

// streamJob adds what a StreamJob needs, and who runs, deploys and serves it.
func (g *generator) streamJob(j *jobspecs.StreamJob) {
	s := &j.Spec
	g.subscriptions(j)
	dataset := s.Sinks.BigQuery.Dataset
	g.dataset(s.Project, dataset, func() expr { return str(s.Region) }, "Where the jobs run: reading across regions costs, and cannot be joined.")
	g.tables(s.Project, dataset, streamTables(j)...)
	p := parts{
		StreamJob: j,
		subs:      g.named("subscription", s.Project, s.Sources.Names()),
		template:  g.bucketOf(s.Project, s.Template, s.Region, "Templates of the pipeline."),
		staging:   g.bucketOf(s.Project, s.Staging, s.Region, "Resolved specs that the jobs read, and what Dataflow stages. Nothing in it may be deleted while a job runs."),
	}
	if p.own() {
		p.instance = g.bigtable(j)
	} else {
		g.note("StreamJob %s runs another pipeline than kappa's: grant its workers what its sinks take, which no spec says", j.Metadata.Name)
	}
	g.worker(p)
	g.operator(p)
	if p.own() {
		g.server(p)
	}
}

// streamTables are the tables that a StreamJob writes and its readers need.
func streamTables(j *jobspecs.StreamJob) []tables.Table {
	s := j.Spec
	list := []tables.Table{tables.GenerationsTable(), tables.WatermarksTable(), tables.DeploymentsTable()}
	if s.Pipeline == jobspecs.PipelineOther {
		return list
	}
	list = append(list, tables.Raw(s.Sinks.BigQuery.Raw, s.Event), tables.Late(s.Sinks.BigQuery.Late, s.Event))
	for _, a := range s.Aggregations {
		list = append(list, tables.Aggregate(a, s.Event))
	}
	return list
}

// parts are what a StreamJob's accounts get roles on.
type parts struct {
	*jobspecs.StreamJob
	subs              expr   // names of the subscriptions
	instance          string // address; empty for another pipeline
	template, staging expr
}

// own reports whether the jobs run kappa's pipeline, whose sinks are known.
func (p parts) own() bool { return p.Spec.Pipeline != jobspecs.PipelineOther }

// archiveOf is the bucket of a project's archive; nil if it has none here.
func (g *generator) archiveOf(project string) expr {
	if ref := g.refs[thing("archive bucket", project, "")]; ref != "" {
		return raw(ref + ".name")
	}
	return nil
}

// worker adds what the Dataflow workers of a StreamJob run as.
func (g *generator) worker(p parts) {
	who, id := g.workerAccount(p.StreamJob)
	s := &p.Spec
	g.onProject(s.Project, "dataflow", roleDataflowWorker, who, "Workers of StreamJob "+p.Metadata.Name+".")
	g.grant("google_pubsub_subscription_iam_member", p.Metadata.Name+"_subscriber", roleSubscriber, who, s.Sources.Names(), "", each(p.subs, s.Project, "subscription")...)
	g.grant("google_pubsub_subscription_iam_member", p.Metadata.Name+"_viewer", rolePubSubViewer, who, s.Sources.Names(),
		"Dataflow looks at a subscription before it reads it.", each(p.subs, s.Project, "subscription")...)
	if p.own() {
		g.grantCustom(s.Project, trackingRole, who,
			"Watermarks follow the times of the records, not of publishing: for that Dataflow makes a second subscription to each topic.")
		g.onDataset(s.Project, s.Sinks.BigQuery.Dataset, roleDataEditor, who, "")
		g.onProject(s.Project, "bigquery_jobs", roleJobUser, who, "A generation asks whose event ids it may read, by a query.")
		g.onInstance(s.Project, p.instance, roleBigtableUser, who, "")
	}
	g.onBucket(p.template, who, "", roleObjectViewer)
	g.onBucket(p.staging, who, "The launcher reads the spec, and Dataflow stages files.", roleObjectAdmin)
	if a := g.archiveOf(s.Project); a != nil && p.own() {
		g.onBucket(a, who, "A backfill reads the archive.", roleObjectViewer)
	}
	if key := s.Tuning.KMSKey; key != "" {
		for _, agent := range []string{"dataflow-service-producer-prod", "compute-system"} {
			g.grant("google_kms_crypto_key_iam_member", "kms", roleKey,
				principal{identifier(agent, s.Project), `"serviceAccount:service-${` + g.projectNumber(s.Project) + `}@` + agent + `.iam.gserviceaccount.com"`},
				nil, "Encrypts the state of the jobs.", attr("crypto_key_id", str(key)))
		}
	}
	operator := g.operatorOf(s.Project)
	g.grant("google_service_account_iam_member", "acts_as_"+who.name, roleAccountUser, operator, nil,
		"Who launches a job must be allowed to act as its workers.", attr("service_account_id", id))
}

// workerAccount returns what the workers of a StreamJob run as, and the name of
// that account.
func (g *generator) workerAccount(j *jobspecs.StreamJob) (who principal, id expr) {
	name, s := identifier("workers", j.Metadata.Name), &j.Spec
	email := s.Tuning.ServiceAccount
	if email == "" {
		g.note("StreamJob %s names no service account: its workers run as the Compute Engine default account of %s, which other programs may share; name one in spec.tuning.serviceAccount, as kappa-workers@%s.iam.gserviceaccount.com, to have it created here",
			j.Metadata.Name, s.Project, s.Project)
		email := `${` + g.projectNumber(s.Project) + `}-compute@developer.gserviceaccount.com`
		return principal{identifier("workers", s.Project), `"serviceAccount:` + email + `"`}, raw(`"projects/` + within(s.Project) + `/serviceAccounts/` + email + `"`)
	}
	acc, project, err := account(email)
	if err == nil && project == s.Project {
		ref := g.serviceAccount(project, acc, identifier("workers", acc), acc, "The Dataflow workers of StreamJob "+j.Metadata.Name+".")
		return principal{strings.TrimPrefix(ref, "google_service_account."), ref + ".member"}, raw(ref + ".name")
	}
	g.note("the service account %s of StreamJob %s does not belong to project %s: it is not created here", email, j.Metadata.Name, s.Project)
	return principal{name, quote("serviceAccount:" + email)}, str("projects/-/serviceAccounts/" + email)
}

// operatorOf is what kappa deploy and kappa drain run as in a project.
func (g *generator) operatorOf(project string) principal {
	return g.operated(project, "deploy", "Runs kappa deploy and kappa drain.")
}

// operated is a service account of a project, one for each role, that operators
// act as.
func (g *generator) operated(project, role, why string) principal {
	who := g.own(project, role, "", "kappa "+role, why)
	g.variable("operators", "Who may act as the service accounts that deploy and schedule: user:…, group:… or serviceAccount:….", "list(string)", raw("[]"))
	ref := g.refs[thing("service account", project, accountID(role, ""))]
	key := thing("operators", project, role)
	if !g.granted[key] {
		g.granted[key] = true
		g.resource(fileIAM, "google_service_account_iam_member", identifier(who.name, "operators"), key,
			"People and schedulers act as it, with no key of its own.", nil,
			attr("for_each", raw("toset(var.operators)")),
			blank(),
			attr("service_account_id", raw(ref+".name")),
			attr("role", str(roleTokenCreator)),
			attr("member", raw("each.value")),
		)
	}
	return who
}

// operator adds what deploys a StreamJob.
func (g *generator) operator(p parts) {
	s := &p.Spec
	who := g.operatorOf(s.Project)
	g.onProject(s.Project, "dataflow", roleDataflowDeveloper, who, "")
	g.grant("google_pubsub_subscription_iam_member", p.Metadata.Name+"_viewer", rolePubSubViewer, who, s.Sources.Names(), "", each(p.subs, s.Project, "subscription")...)
	if s.Sources.Replay == jobspecs.ReplaySnapshot {
		g.grant("google_pubsub_subscription_iam_member", p.Metadata.Name+"_subscriber", roleSubscriber, who, s.Sources.Names(),
			"A snapshot, and the way back to it, count as reading the subscription.", each(p.subs, s.Project, "subscription")...)
		g.grantCustom(s.Project, replayRole, who, "")
	}
	g.onDataset(s.Project, s.Sinks.BigQuery.Dataset, roleDataEditor, who, "The tables, and the history of generations.")
	g.onProject(s.Project, "bigquery_jobs", roleJobUser, who, "")
	if p.own() {
		g.onInstance(s.Project, p.instance, roleBigtableViewer, who, "The tables are made here, so that it is enough to see them.")
	}
	g.onBucket(p.template, who, "", roleObjectViewer)
	g.onBucket(p.staging, who, "Writes the resolved spec once, and never over another.", roleBucketReader, roleObjectViewer, roleObjectCreator)
	if journal := p.JournalFolder(); strings.HasPrefix(journal, "gs://") {
		g.onBucket(g.bucketOf(s.Project, journal, s.Region, "The history of deployments, and the lease."), who,
			"Takes the lease, renews it and gives it back, and adds to the history of deployments.", roleObjectUser)
	}
	if a := g.archiveOf(s.Project); a != nil && p.own() {
		g.onBucket(a, who, "A backfill is refused without its archive.", roleObjectViewer)
	}
}

// server adds what serves a StreamJob's aggregates.
func (g *generator) server(p parts) {
	name, s := p.Metadata.Name, &p.Spec
	who := g.own(s.Project, "serve", name, "kappa serve "+name, "Runs kappa serve for StreamJob "+name+".")
	g.onInstance(s.Project, p.instance, roleBigtableReader, who, "")
	g.onDataset(s.Project, s.Sinks.BigQuery.Dataset, roleDataViewer, who, "Which writers count is in the table of generations.")
	g.onProject(s.Project, "bigquery_jobs", roleJobUser, who, "")
}

// batchLoad adds what a BatchLoad needs.
func (g *generator) batchLoad(l *jobspecs.BatchLoad) {
	name, s := l.Metadata.Name, &l.Spec
	g.dataset(s.Project, s.Dataset, func() expr { return g.location(s.Project) }, "What kappa load fills.")
	g.tables(s.Project, s.Dataset, tables.Batch(*s), tables.BatchLoadsTable())
	who := g.own(s.Project, "load", name, "kappa load "+name, "Runs kappa load for BatchLoad "+name+".")
	g.onDataset(s.Project, s.Dataset, roleDataEditor, who, "")
	g.onProject(s.Project, "bigquery_jobs", roleJobUser, who, "")
	bucket, _, _ := strings.Cut(strings.TrimPrefix(s.Source.URI, "gs://"), "/")
	ref := str(bucket)
	if b := g.refs[thing("bucket", "", bucket)]; b != "" {
		ref = raw(b + ".name")
	}
	g.onBucket(ref, who, "The bucket with the batch layer's files is there already.", roleObjectViewer, roleBucketReader)
}

// comparison adds what a Comparison needs.
func (g *generator) comparison(c *jobspecs.Comparison) {
	name, s := c.Metadata.Name, &c.Spec
	if len(s.Batch.Files)+len(s.Stream.Files) > 0 {
		return // it needs this machine alone
	}
	g.dataset(s.Project, s.Dataset, func() expr { return g.location(s.Project) }, "What kappa compare reads.")
	g.tables(s.Project, s.Dataset, tables.BatchLoadsTable())
	who := g.own(s.Project, "compare", name, "kappa compare "+name, "Runs kappa compare for Comparison "+name+".")
	if s.History.Dataset != s.Dataset {
		g.onDataset(s.Project, s.Dataset, roleDataViewer, who, "It reads, and writes nothing.")
	}
	if s.History.Dataset != "" {
		g.dataset(s.Project, s.History.Dataset, func() expr { return g.location(s.Project) }, "The history of comparisons.")
		g.onDataset(s.Project, s.History.Dataset, roleDataEditor, who, "It makes and writes compare_runs and compare_keys.")
	}
	g.onProject(s.Project, "bigquery_jobs", roleJobUser, who, "")
	if s.History.Dataset != "" && s.Range.Last > 0 {
		g.scheduler(c, who)
	}
}

// scheduler adds what makes a scheduled query of a comparison, which runs as the
// comparison's own account. Without a history, or a range that is counted from the
// time of the run, there can be none.
func (g *generator) scheduler(c *jobspecs.Comparison, runs principal) {
	g.schedules = true
	s := &c.Spec
	who := g.operated(s.Project, "schedule", "Runs kappa compare schedule.")
	g.grantCustom(s.Project, scheduleRole, who, "")
	g.grant("google_service_account_iam_member", "acts_as_"+runs.name, roleAccountUser, who, nil,
		"Who makes a scheduled query must be allowed to act as the account that it runs as.", attr("service_account_id", raw(strings.TrimSuffix(runs.ref, ".member")+".name")))
	if s.History.Dataset != s.Dataset {
		g.onDataset(s.Project, s.Dataset, roleDataViewer, who, "It looks at the tables, and asks by dry run what a run reads.")
	}
	g.onDataset(s.Project, s.History.Dataset, roleDataEditor, who, "It makes compare_runs.")
	g.onProject(s.Project, "bigquery_jobs", roleJobUser, who, "")
}

// monitor adds what a DuplicateMonitor needs.
func (g *generator) monitor(d *jobspecs.DuplicateMonitor) {
	name, s := d.Metadata.Name, &d.Spec
	g.dataset(s.Project, s.Dataset, func() expr { return g.location(s.Project) }, "What kappa compare duplicates reads.")
	who := g.own(s.Project, "duplicates", name, "kappa compare duplicates "+name, "Runs kappa compare duplicates for DuplicateMonitor "+name+".")
	g.onDataset(s.Project, s.Dataset, roleDataViewer, who, "It reads, and writes nothing.")
	g.onProject(s.Project, "bigquery_jobs", roleJobUser, who, "")
}
