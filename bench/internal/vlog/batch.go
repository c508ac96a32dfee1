// Package vlog is a topic of any length that needs no memory: a Kafka in
// memory (kfake) answers fetches of it by repeating one record batch. Every
// batch is complete, with its offsets, timestamps and checksum, so that clients
// do with it all that they do with a real one.
package vlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/bench/internal/event"
)

// Places in a record batch (magic 2).
const (
	atBaseOffset  = 0
	atLength      = 8
	atEpoch       = 12
	atCRC         = 17
	atAttributes  = 21
	atLastDelta   = 23
	atFirstTime   = 27
	atMaxTime     = 35
	atNumRecords  = 57
	batchHeader   = 61
	noLeaderEpoch = -1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// template is a batch that is repeated.
type template struct {
	batch []byte
	ends  []int // end of record i in batch; nil if it is compressed
}

// records is the number of records of the whole batch.
func (t *template) records() int { return int(binary.BigEndian.Uint32(t.batch[atNumRecords:])) }

// newTemplate makes the batch of events.
func newTemplate(events []event.Event, compression string, millis int64) (*template, error) {
	c, err := event.Codec(compression)
	if err != nil {
		return nil, err
	}
	compressor, err := kgo.DefaultCompressor(c)
	if err != nil {
		return nil, err
	}
	t := &template{}
	var records []byte
	for i, e := range events {
		r := kmsg.Record{OffsetDelta: int32(i), Key: e.Key, Value: e.Value}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length itself, of which 0 takes one byte
		records = r.AppendTo(records)
		t.ends = append(t.ends, batchHeader+len(records))
	}
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: noLeaderEpoch,
		Magic:                2,
		LastOffsetDelta:      int32(len(events) - 1),
		FirstTimestamp:       millis,
		MaxTimestamp:         millis,
		ProducerID:           -1,
		ProducerEpoch:        -1,
		FirstSequence:        -1,
		NumRecords:           int32(len(events)),
		Records:              records,
	}
	if compressor != nil {
		var dst bytes.Buffer
		compressed, used := compressor.Compress(&dst, records)
		if used == kgo.CodecError {
			return nil, fmt.Errorf("compress by %s failed", compression)
		}
		b.Records, b.Attributes = bytes.Clone(compressed), int16(used)
		if used != 0 {
			t.ends = nil
		}
	}
	t.batch = b.AppendTo(nil)
	seal(t.batch)
	return t, nil
}

// seal sets length and checksum.
func seal(b []byte) {
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-atEpoch))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
}

// appendWhole appends the batch at an offset. Offset and epoch stand before
// what the checksum covers.
func (t *template) appendWhole(dst []byte, offset int64, epoch int32) []byte {
	n := len(dst)
	dst = append(dst, t.batch...)
	binary.BigEndian.PutUint64(dst[n+atBaseOffset:], uint64(offset))
	binary.BigEndian.PutUint32(dst[n+atEpoch:], uint32(epoch))
	return dst
}

// appendPart appends a batch of the first records, with a time of its own.
func (t *template) appendPart(dst []byte, records int, offset int64, epoch int32, millis int64) []byte {
	n := len(dst)
	dst = append(dst, t.batch[:t.ends[records-1]]...)
	b := dst[n:]
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(offset))
	binary.BigEndian.PutUint32(b[atEpoch:], uint32(epoch))
	binary.BigEndian.PutUint32(b[atLastDelta:], uint32(records-1))
	binary.BigEndian.PutUint64(b[atFirstTime:], uint64(millis))
	binary.BigEndian.PutUint64(b[atMaxTime:], uint64(millis))
	binary.BigEndian.PutUint32(b[atNumRecords:], uint32(records))
	seal(b)
	return dst
}
