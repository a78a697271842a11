package sim

import (
	"encoding/json"
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// createSession is a request for a session, as it comes.
type createSession struct {
	Device                 *Device     `json:"device"`
	ApplicationServer      *AppServer  `json:"applicationServer"`
	DevicePorts            *Ports      `json:"devicePorts"`
	ApplicationServerPorts *Ports      `json:"applicationServerPorts"`
	QosProfile             string      `json:"qosProfile"`
	Sink                   string      `json:"sink"`
	SinkCredential         *credential `json:"sinkCredential"`
	Duration               int64       `json:"duration"` // s
}

// Device is an end user's equipment.
type Device struct {
	PhoneNumber             string `json:"phoneNumber,omitempty"`
	NetworkAccessIdentifier string `json:"networkAccessIdentifier,omitempty"`
	IPv4Address             *IPv4  `json:"ipv4Address,omitempty"`
	IPv6Address             string `json:"ipv6Address,omitempty"`
}

// IPv4 is an address, and what tells who it is behind a translator.
type IPv4 struct {
	PublicAddress  string `json:"publicAddress"`
	PrivateAddress string `json:"privateAddress,omitempty"`
	PublicPort     *int   `json:"publicPort,omitempty"`
}

// AppServer is an application server: addresses, or subnets.
type AppServer struct {
	IPv4Address string `json:"ipv4Address,omitempty"`
	IPv6Address string `json:"ipv6Address,omitempty"`
}

// Ports are those of a flow.
type Ports struct {
	Ranges []PortRange `json:"ranges,omitempty"`
	Ports  []int       `json:"ports,omitempty"`
}

// PortRange is a range of ports; both ends belong to it.
type PortRange struct {
	From int `json:"from"`
	To   int `json:"to"`
}

type credential struct {
	CredentialType        string    `json:"credentialType"`
	AccessToken           string    `json:"accessToken"`
	AccessTokenExpiresUTC time.Time `json:"accessTokenExpiresUtc"`
	AccessTokenType       string    `json:"accessTokenType"`
}

// decode reads a request's body.
func decode(r *http.Request, into any) *failure {
	if json.NewDecoder(r.Body).Decode(into) != nil {
		return fail(http.StatusBadRequest, "INVALID_ARGUMENT", "expected a JSON object as the API defines it")
	}
	return nil
}

var profileForm = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,256}$`)

// check says what the API has against a request, before any profile or session is looked at.
func (r *createSession) check() *failure {
	switch {
	case r.ApplicationServer == nil || !r.ApplicationServer.valid():
		return invalid("applicationServer: expected an IPv4 or IPv6 address or subnet")
	case !profileForm.MatchString(r.QosProfile):
		return invalid("qosProfile: expected the name of a profile")
	case r.Duration < 1 || r.Duration > math.MaxInt32:
		return invalid("duration: expected seconds, from 1")
	case !r.DevicePorts.valid() || !r.ApplicationServerPorts.valid():
		return invalid("ports: expected ports or ranges from 0 to 65535")
	case r.Sink != "" && (!strings.HasPrefix(r.Sink, "https://") || len(r.Sink) < len("https://x")):
		return fail(http.StatusBadRequest, "INVALID_SINK", "sink: expected an https URL")
	}
	return r.SinkCredential.check()
}

func (c *credential) check() *failure {
	switch {
	case c == nil:
		return nil
	case c.CredentialType != "ACCESSTOKEN":
		return fail(http.StatusBadRequest, "INVALID_CREDENTIAL", "Only Access token is supported")
	case c.AccessTokenType != "bearer":
		return fail(http.StatusBadRequest, "INVALID_TOKEN", "Only bearer token is supported")
	case c.AccessToken == "" || c.AccessTokenExpiresUTC.IsZero():
		return invalid("sinkCredential: expected accessToken and accessTokenExpiresUtc")
	}
	return nil
}

func (a *AppServer) valid() bool {
	v4, v6 := subnet(a.IPv4Address), subnet(a.IPv6Address)
	return (a.IPv4Address == "" || v4.IsValid() && v4.Addr().Is4()) && (a.IPv6Address == "" || v6.IsValid() && v6.Addr().Is6()) &&
		(v4.IsValid() || v6.IsValid())
}

// subnet reads an address or a subnet; the zero one is neither.
func subnet(s string) netip.Prefix {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen())
	}
	p, _ := netip.ParsePrefix(s)
	return p.Masked()
}

func (p *Ports) valid() bool {
	if p == nil {
		return true
	}
	for _, r := range p.spans() {
		if r.From < 0 || r.To > math.MaxUint16 || r.From > r.To {
			return false
		}
	}
	return len(p.spans()) > 0
}

// spans returns all of the ports as ranges. No ports at all are every port.
func (p *Ports) spans() []PortRange {
	if p == nil {
		return []PortRange{{0, math.MaxUint16}}
	}
	list := append([]PortRange(nil), p.Ranges...)
	for _, port := range p.Ports {
		list = append(list, PortRange{port, port})
	}
	return list
}

func (p *Ports) overlaps(o *Ports) bool {
	for _, a := range p.spans() {
		for _, b := range o.spans() {
			if a.From <= b.To && b.From <= a.To {
				return true
			}
		}
	}
	return false
}

// overlaps tells whether two requests of one device ask for the same flow, or a part of it.
func (r *createSession) overlaps(o *createSession) bool {
	a, b := r.ApplicationServer, o.ApplicationServer
	same := subnet(a.IPv4Address).Overlaps(subnet(b.IPv4Address)) || subnet(a.IPv6Address).Overlaps(subnet(b.IPv6Address))
	return same && r.DevicePorts.overlaps(o.DevicePorts) && r.ApplicationServerPorts.overlaps(o.ApplicationServerPorts)
}
