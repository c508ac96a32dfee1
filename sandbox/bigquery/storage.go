package bigquery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// objectStore reads objects from a Cloud Storage emulator through its JSON API.
type objectStore struct {
	endpoint string // host:port, empty: there is none
	client   *http.Client
}

func newObjectStore(endpoint string) *objectStore {
	return &objectStore{endpoint: endpoint, client: &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 30 * time.Second}}}
}

func (o *objectStore) close() { o.client.CloseIdleConnections() }

// object is an object of a bucket.
type object struct{ bucket, name string }

func (ob object) uri() string { return "gs://" + ob.bucket + "/" + ob.name }

// find returns the objects of a gs:// URI, which may have one *.
func (o *objectStore) find(ctx context.Context, uri string) ([]object, error) {
	rest, ok := strings.CutPrefix(uri, "gs://")
	bucket, name, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || bucket == "" || name == "" || strings.Contains(bucket, "*") || strings.Count(name, "*") > 1 {
		return nil, errInvalid("Source URI %q must be gs://BUCKET/OBJECT with at most one *", uri)
	}
	if o.endpoint == "" {
		return nil, errNotImplemented("loading from %s (the sandbox has no Cloud Storage endpoint)", uri)
	}
	prefix, suffix, wild := strings.Cut(name, "*")
	var out []object
	token := ""
	for {
		q := url.Values{"prefix": {prefix}}
		if token != "" {
			q.Set("pageToken", token)
		}
		var list struct {
			Items []struct {
				Name string `json:"name"`
			} `json:"items"`
			NextPageToken string `json:"nextPageToken"`
		}
		body, err := o.get(ctx, "/storage/v1/b/"+url.PathEscape(bucket)+"/o?"+q.Encode(), uri)
		if err != nil {
			return nil, err
		}
		err = json.NewDecoder(body).Decode(&list)
		body.Close()
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", uri, err)
		}
		for _, it := range list.Items {
			if !wild && it.Name == name || wild && len(it.Name) >= len(prefix)+len(suffix) && strings.HasSuffix(it.Name, suffix) && path.Base(it.Name) != "" && !strings.HasSuffix(it.Name, "/") {
				out = append(out, object{bucket, it.Name})
			}
		}
		if token = list.NextPageToken; token == "" {
			break
		}
	}
	if len(out) == 0 {
		return nil, errNotFound("URI %s", uri)
	}
	return out, nil
}

// open returns an object's content.
func (o *objectStore) open(ctx context.Context, ob object) (io.ReadCloser, error) {
	return o.get(ctx, "/storage/v1/b/"+url.PathEscape(ob.bucket)+"/o/"+url.PathEscape(ob.name)+"?alt=media", ob.uri())
}

func (o *objectStore) get(ctx context.Context, pathQuery, what string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.endpoint+pathQuery, nil)
	if err != nil {
		return nil, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		resp.Body.Close()
		return nil, errNotFound("URI %s", what)
	case resp.StatusCode != http.StatusOK:
		resp.Body.Close()
		return nil, fmt.Errorf("read %s: Cloud Storage answered %s", what, resp.Status)
	}
	return resp.Body, nil
}
