package terraform

import (
	"slices"
	"strings"
)

// The roles that are granted. docs/iam.md says of each what needs it.
const (
	rolePublisher    = "roles/pubsub.publisher"
	roleSubscriber   = "roles/pubsub.subscriber"
	rolePubSubViewer = "roles/pubsub.viewer"

	roleDataflowWorker    = "roles/dataflow.worker"
	roleDataflowDeveloper = "roles/dataflow.developer"
	roleAccountUser       = "roles/iam.serviceAccountUser"
	roleTokenCreator      = "roles/iam.serviceAccountTokenCreator"

	roleDataEditor = "roles/bigquery.dataEditor"
	roleDataViewer = "roles/bigquery.dataViewer"
	roleJobUser    = "roles/bigquery.jobUser"

	roleBigtableUser   = "roles/bigtable.user"
	roleBigtableReader = "roles/bigtable.reader"
	roleBigtableViewer = "roles/bigtable.viewer"

	roleObjectAdmin   = "roles/storage.objectAdmin"
	roleObjectCreator = "roles/storage.objectCreator"
	roleObjectUser    = "roles/storage.objectUser"
	roleObjectViewer  = "roles/storage.objectViewer"
	roleBucketReader  = "roles/storage.legacyBucketReader"

	roleKey = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
)

// customRole is a role for what no predefined one gives without much else.
type customRole struct {
	id, title, description string
	permissions            []string
}

var (
	replayRole = customRole{
		"kappaReplay", "kappa replay", "Snapshots of subscriptions: what a generation that died had read is read again.",
		[]string{
			"pubsub.snapshots.create", "pubsub.snapshots.delete", "pubsub.snapshots.get",
			"pubsub.snapshots.seek", "pubsub.snapshots.update",
		},
	}
	trackingRole = customRole{
		"kappaTracking", "kappa tracking subscriptions",
		"The subscription that Dataflow makes beside each one that it reads by the records' own times, to follow the watermark.",
		[]string{
			"pubsub.subscriptions.consume", "pubsub.subscriptions.create", "pubsub.subscriptions.delete",
			"pubsub.subscriptions.get", "pubsub.topics.attachSubscription", "pubsub.topics.get",
		},
	}
	scheduleRole = customRole{
		"kappaSchedule", "kappa schedule", "Scheduled queries: kappa compare schedule makes, changes, shows and removes those of comparisons.",
		[]string{"bigquery.transfers.get", "bigquery.transfers.update"},
	}
)

// serviceAccount adds a service account of a project, and returns its address.
func (g *generator) serviceAccount(project, id, wish, shows, why string) string {
	key := thing("service account", project, id)
	if ref := g.refs[key]; ref != "" {
		return ref
	}
	g.refs[key] = g.resource(fileIAM, "google_service_account", wish, key, why, nil,
		attr("project", str(project)), attr("account_id", str(id)), attr("display_name", str(shows)))
	g.output(outAccounts, wish, raw(g.refs[key]+".email"))
	return g.refs[key]
}

// principal is whom roles are granted to.
type principal struct {
	name string // first words of the names of the grants
	ref  string // expression of the member
}

// grant gives a principal a role, once; on says on what. instances are the keys
// of for_each, if on has one.
func (g *generator) grant(typ, wish, role string, who principal, instances []string, why string, on ...item) {
	g.grantRef(typ, wish, str(role), who, instances, why, on...)
}

func (g *generator) grantRef(typ, wish string, role expr, who principal, instances []string, why string, on ...item) {
	body := append(slices.Clone(on), attr("role", role), attr("member", raw(who.ref)))
	key := strings.Join(append(lines(body), typ), "\n")
	if g.granted[key] {
		return
	}
	g.granted[key] = true
	g.resource(fileIAM, typ, identifier(who.name, wish), key, why, instances, body...)
}

// each is a grant on every one of several topics or subscriptions.
func each(over expr, project, what string) []item {
	return []item{attr("for_each", over), blank(), attr("project", str(project)), attr(what, raw("each.value"))}
}

// named is a map of the names of what is declared, by name.
func (g *generator) named(kind, project string, list []string) expr {
	var members []item
	for _, n := range list {
		members = append(members, member(n, raw(g.refs[thing(kind, project, n)]+".name")))
	}
	return object(members...)
}

// onProject gives a role on a project.
func (g *generator) onProject(project, wish, role string, who principal, why string) {
	g.grant("google_project_iam_member", wish, role, who, nil, why, attr("project", str(project)))
}

// onDataset gives a role on a dataset that is declared.
func (g *generator) onDataset(project, dataset, role string, who principal, why string) {
	ref := g.refs[thing("dataset", project, dataset)]
	g.grant("google_bigquery_dataset_iam_member", identifier(dataset), role, who, nil, why,
		attr("project", str(project)), attr("dataset_id", raw(ref+".dataset_id")))
}

// onInstance gives a role on a Bigtable instance.
func (g *generator) onInstance(project, instance, role string, who principal, why string) {
	g.grant("google_bigtable_instance_iam_member", nameOf(instance), role, who, nil, why,
		attr("project", str(project)), attr("instance", raw(instance+".name")))
}

// onBucket gives roles on a bucket.
func (g *generator) onBucket(bucket expr, who principal, why string, roles ...string) {
	for _, role := range roles {
		g.grant("google_storage_bucket_iam_member", identifier(nameOf(bucket[0]), short(role)), role, who, nil, why, attr("bucket", bucket))
		why = ""
	}
}

// nameOf is the name in a reference to a resource or to an attribute of one; of
// anything else, all of it.
func nameOf(ref string) string {
	if parts := strings.Split(ref, "."); len(parts) > 1 && strings.HasPrefix(ref, "google_") {
		return parts[1]
	}
	return strings.Trim(ref, `"`)
}

// short is the last word of a role.
func short(role string) string { return role[strings.LastIndexByte(role, '.')+1:] }

// grantCustom gives a role of ours, which is declared first.
func (g *generator) grantCustom(project string, r customRole, who principal, why string) {
	key := thing("role", project, r.id)
	if g.refs[key] == "" {
		g.refs[key] = g.resource(fileIAM, "google_project_iam_custom_role", identifier(r.id, project), key, "", nil,
			attr("project", str(project)),
			attr("role_id", str(r.id)),
			attr("title", str(r.title)),
			attr("description", str(r.description)),
			attr("permissions", strs(r.permissions)),
		)
	}
	g.grantRef("google_project_iam_member", r.id, raw(g.refs[key]+".name"), who, nil, why, attr("project", str(project)))
}
