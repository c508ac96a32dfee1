package dataflow

import (
	"errors"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxScript is far more than a script has.
const maxScript = 1 << 20

// LoadScript reads a script from a YAML file: a mapping with a list of rules.
//
//	rules:
//	  - {call: launch, job: flights-*, times: 2, answer: 503}
//	  - {call: drain, stuck: true}
//
// Errors name the file and the line.
func LoadScript(file string) (Script, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxScript {
		err = fmt.Errorf("it has more than %d bytes", maxScript)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("script of the Dataflow service: %w", err)
	}
	rules, err := parseRules(file, text)
	if err != nil {
		return nil, err
	}
	return Rules(rules...)
}

// parseRules reads rules. Every one is checked, so that an error has its line.
func parseRules(name string, text []byte) ([]Rule, error) {
	at := func(n ast.Node, format string, args ...any) error {
		line := 1
		if n != nil && n.GetToken() != nil {
			line = n.GetToken().Position.Line
		}
		return fmt.Errorf("%s:%d: %w", name, line, fmt.Errorf(format, args...))
	}
	// decode is strict: a field that is misspelt must not make a rule that does
	// something else.
	decode := func(n ast.Node, to any) error {
		err := yaml.NodeToValue(n, to, yaml.Strict())
		var positioned yaml.Error
		if errors.As(err, &positioned) && positioned.GetToken() != nil {
			return fmt.Errorf("%s:%d: %s", name, positioned.GetToken().Position.Line, positioned.GetMessage())
		}
		if err != nil {
			return at(n, "%w", err)
		}
		return nil
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return nil, fmt.Errorf("%s:%d: %s", name, syntax.GetToken().Position.Line, syntax.GetMessage())
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			return nil, at(d.Body, "more than one document")
		}
		body = d.Body
	}
	if body == nil {
		return nil, at(nil, "there are no rules: begin with `rules:` and a list")
	}
	var doc struct {
		Rules ast.Node `yaml:"rules"`
	}
	if err := decode(body, &doc); err != nil {
		return nil, err
	}
	list, ok := doc.Rules.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		return nil, at(body, "there are no rules: begin with `rules:` and a list")
	}
	var rules []Rule
	for i, n := range list.Values {
		var r Rule
		if err := decode(n, &r); err != nil {
			return nil, err
		}
		if _, err := compile(r); err != nil {
			return nil, at(n, "rule %d: %w", i+1, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}
