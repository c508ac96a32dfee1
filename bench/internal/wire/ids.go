// Package wire is what the benchmarks' publisher and server know of messages:
// the encoding of a publish request and of an event id. It shares no code with
// the bridge, so that the one can check the other.
package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// TopicHash is the part of an id that stands for cluster and topic: 40 bits of
// SHA-256(cluster id, 0x00, topic id).
func TopicHash(cluster string, topicID [16]byte) uint64 {
	sum := sha256.Sum256(append(append([]byte(cluster), 0), topicID[:]...))
	return binary.BigEndian.Uint64(sum[:8]) >> 24
}

// IDLength is the length of an event id's text.
const IDLength = 36

// AppendID appends the text of the UUIDv8 of a position: 40 bits of hash, 16
// of partition, 50 of offset, 16 of ordinal (0), split around version and
// variant.
func AppendID(dst []byte, hash uint64, partition int, offset int64) []byte {
	// The 122 bits as three groups, those before the version (48), between
	// version and variant (12), and after the variant (62).
	a := hash<<8 | uint64(partition)>>8                 // 40 hash, upper 8 of partition
	b := uint64(partition)&0xff<<4 | uint64(offset)>>46 // lower 8 of partition, upper 4 of offset
	c := uint64(offset) & (1<<46 - 1) << 16             // lower 46 of offset, 16 of ordinal
	var u [16]byte
	binary.BigEndian.PutUint64(u[:], a<<16|0x8000|b)
	binary.BigEndian.PutUint64(u[8:], 2<<62|c)
	n := len(dst)
	dst = append(dst, "00000000-0000-0000-0000-000000000000"...)
	text := dst[n:]
	hex.Encode(text[0:8], u[0:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:36], u[10:16])
	return dst
}

// ParseID reads an id back; false if it is not the id of a first event of a
// record's position.
func ParseID(text []byte) (hash uint64, partition int, offset int64, ok bool) {
	if len(text) != IDLength || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return 0, 0, 0, false
	}
	var hi, lo, bad uint64
	for i, at := range nibbles {
		n := uint64(fromHex[text[at]])
		bad |= n
		if i < 16 {
			hi = hi<<4 | n
		} else {
			lo = lo<<4 | n
		}
	}
	if bad > 15 || hi>>12&15 != 8 || lo>>62 != 2 || lo&0xffff != 0 {
		return 0, 0, 0, false
	}
	a, b, c := hi>>16, hi&0xfff, lo&(1<<62-1)
	return a >> 8, int(a&0xff<<8 | b>>4), int64(b&15<<46 | c>>16), true
}

// nibbles are the places of the hexadecimal digits in the text of a UUID.
var nibbles = func() (at [32]uint8) {
	n := 0
	for i := range IDLength {
		if i != 8 && i != 13 && i != 18 && i != 23 {
			at[n] = uint8(i)
			n++
		}
	}
	return at
}()

// fromHex is the value of a hexadecimal digit; 16 for every other character.
var fromHex = func() (v [256]uint8) {
	for i := range v {
		v[i] = 16
	}
	for i := range uint8(10) {
		v['0'+i] = i
	}
	for i := range uint8(6) {
		v['a'+i] = 10 + i
		v['A'+i] = 10 + i
	}
	return v
}()
