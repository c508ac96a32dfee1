package compare

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// busy refuses the first MERGEs, as BigQuery does while others change the table.
type busy struct {
	base    http.RoundTripper
	refused int // so many are still to be refused
	message string
}

func (b *busy) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost && req.Body != nil && b.refused > 0 {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("MERGE ")) {
			b.refused--
			answer := fmt.Sprintf(`{"error": {"code": 400, "message": %q, "errors": [{"reason": "invalidQuery", "message": %[1]q}]}}`, b.message)
			return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer)), Request: req}, nil
		}
	}
	return b.base.RoundTrip(req)
}

// Who writes the history at the same time is waited for; other errors end the run.
func TestHistoryThatOthersWrite(t *testing.T) {
	w := historyWorld(t)
	for message, want := range map[string]exit.Code{"Could not serialize access to table kappa-demo:d.t due to concurrent update": exit.OK, "Unrecognized name: t": exit.Failed} {
		transport := &busy{base: http.DefaultTransport, refused: 2, message: message}
		c, err := bigquery.NewClient(ctxBackground, "kappa-demo", option.WithEndpoint(endpoint), option.WithHTTPClient(&http.Client{Transport: transport}))
		if err != nil {
			t.Fatal(err)
		}
		cfg := w.config()
		cfg.Client = c
		if _, err := Run(ctxBackground, cfg); exit.Of(err) != want {
			t.Errorf("%s: %v, code %d", message, err, exit.Of(err))
		}
		c.Close()
	}
}

// Runs at the same time write what one alone writes: no row twice, and none lost.
func TestRunsAtTheSameTime(t *testing.T) {
	w := historyWorld(t)
	const sql = "SELECT segment, range_from, range_to, windows, `keys`, exact, missing, unexplained, metrics, source FROM history.compare_runs ORDER BY segment, range_from, range_to"
	w.at(199, Range{})
	w.at(199, span(24, 48))
	want := w.history(sql)
	for _, name := range []string{tables.CompareRuns, tables.CompareKeys} {
		if err := client.Dataset(w.spec.Spec.History.Dataset).Table(name).Delete(ctxBackground); err != nil {
			t.Fatal(err)
		}
	}

	var all errgroup.Group
	ids := make([]string, 6)
	for i := range ids {
		cfg := w.config()
		cfg.Now = func() time.Time { return hours(200 + float64(i)) }
		if i%3 == 2 {
			cfg.Range = span(24, 48)
		}
		all.Go(func() error {
			r, err := Run(ctxBackground, cfg)
			if err == nil {
				ids[i] = runID(r)
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.history(sql)); diff != "" {
		t.Errorf("rows (-of one run each +of runs at the same time):\n%s", diff)
	}
	keys := w.history("SELECT run_id, window_start, key FROM history.compare_keys")
	if len(keys) != 1 || !slices.Contains(ids, keys[0]["run_id"].(string)) || keys[0]["key"] != `["ATL"]` {
		t.Errorf("keys of the runs %v: %v", ids, keys)
	}
	for it := client.Dataset(w.spec.Spec.History.Dataset).Tables(ctxBackground); ; {
		left, err := it.Next()
		if err == iterator.Done {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if left.TableID != tables.CompareKeys && left.TableID != tables.CompareRuns {
			t.Errorf("a scratch table is left: %s", left.TableID)
		}
	}
}
