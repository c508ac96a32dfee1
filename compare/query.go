package compare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// pageRows bounds a page of a result. A row of a comparison has a hundred values,
// each of which takes many times its bytes while a page is decoded.
const pageRows = 1000

// pagesAtOnce bounds the pages that are fetched at the same time.
const pagesAtOnce = 4

// runner runs query jobs and keeps account of them.
type runner struct {
	client *bigquery.Client
	log    *slog.Logger
	labels map[string]string
	jobs   []QueryJob

	timeout time.Duration // of a job; 0: none
}

// query is one query to run.
type query struct {
	purpose  string
	sql      string
	params   []bigquery.QueryParameter
	maxBytes int64   // 0: no cap
	spans    []Range // of a reconciliation: the windows that it compares

	unordered bool // rows may come in any order
}

func (r *runner) build(q query) *bigquery.Query {
	bq := r.client.Query(q.sql)
	bq.Parameters = q.params
	bq.MaxBytesBilled = q.maxBytes
	bq.JobTimeout = r.timeout
	// A project's default time zone must not shift values.
	bq.ConnectionProperties = []*bigquery.ConnectionProperty{{Key: "time_zone", Value: "UTC"}}
	bq.Labels = map[string]string{"kappa_phase": labelValue(q.purpose)}
	for k, v := range r.labels {
		bq.Labels[k] = v
	}
	return bq
}

// estimate returns the bytes that q would process, and how sure that is.
func (r *runner) estimate(ctx context.Context, q query) (int64, string, error) {
	d, err := r.dryRun(ctx, q)
	return d.bytes, d.accuracy, err
}

// dry is what a dry run says of a query.
type dry struct {
	bytes    int64
	accuracy string
	schema   bigquery.Schema
}

func (r *runner) dryRun(ctx context.Context, q query) (dry, error) {
	bq := r.build(q)
	bq.DryRun = true
	bq.MaxBytesBilled = 0 // the caller compares, and says it better than the service
	bq.JobTimeout = 0
	job, err := bq.Run(ctx)
	if err != nil {
		return dry{}, classify("estimate the "+q.purpose+" query", err)
	}
	st := job.LastStatus()
	if st == nil || st.Statistics == nil {
		return dry{}, exit.Environmentf("estimate the %s query: the service sent no statistics", q.purpose)
	}
	out := dry{bytes: st.Statistics.TotalBytesProcessed}
	if d, ok := st.Statistics.Details.(*bigquery.QueryStatistics); ok {
		out.accuracy, out.schema = d.TotalBytesProcessedAccuracy, d.Schema
	}
	return out, nil
}

// run runs q to its end and hands its rows to each. A job whose context ends is
// cancelled: nobody waits for its result, but it would be billed.
func (r *runner) run(ctx context.Context, q query, each func(row) error) (QueryJob, error) {
	what := "run the " + q.purpose + " query"
	job, err := r.build(q).Run(ctx)
	if err != nil {
		return QueryJob{}, classify(what, err)
	}
	status, err := job.Wait(ctx)
	if err != nil {
		if ctx.Err() != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if cerr := job.Cancel(stop); cerr != nil {
				r.log.Warn("query job not cancelled", "job_id", job.ID(), "error", cerr)
			}
			return QueryJob{}, fmt.Errorf("%s: %w", what, ctx.Err())
		}
		return QueryJob{}, classify(what, err)
	}
	if err := status.Err(); err != nil {
		return QueryJob{}, classify(what, err)
	}
	done := QueryJob{Purpose: q.purpose, ID: job.ID()}
	if s := status.Statistics; s != nil {
		done.Processed = s.TotalBytesProcessed
		if d, ok := s.Details.(*bigquery.QueryStatistics); ok {
			done.Billed = d.TotalBytesBilled
		}
	}
	r.jobs = append(r.jobs, done)
	r.log.Debug("query done", "purpose", q.purpose, "job_id", done.ID, "bytes_processed", done.Processed, "bytes_billed", done.Billed)
	return done, q.read(ctx, job, each)
}

