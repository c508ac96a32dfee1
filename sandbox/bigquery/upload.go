package bigquery

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// maxUpload bounds an uploaded file; it is held in memory.
const maxUpload = 64 << 20

// uploadJob is jobs.insert with a file: uploadType=multipart.
func (s *Server) uploadJob(w http.ResponseWriter, r *http.Request) {
	out, err := s.upload(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// resumeUpload refuses what only follows on a resumable upload.
func (s *Server) resumeUpload(w http.ResponseWriter, _ *http.Request) {
	writeError(w, errNotImplemented("uploadType=resumable (files over 16 MB)"))
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) (any, error) {
	if t := r.URL.Query().Get("uploadType"); t != "multipart" {
		return nil, errNotImplemented("uploadType=%s (files over 16 MB)", t)
	}
	mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(mt, "multipart/") {
		return nil, errInvalid("Content-Type must be multipart/related")
	}
	mr := multipart.NewReader(http.MaxBytesReader(w, r.Body, maxUpload), params["boundary"])
	var parts [2][]byte
	for i := range parts {
		p, err := mr.NextPart()
		if err == nil {
			parts[i], err = io.ReadAll(p)
		}
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return nil, errInvalid("an uploaded file may have at most %d bytes in the sandbox", maxUpload)
		}
		if err != nil {
			return nil, errInvalid("read part %d of the upload: %s", i+1, err)
		}
	}
	var req jobRequest
	if err := json.Unmarshal(parts[0], &req); err != nil {
		return nil, &apiError{status: http.StatusBadRequest, reason: "parseError", message: "Parse Error: " + err.Error()}
	}
	if req.Configuration == nil || req.Configuration.Load == nil {
		return nil, errInvalid("an upload needs configuration.load")
	}
	media := parts[1]
	if media == nil {
		media = []byte{}
	}
	return s.submit(r.Context(), r.PathValue("project"), parts[0], &req, media)
}
