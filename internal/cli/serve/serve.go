// Package serve is `kappa serve`: aggregates as Bigtable serves them.
package serve

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/serve"
)

// New returns the group of commands.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Read aggregates from Bigtable, by the rules of the tables",
	}
	cmd.AddCommand(newQuery(a))
	return cmd
}

// queryFlags are the flags of query.
type queryFlags struct {
	specs       *specflags.Flags
	aggregation string
	keys        []string
	rollup      rollupFlag
	from, to    string
	limit       int
}

func newQuery(a *app.App) *cobra.Command {
	var f queryFlags
	cmd := &cobra.Command{
		Use:   "query -f SPEC",
		Short: "Show the windows of a key, or of all keys, of an aggregation",
		Long: `Show what Bigtable holds of an aggregation: the windows of one key or, without
--key, of all keys in the order of their row keys.

What counts is decided as everywhere: by the generations table. Rows of writers
that are void, cancelled or not listed are left out, and a complete backfill
replaces all other writers in its windows. Panes and writers merge: counts and
sums add up, minima and maxima keep the extreme.

A key is given as --key DIMENSION=VALUE, once for each dimension. The value %null
is null, and %%null is that text itself. An INT64 is written in decimal, a
TIMESTAMP as RFC 3339.

Of an aggregation with rollups one set of dimensions is shown: that of the
dimensions that --key names, or with --rollup all keys of that set; else the
keys of all dimensions.`,
		Example: `  kappa serve query -f specs/stream.yaml --key origin=ATL
  kappa serve query -f specs/ --name flights --aggregation flights_by_origin --key origin=ATL --from 2001-01-08 --to 2001-01-09
  kappa serve query -f specs/stream.yaml --output json --limit 1000
  kappa serve query -f specs/stream.yaml --rollup carrier
  kappa serve query -f specs/stream.yaml --rollup ""`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return query(cmd.Context(), a, f) },
	}
	f.specs = specflags.Add(cmd)
	cmd.Flags().StringVar(&f.aggregation, "aggregation", "", "`name` of the aggregation; not needed if the spec has one alone")
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "`DIMENSION=VALUE` of the key; once for each dimension (default: all keys)")
	cmd.Flags().Var(&f.rollup, "rollup", "`dimensions` of the rollup to show, separated by commas; empty for the total (default: those of --key, else all)")
	cmd.Flags().StringVar(&f.from, "from", "", "first window start to show, `TIME` as 2006-01-02 or RFC 3339 (default: the first there is)")
	cmd.Flags().StringVar(&f.to, "to", "", "window start at which to stop, `TIME`, exclusive (default: after the last)")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "most `windows` to show (default: all)")
	return cmd
}

// historyWithin is how long BigQuery may take to give the history: the client
// retries refused connections for ever.
const historyWithin = time.Minute

func query(ctx context.Context, a *app.App, f queryFlags) error {
	from, err := specflags.Time("--from", f.from)
	if err != nil {
		return err
	}
	to, err := specflags.Time("--to", f.to)
	switch {
	case err != nil:
		return err
	case !from.IsZero() && !to.IsZero() && !from.Before(to):
		return exit.Usagef("the range from %s to %s is empty", f.from, f.to).WithHint("give --from before --to")
	case f.limit < 0:
		return exit.Usagef("--limit %d is negative", f.limit)
	}
	job, _, err := f.specs.StreamJob()
	if err != nil {
		return err
	}
	agg, err := aggregation(job, f.aggregation)
	if err != nil {
		return err
	}
	set, key, err := parseKey(agg, job.Spec.Event, f.keys, f.rollup)
	if err != nil {
		return err
	}
	reader, done, err := open(ctx, job, agg, set)
	if err != nil {
		return err
	}
	defer done()
	res := result{Aggregation: agg.Name, Size: agg.Window.String(), Dimensions: set, Windows: []window{}}
	for _, m := range agg.Measures {
		res.Measures = append(res.Measures, m.Name)
	}
	if err := res.read(ctx, reader, key, from, to, f.limit); err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(res)
	}
	return res.text(a.Out, a.Err)
}