// read hands the rows of the query's job to each, one at a time. Of a large result
// whose order says nothing, several pages are fetched at once.
func (q query) read(ctx context.Context, job *bigquery.Job, each func(row) error) error {
	what := "read the " + q.purpose + " query's result"
	rows := make(chan row, pageRows)
	all, ctx := errgroup.WithContext(ctx)
	first, err := job.Read(ctx)
	if err != nil {
		return classify(what, err)
	}
	total := first.TotalRows
	part := max(pageRows, total)
	if q.unordered {
		part = max(pageRows, (total+pagesAtOnce-1)/pagesAtOnce)
	}
	var fetching sync.WaitGroup
	for from := uint64(0); from == 0 || from < total; from += part {
		fetching.Add(1)
		all.Go(func() error {
			defer fetching.Done()
			it, err := first, error(nil)
			if from > 0 {
				it, err = job.Read(ctx)
			}
			if err == nil {
				err = fetch(ctx, it, from, part, rows)
			}
			if err != nil {
				return classify(what, err)
			}
			return nil
		})
	}
	all.Go(func() error {
		fetching.Wait()
		close(rows)
		return nil
	})
	all.Go(func() error {
		for row := range rows {
			if err := each(row); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
		return nil
	})
	return all.Wait()
}

// fetch sends up to most rows of a result, from one on.
func fetch(ctx context.Context, it *bigquery.RowIterator, from, most uint64, rows chan<- row) error {
	it.StartIndex = from
	it.PageInfo().MaxSize = pageRows
	var names map[string]int
	for range most {
		var vals []bigquery.Value
		switch err := it.Next(&vals); {
		case errors.Is(err, iterator.Done):
			return nil
		case err != nil:
			return err
		}
		if names == nil {
			names = make(map[string]int, len(it.Schema))
			for i, f := range it.Schema {
				names[f.Name] = i
			}
		}
		select {
		case rows <- row{names, vals}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// classify gives an error of the service its exit code: what the user must
// mend around the program is an environment error, all else a failed run.
func classify(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", what, err)
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	var api *googleapi.Error
	var job *bigquery.Error
	var netErr net.Error
	var urlErr *url.Error
	reason := ""
	switch {
	case errors.As(err, &job):
		reason = job.Reason
	case errors.As(err, &api):
		if len(api.Errors) > 0 {
			reason = api.Errors[0].Reason
		}
		switch api.Code {
		case 401, 403, 404:
			return exit.With(exit.Environment, wrapped)
		}
	case errors.As(err, &netErr), errors.As(err, &urlErr):
		return exit.With(exit.Environment, wrapped).WithHint("check the connection to BigQuery")
	}
	switch reason {
	case "notFound", "accessDenied", "authError", "quotaExceeded", "billingNotEnabled":
		return exit.With(exit.Environment, wrapped)
	case reasonBytesBilled:
		return exit.With(exit.Usage, wrapped).WithHint("compare a smaller range, or raise the byte cap in the spec")
	}
	failed := exit.With(exit.Failed, wrapped)
	switch text := strings.ToLower(err.Error()); {
	case strings.Contains(text, "overflow"), strings.Contains(text, "out of range"):
		return failed.WithHint("values or their sums are beyond their type: compare them in a wider one (metrics[].value: NUMERIC or BIGNUMERIC)")
	case reason == "timeout", strings.Contains(text, "timed out"):
		return failed.WithHint("compare a smaller range, or raise limits.jobTimeout in the spec")
	}
	return failed
}

const reasonBytesBilled = "bytesBilledLimitExceeded"

// row is a row of a result, by column name.
type row struct {
	names map[string]int
	vals  []bigquery.Value
}

func (r row) value(name string) (bigquery.Value, error) {
	i, ok := r.names[name]
	if !ok {
		return nil, fmt.Errorf("the result has no column %s", name)
	}
	return r.vals[i], nil
}

func get[T any](r row, name string) (T, error) {
	var zero T
	v, err := r.value(name)
	if err != nil {
		return zero, err
	}
	t, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("column %s is %T, not %T", name, v, zero)
	}
	return t, nil
}

// counter reads a whole number that is not negative; NULL, the sum of no rows,
// is 0.
func (r row) counter(name string) (int64, error) {
	if v, err := r.value(name); err != nil || v == nil {
		return 0, err
	}
	return get[int64](r, name)
}

// decimal reads an INT64, NUMERIC or BIGNUMERIC exactly, and a finite FLOAT64 as
// the shortest decimal that stands for it; nil for NULL.
func (r row) decimal(name string) (*big.Rat, error) {
	v, err := r.value(name)
	if err != nil || v == nil {
		return nil, err
	}
	switch v := v.(type) {
	case int64:
		return whole(v), nil
	case *big.Rat:
		return v, nil
	case float64:
		if f, ok := new(big.Rat).SetString(strconv.FormatFloat(v, 'g', -1, 64)); ok {
			return f, nil
		}
	}
	return nil, fmt.Errorf("column %s is %v (%T), not a number", name, v, v)
}

// text reads a STRING; nil for NULL.
func (r row) text(name string) (*string, error) {
	v, err := r.value(name)
	if err != nil || v == nil {
		return nil, err
	}
	s, err := get[string](r, name)
	return &s, err
}

// time reads a TIMESTAMP that may be NULL.
func (r row) time(name string) (bigquery.NullTimestamp, error) {
	v, err := r.value(name)
	if err != nil || v == nil {
		return bigquery.NullTimestamp{}, err
	}
	t, err := get[time.Time](r, name)
	return bigquery.NullTimestamp{Timestamp: t.UTC(), Valid: true}, err
}

var notLabel = regexp.MustCompile(`[^a-z0-9_-]`)

// labelValue makes a valid label of s: lower-case letters, digits, - and _, at
// most 63 characters.
func labelValue(s string) string {
	s = notLabel.ReplaceAllString(strings.ToLower(s), "_")
	return s[:min(len(s), 63)]
}

// labels are the labels of every job of a run.
func labels(name string, further map[string]string) map[string]string {
	l := map[string]string{"kappa_comparison": labelValue(name)}
	for k, v := range further {
		if k = labelValue(k); k != "" && (k[0] >= 'a' && k[0] <= 'z') {
			l[k] = labelValue(v)
		}
	}
	return l
}
