package compare

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
)

// The form of a part on disk. Values are exact: fractions as texts.

type savedPart struct {
	Settled     []Range           `json:"settled"`
	Counts      Counts            `json:"counts"`
	Metrics     []savedMetric     `json:"metrics"`
	Windows     []savedWindow     `json:"windows"`
	Segments    []savedSegment    `json:"segments"`
	BatchRows   int64             `json:"batch_rows"`
	StreamRows  int64             `json:"stream_rows"`
	Copies      int64             `json:"copies"`
	Conflicts   int64             `json:"conflicts"`
	Ignored     map[string]int64  `json:"ignored"`
	Differences []savedDifference `json:"differences"`
	Unexamined  int64             `json:"unexamined"`
	Evidence    int64             `json:"evidence"`
	LowerBound  int64             `json:"lower_bound"`
	Jobs        []QueryJob        `json:"jobs"`
}

type savedMetric struct {
	Batch      *big.Rat            `json:"batch"`
	Stream     *big.Rat            `json:"stream"`
	Difference *big.Rat            `json:"difference"`
	Absolute   *big.Rat            `json:"absolute"`
	Weight     map[string]*big.Rat `json:"weight"`
	Skipped    int64               `json:"skipped"`
}

type savedWindow struct {
	Window WindowResult  `json:"window"`
	Weight [][2]*big.Rat `json:"weight"` // all, agree
}

type savedSegment struct {
	Worst     []SegmentValue `json:"worst"`
	Truncated bool           `json:"truncated"`
}

type savedDifference struct {
	Class      string     `json:"class"`
	Keys       []savedKey `json:"keys"`
	Window     time.Time  `json:"window"`
	BatchRows  int64      `json:"batch_rows"`
	StreamRows int64      `json:"stream_rows"`
	Batch      savedSide  `json:"batch"`
	Stream     savedSide  `json:"stream"`
	Cause      string     `json:"cause"`
	Status     string     `json:"status"`
	Evidence   string     `json:"evidence,omitempty"`
	Known      string     `json:"known,omitempty"`

	BatchTexts  []string `json:"batch_texts,omitempty"`
	StreamTexts []string `json:"stream_texts,omitempty"`
}

type savedSide struct {
	Present bool       `json:"present"`
	Values  []*big.Rat `json:"values"`
}

// savedKey is a key's value: its type and its text; no type for NULL.
type savedKey struct {
	Type string `json:"t,omitempty"`
	Text string `json:"v,omitempty"`
}

func saveKey(v bigquery.Value) (savedKey, error) {
	switch v := v.(type) {
	case nil:
		return savedKey{}, nil
	case string:
		return savedKey{"STRING", v}, nil
	case int64:
		return savedKey{"INT64", strconv.FormatInt(v, 10)}, nil
	case bool:
		return savedKey{"BOOL", strconv.FormatBool(v)}, nil
	case time.Time:
		return savedKey{"TIMESTAMP", v.UTC().Format(time.RFC3339Nano)}, nil
	case civil.Date:
		return savedKey{"DATE", v.String()}, nil
	}
	return savedKey{}, fmt.Errorf("a key of type %T cannot be saved", v)
}

func (k savedKey) value() (bigquery.Value, error) {
	switch k.Type {
	case "":
		return nil, nil
	case "STRING":
		return k.Text, nil
	case "INT64":
		return strconv.ParseInt(k.Text, 10, 64)
	case "BOOL":
		return strconv.ParseBool(k.Text)
	case "TIMESTAMP":
		t, err := time.Parse(time.RFC3339Nano, k.Text)
		return t.UTC(), err
	case "DATE":
		return civil.ParseDate(k.Text)
	}
	return nil, fmt.Errorf("a key has the unknown type %q", k.Type)
}

func savePart(p *part) ([]byte, error) {
	s := savedPart{Settled: p.settled, Counts: p.counts, BatchRows: p.batchRows, StreamRows: p.streamRows,
		Copies: p.copies, Conflicts: p.conflicts, Ignored: p.ignored, Unexamined: p.unexamined, Evidence: p.evidence, LowerBound: p.lowerBound, Jobs: p.jobs}
	for _, m := range p.metrics {
		s.Metrics = append(s.Metrics, savedMetric{m.batch, m.stream, m.difference, m.absolute, m.weight, m.skipped})
	}
	for _, w := range p.windows {
		saved := savedWindow{Window: w.WindowResult}
		for _, v := range w.weight {
			saved.Weight = append(saved.Weight, [2]*big.Rat{v.all, v.agree})
		}
		s.Windows = append(s.Windows, saved)
	}
	for _, seg := range p.segments {
		s.Segments = append(s.Segments, savedSegment{seg.worst, seg.truncated})
	}
	for i := range p.differences {
		d := &p.differences[i]
		saved := savedDifference{Class: d.class, Window: d.window, BatchRows: d.batchRows, StreamRows: d.streamRows,
			Batch: savedSide{d.batch.present, d.batch.values}, Stream: savedSide{d.stream.present, d.stream.values},
			Cause: d.cause, Status: d.status, Evidence: d.evidence, Known: d.known,
			BatchTexts: d.batchTexts, StreamTexts: d.streamTexts}
		for _, v := range d.keys {
			k, err := saveKey(v)
			if err != nil {
				return nil, err
			}
			saved.Keys = append(saved.Keys, k)
		}
		s.Differences = append(s.Differences, saved)
	}
	return json.Marshal(s)
}

func loadPart(data []byte) (*part, error) {
	var s savedPart
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	p := &part{settled: s.Settled, counts: s.Counts, batchRows: s.BatchRows, streamRows: s.StreamRows,
		copies: s.Copies, conflicts: s.Conflicts, ignored: s.Ignored, unexamined: s.Unexamined, evidence: s.Evidence, lowerBound: s.LowerBound, jobs: s.Jobs}
	for _, m := range s.Metrics {
		p.metrics = append(p.metrics, partMetric{m.Batch, m.Stream, m.Difference, m.Absolute, m.Weight, m.Skipped})
	}
	for _, w := range s.Windows {
		loaded := partWindow{WindowResult: w.Window}
		for _, v := range w.Weight {
			loaded.weight = append(loaded.weight, windowWeight{v[0], v[1]})
		}
		p.windows = append(p.windows, loaded)
	}
	for _, seg := range s.Segments {
		p.segments = append(p.segments, partSegment{worst: seg.Worst, truncated: seg.Truncated})
	}
	for _, saved := range s.Differences {
		d := difference{class: saved.Class, window: saved.Window.UTC(), batchRows: saved.BatchRows, streamRows: saved.StreamRows,
			batch: sideValue{present: saved.Batch.Present, values: saved.Batch.Values}, stream: sideValue{present: saved.Stream.Present, values: saved.Stream.Values},
			cause: saved.Cause, status: saved.Status, evidence: saved.Evidence, known: saved.Known,
			batchTexts: saved.BatchTexts, streamTexts: saved.StreamTexts}
		for _, k := range saved.Keys {
			v, err := k.value()
			if err != nil {
				return nil, err
			}
			d.keys = append(d.keys, v)
		}
		p.differences = append(p.differences, d)
	}
	return p, nil
}
