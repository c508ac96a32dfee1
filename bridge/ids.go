package bridge

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// uuid is an event id.
type uuid [16]byte

// kappaNamespace is the namespace of all namespaces of event ids made from
// fields: UUIDv5(nil UUID, "kappa-migrate.github.com"). Fixed for ever.
var kappaNamespace = uuidV5(uuid{}, []byte("kappa-migrate.github.com"))

// Limits of an id made from a position.
const (
	maxIDPartition = 1<<16 - 1
	maxIDOffset    = 1<<50 - 1
)

// appendText appends the canonical text of u.
func (u uuid) appendText(dst []byte) []byte {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(dst, b[:]...)
}

func (u uuid) String() string { return string(u.appendText(nil)) }

// parseUUID reads the canonical text of a UUID, in either case.
func parseUUID(s []byte) (uuid, error) {
	var u uuid
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, errors.New("not a UUID")
	}
	at := 0
	for _, part := range [][]byte{s[0:8], s[9:13], s[14:18], s[19:23], s[24:36]} {
		n, err := hex.Decode(u[at:], part)
		if err != nil {
			return uuid{}, errors.New("not a UUID")
		}
		at += n
	}
	return u, nil
}

// topicHash is the 40-bit hash of a topic that positions are relative to. It
// is made from ids, never from the name: a topic that was created again has
// the same name and the same offsets, but not the same events.
func topicHash(cluster string, topicID [16]byte) uint64 {
	sum := sha256.Sum256(append(append([]byte(cluster), 0), topicID[:]...))
	return binary.BigEndian.Uint64(sum[:8]) >> 24
}

// positionID is the UUIDv8 of an event: 122 bits, from the most significant:
// 40 hash, 16 partition, 50 offset, 16 ordinal. Equal positions have equal
// ids, and two positions of a topic never do (invariant B2). The caller has
// checked the partition (checkIDPartition).
func positionID(hash uint64, partition int32, offset int64, ordinal uint16) (uuid, error) {
	if offset < 0 || offset > maxIDOffset {
		return uuid{}, fmt.Errorf("offset %d does not fit the 50 bits that an id made from the position has for it", offset)
	}
	var u uuid
	hi := hash<<24 | uint64(uint16(partition))<<8 // 40 + 16 bits of 64, the last 8 are the offset's
	hi |= uint64(offset) >> 42                    // its upper 8 bits
	lo := uint64(offset)<<22 | uint64(ordinal)<<6 // its lower 42 bits, then the ordinal, left-aligned in 58 bits
	// 122 bits as hi (64) and lo (58, left-aligned); now make room for version and variant.
	binary.BigEndian.PutUint64(u[0:], hi&^0xffff|0x8000|hi>>4&0x0fff)
	binary.BigEndian.PutUint64(u[8:], 1<<63|hi&0xf<<58|lo>>6)
	return u, nil
}

// positionOf reads a position back from its id.
func positionOf(u uuid) (hash uint64, partition int32, offset int64, ordinal uint16, ok bool) {
	if u[6]>>4 != 8 || u[8]>>6 != 2 {
		return 0, 0, 0, 0, false
	}
	a, b := binary.BigEndian.Uint64(u[0:]), binary.BigEndian.Uint64(u[8:])
	hi := a&^0xffff | a&0x0fff<<4 | b>>58&0xf
	lo := b << 6
	return hi >> 24, int32(hi >> 8 & 0xffff), int64(hi&0xff<<42 | lo>>22), uint16(lo >> 6), true
}

// checkIDPartition refuses a partition that ids made from positions cannot hold.
func checkIDPartition(partition int32) error {
	if partition < 0 || partition > maxIDPartition {
		return fmt.Errorf("partition %d does not fit the 16 bits that an id made from the position has for it", partition)
	}
	return nil
}

// uuidV5 is the UUIDv5 of a name in a namespace (RFC 9562).
func uuidV5(namespace uuid, name []byte) uuid {
	return uuidV5Of(append(namespace[:], name...))
}

// uuidV5Of is uuidV5 of a namespace's bytes followed by a name.
func uuidV5Of(text []byte) uuid {
	sum := sha1.Sum(text)
	u := uuid(sum[:16])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// idSeparator stands between the texts of key fields. JSON text cannot hold it
// unescaped, so that no two lists of values have one text.
const idSeparator = 0x1f
