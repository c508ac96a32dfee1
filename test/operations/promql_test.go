package operations

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// added are the labels that Prometheus and its operator add to what they scrape.
var added = []string{"namespace", "job", "pod", "instance"}

// use is one metric that an expression asks for.
type use struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, op, value string }

var (
	token    = regexp.MustCompile(`^(?:"(?:[^"\\]|\\.)*"|[a-zA-Z_:$][a-zA-Z0-9_:]*|[0-9][0-9.a-z]*|[=!]~|[=!<>]=|[-+*/%^=<>(){}\[\],:])`)
	name     = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	grouping = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
	words    = []string{"and", "or", "unless", "bool", "offset"}
)

// uses reads an expression of PromQL as far as to know which metrics and labels
// it asks for. labels are those that it groups by.
func uses(expr string) (found []use, labels []string, err error) {
	tokens, err := scan(expr)
	if err != nil {
		return nil, nil, err
	}
	next := func(i int) string {
		if i+1 < len(tokens) {
			return tokens[i+1]
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		switch tok := tokens[i]; {
		case slices.Contains(grouping, tok) && next(i) == "(":
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					labels = append(labels, tokens[i])
				}
			}
		case tok == "{":
			if len(found) == 0 {
				return nil, nil, fmt.Errorf("a selector without a metric")
			}
			u := &found[len(found)-1]
			for i++; i < len(tokens) && tokens[i] != "}"; i++ {
				if tokens[i] == "," {
					continue
				}
				if i+2 >= len(tokens) || !name.MatchString(tokens[i]) || tokens[i+2][0] != '"' {
					return nil, nil, fmt.Errorf("a selector of %s that cannot be read", u.metric)
				}
				u.matchers = append(u.matchers, matcher{tokens[i], tokens[i+1], strings.Trim(tokens[i+2], `"`)})
				i += 2
			}
		case tok == "[":
			for i < len(tokens) && tokens[i] != "]" {
				i++
			}
		case name.MatchString(tok) && !slices.Contains(words, tok) && next(i) != "(" && !slices.Contains(grouping, next(i)):
			found = append(found, use{metric: tok})
		}
	}
	return found, labels, nil
}

// scan splits an expression into tokens, and checks that brackets are closed.
func scan(expr string) (tokens []string, err error) {
	var open []string
	closes := map[string]string{")": "(", "}": "{", "]": "["}
	for rest := strings.TrimSpace(expr); rest != ""; rest = strings.TrimSpace(rest) {
		tok := token.FindString(rest)
		switch {
		case tok == "":
			return nil, fmt.Errorf("not understood: %q", rest)
		case tok == "(" || tok == "{" || tok == "[":
			open = append(open, tok)
		case closes[tok] != "":
			if len(open) == 0 || open[len(open)-1] != closes[tok] {
				return nil, fmt.Errorf("%q closes nothing", rest)
			}
			open = open[:len(open)-1]
		}
		tokens, rest = append(tokens, tok), rest[len(tok):]
	}
	if len(open) > 0 {
		return nil, fmt.Errorf("%q is not closed", open)
	}
	return tokens, nil
}

// check reports what an expression asks for that no bridge shows.
func check(expr string, known map[string]*metric) []string {
	found, labels, err := uses(expr)
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	has := func(u use, l string) bool {
		m := known[u.metric]
		return m == nil || slices.Contains(added, l) || m.values[l] != nil
	}
	for _, u := range found {
		if known[u.metric] == nil {
			wrong = append(wrong, "there is no metric "+u.metric)
		}
		for _, m := range u.matchers {
			switch {
			case !has(u, m.label):
				wrong = append(wrong, fmt.Sprintf("%s has no label %s", u.metric, m.label))
			case known[u.metric] != nil && !slices.Contains(added, m.label) && (m.op == "=" || m.op == "!=") && !slices.Contains(known[u.metric].values[m.label], m.value):
				wrong = append(wrong, fmt.Sprintf("%s is never %s in %s", m.label, m.value, u.metric))
			}
		}
		for _, l := range labels {
			if !has(u, l) {
				wrong = append(wrong, fmt.Sprintf("%s has no label %s to group by", u.metric, l))
			}
		}
	}
	if len(found) == 0 {
		wrong = append(wrong, "it asks for no metric")
	}
	return wrong
}

// TestCheck: the check itself finds what is wrong.
func TestCheck(t *testing.T) {
	known := map[string]*metric{"m_total": {values: map[string][]string{"code": {"OK"}}}, "h_bucket": {values: map[string][]string{"le": {"1"}}}}
	for _, c := range []struct {
		expr  string
		wrong int
	}{
		{`sum by (job, code) (rate(m_total{code="OK"}[5m])) > 0.5`, 0},
		{`histogram_quantile(0.99, sum by (le) (rate(h_bucket{job=~"$job"}[$__rate_interval])))`, 0},
		{`deriv(sum(m_total)[15m:1m]) > 0 and sum(m_total) > 10`, 0},
		{`absent(n_total)`, 1},
		{`rate(m_total{class="x"}[5m])`, 1},
		{`rate(m_total{code="KO"}[5m])`, 1},
		{`sum by (class) (m_total)`, 1},
		{`sum(m_total`, 1},
		{`sum(rate(m_total[5m)])`, 1},
		{`1 > 0`, 1},
		{`m_total / n_total`, 1},
	} {
		if wrong := check(c.expr, known); len(wrong) != c.wrong {
			t.Errorf("%s: %q", c.expr, wrong)
		}
	}
}
