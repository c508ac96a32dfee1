package googlesql

import (
	"regexp"
	"time"
	_ "time/tzdata" // which zones there are must not depend on the machine
)

var zoneName = regexp.MustCompile(`^[A-Za-z_]+(/[A-Za-z0-9_+-]+)+$`)

// zoneOf is the time zone of a conversion's second argument, if that names one
// other than UTC.
func zoneOf(x *callExpr, args []*rexpr) (string, bool) {
	if len(args) != 2 {
		return "", false
	}
	a, name := args[1], ""
	switch {
	case a.lit != nil && a.lit.kind == String:
		name = a.lit.text
	case a.isParam && a.typ.is(String):
		name = a.param.Text
	}
	if isUTC(name) || !zoneName.MatchString(name) {
		return "", false
	}
	_, err := time.LoadLocation(name)
	return name, err == nil
}

// clockSQL is what a clock in a zone shows at a time in UTC.
func clockSQL(x, zone string) string {
	return "timezone('" + zone + "', timezone('UTC', " + x + "))"
}
