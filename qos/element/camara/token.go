package camara

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// tokens holds the access token that calls are made with.
type tokens struct {
	cfg    OAuth
	client *http.Client

	mu    sync.Mutex // held while a token is fetched: one fetch serves all who wait
	token *oauth2.Token
}

// get returns a token that is valid, as far as anyone can tell.
func (t *tokens) get(ctx context.Context) (*oauth2.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.Valid() {
		return t.token, nil
	}
	token, err := t.fetch(ctx)
	if err != nil {
		return nil, err
	}
	t.token = token
	return token, nil
}

// drop forgets a token that was not accepted, unless another one has taken its place.
func (t *tokens) drop(token *oauth2.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = nil
	}
}

func (t *tokens) fetch(ctx context.Context) (*oauth2.Token, error) {
	secret, err := readSecret(t.cfg.SecretFile)
	if err != nil {
		return nil, err
	}
	style := oauth2.AuthStyleInHeader
	if t.cfg.InBody {
		style = oauth2.AuthStyleInParams
	}
	cfg := clientcredentials.Config{
		ClientID: t.cfg.ClientID, ClientSecret: string(secret), TokenURL: t.cfg.TokenURL, Scopes: t.cfg.Scopes, AuthStyle: style,
	}
	token, err := cfg.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return nil, tokenError(r)
	}
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return token, nil
}

// tokenError tells a refusal of our credentials, which asking again does not mend, from a server in trouble. It never
// quotes the body.
func tokenError(r *oauth2.RetrieveError) error {
	status := 0
	if r.Response != nil {
		status = r.Response.StatusCode
	}
	if status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden {
		return &problem{http.StatusUnauthorized, codeToken, "the token endpoint refuses: " + printable(r.ErrorCode, maxCode)}
	}
	return fmt.Errorf("token: status %d, expected a token", status)
}

// maxSecret bounds a secret file, in octets.
const maxSecret = 4096

// readSecret reads a secret. White space around it is not part of it.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("oauth.secret_file: %w", err)
	}
	defer f.Close()
	secret, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("oauth.secret_file: %w", err)
	}
	if secret = bytes.TrimSpace(secret); len(secret) == 0 || len(secret) > maxSecret {
		return nil, fmt.Errorf("oauth.secret_file: %s: expected 1 to %d octets", path, maxSecret)
	}
	return secret, nil
}
