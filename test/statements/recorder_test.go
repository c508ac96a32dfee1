package statements

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"

	"cloud.google.com/go/bigquery"
)

// recorder is a transport that writes down the statements that pass through it.
type recorder struct {
	mu   sync.Mutex
	sent []*sent
	made []Table // tables that were made, loaded or not: kappa drops some when it is done
}

// sent is a statement and the job that it became.
type sent struct {
	sql, purpose, job string
	params            json.RawMessage
	processed, billed int64
	dry               bool
}

// jobResource is the part of jobs.insert and jobs.query that says what is run, and
// of jobs.get what became of it.
type jobResource struct {
	JobReference  struct{ JobID string } `json:"jobReference"`
	Configuration struct {
		DryRun bool              `json:"dryRun"`
		Labels map[string]string `json:"labels"`
		Query  *struct {
			Query      string          `json:"query"`
			Parameters json.RawMessage `json:"queryParameters"`
		} `json:"query"`
	} `json:"configuration"`
	Statistics struct {
		Query struct {
			Processed int64 `json:"totalBytesProcessed,string"`
			Billed    int64 `json:"totalBytesBilled,string"`
		} `json:"query"`
	} `json:"statistics"`
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 {
		return resp, err
	}
	answer, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	if err != nil {
		return resp, err
	}
	switch path := req.URL.Path; {
	case req.Method == http.MethodPost && strings.HasPrefix(path, "/upload/"):
		r.loaded(req.Header.Get("Content-Type"), body)
	case req.Method == http.MethodPost && strings.HasSuffix(path, "/tables"):
		r.created(body)
	case req.Method == http.MethodPost && strings.HasSuffix(path, "/jobs"):
		r.submitted(body, answer)
	case req.Method == http.MethodGet && strings.Contains(path, "/jobs/"):
		r.looked(answer)
	}
	return resp, nil
}

func (r *recorder) submitted(body, answer []byte) {
	var asked, made jobResource
	if json.Unmarshal(body, &asked) != nil || json.Unmarshal(answer, &made) != nil || asked.Configuration.Query == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, &sent{sql: asked.Configuration.Query.Query, params: asked.Configuration.Query.Parameters, dry: asked.Configuration.DryRun,
		purpose: asked.Configuration.Labels["kappa_phase"], job: made.JobReference.JobID, processed: made.Statistics.Query.Processed})
}

// created writes down a table, which may never be loaded.
func (r *recorder) created(body []byte) {
	var made struct {
		TableReference struct{ ProjectID, DatasetID, TableID string }
		Schema         struct{ Fields []Column }
	}
	if json.Unmarshal(body, &made) != nil || len(made.Schema.Fields) == 0 {
		return
	}
	of := made.TableReference
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = append(r.made, Table{Project: of.ProjectID, Dataset: of.DatasetID, Name: of.TableID, Made: true, Columns: columnsOf(made.Schema.Fields), Rows: []map[string]any{}})
}

// columnsOf are the columns of the API as the exchange has them.
func columnsOf(fields []Column) []Column {
	out := slices.Clone(fields)
	for i, c := range out {
		if c.Mode == "" {
			out[i].Mode = "NULLABLE"
		}
		out[i].Type = typeName(bigquery.FieldType(c.Type))
	}
	return out
}

// loaded writes down the table and the rows of a load job: an upload of two parts,
// the job and lines of JSON.
func (r *recorder) loaded(contentType string, body []byte) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	first, err := parts.NextPart()
	if err != nil {
		return
	}
	var job struct {
		Configuration struct {
			Load struct {
				DestinationTable struct{ ProjectID, DatasetID, TableID string }
				Schema           struct{ Fields []Column }
				WriteDisposition string
			}
		}
	}
	if json.NewDecoder(first).Decode(&job) != nil {
		return
	}
	second, err := parts.NextPart()
	if err != nil {
		return
	}
	to := job.Configuration.Load.DestinationTable
	t := Table{Project: to.ProjectID, Dataset: to.DatasetID, Name: to.TableID, Made: true, Columns: columnsOf(job.Configuration.Load.Schema.Fields), Rows: []map[string]any{}}
	for lines := json.NewDecoder(second); ; {
		row := map[string]any{}
		if lines.Decode(&row) != nil {
			break
		}
		t.Rows = append(t.Rows, row)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.made, func(m Table) bool { return m.ID() == t.ID() }); i >= 0 {
		if job.Configuration.Load.WriteDisposition == "WRITE_TRUNCATE" {
			r.made[i].Rows = nil
		}
		r.made[i].Rows = append(r.made[i].Rows, t.Rows...)
		return
	}
	r.made = append(r.made, t)
}

func (r *recorder) looked(answer []byte) {
	var job jobResource
	if json.Unmarshal(answer, &job) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sent {
		if s.job == job.JobReference.JobID && job.Statistics.Query.Processed > 0 {
			s.processed, s.billed = job.Statistics.Query.Processed, job.Statistics.Query.Billed
		}
	}
}

// take returns what was sent since the last call: every statement once, and of dry
// runs those that were not run as well.
func (r *recorder) take() []*sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	run, seen := map[string]bool{}, map[string]bool{}
	for _, s := range r.sent {
		run[s.sql] = run[s.sql] || !s.dry
	}
	var out []*sent
	for _, s := range r.sent {
		key := s.sql + string(s.params)
		if s.dry && run[s.sql] || seen[key] {
			continue
		}
		seen[key] = true
		out = append(out, s)
	}
	r.sent = nil
	return out
}

// madeTables returns the tables that were made or loaded since the last call.
func (r *recorder) madeTables() []Table {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.made
	r.made = nil
	return out
}
