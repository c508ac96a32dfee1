package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// apiError is an error in the API's terms: an HTTP status, and a reason that
// clients decide by.
type apiError struct {
	status   int
	reason   string
	message  string
	location string // "q" for queries, a field's name for values
}

func (e *apiError) Error() string { return e.message }

// proto is e as jobs report it.
func (e *apiError) proto() *bq.ErrorProto {
	return &bq.ErrorProto{Reason: e.reason, Message: e.message, Location: e.location}
}

func errNotFound(format string, args ...any) *apiError {
	return &apiError{status: http.StatusNotFound, reason: "notFound", message: "Not found: " + fmt.Sprintf(format, args...)}
}

func errDuplicate(format string, args ...any) *apiError {
	return &apiError{status: http.StatusConflict, reason: "duplicate", message: "Already Exists: " + fmt.Sprintf(format, args...)}
}

func errInvalid(format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, reason: "invalid", message: fmt.Sprintf(format, args...)}
}

// errNotImplemented refuses what by name.
func errNotImplemented(format string, args ...any) *apiError {
	return &apiError{status: http.StatusNotImplemented, reason: "notImplemented", message: fmt.Sprintf(format, args...) + " is not supported by the sandbox"}
}

// asAPI returns err in the API's terms.
func asAPI(err error) *apiError {
	var ae *apiError
	if errors.As(err, &ae) {
		return ae
	}
	var se *googlesql.Error
	if errors.As(err, &se) {
		switch se.Reason {
		case googlesql.ReasonNotFound:
			return &apiError{status: http.StatusNotFound, reason: se.Reason, message: se.Message}
		default:
			return &apiError{status: http.StatusBadRequest, reason: se.Reason, message: se.Error(), location: "q"}
		}
	}
	// Not a 5xx: clients would try again for ever.
	return &apiError{status: http.StatusBadRequest, reason: "invalid", message: err.Error()}
}

var statusNames = map[int]string{
	http.StatusBadRequest: "INVALID_ARGUMENT", http.StatusNotFound: "NOT_FOUND", http.StatusConflict: "ALREADY_EXISTS",
	http.StatusPreconditionFailed: "FAILED_PRECONDITION", http.StatusNotImplemented: "UNIMPLEMENTED", http.StatusForbidden: "PERMISSION_DENIED",
	499: "CANCELLED",
}

// writeError writes err in the shape of Google's APIs.
func writeError(w http.ResponseWriter, err error) {
	ae := asAPI(err)
	item := map[string]string{"message": ae.message, "domain": "global", "reason": ae.reason}
	if ae.location != "" {
		item["location"] = ae.location
		item["locationType"] = "parameter"
	}
	writeJSON(w, ae.status, map[string]any{"error": map[string]any{
		"code": ae.status, "message": ae.message, "errors": []any{item}, "status": statusNames[ae.status],
	}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that has gone is no concern of ours
}
