package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// paneID names a value that must stand only once.
type paneID struct {
	key
	writer
	Pane int64
}

// evidence is all that the services say.
type evidence struct {
	writers  writers
	bigquery panes
	bigtable panes
	late     []lateEvent
	// onTime are the ids, among those of late, that a writer which counts in
	// the event's window has read and not found late.
	onTime map[string]bool
}

// panes are what one service holds, without copies.
type panes struct {
	byID map[paneID]sums
	// conflicting counts copies of a pane that say something else.
	conflicting int64
}

func (p *panes) put(id paneID, s sums) {
	if p.byID == nil {
		p.byID = map[paneID]sums{}
	}
	if old, ok := p.byID[id]; ok && old != s {
		p.conflicting++
		return
	}
	p.byID[id] = s
}

type lateEvent struct {
	EventID    string    `bigquery:"event_id"`
	MessageID  string    `bigquery:"message_id"`
	EventTime  time.Time `bigquery:"event_time"`
	Job        string    `bigquery:"job"`
	Generation int64     `bigquery:"generation"`
	Origin     string    `bigquery:"origin"`
	Delay      int64     `bigquery:"delay"`
	Distance   int64     `bigquery:"distance"`
}

func readServices(ctx context.Context, o options) (evidence, error) {
	var ev evidence
	var opts []option.ClientOption
	if host := os.Getenv("BIGQUERY_EMULATOR_HOST"); host != "" {
		host = strings.TrimPrefix(host, "http://")
		opts = append(opts, option.WithEndpoint("http://"+host+"/bigquery/v2/"), option.WithoutAuthentication())
	}
	bq, err := bigquery.NewClient(ctx, o.project, opts...)
	if err != nil {
		return ev, fmt.Errorf("connect to BigQuery: %w", err)
	}
	defer bq.Close()
	q := querier{client: bq, dataset: o.project + "." + o.dataset}
	if ev.writers, err = q.writers(ctx); err != nil {
		return ev, err
	}
	if ev.bigquery, err = q.stream(ctx, o.streamTable); err != nil {
		return ev, err
	}
	if ev.late, ev.onTime, err = q.lateEvents(ctx, o, ev.writers); err != nil {
		return ev, err
	}
	ev.bigtable, err = readBigtable(ctx, o)
	return ev, err
}

type querier struct {
	client  *bigquery.Client
	dataset string
}

// rows calls each for every row of a query's result.
func rows[T any](ctx context.Context, q querier, sql string, each func(T)) error {
	it, err := q.client.Query(sql).Read(ctx)
	if err != nil {
		return fmt.Errorf("query BigQuery: %w", err)
	}
	for {
		var row T
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read BigQuery's rows: %w", err)
		}
		each(row)
	}
}

// writers returns the newest row of every writer.
func (q querier) writers(ctx context.Context) (writers, error) {
	ws := writers{}
	err := rows(ctx, q, "SELECT job, generation, kind, state, supersedes, recorded_at, seq, job_group, window_from, window_to FROM `"+q.dataset+".generations`", ws.add)
	return ws, err
}

func (q querier) stream(ctx context.Context, table string) (panes, error) {
	type row struct {
		Origin      string    `bigquery:"origin"`
		WindowStart time.Time `bigquery:"window_start"`
		Job         string    `bigquery:"job"`
		Generation  int64     `bigquery:"generation"`
		Pane        int64     `bigquery:"pane"`
		Flights     int64     `bigquery:"flights"`
		DelaySum    int64     `bigquery:"delay_sum"`
		DistanceSum int64     `bigquery:"distance_sum"`
	}
	var p panes
	err := rows(ctx, q, "SELECT origin, window_start, job, generation, pane, flights, delay_sum, distance_sum FROM `"+q.dataset+"."+table+"`", func(r row) {
		p.put(paneID{key{r.Origin, r.WindowStart.Unix()}, writer{r.Job, r.Generation}, r.Pane},
			sums{r.Flights, r.DelaySum, r.DistanceSum})
	})
	return p, err
}

// delivery is a delivery of an event that a writer has read.
type delivery struct {
	EventID    string    `bigquery:"event_id"`
	MessageID  string    `bigquery:"message_id"`
	EventTime  time.Time `bigquery:"event_time"`
	Job        string    `bigquery:"job"`
	Generation int64     `bigquery:"generation"`
}