// open connects and reads who counts. The caller calls done.
func open(ctx context.Context, job *jobspecs.StreamJob, agg jobspecs.Aggregation, set []string) (r *serve.Reader, done func(), err error) {
	platform, err := gcp.Open(job.Spec.Platform)
	if err != nil {
		return nil, nil, err
	}
	if err := platform.Reachable(ctx); err != nil {
		return nil, nil, err
	}
	bq, err := platform.BigQuery(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer bq.Close()
	bt, err := platform.Bigtable(ctx, job.Spec.Sinks.Bigtable.Instance)
	if err != nil {
		return nil, nil, err
	}
	done = func() { bt.Close() }
	within, cancel := context.WithTimeout(ctx, historyWithin)
	defer cancel()
	log, err := history.New(bq, job.Spec.Sinks.BigQuery.Dataset).Read(within)
	if err == nil {
		r, err = serve.New(bt.Open(job.Spec.Sinks.Bigtable.Table), log.Standings(), agg, set)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return r, done, nil
}

// aggregation returns the aggregation of a name; with an empty one, the only one.
func aggregation(job *jobspecs.StreamJob, name string) (jobspecs.Aggregation, error) {
	if err := job.KappaPipeline("serve"); err != nil {
		return jobspecs.Aggregation{}, err
	}
	var names []string
	for _, a := range job.Spec.Aggregations {
		if a.Name == name || name == "" && len(job.Spec.Aggregations) == 1 {
			return a, nil
		}
		names = append(names, a.Name)
	}
	if name == "" {
		return jobspecs.Aggregation{}, exit.Usagef("StreamJob %s has %d aggregations", job.Metadata.Name, len(names)).
			WithHint("choose one with --aggregation: %s", strings.Join(names, ", "))
	}
	return jobspecs.Aggregation{}, exit.Usagef("StreamJob %s has no aggregation %q", job.Metadata.Name, name).
		WithHint("%s", didYouMean(name, names))
}

func didYouMean(word string, names []string) string {
	if s := suggest.Closest(word, names); s != "" {
		return "did you mean " + s + "?"
	}
	return "there are " + strings.Join(names, ", ")
}

// null is how people write null for a dimension; a text that begins with % is
// written with another one in front.
const null = "%null"

// rollupFlag is the value of --rollup, whose empty text means something.
type rollupFlag struct {
	given bool
	set   []string
}

// String implements pflag.Value.
func (f *rollupFlag) String() string { return jobspecs.Rollup(f.set) }

// Type implements pflag.Value.
func (f *rollupFlag) Type() string { return "string" }

// Set implements pflag.Value.
func (f *rollupFlag) Set(s string) error {
	f.given, f.set = true, nil
	for _, d := range strings.Split(s, ",") {
		if d = strings.TrimSpace(d); d != "" || strings.Contains(s, ",") {
			f.set = append(f.set, d)
		}
	}
	return nil
}

// parseKey reads the values of --key: one for each dimension of a set, or none
// at all, which is nil. Which set is asked for says --rollup, else the key, else
// it is that of all dimensions.
func parseKey(agg jobspecs.Aggregation, event jobspecs.Event, values []string, rollup rollupFlag) (set []string, key []*string, err error) {
	given, err := parseValues(agg, event, values)
	if err != nil {
		return nil, nil, err
	}
	set = agg.Dimensions
	if rollup.given {
		if set, err = rolledUp(agg, rollup.set); err != nil {
			return nil, nil, err
		}
	} else if of, ok := agg.Set(slices.Collect(maps.Keys(given))); ok && len(given) > 0 {
		set = of
	}
	if len(given) == 0 {
		return set, nil, nil
	}
	for _, d := range set {
		value, ok := given[d]
		if !ok {
			return nil, nil, exit.Usagef("the key lacks dimension %s of aggregation %s", d, agg.Name).WithHint("%s", lacking(agg, d))
		}
		key = append(key, value)
	}
	if len(key) < len(given) {
		return nil, nil, exit.Usagef("the key has other dimensions than --rollup %s", rollup.String()).WithHint("leave --rollup out: the key says which set is meant")
	}
	return set, key, nil
}

// rolledUp is the set of --rollup.
func rolledUp(agg jobspecs.Aggregation, dimensions []string) ([]string, error) {
	for _, d := range dimensions {
		if !slices.Contains(agg.Dimensions, d) {
			return nil, exit.Usagef("aggregation %s has no dimension %q", agg.Name, d).WithHint("%s", didYouMean(d, agg.Dimensions))
		}
	}
	if set, ok := agg.Set(dimensions); ok {
		return set, nil
	}
	return nil, exit.Usagef("aggregation %s does not group by (%s)", agg.Name, jobspecs.Rollup(dimensions)).WithHint("%s", setsOf(agg))
}

func setsOf(agg jobspecs.Aggregation) string {
	var sets []string
	for _, s := range agg.Sets() {
		sets = append(sets, "("+jobspecs.Rollup(s)+")")
	}
	return "it groups by " + strings.Join(sets, ", ")
}

// lacking is the hint for a key that is of no set.
func lacking(agg jobspecs.Aggregation, dimension string) string {
	hint := fmt.Sprintf("add --key %s=VALUE, or leave --key out to see all keys", dimension)
	if len(agg.Rollups) > 0 {
		hint += "; " + setsOf(agg)
	}
	return hint
}

// parseValues reads the values of --key by their dimensions.
func parseValues(agg jobspecs.Aggregation, event jobspecs.Event, values []string) (map[string]*string, error) {
	types := map[string]string{}
	for _, f := range event.Fields {
		types[f.Name] = f.Type
	}
	given := map[string]*string{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		switch _, twice := given[name]; {
		case !ok || name == "":
			return nil, exit.Usagef("--key %q is not DIMENSION=VALUE", v)
		case !slices.Contains(agg.Dimensions, name):
			return nil, exit.Usagef("aggregation %s has no dimension %q", agg.Name, name).WithHint("%s", didYouMean(name, agg.Dimensions))
		case twice:
			return nil, exit.Usagef("--key gives %s twice", name)
		case value == null:
			given[name] = nil
			continue
		case strings.HasPrefix(value, "%%"):
			value = value[1:]
		}
		text, err := tables.Dimension(types[name], value)
		if err != nil {
			return nil, exit.Usagef("--key %s: %w", v, err)
		}
		given[name] = &text
	}
	return given, nil
}
