package sim

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// token is an access token that was given out.
type token struct {
	client  string
	scopes  []string
	expires time.Time
}

// maxTokens bounds the tokens that are valid at a time.
const maxTokens = 10_000

var scopes = []string{
	"quality-on-demand:sessions:create", "quality-on-demand:sessions:read", "quality-on-demand:sessions:update",
	"quality-on-demand:sessions:delete", "quality-on-demand:sessions:retrieve-by-device", "qos-profiles:read",
}

// token is the token endpoint: client credentials, RFC 6749 section 4.4.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	fault := p.enter("token")
	sleep(r, p.cfg.Latency+time.Duration(fault.Delay))
	if fault.Lost != "" {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Cache-Control", "no-store")
	id, secret := credentials(r)
	asked := strings.Fields(r.PostFormValue("scope"))
	if len(asked) == 0 {
		asked = scopes
	}
	good := subtle.ConstantTimeCompare([]byte(id), []byte(p.cfg.ClientID)) &
		subtle.ConstantTimeCompare([]byte(secret), []byte(p.cfg.Secret))
	switch {
	case fault.Status != 0:
		fault.write(w)
	case good != 1 || p.cfg.Secret == "":
		reply(w, http.StatusUnauthorized, oauthError("invalid_client"), nil)
	case r.PostFormValue("grant_type") != "client_credentials":
		reply(w, http.StatusBadRequest, oauthError("unsupported_grant_type"), nil)
	case slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(scopes, s) }):
		reply(w, http.StatusBadRequest, oauthError("invalid_scope"), nil)
	default:
		reply(w, http.StatusOK, p.issue(id, asked), nil)
	}
}

// credentials returns the client's id and secret: of the header, where they are form-encoded, or of the body (RFC 6749
// section 2.3.1).
func credentials(r *http.Request) (id, secret string) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	id, err := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	if err != nil || err2 != nil {
		return "", ""
	}
	return id, secret
}

func oauthError(code string) map[string]string { return map[string]string{"error": code} }

// issue makes a token.
func (p *Provider) issue(client string, scopes []string) map[string]any {
	text := rand.Text()
	p.do(func(now time.Time) {
		for t, one := range p.tokens {
			if !now.Before(one.expires) || len(p.tokens) >= maxTokens {
				delete(p.tokens, t)
			}
		}
		p.tokens[text] = token{client, scopes, now.Add(p.cfg.TokenLife)}
	})
	return map[string]any{
		"access_token": text, "token_type": "Bearer", "expires_in": int(p.cfg.TokenLife / time.Second),
		"scope": strings.Join(scopes, " "),
	}
}

// admit says which client makes a call, and whether it may.
func (p *Provider) admit(r *http.Request, scope string, now time.Time) (client string, f *failure) {
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, known := p.tokens[shown]
	if !ok || !known || !now.Before(t.expires) {
		return "", fail(http.StatusUnauthorized, "UNAUTHENTICATED",
			"Request not authenticated due to missing, invalid, or expired credentials. A new authentication is required.")
	}
	if !slices.Contains(t.scopes, scope) {
		return "", fail(http.StatusForbidden, "PERMISSION_DENIED", "Client does not have sufficient permissions to perform this action.")
	}
	return t.client, nil
}
