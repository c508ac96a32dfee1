package demo

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

// seed makes every run with the same input send the same flights twice.
const seed = 20010108

// longestRetry is how many records later, at most, a second copy is sent: some
// seconds, so that now and then a job is replaced in between.
const longestRetry = 10_000

// sendOrder returns the flights, by index, in the order in which their reports
// are sent: by arrival, then by number. round(duplicates·n) of them, chosen by
// the seed, are sent a second time a little later, as by a producer that did
// not see its acknowledgement.
func sendOrder(in []flights.Flight, duplicates float64) []int32 {
	order := make([]int32, len(in))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(in[a].ArrivesAt().Compare(in[b].ArrivesAt()), cmp.Compare(a, b))
	})

	type retry struct {
		after  int // position in order of the record that it follows
		flight int32
	}
	rng := rand.New(rand.NewPCG(seed, uint64(len(in))))
	retries := make([]retry, int(math.Round(duplicates*float64(len(in)))))
	for i, at := range rng.Perm(len(in))[:len(retries)] {
		after := min(at+rng.IntN(longestRetry), len(in)-1)
		retries[i] = retry{after, order[at]}
	}
	slices.SortFunc(retries, func(a, b retry) int {
		return cmp.Or(cmp.Compare(a.after, b.after), cmp.Compare(a.flight, b.flight))
	})

	out := make([]int32, 0, len(in)+len(retries))
	for i, f := range order {
		out = append(out, f)
		for len(retries) > 0 && retries[0].after == i {
			out = append(out, retries[0].flight)
			retries = retries[1:]
		}
	}
	return out
}
