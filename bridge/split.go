package bridge

import "github.com/cespare/xxhash/v2"

// splitText appends the text of key fields whose hash picks the topic: plain
// texts, joined by 0x1f. A field that is null has the same text as one that is
// not there, for whoever reads the two sees the same.
func splitText(dst []byte, key []string, o *jsonObject) []byte {
	for i, name := range key {
		if i > 0 {
			dst = append(dst, idSeparator)
		}
		v := o.get(name)
		switch {
		case len(v) == 0 || v[0] == 'n':
		case v[0] == '"':
			dst = append(dst, unquote(v)...)
		default:
			dst = append(dst, v...)
		}
	}
	return dst
}

// splitOf returns the number of the topic for a text, below count. One hash
// for ever: a duplicate must reach the topic, and so the job, that the first
// one reached.
func splitOf(text []byte, count int) int {
	if count == 1 {
		return 0
	}
	return int(xxhash.Sum64(text) % uint64(count))
}
