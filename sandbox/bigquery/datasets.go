package bigquery

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	bq "google.golang.org/api/bigquery/v2"
)

var datasetKeys = []string{
	"datasetReference", "friendlyName", "description", "labels", "location", "access", "creationTime", "lastModifiedTime", "type",
	"defaultTableExpirationMs", "defaultPartitionExpirationMs", "isCaseInsensitive", "maxTimeTravelHours", "storageBillingModel",
}

func (s *Server) insertDataset(r *http.Request) (any, error) {
	var md bq.Dataset
	data, err := readBody(r, &md)
	if err != nil {
		return nil, err
	}
	if err := allowKeys(data, "dataset.", datasetKeys...); err != nil {
		return nil, err
	}
	if err := checkDataset(&md); err != nil {
		return nil, err
	}
	project := r.PathValue("project")
	if md.DatasetReference == nil || !datasetID.MatchString(md.DatasetReference.DatasetId) {
		return nil, errInvalid("Invalid dataset ID. Dataset IDs must be alphanumeric (plus underscores) and must be at most 1000 characters long.")
	}
	id := md.DatasetReference.DatasetId
	md.DatasetReference.ProjectId = project
	c := s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	key := project + ":" + id
	if c.datasets[key] != nil {
		return nil, errDuplicate("Dataset %s", key)
	}
	now := time.Now().UnixMilli()
	md.Kind, md.Id, md.Etag = "bigquery#dataset", key, c.etag()
	md.CreationTime, md.LastModifiedTime, md.Type = now, now, "DEFAULT"
	if md.Location == "" {
		md.Location = defaultLocation
	}
	c.datasets[key] = &dataset{meta: &md, tables: map[string]*table{}}
	return &md, nil
}

// checkDataset refuses settings that would change how data behaves here.
func checkDataset(md *bq.Dataset) error {
	switch {
	case md.DefaultTableExpirationMs != 0 || md.DefaultPartitionExpirationMs != 0:
		return errNotImplemented("expiration of tables or partitions")
	case md.IsCaseInsensitive:
		return errNotImplemented("a case-insensitive dataset")
	}
	return nil
}

func (s *Server) getDataset(r *http.Request) (any, error) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	d, err := s.catalog.dataset(r.PathValue("project"), r.PathValue("dataset"))
	if err != nil {
		return nil, err
	}
	return d.meta, nil
}

func (s *Server) patchDataset(r *http.Request) (any, error) {
	data, err := readBody(r, nil)
	if err != nil {
		return nil, err
	}
	if err := allowKeys(data, "dataset.", datasetKeys...); err != nil {
		return nil, err
	}
	c := s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.dataset(r.PathValue("project"), r.PathValue("dataset"))
	if err != nil {
		return nil, err
	}
	if err := checkEtag(r, d.meta.Etag); err != nil {
		return nil, err
	}
	md := &bq.Dataset{}
	if err := mergePatch(d.meta, data, md); err != nil {
		return nil, err
	}
	if err := checkDataset(md); err != nil {
		return nil, err
	}
	if md.Location != d.meta.Location {
		return nil, errInvalid("Dataset location cannot be changed")
	}
	md.DatasetReference, md.Id, md.CreationTime = d.meta.DatasetReference, d.meta.Id, d.meta.CreationTime
	md.Etag, md.LastModifiedTime = c.etag(), time.Now().UnixMilli()
	d.meta = md
	return md, nil
}

// checkEtag enforces If-Match.
func checkEtag(r *http.Request, etag string) error {
	if m := r.Header.Get("If-Match"); m != "" && m != "*" && m != etag {
		return &apiError{status: http.StatusPreconditionFailed, reason: "conditionNotMet", message: "Precondition check failed."}
	}
	return nil
}

// mergePatch applies a JSON merge patch (RFC 7386) to old and decodes the
// result into out.
func mergePatch(old any, patch []byte, out any) error {
	data, err := json.Marshal(old)
	if err != nil {
		return err
	}
	var doc, p map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return &apiError{status: http.StatusBadRequest, reason: "parseError", message: "Parse Error: " + err.Error()}
	}
	merged, err := json.Marshal(merge(doc, p))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(merged, out); err != nil {
		return errInvalid("%s", err)
	}
	return nil
}

func merge(doc, patch map[string]any) map[string]any {
	if doc == nil {
		doc = map[string]any{}
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(doc, k)
		case map[string]any:
			sub, _ := doc[k].(map[string]any)
			doc[k] = merge(sub, v)
		default:
			doc[k] = v
		}
	}
	return doc
}

func (s *Server) deleteDataset(r *http.Request) (any, error) {
	c := s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	project, id := r.PathValue("project"), r.PathValue("dataset")
	d, err := c.dataset(project, id)
	if err != nil {
		return nil, err
	}
	if len(d.tables) > 0 && r.URL.Query().Get("deleteContents") != "true" {
		return nil, &apiError{status: http.StatusBadRequest, reason: "resourceInUse", message: "Dataset " + project + ":" + id + " is still in use"}
	}
	for _, t := range d.tables {
		c.drop(d, t)
	}
	delete(c.datasets, project+":"+id)
	return nil, nil
}

func (s *Server) listDatasets(r *http.Request) (any, error) {
	c := s.catalog
	c.mu.RLock()
	defer c.mu.RUnlock()
	project := r.PathValue("project")
	if f := r.URL.Query().Get("filter"); f != "" {
		return nil, errNotImplemented("the filter of datasets.list")
	}
	out := &bq.DatasetList{Kind: "bigquery#datasetList"}
	var all []*bq.DatasetListDatasets
	for _, d := range c.datasets {
		if d.meta.DatasetReference.ProjectId == project {
			all = append(all, &bq.DatasetListDatasets{
				Kind: "bigquery#dataset", Id: d.meta.Id, DatasetReference: d.meta.DatasetReference,
				Labels: d.meta.Labels, FriendlyName: d.meta.FriendlyName, Location: d.meta.Location,
			})
		}
	}
	slices.SortFunc(all, func(a, b *bq.DatasetListDatasets) int { return strings.Compare(a.Id, b.Id) })
	page, next, err := paginate(r, len(all))
	if err != nil {
		return nil, err
	}
	out.Datasets, out.NextPageToken = all[page.from:page.to], next
	return out, nil
}