// lateEvents reads the late table, and all deliveries of the events in it.
func (q querier) lateEvents(ctx context.Context, o options, ws writers) ([]lateEvent, map[string]bool, error) {
	var late []lateEvent
	err := rows(ctx, q, "SELECT event_id, message_id, event_time, job, generation, origin, delay, distance FROM `"+q.dataset+"."+o.lateTable+"`", func(e lateEvent) {
		late = append(late, e)
	})
	if err != nil || len(late) == 0 {
		return nil, nil, err
	}
	var read []delivery
	err = rows(ctx, q, "SELECT r.event_id, r.message_id, r.event_time, r.job, r.generation FROM `"+q.dataset+"."+o.rawTable+"` AS r"+
		" JOIN (SELECT DISTINCT event_id FROM `"+q.dataset+"."+o.lateTable+"`) AS l ON r.event_id = l.event_id", func(d delivery) {
		read = append(read, d)
	})
	dropped, onTime := sortLate(late, read, ws, newTotals(o.window))
	return dropped, onTime, err
}

// sortLate returns the rows of the late table that say anything, and which of
// their events are in an aggregate all the same: a writer that counts in their
// window has read them and not found them late.
func sortLate(late []lateEvent, read []delivery, ws writers, t totals) ([]lateEvent, map[string]bool) {
	type reading struct {
		event, message string
		writer
	}
	var dropped []lateEvent
	found := map[reading]bool{}
	for _, e := range late {
		w := writer{e.Job, e.Generation}
		found[reading{e.EventID, e.MessageID, w}] = true
		if ws.stands(w) {
			dropped = append(dropped, e)
		}
	}
	onTime := map[string]bool{}
	for _, d := range read {
		w := writer{d.Job, d.Generation}
		if !found[reading{d.EventID, d.MessageID, w}] && ws.counts(w, t.keyAt("", d.EventTime.Unix()).window) {
			onTime[d.EventID] = true
		}
	}
	return dropped, onTime
}

// readBigtable reads the cells AGGREGATION#ORIGIN#WINDOW, m:MEASURE/JOB/GENERATION/PANE.
func readBigtable(ctx context.Context, o options) (panes, error) {
	var p panes
	client, err := bigtable.NewClientWithConfig(ctx, o.project, o.instance, bigtable.ClientConfig{MetricsProvider: bigtable.NoopMetricsProvider{}})
	if err != nil {
		return p, fmt.Errorf("connect to Bigtable: %w", err)
	}
	defer client.Close()
	values := map[paneID]sums{}
	var bad error
	err = client.Open(o.bigtable).ReadRows(ctx, bigtable.PrefixRange(o.aggregation+"#"), func(row bigtable.Row) bool {
		k, err := parseRowKey(row.Key())
		if err != nil {
			bad = err
			return false
		}
		for _, item := range row["m"] {
			id, measure, err := parseColumn(k, strings.TrimPrefix(item.Column, "m:"))
			if err == nil && len(item.Value) != 8 {
				err = fmt.Errorf("value of %d bytes, want 8", len(item.Value))
			}
			if err != nil {
				bad = fmt.Errorf("row %s of Bigtable, column %s: %w", row.Key(), item.Column, err)
				return false
			}
			v := int64(binary.BigEndian.Uint64(item.Value))
			s := values[id]
			switch measure {
			case "flights":
				s.Flights = v
			case "delay_sum":
				s.Delay = v
			case "distance_sum":
				s.Distance = v
			}
			values[id] = s
		}
		return true
	}, bigtable.RowFilter(bigtable.LatestNFilter(1)))
	if err = errors.Join(bad, err); err != nil {
		return p, fmt.Errorf("read Bigtable: %w", err)
	}
	for id, s := range values {
		p.put(id, s)
	}
	return p, nil
}

func parseRowKey(s string) (key, error) {
	parts := strings.Split(s, "#")
	if len(parts) != 3 {
		return key{}, fmt.Errorf("row key %q of Bigtable is not AGGREGATION#ORIGIN#WINDOW", s)
	}
	origin, err := url.PathUnescape(parts[1])
	if err != nil {
		return key{}, fmt.Errorf("row key %q of Bigtable: %w", s, err)
	}
	at, err := time.Parse("20060102T150405Z", parts[2])
	if err != nil {
		return key{}, fmt.Errorf("row key %q of Bigtable: %w", s, err)
	}
	return key{origin, at.Unix()}, nil
}

func parseColumn(k key, s string) (paneID, string, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 4 {
		return paneID{}, "", fmt.Errorf("column %q is not MEASURE/JOB/GENERATION/PANE", s)
	}
	generation, err1 := strconv.ParseInt(parts[2], 10, 64)
	pane, err2 := strconv.ParseInt(parts[3], 10, 64)
	return paneID{k, writer{parts[1], generation}, pane}, parts[0], errors.Join(err1, err2)
}
