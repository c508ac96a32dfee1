package verify

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const (
	kindBigQuery = "bigquery"
	queryTimeout = 30 * time.Minute
)

// RawTable is the raw table that the pipeline writes: one row per delivery
// and writer that read it. It is read by one query, in the days of the event
// times that are expected; an event that arrived with another event time than
// it should have is missing.
type RawTable struct {
	Client         *bigquery.Client
	Dataset, Table string
	Project        string
	MaxBytesBilled jobspecs.Bytes // 0: no cap
	Log            *slog.Logger   // may be nil
}

// Read implements Arrived.
func (t *RawTable) Read(ctx context.Context, w *Window, each func(*Arrival) error) (Report, error) {
	rep := Report{Destination: Destination{Kind: kindBigQuery, Table: t.Project + "." + t.Dataset + "." + t.Table}}
	md, err := t.Client.DatasetInProject(t.Project, t.Dataset).Table(t.Table).Metadata(ctx)
	if err != nil {
		return rep, classify("look at table "+t.Dataset+"."+t.Table, err)
	}
	contents, err := contentColumns(md.Schema)
	if err != nil {
		return rep, exit.Environmentf("table %s.%s: %w", t.Dataset, t.Table, err).WithHint("name the raw table that the pipeline writes (sinks.bigquery.raw of the StreamJob)")
	}
	if w.EventFrom > w.EventTo {
		return rep, nil // nothing is expected
	}
	q := t.Client.Query(rawQuery(rep.Destination.Table, contents, len(topicPrefixes(w.Spans))))
	q.Parameters = rawParameters(w)
	q.MaxBytesBilled = int64(t.MaxBytesBilled)
	q.JobTimeout = queryTimeout
	q.ConnectionProperties = []*bigquery.ConnectionProperty{{Key: "time_zone", Value: "UTC"}}
	q.Labels = map[string]string{"kappa_phase": "bridge_verify"}
	job, err := q.Run(ctx)
	if err != nil {
		return rep, classify("query the raw table", err)
	}
	status, err := job.Wait(ctx)
	if err != nil {
		t.cancel(ctx, job)
		return rep, classify("query the raw table", err)
	}
	if err := status.Err(); err != nil {
		return rep, classify("query the raw table", err)
	}
	if s, ok := status.Statistics.Details.(*bigquery.QueryStatistics); ok {
		rep.Destination.BytesBilled = s.TotalBytesBilled
	}
	it, err := job.Read(ctx)
	if err != nil {
		return rep, classify("read the raw table", err)
	}
	rep.Unreadable, err = eachRow(it, each)
	return rep, err
}

