package kafka

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// tokenTimeout bounds one request for a token: a connection waits for it.
const tokenTimeout = 10 * time.Second

// tokens returns what gives the token of each connection (OAUTHBEARER). A token
// of a file or of the environment is read once here, to say at the start what is
// wrong with it; an endpoint is first asked by the first connection.
func tokens(_ context.Context, s jobspecs.SASL) (func(context.Context) (oauth.Auth, error), error) {
	if s.TokenURL == "" {
		read := func(context.Context) (oauth.Auth, error) {
			token, err := Secret(s.Token)
			return oauth.Auth{Token: strings.TrimSpace(token)}, err
		}
		_, err := read(context.Background())
		return read, err
	}
	if s.Username == "" {
		return nil, exit.Usagef("sasl.tokenURL needs the client id as sasl.username")
	}
	if _, err := Secret(s.Password); err != nil {
		return nil, err
	}
	e := &endpoint{sasl: s, now: time.Now}
	return e.token, nil
}

// endpoint asks for tokens by client credentials, and keeps each until shortly
// before it expires: a bridge with many brokers would else ask for one per
// connection.
type endpoint struct {
	sasl jobspecs.SASL
	now  func() time.Time

	mu   sync.Mutex
	kept string
	till time.Time
}

// keepMargin is the part of its life at whose end a token is not used any more,
// at most a minute: brokers end the connection when its token expires, and the
// client authenticates again shortly before.
const keepMargin = 5

func (e *endpoint) token(ctx context.Context) (oauth.Auth, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kept != "" && e.now().Before(e.till) {
		return oauth.Auth{Token: e.kept}, nil
	}
	secret, err := Secret(e.sasl.Password) // again: it may have been renewed
	if err != nil {
		return oauth.Auth{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: tokenTimeout})
	asked := e.now()
	t, err := (&clientcredentials.Config{
		ClientID: e.sasl.Username, ClientSecret: secret, TokenURL: e.sasl.TokenURL, Scopes: e.sasl.Scopes,
	}).Token(ctx)
	if err != nil {
		return oauth.Auth{}, tokenError(e.sasl, err)
	}
	e.kept = ""
	if life := t.Expiry.Sub(asked); !t.Expiry.IsZero() && life > 0 {
		e.kept, e.till = t.AccessToken, t.Expiry.Add(-min(life/keepMargin, time.Minute))
	}
	return oauth.Auth{Token: t.AccessToken}, nil
}

// tokenError keeps what the endpoint's answer is about and drops its text, in
// which a server might repeat the request.
func tokenError(s jobspecs.SASL, err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return exit.Environmentf("ask sasl.tokenURL %s for a token: %w", s.TokenURL, err).
			WithHint("check the address and that it can be reached from here")
	}
	status, code := "no status", refused.ErrorCode
	if refused.Response != nil {
		status = refused.Response.Status
	}
	if code != "" && len(code) <= 40 && strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") == "" {
		status += ", " + code
	}
	e := exit.Environmentf("sasl.tokenURL %s gave no token: %s", s.TokenURL, status)
	if refused.Response != nil && (refused.Response.StatusCode == http.StatusUnauthorized || refused.ErrorCode == "invalid_client") {
		return e.WithHint("check sasl.username (the client id) and sasl.password (the client secret)")
	}
	return e.WithHint("check sasl.tokenURL, sasl.scopes and what the client may ask for")
}
