package vlog

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/bench/internal/event"
)

// Config says what the topic holds.
type Config struct {
	Topic       string
	Partitions  int
	Brokers     int // partitions are spread over them
	Events      []event.Event
	Compression string // none, gzip, snappy, lz4, zstd
	// Ends are the offsets at which the partitions end, each rounded up to whole
	// batches; nil: Endless.
	Ends []int64
	// Rate is the records per second, of all partitions, that arrive once the
	// first fetch has come: every few milliseconds one small batch per
	// partition, stamped with the time at which it can be read. 0: everything
	// is there from the beginning, in batches of all Events.
	Rate int
}

// Endless is the end of a topic without end.
const Endless = int64(1) << 40

// Log is a served topic.
type Log struct {
	cfg     Config
	t       *template
	cluster *kfake.Cluster
	topicID [16]byte
	epoch   int32
	begun   time.Time

	perBatch int64
	ends     []int64
	tick     time.Duration // between batches of a partition; 0: no pace

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	asleep  sync.WaitGroup // fetches that wait for records
	first   atomic.Int64   // Unix milliseconds of the first fetch; 0: none yet
}

// Serve starts a Kafka with the topic.
func Serve(cfg Config) (*Log, error) {
	if cfg.Partitions < 1 || cfg.Brokers < 1 || len(cfg.Events) == 0 || cfg.Rate < 0 {
		return nil, errors.New("vlog: partitions, brokers and events are required")
	}
	if cfg.Ends != nil && len(cfg.Ends) != cfg.Partitions {
		return nil, fmt.Errorf("vlog: %d ends of %d partitions", len(cfg.Ends), cfg.Partitions)
	}
	l := &Log{cfg: cfg, begun: time.Now(), closing: make(chan struct{})}
	var err error
	if l.t, err = newTemplate(cfg.Events, cfg.Compression, l.begun.UnixMilli()); err != nil {
		return nil, err
	}
	l.perBatch = int64(l.t.records())
	if cfg.Rate > 0 {
		if l.t.ends == nil {
			return nil, errors.New("vlog: only an uncompressed topic can be paced")
		}
		l.tick, l.perBatch = pace(cfg.Rate, cfg.Partitions)
		if l.perBatch > int64(l.t.records()) {
			return nil, fmt.Errorf("vlog: %d records/s need batches of %d records, there are %d events", cfg.Rate, l.perBatch, l.t.records())
		}
	}
	l.ends = make([]int64, cfg.Partitions)
	for i := range l.ends {
		end := Endless
		if cfg.Ends != nil {
			end = cfg.Ends[i]
		}
		l.ends[i] = (end + l.perBatch - 1) / l.perBatch * l.perBatch
	}
	l.cluster, err = kfake.NewCluster(kfake.NumBrokers(cfg.Brokers), kfake.SeedTopics(int32(cfg.Partitions), cfg.Topic), kfake.SleepOutOfOrder())
	if err != nil {
		return nil, err
	}
	l.topicID = l.cluster.TopicInfo(cfg.Topic).TopicID
	for i := range cfg.Partitions {
		// All on the brokers in turn: a client fetches from each broker apart.
		if err := l.cluster.MoveTopicPartition(cfg.Topic, int32(i), int32(i%cfg.Brokers)); err != nil {
			l.cluster.Close()
			return nil, err
		}
	}
	for _, p := range l.cluster.PartitionInfos(cfg.Topic) {
		l.epoch = max(l.epoch, p.Epoch)
	}
	l.cluster.ControlKey(int16(kmsg.Fetch), l.fetch)
	l.cluster.ControlKey(int16(kmsg.ListOffsets), l.listOffsets)
	l.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), l.epochEnd)
	l.cluster.ControlKey(int16(kmsg.DescribeLogDirs), l.logDirs)
	return l, nil
}

// pace returns the time between batches of a partition, at least a
// millisecond, and their records.
func pace(rate, partitions int) (tick time.Duration, records int64) {
	tick = time.Millisecond
	for int64(rate)*int64(tick) < int64(partitions)*int64(time.Second) {
		tick += time.Millisecond
	}
	return tick, int64(rate) * int64(tick) / (int64(partitions) * int64(time.Second))
}

