package agent

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/coredns-farm/farm/suggest"
)

// RequestOptions are what an HTTP request carries beyond its URL. Secrets stand in files, which are read for each
// request, so that one that is renewed is used at once.
type RequestOptions struct {
	Headers         map[string]string `yaml:"headers"`
	BearerTokenFile string            `yaml:"bearer_token_file"`
	BasicAuth       *BasicAuth        `yaml:"basic_auth"`
	Cleartext       bool              `yaml:"cleartext"` // whether secrets may go over http:// to another machine
}

// BasicAuth is a user and where the password is.
type BasicAuth struct {
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
}

// ownHeaders are those that make the connection and the body what they are.
var ownHeaders = []string{"Accept-Encoding", "Connection", "Content-Length", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

const authorization = "Authorization"

// isZero says whether there are no options.
func (o *RequestOptions) isZero() bool {
	return len(o.Headers) == 0 && o.BearerTokenFile == "" && o.BasicAuth == nil && !o.Cleartext
}

func (o *RequestOptions) validate(target string) error {
	secrets := 0
	for name, value := range o.Headers {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("headers: %.40q, expected the name of a header", suggest.Shown(name))
		case !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("headers.%s: expected printable characters in one line", canonical)
		case slices.Contains(ownHeaders, canonical):
			return fmt.Errorf("headers.%s: the agent's own, expected another header", canonical)
		case canonical == authorization:
			secrets++
		}
	}
	if o.BearerTokenFile != "" {
		secrets++
	}
	if b := o.BasicAuth; b != nil {
		secrets++
		if b.Username == "" || b.PasswordFile == "" {
			return errors.New("basic_auth: expected username and password_file")
		}
	}
	if secrets > 1 {
		return errors.New("bearer_token_file: expected one of it, basic_auth and the header Authorization")
	}
	if secrets == 1 && !o.Cleartext && !isPrivate(target) {
		return errors.New("url: it would carry a secret in clear text to another machine, expected https://, or cleartext: true")
	}
	return nil
}

// isPrivate says whether what is sent to the URL is encrypted or does not leave the machine.
func isPrivate(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// apply adds the options to a request.
func (o *RequestOptions) apply(req *http.Request) error {
	for name, value := range o.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = cmp.Or(req.Host, value)
			continue
		}
		req.Header.Set(name, value)
	}
	switch {
	case o.BearerTokenFile != "":
		token, err := readSecret(o.BearerTokenFile)
		if err != nil {
			return fmt.Errorf("bearer_token_file: %w", err)
		}
		req.Header.Set(authorization, "Bearer "+token)
	case o.BasicAuth != nil:
		password, err := readSecret(o.BasicAuth.PasswordFile)
		if err != nil {
			return fmt.Errorf("basic_auth.password_file: %w", err)
		}
		req.SetBasicAuth(o.BasicAuth.Username, password)
	}
	return nil
}

// maxSecret is longer than any token that a server takes in its header.
const maxSecret = 32 << 10

// readSecret reads a secret, which is all of a file but for blanks around it. Errors do not show any of it.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	secret := string(bytes.TrimSpace(b))
	if secret == "" || len(b) > maxSecret || !httpguts.ValidHeaderFieldValue(secret) {
		return "", fmt.Errorf("%s: expected one line of printable characters, at most %d octets", path, maxSecret)
	}
	return secret, nil
}
