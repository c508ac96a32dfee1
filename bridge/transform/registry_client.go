package transform

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const (
	maxSchemaBytes = 16 << 20
	maxReferences  = 1000
)

// registryClient speaks the REST protocol of Confluent's schema registry, as
// Karapace, Apicurio and Redpanda do too.
type registryClient struct {
	base    string // without a slash at the end
	http    *http.Client
	spec    jobspecs.Registry
	secret  func(jobspecs.Secret) (string, error)
	timeout time.Duration // of one request
	first   time.Duration // first pause before another attempt
	longest time.Duration // longest pause
	again   time.Duration // before an unknown id is asked for again
	forget  time.Duration // how long an id stays unknown
}

// refusedSchemaError is what the registry has said of an id, or what makes its
// answer useless for ever: the record's own fault.
type refusedSchemaError struct {
	problem string
	unknown bool // the id may be known later
}

func (e *refusedSchemaError) Error() string { return e.problem }

// newRegistryClient checks what it can without asking the registry.
func newRegistryClient(spec jobspecs.Registry, opts Options) (*registryClient, error) {
	const path = "spec.transform.schema.registry"
	u, err := url.Parse(spec.URL)
	if err != nil || u.Host == "" {
		return nil, exit.Usagef("%s.url is not an address", path) // not shown: it may hold a password
	}
	if u.User != nil {
		return nil, exit.Usagef("%s.url holds a user", path).WithHint("give username and password, or token")
	}
	c := &registryClient{
		base: strings.TrimSuffix(spec.URL, "/"), spec: spec, secret: opts.Secret,
		timeout: 10 * time.Second, first: 100 * time.Millisecond, longest: 30 * time.Second,
		again: 2 * time.Second, forget: 30 * time.Second,
	}
	given := opts.HTTP
	if given == nil {
		given = &http.Client{}
	}
	hc := *given
	c.http = &hc
	if spec.CAFile != "" {
		pem, err := os.ReadFile(spec.CAFile)
		if err != nil {
			return nil, exit.Environmentf("%s.caFile: %w", path, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, exit.Usagef("%s.caFile: %s holds no certificate in PEM", path, spec.CAFile)
		}
		base, ok := hc.Transport.(*http.Transport)
		if !ok {
			base = http.DefaultTransport.(*http.Transport)
		}
		transport := base.Clone()
		if transport.TLSClientConfig == nil {
			transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		transport.TLSClientConfig.RootCAs = pool
		hc.Transport = transport
	}
	// A secret is read for every request, so that it can be renewed; here only
	// to find out early that it is not there.
	if _, err := c.authorization(); err != nil {
		return nil, exit.Environmentf("%s: %w", path, err)
	}
	return c, nil
}

// authorization returns a function that puts the credentials on a request.
func (c *registryClient) authorization() (func(*http.Request), error) {
	read := func(s jobspecs.Secret) (string, error) {
		if c.secret == nil {
			return "", errors.New("secrets cannot be read here")
		}
		return c.secret(s)
	}
	switch none := (jobspecs.Secret{}); {
	case c.spec.Token != none:
		token, err := read(c.spec.Token)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, nil
	case c.spec.Username != "":
		password := ""
		if c.spec.Password != none {
			var err error
			if password, err = read(c.spec.Password); err != nil {
				return nil, fmt.Errorf("password: %w", err)
			}
		}
		return func(r *http.Request) { r.SetBasicAuth(c.spec.Username, password) }, nil
	default:
		return func(*http.Request) {}, nil
	}
}

// schema returns a schema with all that it refers to. It asks until it is
// answered or ctx ends, and calls report with what is wrong after each attempt.
// An id is taken for unknown only when the registry has said so twice, some
// time apart: a replica may be behind the producer. The error is a
// *refusedSchemaError or ctx.Err().
func (c *registryClient) schema(ctx context.Context, id uint32, kind string, report func(string)) (*registered, error) {
	pause, unknown := c.first, false
	for {
		s, err := c.ask(ctx, id, kind)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var refused *refusedSchemaError
		if errors.As(err, &refused) && (!refused.unknown || unknown) {
			return nil, refused
		}
		wait := pause
		if refused != nil {
			unknown, wait = true, c.again
		} else {
			unknown = false
			pause = min(2*pause, c.longest)
			wait = wait/2 + rand.N(wait/2+1)
		}
		report("schema registry: " + err.Error())
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// answer is what the registry says of a schema.
type answer struct {
	Schema     string `json:"schema"`
	Type       string `json:"schemaType"` // absent: AVRO
	References []struct {
		Name    string `json:"name"`
		Subject string `json:"subject"`
		Version int    `json:"version"`
	} `json:"references"`
}

// ask makes one attempt.
func (c *registryClient) ask(ctx context.Context, id uint32, kind string) (*registered, error) {
	a, err := c.get(ctx, "/schemas/ids/"+strconv.FormatUint(uint64(id), 10))
	if err != nil {
		return nil, err
	}
	if a.Type == "" {
		a.Type = "AVRO"
	}
	if a.Type != kind {
		return nil, &refusedSchemaError{problem: fmt.Sprintf("schema %d of the registry is of type %.20q, not %s", id, a.Type, kind)}
	}
	s := &registered{text: a.Schema}
	return s, c.references(ctx, a, s, make(map[string]bool))
}

// references adds all that a refers to, depth first.
func (c *registryClient) references(ctx context.Context, a *answer, to *registered, seen map[string]bool) error {
	for _, r := range a.References {
		if seen[r.Name] {
			continue
		}
		if len(seen) == maxReferences {
			return &refusedSchemaError{problem: fmt.Sprintf("the schema refers to more than %d others", maxReferences)}
		}
		seen[r.Name] = true
		next, err := c.get(ctx, "/subjects/"+url.PathEscape(r.Subject)+"/versions/"+strconv.Itoa(r.Version)+"?deleted=true")
		var refused *refusedSchemaError
		if errors.As(err, &refused) && refused.unknown {
			// The schema is there, so the record may be good: it waits.
			return fmt.Errorf("the schema refers to one that is missing: %s", refused.problem)
		}
		if err != nil {
			return err
		}
		if err := c.references(ctx, next, to, seen); err != nil {
			return err
		}
		to.references = append(to.references, schemaReference{name: r.Name, text: next.Schema})
	}
	return nil
}

// get makes one request. Errors name the path, never the host, the credentials
// or what a stranger in between has answered.
func (c *registryClient) get(ctx context.Context, path string) (*answer, error) {
	authorize, err := c.authorization()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: the address is not valid", path)
	}
	req.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	authorize(req)
	resp, err := c.http.Do(req)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSchemaBytes+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return readAnswer(path, resp.StatusCode, body)
}

// readAnswer tells what the registry said from what something in between did.
func readAnswer(path string, status int, body []byte) (*answer, error) {
	if len(body) > maxSchemaBytes {
		return nil, &refusedSchemaError{problem: fmt.Sprintf("GET %s: the schema is larger than %d MiB", path, maxSchemaBytes>>20)}
	}
	switch status {
	case http.StatusOK:
		var a answer
		if err := json.Unmarshal(body, &a); err != nil || a.Schema == "" {
			return nil, fmt.Errorf("GET %s: the answer is not that of a schema registry", path)
		}
		return &a, nil
	case http.StatusNotFound:
		var said struct {
			Code int `json:"error_code"`
		}
		if err := json.Unmarshal(body, &said); err == nil && said.Code >= 40401 && said.Code <= 40403 {
			return nil, &refusedSchemaError{problem: fmt.Sprintf("the registry does not know %s", path), unknown: true}
		}
		return nil, fmt.Errorf("GET %s: 404, but not in the words of a schema registry: is its url right?", path)
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("GET %s: the credentials are refused (%d)", path, status)
	default:
		return nil, fmt.Errorf("GET %s: %d %s", path, status, http.StatusText(status))
	}
}
