package compare

import (
	"context"
	"errors"
	"math/big"
	"testing"

	"cloud.google.com/go/bigquery"
	"pgregory.net/rapid"
)

// TestReadsEveryRow: however a result is divided into pages, every row comes once, and
// where the order says something, in it.
func TestReadsEveryRow(t *testing.T) {
	for _, n := range []int64{0, 1, pageRows, pageRows + 1, 3*pagesAtOnce*pageRows + 7} {
		for _, unordered := range []bool{false, true} {
			seen := make([]int, n)
			next := int64(0)
			q := query{purpose: "test", sql: "SELECT i FROM UNNEST(GENERATE_ARRAY(1, @n)) AS i ORDER BY i", params: []bigquery.QueryParameter{{Name: "n", Value: n}}, unordered: unordered}
			_, err := testRunner().run(ctxBackground, q, func(row row) error {
				i, err := get[int64](row, "i")
				if err != nil {
					return err
				}
				seen[i-1]++
				if next++; !unordered && i != next {
					t.Fatalf("row %d comes in place %d", i, next)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, times := range seen {
				if times != 1 {
					t.Fatalf("of %d rows, unordered %v, row %d comes %d times", n, unordered, i+1, times)
				}
			}
		}
	}
}

// TestReadingEnds: an error of whoever takes the rows, and the end of the context, end
// the reading of all pages.
func TestReadingEnds(t *testing.T) {
	q := query{purpose: "test", sql: "SELECT i FROM UNNEST(GENERATE_ARRAY(1, 9000)) AS i", unordered: true}
	bad := errors.New("bad row")
	if _, err := testRunner().run(ctxBackground, q, func(row) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(ctxBackground)
	defer cancel()
	if _, err := testRunner().run(ctx, q, func(row) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestAdd: sums are those of big.Rat, and leave what is added as it is.
func TestAdd(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) *big.Rat {
		n := rapid.Int64().Draw(t, "n")
		if rapid.Bool().Draw(t, "whole") {
			return new(big.Rat).Mul(whole(n), whole(rapid.Int64().Draw(t, "times")))
		}
		return big.NewRat(n, rapid.SampledFrom([]int64{1, 10, 1_000_000_000}).Draw(t, "unit"))
	})
	rapid.Check(t, func(t *rapid.T) {
		sum, want := new(big.Rat), new(big.Rat)
		for _, v := range rapid.SliceOfN(value, 0, 20).Draw(t, "values") {
			was := new(big.Rat).Set(v)
			less := new(big.Rat).Sub(want, v)
			if got := minus(want, v); got.Cmp(less) != 0 {
				t.Fatalf("%s - %s = %s", want, v, got)
			}
			add(sum, v)
			want.Add(want, v)
			if sum.Cmp(want) != 0 || v.Cmp(was) != 0 {
				t.Fatalf("after %s: %s, want %s; what was added is %s", was, sum, want, v)
			}
		}
	})
}
