package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// This file puts many mutations into one program, without I/O: to build a
// program for each would take ten times as long. Every function that is mutated
// is there twice, as it is and, under another name, with the mutation; and it
// begins with a look at which mutation is wanted. Reflection does not see the
// copies: their names are not exported.

// switchEnv holds the number of the mutation that a combined program has.
const switchEnv = "KAPPA_BROKEN_RULE"

// switchFile is added to every package of which a file is mutated.
func switchFile(packageName string) string {
	return fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar ruleBroken = os.Getenv(%q)\n", packageName, switchEnv)
}

// change replaces a part of a text.
type change struct {
	from, to int
	text     string
}

// combine returns the text of a file with mutations, by their numbers, and the
// name of its package. Those that change something else than the body of a
// function cannot be combined: they are left.
func combine(source string, ms map[int]mutation) (text, packageName string, left []int, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.SkipObjectResolution)
	if err != nil {
		return "", "", nil, err
	}
	at := set.File(file.Pos()).Offset
	mutated := map[*ast.FuncDecl][]int{}
	for n, m := range ms {
		from := strings.Index(source, m.Old)
		i := slices.IndexFunc(file.Decls, func(d ast.Decl) bool {
			fn, ok := d.(*ast.FuncDecl)
			return ok && fn.Body != nil && at(fn.Body.Lbrace) < from && from+len(m.Old) <= at(fn.Body.Rbrace)
		})
		if i < 0 {
			left = append(left, n)
			continue
		}
		fn := file.Decls[i].(*ast.FuncDecl)
		mutated[fn] = append(mutated[fn], n)
	}
	var changes []change
	for fn, numbers := range mutated {
		slices.Sort(numbers)
		slice := func(from, to token.Pos) string { return source[at(from):at(to)] }
		recv, receiver := named(fn.Recv, "ruleReceiver", at)
		args, arguments := named(fn.Type.Params, "ruleArgument", at)
		changes = append(append(changes, recv...), args...)
		body := at(fn.Body.Lbrace) + 1
		for _, n := range numbers {
			copied := fmt.Sprintf("rule%d%s", n, fn.Name.Name)
			call := copied + "(" + strings.Join(arguments, ", ") + ")"
			if fn.Recv != nil {
				call = receiver[0] + "." + call
			}
			if fn.Type.Results != nil {
				call = "return " + call
			} else {
				call += "; return"
			}
			changes = append(changes, change{body, body, fmt.Sprintf(" if ruleBroken == \"%d\" { %s };", n, call)})
			var b strings.Builder
			b.WriteString("\n\nfunc ")
			if fn.Recv != nil {
				b.WriteString(slice(fn.Recv.Pos(), fn.Recv.End()) + " ")
			}
			// From the parameters, of types and then of values, to the end of the body.
			rest := slice(fn.Name.End(), fn.End())
			b.WriteString(copied + strings.Replace(rest, ms[n].Old, ms[n].New, 1))
			changes = append(changes, change{at(fn.End()), at(fn.End()), b.String()})
		}
	}
	slices.Sort(left)
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.from, b.from) })
	var b strings.Builder
	end := 0
	for _, c := range changes {
		b.WriteString(source[end:c.from] + c.text)
		end = c.to
	}
	b.WriteString(source[end:])
	return b.String(), file.Name.Name, left, nil
}

// named is how parameters are handed on, and the changes that give a name to
// those that have none.
func named(params *ast.FieldList, prefix string, at func(token.Pos) int) (changes []change, names []string) {
	if params == nil {
		return nil, nil
	}
	for _, p := range params.List {
		after := ""
		if _, variadic := p.Type.(*ast.Ellipsis); variadic {
			after = "..."
		}
		if len(p.Names) == 0 {
			name := fmt.Sprint(prefix, len(names))
			changes = append(changes, change{at(p.Type.Pos()), at(p.Type.Pos()), name + " "})
			names = append(names, name+after)
		}
		for _, id := range p.Names {
			name := id.Name
			if name == "_" {
				name = fmt.Sprint(prefix, len(names))
				changes = append(changes, change{at(id.Pos()), at(id.End()), name})
			}
			names = append(names, name+after)
		}
	}
	return changes, names
}
