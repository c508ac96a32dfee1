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

// writer is a job and its generation.
type writer struct {
	Job        string
	Generation int64
}

// paneID names a value that must stand only once.
type paneID struct {
	key
	writer
	Pane int64
}

// evidence is all that the services say.
type evidence struct {
	states   map[writer]string
	bigquery panes
	bigtable panes
	late     []lateEvent
	// onTime are the ids, among those of late, that have a counting delivery
	// outside the late table.
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
	if ev.states, err = q.states(ctx); err != nil {
		return ev, err
	}
	if ev.bigquery, err = q.stream(ctx, o.streamTable); err != nil {
		return ev, err
	}
	if ev.late, ev.onTime, err = q.lateEvents(ctx, o, ev.states); err != nil {
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

// states returns the newest state of every writer.
func (q querier) states(ctx context.Context) (map[writer]string, error) {
	type row struct {
		Job        string    `bigquery:"job"`
		Generation int64     `bigquery:"generation"`
		State      string    `bigquery:"state"`
		RecordedAt time.Time `bigquery:"recorded_at"`
		Seq        int64     `bigquery:"seq"`
	}
	newest := map[writer]row{}
	err := rows(ctx, q, "SELECT job, generation, state, recorded_at, seq FROM `"+q.dataset+".generations`", func(r row) {
		w := writer{r.Job, r.Generation}
		old, ok := newest[w]
		if !ok || r.RecordedAt.After(old.RecordedAt) || r.RecordedAt.Equal(old.RecordedAt) && r.Seq > old.Seq {
			newest[w] = r
		}
	})
	states := map[writer]string{}
	for w, r := range newest {
		states[w] = r.State
	}
	return states, err
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

// lateEvents reads the late table, and which of its events have a counting
// delivery that was not late: such an event is in an aggregate.
func (q querier) lateEvents(ctx context.Context, o options, states map[writer]string) ([]lateEvent, map[string]bool, error) {
	var late []lateEvent
	deliveries := map[[2]string]bool{}
	err := rows(ctx, q, "SELECT event_id, message_id, event_time, job, generation, origin, delay, distance FROM `"+q.dataset+"."+o.lateTable+"`", func(e lateEvent) {
		if counts(states, writer{e.Job, e.Generation}) {
			late = append(late, e)
			deliveries[[2]string{e.EventID, e.MessageID}] = true
		}
	})
	if err != nil || len(late) == 0 {
		return nil, nil, err
	}
	type row struct {
		EventID    string `bigquery:"event_id"`
		MessageID  string `bigquery:"message_id"`
		Job        string `bigquery:"job"`
		Generation int64  `bigquery:"generation"`
	}
	onTime := map[string]bool{}
	err = rows(ctx, q, "SELECT r.event_id, r.message_id, r.job, r.generation FROM `"+q.dataset+"."+o.rawTable+"` AS r"+
		" JOIN (SELECT DISTINCT event_id FROM `"+q.dataset+"."+o.lateTable+"`) AS l ON r.event_id = l.event_id", func(r row) {
		if counts(states, writer{r.Job, r.Generation}) && !deliveries[[2]string{r.EventID, r.MessageID}] {
			onTime[r.EventID] = true
		}
	})
	return late, onTime, err
}

func counts(states map[writer]string, w writer) bool {
	s, known := states[w]
	return known && s != "void"
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
