package terraform

import (
	"strings"
)

// bucketRef is the bucket of a project's archive.
type bucketRef struct {
	ref    string // address
	writer string // address of the roles of what writes to it
}

// archiveBucket adds the bucket of a project's archive, and the roles that
// Pub/Sub needs to write to it.
func (g *generator) archiveBucket(project string) bucketRef {
	key := thing("archive bucket", project, "")
	if ref := g.refs[key]; ref != "" {
		return bucketRef{ref, g.refs[key+"writer"]}
	}
	name := g.variable(identifier("archive_bucket", project),
		"Bucket of the archive of project "+project+": every message that was published, as Avro. Names of buckets are unique in the world.",
		"string", str(strings.NewReplacer(":", "-", ".", "-").Replace(project)+"-kappa-archive"))
	b := bucketRef{ref: g.bucket(project, raw(name), identifier("archive", project), g.location(project),
		"The archive. There is no rule that deletes from it: windows can be recomputed for as far back as it goes.")}
	b.writer = g.resource(fileStorage, "google_storage_bucket_iam_member", identifier("archive", project, "pubsub"), key,
		"Pub/Sub writes the archive as its service agent: objectCreator to write, legacyBucketReader to find the bucket.", writerRoles,
		attr("for_each", call("toset", strs(writerRoles))),
		blank(),
		attr("bucket", raw(b.ref+".name")),
		attr("role", raw("each.value")),
		attr("member", raw(`"serviceAccount:service-${`+g.projectNumber(project)+`}@gcp-sa-pubsub.iam.gserviceaccount.com"`)),
	)
	g.refs[key], g.refs[key+"writer"] = b.ref, b.writer
	return b
}

var writerRoles = []string{roleObjectCreator, roleBucketReader}

// bucket adds a bucket.
func (g *generator) bucket(project string, name expr, wish string, location expr, why string) string {
	body := []item{
		attr("project", str(project)),
		attr("name", name),
		attr("location", location),
		attr("uniform_bucket_level_access", boolean(true)),
		attr("public_access_prevention", str("enforced")),
	}
	return g.resource(fileStorage, "google_storage_bucket", wish, thing("bucket", "", name[0]), why, nil, append(body, kept()...)...)
}

// bucketOf returns the name of the bucket of gs://BUCKET/…, as a reference: a
// bucket that kappa writes to or reads its template from is added.
func (g *generator) bucketOf(project, uri, region, why string) expr {
	name, _, _ := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	key := thing("bucket", "", name)
	if g.refs[key] == "" {
		g.refs[key] = g.bucket(project, str(name), identifier(name), str(region), why)
	}
	return raw(g.refs[key] + ".name")
}
