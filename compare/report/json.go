package report

import (
	"io"
	"reflect"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/report"
)

// WriteJSON writes the result as indented JSON, as docs/comparison-json.md
// describes it. Its form is versioned by the field version (see ResultVersion).
// Lists and maps are written as empty ones where there are none, never as null.
func WriteJSON(w io.Writer, r *compare.Result) error {
	return report.WriteJSON(w, withoutNil(reflect.ValueOf(r)).Interface())
}

// withoutNil copies a value with empty lists and maps in the place of nil ones.
func withoutNil(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(withoutNil(v.Elem()))
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v) // with what is not exported, as in time.Time
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(withoutNil(v.Field(i)))
			}
		}
		return out
	case reflect.Slice:
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(withoutNil(v.Index(i)))
		}
		return out
	case reflect.Map:
		if v.IsNil() {
			return reflect.MakeMap(v.Type())
		}
	}
	return v
}