// Addrs are the brokers' addresses.
func (l *Log) Addrs() []string { return l.cluster.ListenAddrs() }

// Period is the number of records after which a partition repeats.
func (l *Log) Period() int64 { return l.perBatch }

// BatchBytes is the size of a whole batch as it is served.
func (l *Log) BatchBytes() int { return len(l.t.batch) }

// size is the size of a batch as it is served.
func (l *Log) size() int {
	if l.tick == 0 {
		return len(l.t.batch)
	}
	return l.t.ends[l.perBatch-1]
}

// Ends are the ends of the partitions, once all records have arrived.
func (l *Log) Ends() []int64 { return l.ends }

// Close stops the Kafka.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.closing)
	l.asleep.Wait()
	// What the cluster is asked for comes after the answers to these fetches: it
	// leaks goroutines when it is closed while some are being answered.
	l.cluster.TopicInfo(l.cfg.Topic)
	l.cluster.Close()
}

// arrived is how far the partitions can be read now, unless they end before.
func (l *Log) arrived(now time.Time) int64 {
	first := l.first.Load()
	switch {
	case l.tick == 0:
		return math.MaxInt64
	case first == 0:
		return 0
	}
	return int64(now.Sub(time.UnixMilli(first))/l.tick) * l.perBatch
}

// end is the end of a partition now, -1 if there is no such partition.
func (l *Log) end(partition int32, arrived int64) int64 {
	if partition < 0 || int(partition) >= len(l.ends) {
		return -1
	}
	return min(arrived, l.ends[partition])
}

// millis is the time of the records at an offset.
func (l *Log) millis(offset int64) int64 {
	if l.tick == 0 {
		return l.begun.UnixMilli()
	}
	return l.first.Load() + (offset/l.perBatch+1)*l.tick.Milliseconds()
}

// appendBatches appends batches from the one that holds offset on, up to end:
// at least one, and no more than room bytes of them.
func (l *Log) appendBatches(dst []byte, offset, end int64, room int) []byte {
	for offset -= offset % l.perBatch; offset < end; offset += l.perBatch {
		n := len(dst)
		if l.tick == 0 {
			dst = l.t.appendWhole(dst, offset, l.epoch)
		} else {
			dst = l.t.appendPart(dst, int(l.perBatch), offset, l.epoch, l.millis(offset))
		}
		if room -= len(dst) - n; room < len(dst)-n {
			break
		}
	}
	return dst
}

// fetch answers a fetch. It gives no session: a client then names all
// partitions in each request.
func (l *Log) fetch(kreq kmsg.Request) (kmsg.Response, error, bool) {
	req := kreq.(*kmsg.FetchRequest)
	if len(req.Topics) == 0 {
		return nil, nil, false
	}
	l.cluster.KeepControl()
	now := time.Now()
	l.first.CompareAndSwap(0, now.UnixMilli())
	deadline := now.Add(time.Duration(req.MaxWaitMillis) * time.Millisecond)
	for {
		resp, bytes := l.answer(req, l.arrived(now))
		if wait := deadline.Sub(now); bytes == 0 && wait > 0 && l.sleep(l.untilNext(now, wait)) {
			now = time.Now()
			continue
		}
		return resp, nil, true
	}
}

// sleep lets a fetch wait; false if the log is being closed.
func (l *Log) sleep(d time.Duration) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.asleep.Add(1)
	l.mu.Unlock()
	defer l.asleep.Done()
	l.cluster.SleepControl(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.closing:
		}
	})
	return true
}

// untilNext is how long to wait for the next batch, at most d.
func (l *Log) untilNext(now time.Time, d time.Duration) time.Duration {
	if l.tick == 0 {
		return d
	}
	return min(d, l.tick-now.Sub(time.UnixMilli(l.first.Load()))%l.tick)
}

