package camara

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

const wholeConfig = `
url: https://api.example.com/quality-on-demand/v1
profiles_url: https://api.example.com/qos-profiles/v1
ca: /etc/farm/operator.pem
oauth:
  token_url: https://login.example.com/token
  client_id: farm
  secret_file: /etc/farm/camara.secret
  in_body: true
  scopes: [quality-on-demand:sessions:create]
sink:
  listen: 0.0.0.0:8443
  url: https://broker.example.com:8443/camara
  cert: /etc/farm/sink.pem
  key: /etc/farm/sink.key
poll: 5s
timeout: 10s
correlator: farm-eu.
identifiers: [ipv6, phone, ipv4]
`

func parse(t *testing.T, text string) Config {
	t.Helper()
	var c Config
	if err := yaml.NewDecoder(strings.NewReader(text), yaml.Strict()).Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheck(t *testing.T) {
	if err := parse(t, wholeConfig).Check(); err != nil {
		t.Errorf("the whole configuration: %v", err)
	}
	for key, spoil := range map[string]func(*Config){
		"url: ":                  func(c *Config) { c.URL = "" },
		"url: expected an https": func(c *Config) { c.URL = "http://api.example.com/" },
		"profiles_url":           func(c *Config) { c.ProfilesURL = "https://me:secret@api.example.com/" },
		"oauth.token_url":        func(c *Config) { c.OAuth.TokenURL = "ftp://login.example.com/" },
		"oauth.client_id":        func(c *Config) { c.OAuth.ClientID = "" },
		"oauth.secret_file":      func(c *Config) { c.OAuth.SecretFile = "" },
		"oauth.scopes":           func(c *Config) { c.OAuth.Scopes = make([]string, maxScopes+1) },
		"poll":                   func(c *Config) { c.Poll = time.Millisecond },
		"timeout":                func(c *Config) { c.Timeout = time.Hour },
		"correlator":             func(c *Config) { c.Correlator = "a b" },
		"identifiers":            func(c *Config) { c.Identifiers = []Identifier{ByIPv6, ByIPv6} },
		"identifiers: expected":  func(c *Config) { c.Identifiers = []Identifier{"imsi"} },
		"sink.listen":            func(c *Config) { c.Sink.Listen = "8443" },
		"sink.url":               func(c *Config) { c.Sink.URL = "http://broker.example.com/" },
		"sink.cert":              func(c *Config) { c.Sink.Cert = "" },
		"sink.key":               func(c *Config) { c.Sink.Key = "" },
	} {
		c := parse(t, wholeConfig)
		spoil(&c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), key) || strings.Contains(err.Error(), "\n") ||
			strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

func TestCheckLeast(t *testing.T) {
	c := Config{URL: "http://127.0.0.1:9091/quality-on-demand/v1", OAuth: OAuth{TokenURL: "http://localhost:9091/oauth2/token", ClientID: "farm", SecretFile: "secret"}}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

// TestNew: what is wrong with files is said at once, without their content.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	least := Config{URL: "http://127.0.0.1:1", OAuth: OAuth{TokenURL: "http://127.0.0.1:1", ClientID: "farm", SecretFile: write(t, dir, "secret", "x")}}
	for want, spoil := range map[string]func(*Config){
		"camara: url":               func(c *Config) { c.URL = "" },
		"camara: oauth.secret_file": func(c *Config) { c.OAuth.SecretFile = dir + "/nosuch" },
		"camara: oauth.secret_file: " + dir + "/empty: expected 1 to": func(c *Config) { c.OAuth.SecretFile = write(t, dir, "empty", " \n") },
		"camara: ca:": func(c *Config) { c.CA = write(t, dir, "ca", "no PEM") },
		"camara: sink.cert:": func(c *Config) {
			c.Sink = &Sink{Listen: "127.0.0.1:0", URL: "https://x.example", Cert: dir + "/nosuch", Key: dir + "/nosuch"}
		},
	} {
		c := least
		spoil(&c)
		if e, err := New(c, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("expected %q, got %v %v", want, e, err)
		}
	}
}
