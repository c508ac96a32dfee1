package pubsub

import (
	"bytes"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Limits of the service, from its quotas page.
const (
	maxRequestBytes   = 10_000_000
	maxRequestCount   = 1_000
	maxAttributes     = 100
	maxAttributeKey   = 256
	maxAttributeValue = 1_024
	maxOrderingKey    = 1_024
	maxPull           = 1_000

	// Requests with ack ids may have 512 KiB. Real ack ids have some 200 bytes,
	// ours a few: counted as if they were as long, so that a client that sends
	// too many at once learns it here.
	maxAckRequestBytes = 512 << 10
	realAckIDBytes     = 200

	minAckDeadline     = 10
	maxAckDeadline     = 600
	defaultAckDeadline = 10

	minRetention     = 10 * time.Minute
	maxRetention     = 31 * 24 * time.Hour
	defaultRetention = 7 * 24 * time.Hour
	defaultExpiry    = 31 * 24 * time.Hour
	minExpiry        = 24 * time.Hour

	maxSnapshotLife = 7 * 24 * time.Hour // less the age of the oldest message in it
	minSnapshotLife = time.Hour

	minDeliveryAttempts     = 5
	maxDeliveryAttempts     = 100
	defaultDeliveryAttempts = 5
)

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// unsupported refuses a feature of the real service by name.
func unsupported(what string) error {
	return status.Errorf(codes.Unimplemented, "the sandbox's Pub/Sub does not support %s", what)
}

var errMixedOrderingKeys = invalid("In a single publish request, all messages must have the same ordering key.")

func errNotUTF8(what string) error {
	return invalid("The %s in the request is not valid UTF-8.", what)
}

// checkRequest checks a publish request as a whole.
func checkRequest(size, count int) error {
	switch {
	case size > maxRequestBytes:
		return invalid("The value for request_size is too large. You passed %d in the request, but the maximum value is %d.", size, maxRequestBytes)
	case count > maxRequestCount:
		return invalid("The value for message_count is too large. You passed %d in the request, but the maximum value is %d.", count, maxRequestCount)
	case count == 0:
		return invalid("The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.")
	}
	return nil
}

// checkMessage checks a message's size and ordering key.
func checkMessage(data, attributes int, orderingKey []byte) error {
	switch {
	case data == 0 && attributes == 0:
		return invalid("One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.")
	case attributes > maxAttributes:
		return invalid("A message in the request has too many attributes. You passed %d in the request, but the maximum is %d. Refer to https://cloud.google.com/pubsub/quotas for more information.", attributes, maxAttributes)
	case len(orderingKey) > maxOrderingKey:
		return invalid("The ordering key in the request is too long. The length is %d bytes, but the maximum allowed is %d. Refer to https://cloud.google.com/pubsub/quotas for more information.", len(orderingKey), maxOrderingKey)
	case !utf8.Valid(orderingKey):
		return errNotUTF8("ordering key")
	}
	return nil
}

// checkAttributePair checks one attribute of a message.
func checkAttributePair(key, value []byte) error {
	const refer = "Refer to https://cloud.google.com/pubsub/quotas for more information."
	switch {
	case !utf8.Valid(key):
		return errNotUTF8("key of an attribute")
	case !utf8.Valid(value):
		return errNotUTF8("value of the attribute " + string(key))
	case len(key) == 0:
		return invalid("An attribute in the request has an empty key.")
	case len(key) > maxAttributeKey:
		return invalid("The attribute \"\" in the request has a key that is too long. The length is %d characters, but the maximum allowed is %d. "+refer, len(key), maxAttributeKey)
	case len(value) > maxAttributeValue:
		return invalid("The attribute %q in the request has a value that is too long. The length is %d characters, but the maximum allowed is %d. "+refer, key, len(value), maxAttributeValue)
	case bytes.HasPrefix(key, []byte("goog")):
		return invalid("The attribute %q in the request has a key that begins with the reserved prefix \"goog\".", key)
	}
	return nil
}

var (
	validProject  = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*$`)
	validResource = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
)

// checkName checks a full resource name of a collection: topics, subscriptions
// or snapshots.
func checkName(collection, name string) error {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || parts[0] != "projects" || parts[2] != collection || !validProject.MatchString(parts[1]) ||
		!validResource.MatchString(parts[3]) || strings.HasPrefix(parts[3], "goog") {
		return invalid("Invalid resource name given (name=%s). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.", name)
	}
	return nil
}

// checkProject checks a name of the form projects/P.
func checkProject(name string) error {
	project, ok := strings.CutPrefix(name, "projects/")
	if !ok || !validProject.MatchString(project) {
		return invalid("Invalid resource name given (name=%s). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.", name)
	}
	return nil
}

// checkAckIDs checks the number of ack ids in a request.
func checkAckIDs(n int) error {
	if n*realAckIDBytes > maxAckRequestBytes {
		return invalid("Request payload size exceeds the limit: %d bytes. (%d ack ids, counted as %d bytes each.)", maxAckRequestBytes, n, realAckIDBytes)
	}
	return nil
}

func checkAckDeadline(seconds int32) error {
	if seconds < minAckDeadline || seconds > maxAckDeadline {
		return invalid("Invalid ack deadline given: %d seconds. It must be between %d and %d seconds.", seconds, minAckDeadline, maxAckDeadline)
	}
	return nil
}

func checkRetention(d *durationpb.Duration) error {
	if r := d.AsDuration(); d != nil && (r < minRetention || r > maxRetention) {
		return invalid("Invalid message retention duration given: %v. It must be between 10 minutes and 31 days.", r)
	}
	return nil
}
