package transform

import (
	"math/big"
	"time"

	"github.com/google/go-cmp/cmp"
)

var compareRats = cmp.Comparer(func(a, b *big.Rat) bool { return a.Cmp(b) == 0 })

// avroResolutions are pairs of schemas that Avro's rules resolve.
var avroResolutions = []struct {
	name, writer, reader string
	value                any
}{
	{
		name:   "reordered",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"},{"name":"c","type":"boolean"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"c","type":"boolean"},{"name":"b","type":"string"},{"name":"a","type":"int"}]}`,
		value:  map[string]any{"a": int32(-7), "b": "text", "c": true},
	},
	{
		name:   "promoted",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"},{"name":"c","type":"long"},{"name":"d","type":"float"},{"name":"e","type":"string"},{"name":"f","type":"bytes"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"double"},{"name":"c","type":"float"},{"name":"d","type":"double"},{"name":"e","type":"bytes"},{"name":"f","type":"string"}]}`,
		value:  map[string]any{"a": int32(1), "b": int32(2), "c": int64(3), "d": float32(0.1), "e": "text", "f": []byte("bytes")},
	},
	{
		name:   "defaults and aliases",
		writer: `{"type":"record","name":"R","fields":[{"name":"old","type":"string"},{"name":"gone","type":"long"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"new","aliases":["old"],"type":"string"},{"name":"n","type":["null","long"],"default":null},{"name":"list","type":{"type":"array","items":"int"},"default":[1,2]},{"name":"rec","type":{"type":"record","name":"I","fields":[{"name":"x","type":"string","default":"y"}]},"default":{}},{"name":"bytes","type":"bytes","default":"\u00ff"}]}`,
		value:  map[string]any{"old": "text", "gone": int64(5)},
	},
	{
		name:   "enum with default",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["X","Y","Z"]}},{"name":"b","type":"E"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["Z","OTHER"],"default":"OTHER"}},{"name":"b","type":"E"}]}`,
		value:  map[string]any{"a": "Z", "b": "Y"},
	},
	{
		name:   "into a union",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":["string","null"]},{"name":"c","type":["null","int"]}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":["null","long"]},{"name":"b","type":["null","string"]},{"name":"c","type":["string","null","long"]}]}`,
		value:  map[string]any{"a": int32(1), "b": "x", "c": int32(9)},
	},
	{
		name:   "nested and recursive",
		writer: `{"type":"record","name":"N","fields":[{"name":"v","type":"int"},{"name":"w","type":"string"},{"name":"next","type":["null","N"]},{"name":"m","type":{"type":"map","values":{"type":"array","items":["null","N"]}}}]}`,
		reader: `{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]},{"name":"v","type":"long"},{"name":"m","type":{"type":"map","values":{"type":"array","items":["null","N"]}}}]}`,
		value: map[string]any{"v": int32(1), "w": "a", "next": map[string]any{"v": int32(2), "w": "b", "next": nil, "m": map[string]any{}},
			"m": map[string]any{"k": []any{nil, map[string]any{"v": int32(3), "w": "c", "next": nil, "m": map[string]any{}}}}},
	},
	{
		name:   "same instant in another unit",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"z","type":"null","default":null}]}`,
		value:  map[string]any{"a": time.UnixMilli(1_700_000_000_123).UTC()},
	},
}