func (l *Log) answer(req *kmsg.FetchRequest, arrived int64) (*kmsg.FetchResponse, int) {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	total := 0
	for _, rt := range req.Topics {
		st := kmsg.NewFetchResponseTopic()
		st.Topic, st.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			sp := kmsg.NewFetchResponseTopicPartition()
			sp.Partition = rp.Partition
			sp.RecordBatches = []byte{}
			end := l.end(rp.Partition, arrived)
			switch {
			case req.Version >= 13 && rt.TopicID != l.topicID:
				sp.ErrorCode = kerr.UnknownTopicID.Code
			case req.Version < 13 && rt.Topic != l.cfg.Topic, end < 0:
				sp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case rp.FetchOffset < 0 || rp.FetchOffset > end:
				sp.ErrorCode = kerr.OffsetOutOfRange.Code
			default:
				sp.HighWatermark, sp.LastStableOffset, sp.LogStartOffset = end, end, 0
				if room := min(int(rp.PartitionMaxBytes), int(req.MaxBytes)-total); rp.FetchOffset < end && (room >= l.size() || total == 0) {
					batches := (end-rp.FetchOffset)/l.perBatch + 1
					n := int(min(int64(max(room, l.size())), batches*int64(l.size())))
					sp.RecordBatches = l.appendBatches(make([]byte, 0, n), rp.FetchOffset, end, room)
					total += len(sp.RecordBatches)
				}
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, total
}

// Special timestamps of ListOffsets.
const (
	latest        = -1
	earliest      = -2
	earliestLocal = -4
)

func (l *Log) listOffsets(kreq kmsg.Request) (kmsg.Response, error, bool) {
	req := kreq.(*kmsg.ListOffsetsRequest)
	if len(req.Topics) == 0 || req.Topics[0].Topic != l.cfg.Topic {
		return nil, nil, false
	}
	l.cluster.KeepControl()
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	arrived := l.arrived(time.Now())
	for _, rt := range req.Topics {
		st := kmsg.NewListOffsetsResponseTopic()
		st.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			sp := kmsg.NewListOffsetsResponseTopicPartition()
			sp.Partition, sp.LeaderEpoch, sp.Timestamp = rp.Partition, l.epoch, -1
			end := l.end(rp.Partition, arrived)
			switch {
			case end < 0:
				sp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case rp.Timestamp == latest:
				sp.Offset = end
			case rp.Timestamp == earliest, rp.Timestamp == earliestLocal:
				sp.Offset = 0
			default:
				sp.Offset = l.firstAfter(rp.Timestamp, end)
				if sp.Offset >= 0 {
					sp.Timestamp = l.millis(sp.Offset)
				}
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil, true
}

// firstAfter is the first offset whose record is at or after a time, -1 if
// there is none.
func (l *Log) firstAfter(millis, end int64) int64 {
	lo, hi := int64(0), end/l.perBatch
	for lo < hi {
		if mid := (lo + hi) / 2; l.millis(mid*l.perBatch) < millis {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo*l.perBatch >= end {
		return -1
	}
	return lo * l.perBatch
}

// epochEnd says that the current leader epoch goes to the end.
func (l *Log) epochEnd(kreq kmsg.Request) (kmsg.Response, error, bool) {
	req := kreq.(*kmsg.OffsetForLeaderEpochRequest)
	if len(req.Topics) == 0 || req.Topics[0].Topic != l.cfg.Topic {
		return nil, nil, false
	}
	l.cluster.KeepControl()
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	arrived := l.arrived(time.Now())
	for _, rt := range req.Topics {
		st := kmsg.NewOffsetForLeaderEpochResponseTopic()
		st.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			sp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			sp.Partition, sp.LeaderEpoch, sp.EndOffset = rp.Partition, l.epoch, l.end(rp.Partition, arrived)
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil, true
}

// logDirs tells the size of the partitions, all in one folder of each broker.
func (l *Log) logDirs(kreq kmsg.Request) (kmsg.Response, error, bool) {
	req := kreq.(*kmsg.DescribeLogDirsRequest)
	l.cluster.KeepControl()
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = "/vlog"
	topic := kmsg.NewDescribeLogDirsResponseDirTopic()
	topic.Topic = l.cfg.Topic
	arrived, node := l.arrived(time.Now()), l.cluster.CurrentNode()
	for i := range l.ends {
		if int32(i%l.cfg.Brokers) != node {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition = int32(i)
		p.Size = l.end(p.Partition, arrived) / l.perBatch * int64(len(l.t.batch))
		topic.Partitions = append(topic.Partitions, p)
	}
	dir.Topics = append(dir.Topics, topic)
	resp.Dirs = append(resp.Dirs, dir)
	return resp, nil, true
}
