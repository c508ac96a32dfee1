// Package envelope holds the contract between the bridge and everything that
// reads what it published: the attributes of a Pub/Sub message and the text
// form of a record's position.
package envelope

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Attributes that the bridge sets on every message.
const (
	// AttrID is the event id, a UUID: the key of deduplication.
	AttrID = "kappa-id"
	// AttrEventTime is the event time, RFC 3339 with milliseconds, UTC.
	AttrEventTime = "kappa-event-time"
	// AttrPosition is the record's position: cluster/topic/partition/offset.
	AttrPosition = "kappa-position"
	// AttrSourceTime is the record's own timestamp, RFC 3339 with milliseconds, UTC.
	AttrSourceTime = "kappa-source-time"
	// AttrBridge is the name and version of the bridge: name/version.
	AttrBridge = "kappa-bridge"
	// AttrNull is "true" on a message whose record had no value (a tombstone),
	// as opposed to an empty one; it is absent otherwise.
	AttrNull = "kappa-null"
)

// Attributes of a dead letter, beside AttrPosition, AttrSourceTime, AttrBridge
// and AttrNull. Its data is the record's value, byte for byte.
const (
	// AttrReason is why the record can never be published: a short code.
	AttrReason = "kappa-reason"
	// AttrError is what exactly is wrong, cut to what an attribute holds.
	AttrError = "kappa-error"
	// AttrPart is "2/3" where a value is too large for one message.
	AttrPart = "kappa-part"
	// AttrKey is the record's key.
	AttrKey = "kappa-key"
	// AttrHeader, followed by a header's name, is its last value.
	AttrHeader = "kappa-header."
	// AttrOmitted names what did not fit into attributes, separated by commas:
	// key, headers. It is still in Kafka, at the position.
	AttrOmitted = "kappa-omitted"
)

// EncodingSuffix, after the name of an attribute that was set from bytes which
// are not UTF-8, names the attribute that says how they are encoded: base64.
const EncodingSuffix = ".encoding"

// TimeLayout is the layout of time attributes.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// FormatTime formats t for a time attribute. Fractions below a millisecond are cut.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeLayout) }

// ParseTime reads a time attribute; any RFC 3339 time is accepted.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("time attribute %q is not RFC 3339", s)
	}
	return t.UTC(), nil
}

// Position is where a record stands in Kafka.
type Position struct {
	Cluster   string // Kafka cluster id, as the brokers report it
	Topic     string
	Partition int32
	Offset    int64
}

// String is the contract form, cluster/topic/partition/offset. Neither a
// cluster id nor a topic name can hold a slash.
func (p Position) String() string {
	return p.PartitionKey() + "/" + strconv.FormatInt(p.Offset, 10)
}

// PartitionKey is the position without the offset: cluster/topic/partition.
func (p Position) PartitionKey() string {
	return p.Cluster + "/" + p.Topic + "/" + strconv.FormatInt(int64(p.Partition), 10)
}

// ParsePosition reads the contract form.
func ParsePosition(s string) (Position, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 4 {
		return Position{}, fmt.Errorf("position %q is not cluster/topic/partition/offset", s)
	}
	partition, err := strconv.ParseInt(parts[2], 10, 32)
	if err != nil || partition < 0 {
		return Position{}, fmt.Errorf("position %q: bad partition %q", s, parts[2])
	}
	offset, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || offset < 0 {
		return Position{}, fmt.Errorf("position %q: bad offset %q", s, parts[3])
	}
	return Position{Cluster: parts[0], Topic: parts[1], Partition: int32(partition), Offset: offset}, nil
}
