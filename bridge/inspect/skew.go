package inspect

import (
	"cmp"
	"slices"
)

// skewOf compares parts by their bytes, or by their records where no bytes are
// known, and sets their shares.
func skewOf(parts []Part) Skew {
	s := Skew{Parts: parts}
	if s.Parts == nil {
		s.Parts = []Part{}
	}
	weight := func(p *Part) float64 { return float64(p.Bytes) }
	if !slices.ContainsFunc(parts, func(p Part) bool { return p.Bytes > 0 }) {
		weight = func(p *Part) float64 { return float64(p.Records) }
	}
	sum, most := 0.0, 0.0
	for i := range parts {
		sum += weight(&parts[i])
		most = max(most, weight(&parts[i]))
	}
	if sum == 0 {
		return s
	}
	for i := range parts {
		parts[i].Share = weight(&parts[i]) / sum
	}
	s.MaxOverMean = most * float64(len(parts)) / sum
	return s
}

// largest are the n largest parts.
func (s *Skew) largest(n int) []Part {
	parts := slices.Clone(s.Parts)
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(b.Share, a.Share) })
	return parts[:min(n, len(parts))]
}

// forecast is what publishing needs, by what the samples of each topic became.
func forecast(topics []Topic, sources map[topicKey]*sampled) Throughput {
	var t Throughput
	for i := range topics {
		from := sources[topicKey{topics[i].Source, topics[i].Topic}]
		if from == nil || from.records == 0 {
			continue
		}
		messages, bytes := float64(from.messages)/float64(from.records), float64(from.messageBytes)/float64(from.records)
		t.MessagesPerSecond += topics[i].PerSecond * messages
		t.BytesPerSecond += topics[i].PerSecond * bytes
		t.BacklogMessages += int64(float64(topics[i].Backlog) * messages)
		t.BacklogBytes += int64(float64(topics[i].Backlog) * bytes)
	}
	return t
}
