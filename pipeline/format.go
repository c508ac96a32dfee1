package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// formatMicros formats microseconds since the epoch as RFC 3339 with six
// decimals, which is what BigQuery's TIMESTAMP holds.
func formatMicros(micros int64) string {
	b := make([]byte, 0, 27)
	return string(time.UnixMicro(micros).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z"))
}

// digest is a short name for a list of strings: 24 hexadecimal digits.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
