package transform

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"
)

var (
	errWholeNumber = errors.New("a number is not whole, or too large for its type")
	errTimeText    = errors.New("a text is not a time of the form that its type asks for")
	errBase64      = errors.New("a text is not base64")
	errFixedSize   = errors.New("bytes are not as many as their type asks for")
	errUUIDText    = errors.New("a text is not a UUID")
	errSymbolText  = errors.New("a text is not a symbol of its enum")
)

// appendAvroNumber writes an int or a long, or what is written as one: a whole
// number in the unit of its type, or a text as value makes one of it.
func appendAvroNumber(dst []byte, r *result, to *avroType) ([]byte, error) {
	var v int64
	switch r.kind {
	case kindInt:
		v = int64(r.num)
	case kindUint:
		if r.num > math.MaxInt64 {
			return dst, errWholeNumber
		}
		v = int64(r.num)
	case kindDouble:
		d := r.double()
		if d != math.Trunc(d) || d < -1<<63 || d >= 1<<63 {
			return dst, errWholeNumber
		}
		v = int64(d)
	case kindTime:
		n, ok := to.instant(r.when)
		if !ok {
			return dst, errUnfit{r.kind, to}
		}
		v = n
	case kindString:
		if to.logical == avroPlain {
			return dst, errUnfit{r.kind, to}
		}
		n, err := to.parseTime(string(r.text))
		if err != nil {
			return dst, err
		}
		v = n
	default:
		return dst, errUnfit{r.kind, to}
	}
	if to.kind == avroInt && (v < math.MinInt32 || v > math.MaxInt32) {
		return dst, errWholeNumber
	}
	return binary.AppendVarint(dst, v), nil
}

// instant returns t in the unit of a timestamp.
func (to *avroType) instant(t time.Time) (int64, bool) {
	switch to.logical {
	case avroTimestampMillis, avroLocalMillis:
		return t.UnixMilli(), true
	case avroTimestampMicros, avroLocalMicros:
		return t.UnixMicro(), true
	case avroTimestampNanos, avroLocalNanos:
		n := t.UnixNano() // which end in the years 1677 and 2262
		return n, time.Unix(0, n).Equal(t)
	default:
		return 0, false
	}
}

// parseTime reads the text of a time in the unit of its type.
func (to *avroType) parseTime(text string) (int64, error) {
	layout := time.RFC3339Nano
	switch to.logical {
	case avroDate:
		layout = time.DateOnly
	case avroTimeMillis, avroTimeMicros:
		layout = clockLayout
	case avroLocalMillis, avroLocalMicros, avroLocalNanos:
		layout = localLayout
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return 0, errTimeText // time's own error shows the text
	}
	switch to.logical {
	case avroDate:
		return t.Unix() / 86400, nil // midnight: there is no rest
	case avroTimeMillis, avroTimeMicros:
		day := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute +
			time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
		if to.logical == avroTimeMillis {
			return day.Milliseconds(), nil
		}
		return day.Microseconds(), nil
	}
	n, ok := to.instant(t)
	if !ok {
		return 0, errTimeRange
	}
	return n, nil
}

// appendAvroDouble writes a float or a double.
func appendAvroDouble(dst []byte, r *result, to *avroType) ([]byte, error) {
	var d float64
	switch r.kind {
	case kindInt:
		d = float64(int64(r.num))
	case kindUint:
		d = float64(r.num)
	case kindDouble:
		d = r.double()
	default:
		return dst, errUnfit{r.kind, to}
	}
	if to.kind == avroDouble {
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(d)), nil
	}
	f := float32(d)
	if math.IsInf(float64(f), 0) && !math.IsInf(d, 0) {
		return dst, errWholeNumber
	}
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(f)), nil
}

// appendAvroBinary writes bytes or a fixed, or what is written as one.
func appendAvroBinary(dst []byte, r *result, to *avroType) ([]byte, error) {
	data := r.text
	switch {
	case to.logical == avroDecimal && r.kind == kindString:
		return appendAvroDecimal(dst, r.text, to)
	case to.logical == avroDecimal && (r.kind == kindInt || r.kind == kindUint || r.kind == kindDouble):
		text, err := r.appendPlain(make([]byte, 0, 32))
		if err != nil {
			return dst, err
		}
		return appendAvroDecimal(dst, text, to)
	case to.logical == avroUUID && r.kind == kindString:
		id, err := parseUUID(r.text)
		return append(dst, id...), err
	case r.kind == kindString:
		decoded, err := base64.StdEncoding.AppendDecode(nil, r.text)
		if err != nil {
			return dst, errBase64
		}
		data = decoded
	case r.kind != kindBytes:
		return dst, errUnfit{r.kind, to}
	}
	if to.kind == avroBytes {
		return appendAvroBytes(dst, data), nil
	}
	if len(data) != to.width {
		return dst, errFixedSize
	}
	return append(dst, data...), nil
}

func parseUUID(text []byte) ([]byte, error) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return nil, errUUIDText
	}
	digits := slices.Concat(text[:8], text[9:13], text[14:18], text[19:23], text[24:])
	id := make([]byte, 16)
	if _, err := hex.Decode(id, digits); err != nil {
		return nil, errUUIDText
	}
	return id, nil
}

// appendAvroDecimal writes the text of a number as a decimal.
func appendAvroDecimal(dst, text []byte, to *avroType) ([]byte, error) {
	if v, ok := parseSmall(text, to.precision, to.scale); ok {
		var space [8]byte
		if to.kind == avroBytes {
			unscaled, _ := appendSmall(space[:0], v, -1)
			return appendAvroBytes(dst, unscaled), nil
		}
		if out, ok := appendSmall(dst, v, to.width); ok {
			return out, nil
		}
		return dst, errDecimalLong
	}
	v, err := parseDecimal(text, to.precision, to.scale)
	if err != nil {
		return dst, err
	}
	if to.kind == avroFixed {
		return appendUnscaled(dst, v, to.width)
	}
	unscaled, err := appendUnscaled(make([]byte, 0, 16), v, -1)
	return appendAvroBytes(dst, unscaled), err
}
