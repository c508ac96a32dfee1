package deploy

import (
	"testing"
	"time"

	"cloud.google.com/go/bigtable"
)

func TestKeeps(t *testing.T) {
	const day = 24 * time.Hour
	age, versions := bigtable.MaxAgePolicy, bigtable.MaxVersionsPolicy
	for _, c := range []struct {
		name   string
		policy bigtable.GCPolicy
		week   bool // keeps what is younger than a week
		ever   bool
	}{
		{"none", bigtable.NoGcPolicy(), true, true},
		{"not said", nil, true, true},
		{"a day", age(day), false, false},
		{"a week", age(7 * day), true, false},
		{"one version", versions(1), true, true},
		{"no version", versions(0), false, false},
		{"older than a day, or a second version", bigtable.UnionPolicy(age(day), versions(1)), false, false},
		{"older than a week, or a second version", bigtable.UnionPolicy(age(7*day), versions(1)), true, false},
		{"a second version that is older than a day", bigtable.IntersectionPolicy(age(day), versions(1)), true, true},
		{"older than a day and than two", bigtable.IntersectionPolicy(age(day), age(2*day)), false, false},
		{"older than a day and than a week", bigtable.IntersectionPolicy(age(day), age(7*day)), true, false},
		{"no condition at all", bigtable.IntersectionPolicy(), true, true},
	} {
		if got := keeps(c.policy, 7*day); got != c.week {
			t.Errorf("%s: keeps a week: %v", c.name, got)
		}
		if got := keeps(c.policy, forEver); got != c.ever {
			t.Errorf("%s: keeps for ever: %v", c.name, got)
		}
	}
}
