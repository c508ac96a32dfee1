package bigquery

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
)

// Bounds of uploads, which wait on disk.
const (
	maxUpload  = 64 << 30 // of one file
	maxSession = 64       // resumable uploads that have begun and not ended
)

// uploads are the resumable uploads that have begun.
type uploads struct {
	mu    sync.Mutex
	byID  map[string]*upload
	order []string // oldest first
}

// upload is a resumable upload.
type upload struct {
	mu      sync.Mutex
	id      string
	project string
	config  []byte // the job's, as it was sent
	media   *spool // nil once a job has it
}

func newUploads() *uploads { return &uploads{byID: map[string]*upload{}} }

// begin makes room for a file. Of clients that never ended their uploads the
// oldest makes room.
func (u *uploads) begin(project string, config []byte) (*upload, error) {
	media, err := newSpool()
	if err != nil {
		return nil, err
	}
	up := &upload{id: rand.Text(), project: project, config: config, media: media}
	u.mu.Lock()
	var oldest *upload
	if len(u.order) >= maxSession {
		oldest = u.byID[u.order[0]]
		delete(u.byID, u.order[0])
		u.order = u.order[1:]
	}
	u.byID[up.id] = up
	u.order = append(u.order, up.id)
	u.mu.Unlock()
	if oldest != nil {
		oldest.drop()
	}
	return up, nil
}

func (u *uploads) find(id string) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byID[id]
}

func (u *uploads) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, up := range u.byID {
		up.drop()
	}
}

func (up *upload) drop() {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.media.close()
	up.media = nil
}

// uploadJob is jobs.insert with a file: as one request, or the begin of a
// resumable upload.
func (s *Server) uploadJob(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var out any
	var err error
	switch t := q.Get("uploadType"); {
	case q.Get("upload_id") != "":
		s.continueUpload(w, r)
		return
	case t == "multipart":
		out, err = s.uploadMultipart(w, r)
	case t == "resumable":
		s.beginUpload(w, r)
		return
	default:
		err = errNotImplemented("uploadType=%s", t)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// beginUpload answers with the address that the file's chunks are sent to.
func (s *Server) beginUpload(w http.ResponseWriter, r *http.Request) {
	config, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		_, err = loadRequest(config)
	}
	var up *upload
	if err == nil {
		up, err = s.uploads.begin(r.PathValue("project"), config)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Location", "http://"+r.Host+r.URL.Path+"?uploadType=resumable&upload_id="+up.id)
	w.WriteHeader(http.StatusOK)
}

// continueUpload takes a chunk. The last one starts the job and is answered
// with it.
func (s *Server) continueUpload(w http.ResponseWriter, r *http.Request) {
	up := s.uploads.find(r.URL.Query().Get("upload_id"))
	if up == nil || up.project != r.PathValue("project") {
		writeError(w, errNotFound("Upload %s", r.URL.Query().Get("upload_id")))
		return
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	from, total, err := contentRange(r.Header.Get("Content-Range"))
	switch {
	case err != nil:
	case up.media == nil:
		err = errInvalid("the upload has ended")
	case from > up.media.size:
		err = errInvalid("a chunk begins at byte %d, of which only %d are here", from, up.media.size)
	default:
		err = up.media.writeAt(http.MaxBytesReader(w, r.Body, maxUpload), max(from, 0))
	}
	if err != nil {
		writeError(w, err)
		return
	}
	if total < 0 || up.media.size < total {
		if up.media.size > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", up.media.size-1))
		}
		// A client that says so would not understand 308.
		if r.Header.Get("X-GUploader-No-308") == "yes" {
			w.Header().Set("X-Http-Status-Code-Override", "308")
			w.WriteHeader(http.StatusOK)
			return
		}
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	req, err := loadRequest(up.config)
	if err != nil {
		writeError(w, err)
		return
	}
	media := up.media
	up.media = nil
	out, err := s.submit(r.Context(), up.project, up.config, req, media)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// contentRange reads bytes FROM-TO/TOTAL, where the first part may be * (no
// bytes follow: from is -1) and the second too (more chunks follow: total is -1).
func contentRange(header string) (from, total int64, err error) {
	from, total = -1, -1
	spec, ok := strings.CutPrefix(header, "bytes ")
	span, whole, cut := strings.Cut(spec, "/")
	ok = ok && cut
	if ok && whole != "*" {
		_, err := fmt.Sscanf(whole, "%d", &total)
		ok = err == nil && total >= 0
	}
	if ok && span != "*" {
		var to int64
		_, err := fmt.Sscanf(span, "%d-%d", &from, &to)
		ok = err == nil && from >= 0 && to >= from
	}
	if !ok {
		return 0, 0, errInvalid("Content-Range %q is not bytes FROM-TO/TOTAL", header)
	}
	return from, total, nil
}

// loadRequest reads the configuration of a load job.
func loadRequest(config []byte) (*jobRequest, error) {
	var req jobRequest
	if err := json.Unmarshal(config, &req); err != nil {
		return nil, &apiError{status: http.StatusBadRequest, reason: "parseError", message: "Parse Error: " + err.Error()}
	}
	if req.Configuration == nil || req.Configuration.Load == nil {
		return nil, errInvalid("an upload needs configuration.load")
	}
	return &req, nil
}

func (s *Server) uploadMultipart(w http.ResponseWriter, r *http.Request) (any, error) {
	mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(mt, "multipart/") {
		return nil, errInvalid("Content-Type must be multipart/related")
	}
	mr := multipart.NewReader(http.MaxBytesReader(w, r.Body, maxUpload), params["boundary"])
	part := func(n int, read func(io.Reader) error) error {
		p, err := mr.NextPart()
		if err == nil {
			err = read(p)
		}
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return errInvalid("an uploaded file may have at most %d bytes in the sandbox", int64(maxUpload))
		}
		if err != nil {
			return errInvalid("read part %d of the upload: %s", n, err)
		}
		return nil
	}
	var config []byte
	if err := part(1, func(r io.Reader) (err error) {
		config, err = io.ReadAll(io.LimitReader(r, maxRequest))
		return err
	}); err != nil {
		return nil, err
	}
	req, err := loadRequest(config)
	if err != nil {
		return nil, err
	}
	media, err := newSpool()
	if err != nil {
		return nil, err
	}
	if err := part(2, func(r io.Reader) error { return media.writeAt(r, 0) }); err != nil {
		media.close()
		return nil, err
	}
	return s.submit(r.Context(), r.PathValue("project"), config, req, media)
}