// cancel stops a query that nobody waits for any more: it would be billed.
func (t *RawTable) cancel(ctx context.Context, job *bigquery.Job) {
	if ctx.Err() == nil {
		return
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := job.Cancel(stop); err != nil && t.Log != nil {
		t.Log.Warn("query job not cancelled", "job_id", job.ID(), "error", err)
	}
}

// contentColumns are the columns that say what an event holds: all that no
// delivery adds. It refuses a table that is no raw table.
func contentColumns(s bigquery.Schema) ([]string, error) {
	types := map[string]bigquery.FieldType{}
	var list []string
	known := map[string]bool{}
	for _, f := range tables.Raw("", jobspecs.Event{}).Schema {
		known[f.Name] = true
	}
	for _, f := range s {
		types[f.Name] = f.Type
		plain := f.Type == bigquery.StringFieldType || f.Type == bigquery.IntegerFieldType || f.Type == bigquery.TimestampFieldType
		if f.Name == "event_time" || !known[f.Name] && plain && !f.Repeated {
			list = append(list, f.Name)
		}
	}
	for _, name := range []string{"event_id", "message_id", "position"} {
		if types[name] != bigquery.StringFieldType {
			return nil, fmt.Errorf("it has no column %s of type STRING", name)
		}
	}
	if types["event_time"] != bigquery.TimestampFieldType {
		return nil, errors.New("it has no column event_time of type TIMESTAMP")
	}
	return list, nil
}

// rawQuery gives a row for each event and position: how many messages brought
// it, and whether they hold the same. Rows of one message are one delivery,
// however many generations of a job read it.
func rawQuery(table string, contents []string, prefixes int) string {
	var b strings.Builder
	b.WriteString("SELECT event_id, position, COUNT(DISTINCT message_id) AS messages,\n  ")
	for i, c := range contents {
		if i > 0 {
			b.WriteString("\n  OR ")
		}
		fmt.Fprintf(&b, "IFNULL(MIN(`%s`) != MAX(`%s`), FALSE) OR COUNT(`%s`) NOT IN (0, COUNT(*))", c, c, c)
	}
	fmt.Fprintf(&b, " AS conflict\nFROM `%s`\nWHERE event_time >= @from AND event_time < @to AND (", table)
	for i := range prefixes {
		if i > 0 {
			b.WriteString(" OR ")
		}
		fmt.Fprintf(&b, "STARTS_WITH(position, @topic%d)", i)
	}
	b.WriteString(")\nGROUP BY event_id, position")
	return b.String()
}

// topicPrefixes are the positions' prefixes of the spans' topics.
func topicPrefixes(spans []Span) []string {
	var list []string
	for i := range spans {
		list = append(list, spans[i].Cluster+"/"+spans[i].Topic+"/")
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func rawParameters(w *Window) []bigquery.QueryParameter {
	ps := []bigquery.QueryParameter{{Name: "from", Value: timeOf(w.EventFrom)}, {Name: "to", Value: timeOf(w.EventTo + 1)}}
	for i, p := range topicPrefixes(w.Spans) {
		ps = append(ps, bigquery.QueryParameter{Name: fmt.Sprintf("topic%d", i), Value: p})
	}
	return ps
}

// eachRow reads the result of rawQuery. It returns the number of rows that
// name no event.
func eachRow(it *bigquery.RowIterator, each func(*Arrival) error) (unreadable int64, err error) {
	var a Arrival
	for {
		var row []bigquery.Value
		switch err := it.Next(&row); {
		case errors.Is(err, iterator.Done):
			return unreadable, nil
		case err != nil:
			return unreadable, classify("read the raw table", err)
		}
		id, ok1 := row[0].(string)
		position, ok2 := row[1].(string)
		messages, ok3 := row[2].(int64)
		conflict, ok4 := row[3].(bool)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return unreadable, fmt.Errorf("read the raw table: unexpected row %v", row)
		}
		a = Arrival{Count: messages, Conflict: conflict}
		if a.ID, ok1 = parseID(id); !ok1 || !a.at(position) {
			unreadable++
			continue
		}
		if err := each(&a); err != nil {
			return unreadable, err
		}
	}
}

// at sets the position of an arrival from its text.
func (a *Arrival) at(position string) bool {
	p, err := envelope.ParsePosition(position)
	if err != nil {
		return false
	}
	a.Partition, a.Offset = position[:strings.LastIndexByte(position, '/')], p.Offset
	return true
}

// parseID reads the canonical text of a UUID, in either case.
func parseID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
	return id, err == nil
}

// classify gives an error of BigQuery its exit code.
func classify(what string, err error) error {
	wrapped := fmt.Errorf("%s: %w", what, err)
	var api *googleapi.Error
	var job *bigquery.Error
	var netErr net.Error
	var urlErr *url.Error
	reason := ""
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return wrapped
	case errors.As(err, &job):
		reason = job.Reason
	case errors.As(err, &api):
		if len(api.Errors) > 0 {
			reason = api.Errors[0].Reason
		}
		if api.Code == 401 || api.Code == 403 || api.Code == 404 {
			return exit.With(exit.Environment, wrapped)
		}
	case errors.As(err, &netErr), errors.As(err, &urlErr):
		return exit.With(exit.Environment, wrapped).WithHint("check the connection to BigQuery")
	}
	switch reason {
	case "notFound", "accessDenied", "authError", "quotaExceeded", "billingNotEnabled":
		return exit.With(exit.Environment, wrapped)
	case "bytesBilledLimitExceeded":
		return exit.With(exit.Usage, wrapped).WithHint("verify a range of fewer days, or raise --max-bytes-billed")
	}
	return wrapped
}
