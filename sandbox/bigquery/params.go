package bigquery

import (
	"encoding/json"
	"strings"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// paramJSON is a query parameter; a missing value is NULL, an empty one is not.
type paramJSON struct {
	Name           string                 `json:"name"`
	ParameterType  *bq.QueryParameterType `json:"parameterType"`
	ParameterValue *paramValue            `json:"parameterValue"`
}

type paramValue struct {
	Value        *string                `json:"value"`
	ArrayValues  []*paramValue          `json:"arrayValues"`
	StructValues map[string]*paramValue `json:"structValues"`
	RangeValue   json.RawMessage        `json:"rangeValue"`
}

func parseParams(data []byte) ([]googlesql.Param, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var list []paramJSON
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, errInvalid("Invalid query parameters: %s", err)
	}
	var out []googlesql.Param
	for _, p := range list {
		if p.Name == "" {
			return nil, errNotImplemented("a positional query parameter")
		}
		t, err := paramType(p.ParameterType, p.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, googlesql.Param{Name: p.Name, Type: t, Value: paramOf(t, p.ParameterValue)})
	}
	return out, nil
}

func paramType(p *bq.QueryParameterType, name string) (*googlesql.Type, error) {
	if p == nil {
		return nil, errInvalid("Query parameter '%s' has no type", name)
	}
	switch strings.ToUpper(p.Type) {
	case "ARRAY":
		elem, err := paramType(p.ArrayType, name)
		if err != nil {
			return nil, err
		}
		return googlesql.ArrayOf(elem), nil
	case "STRUCT":
		t := &googlesql.Type{Kind: googlesql.Struct}
		for _, f := range p.StructTypes {
			ft, err := paramType(f.Type, name)
			if err != nil {
				return nil, err
			}
			t.Fields = append(t.Fields, googlesql.Field{Name: f.Name, Type: ft})
		}
		return t, nil
	}
	t := googlesql.SimpleType(p.Type)
	if t == nil || t.Kind == googlesql.Interval {
		return nil, errNotImplemented("type %s (query parameter '%s')", p.Type, name)
	}
	return t, nil
}

func paramOf(t *googlesql.Type, p *paramValue) googlesql.Value {
	switch {
	case t.Kind == googlesql.Array:
		var v googlesql.Value
		if p != nil {
			for _, e := range p.ArrayValues {
				v.Elems = append(v.Elems, paramOf(t.Elem, e))
			}
		}
		return v
	case t.Kind == googlesql.Struct:
		if p == nil || p.StructValues == nil {
			return googlesql.Value{Null: true}
		}
		var v googlesql.Value
		for _, f := range t.Fields {
			v.Elems = append(v.Elems, paramOf(f.Type, p.StructValues[f.Name]))
		}
		return v
	case p == nil || p.Value == nil:
		return googlesql.Value{Null: true}
	}
	return googlesql.Value{Text: *p.Value}
}
