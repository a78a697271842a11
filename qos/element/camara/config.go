package camara

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"
)

// Config says which operator's API is asked, and how. Zero fields take the defaults that stand beside them.
// docs/camara.md has every key.
type Config struct {
	URL         string        `yaml:"url"`          // of the Quality-On-Demand API, such as https://api.example.com/quality-on-demand/v1
	ProfilesURL string        `yaml:"profiles_url"` // of the qos-profiles API, for the bounds of durations; default none
	CA          string        `yaml:"ca"`           // PEM file of the authorities that are trusted; default the system's
	OAuth       OAuth         `yaml:"oauth"`
	Sink        *Sink         `yaml:"sink"`        // where notifications are taken; default nowhere: sessions are polled
	Poll        time.Duration `yaml:"poll"`        // how often a session that is not available yet is looked at; default 5s
	Timeout     time.Duration `yaml:"timeout"`     // of one call; default 10s
	Correlator  string        `yaml:"correlator"`  // what the x-correlator of a call begins with, before the grant's id
	Identifiers []Identifier  `yaml:"identifiers"` // what the operator knows devices by, the best first; default ipv6, phone, ipv4
}

// OAuth is how access tokens are come by: client credentials, RFC 6749 section 4.4.
type OAuth struct {
	TokenURL   string   `yaml:"token_url"`
	ClientID   string   `yaml:"client_id"`
	SecretFile string   `yaml:"secret_file"` // holds the client's secret; it is read again for each token
	InBody     bool     `yaml:"in_body"`     // whether id and secret go into the request's body; default its Authorization header
	Scopes     []string `yaml:"scopes"`      // default those of the operations that are used
}

// Sink is an HTTPS server that the operator notifies.
type Sink struct {
	Listen string `yaml:"listen"` // HOST:PORT
	URL    string `yaml:"url"`    // how the operator reaches it, such as https://broker.example.com:8443/camara
	Cert   string `yaml:"cert"`   // PEM file; it is read again for each connection
	Key    string `yaml:"key"`    // PEM file
}

// Identifier is what a device is known by.
type Identifier string

// The identifiers. An IPv4 address identifies a device with its port alone, since networks share addresses.
const (
	ByIPv6  Identifier = "ipv6"
	ByPhone Identifier = "phone"
	ByIPv4  Identifier = "ipv4"
)

// The defaults, and bounds.
const (
	defaultPoll    = 5 * time.Second
	defaultTimeout = 10 * time.Second
	minPoll        = 100 * time.Millisecond // below, polling is a flood
	maxPoll        = 10 * time.Minute       // above, nobody waits for an answer any more
	minTimeout     = 100 * time.Millisecond
	maxTimeout     = time.Minute // an open request is over by then
	maxCorrelator  = 200         // the API allows 256, the grant's id takes 32
	maxScopes      = 32
)

var identifiers = []Identifier{ByIPv6, ByPhone, ByIPv4}

// correlatorForm is what the API allows in an x-correlator.
var correlatorForm = regexp.MustCompile(`^[a-zA-Z0-9_:;./<>{}-]*$`)

// Check says what is wrong with a configuration, without opening anything: an error for each key, that names it and what
// is expected.
func (c Config) Check() error {
	c = c.withDefaults()
	k := checks{}
	k.url("url", c.URL)
	if c.ProfilesURL != "" {
		k.url("profiles_url", c.ProfilesURL)
	}
	k.url("oauth.token_url", c.OAuth.TokenURL)
	k.expect(c.OAuth.ClientID != "", "oauth.client_id", "the client's id")
	k.expect(c.OAuth.SecretFile != "", "oauth.secret_file", "a file with the client's secret")
	k.expect(len(c.OAuth.Scopes) <= maxScopes, "oauth.scopes", fmt.Sprintf("at most %d", maxScopes))
	k.span("poll", c.Poll, minPoll, maxPoll)
	k.span("timeout", c.Timeout, minTimeout, maxTimeout)
	k.expect(len(c.Correlator) <= maxCorrelator && correlatorForm.MatchString(c.Correlator), "correlator",
		fmt.Sprintf("at most %d letters, digits or -_:;./<>{}", maxCorrelator))
	for i, id := range c.Identifiers {
		k.expect(slices.Contains(identifiers, id) && !slices.Contains(c.Identifiers[:i], id), "identifiers",
			fmt.Sprintf("each of %q at most once", identifiers))
	}
	if c.Sink != nil {
		k.sink(c.Sink)
	}
	return errors.Join(k...)
}

func (c Config) withDefaults() Config {
	c.Poll = cmp.Or(c.Poll, defaultPoll)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	if len(c.Identifiers) == 0 {
		c.Identifiers = identifiers
	}
	if len(c.OAuth.Scopes) == 0 {
		c.OAuth.Scopes = scopes
		if c.ProfilesURL != "" {
			c.OAuth.Scopes = append(slices.Clone(scopes), "qos-profiles:read")
		}
	}
	return c
}

// scopes are those of the operations that an Element uses.
var scopes = []string{
	"quality-on-demand:sessions:create", "quality-on-demand:sessions:read", "quality-on-demand:sessions:update",
	"quality-on-demand:sessions:delete", "quality-on-demand:sessions:retrieve-by-device",
}

// checks gathers errors.
type checks []error

func (k *checks) expect(ok bool, key, expected string) {
	if !ok {
		*k = append(*k, fmt.Errorf("%s: expected %s", key, expected))
	}
}

func (k *checks) span(key string, d, low, high time.Duration) {
	k.expect(low <= d && d <= high, key, fmt.Sprintf("%v to %v", low, high))
}

// url lets tokens and secrets out over TLS alone, but for a peer on the same machine.
func (k *checks) url(key, s string) {
	u, err := url.Parse(s)
	ok := err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
	k.expect(ok && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())), key,
		"an https:// URL without user, query or fragment; http:// to this machine alone")
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (k *checks) sink(s *Sink) {
	_, _, err := net.SplitHostPort(s.Listen)
	k.expect(err == nil, "sink.listen", "HOST:PORT")
	u, err := url.Parse(s.URL)
	k.expect(err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "",
		"sink.url", "an https:// URL without user, query or fragment")
	k.expect(s.Cert != "", "sink.cert", "a PEM file")
	k.expect(s.Key != "", "sink.key", "a PEM file")
}
