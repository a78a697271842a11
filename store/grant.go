package store

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/coredns-farm/farm/qos"
)

// kindGrant is a field of a service's grants hash, by the grant's id.
const kindGrant = "grant"

// grantRecord is what the database holds of a grant.
type grantRecord struct {
	qos.Grant
	At int64 `json:"at,omitempty"` // ms on Redis's clock; when it was written
}

// Bounds of grants. grant.lua keeps to them.
const (
	maxGrants  = 20_000 // of a service, those that are over and not yet forgotten included
	maxRequest = 4096   // octets of one
	maxDetail  = 200
	maxSession = 128
	maxText    = 256 // octets of any other text
)

func decodeGrant(service, id, data string) (*grantRecord, error) {
	rec := new(grantRecord)
	if err := rec.ID.UnmarshalText([]byte(id)); err != nil || id != strings.ToLower(id) {
		return nil, bad("name", "grant %q: expected 32 lower-case hexadecimal digits", clip(id))
	}
	want := rec.ID
	if err := decode(data, rec); err != nil {
		return nil, err
	}
	g := &rec.Grant
	g.Service = service
	if g.ID != want {
		return nil, bad("name", "id %s: expected %s", g.ID, want)
	}
	if rec.At < 1 || rec.At > maxTime || g.End < 1 || g.End > maxTime || g.Start < 0 || g.Start > maxTime || g.Version == 0 {
		return nil, bad("range", "at %d, start %d, end %d, version %d: expected ms since 1970, and a version", rec.At, g.Start, g.End, g.Version)
	}
	if g.State == qos.NoGrant {
		return nil, bad("range", "state: expected one")
	}
	return rec, CheckGrant(g)
}

// CheckGrant says what is wrong with a grant, or with a request for one, nil if nothing is.
func CheckGrant(g *qos.Grant) error {
	if err := checkNames(g.Service, g.Server); err != nil {
		return err
	}
	if g.ID == (qos.GrantID{}) || g.Client == (qos.ClientID{}) {
		return bad("name", "id %s, client %s: expected both", g.ID, g.Client)
	}
	if len(g.Detail) > maxDetail || len(g.Session) > maxSession || len(g.Phone) > maxText {
		return bad("size", "detail, session, phone: expected at most %d, %d and %d octets", maxDetail, maxSession, maxText)
	}
	if !unicast(g.ClientAddr) || !unicast(g.ServerAddr) {
		return bad("range", "client %s, server %s: expected addresses without a zone", g.ClientAddr, g.ServerAddr)
	}
	if !isLevel(g.Asked) {
		return bad("name", "asked %q: expected the name of a level", clip(g.Asked))
	}
	if len(g.Lower) > qos.MaxLower {
		return bad("count", "%d lower offers: expected at most %d", len(g.Lower), qos.MaxLower)
	}
	for i := range g.Lower {
		if err := checkOffer(&g.Lower[i]); err != nil {
			return err
		}
	}
	return checkOffer(&g.Offer)
}

func unicast(a netip.Addr) bool {
	return !a.IsValid() || a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast()
}

func isLevel(name string) bool { return isID(name) && len(name) <= maxLevelName }

func checkOffer(o *qos.Offer) error {
	if !isLevel(o.Level) || o.Element != "" && !isID(o.Element) || len(o.Profile) > maxText || !printable(o.Profile) {
		return bad("name", "offer of %q: expected the names of a level, of an element and of a profile", clip(o.Level))
	}
	if o.Unit < 0 || o.Unit > qos.Million || o.Share < 0 || o.Share > qos.Million {
		return bad("range", "offer of %s: unit %d, share %d: expected 0 to %d", o.Level, o.Unit, o.Share, qos.Million)
	}
	if o.Up > maxRate || o.Down > maxRate || o.DSCP > maxDSCP || o.Duration < 1 || o.Duration > maxDuration {
		return bad("range", "offer of %s: up %d, down %d, dscp %d, duration %d: expected at most %d, %d, %d, and 1 to %d",
			o.Level, o.Up, o.Down, o.DSCP, o.Duration, maxRate, maxRate, maxDSCP, maxDuration)
	}
	return nil
}

// encodeRequest returns what the script takes of a request.
func encodeRequest(g *qos.Grant) (string, error) {
	data, err := json.Marshal(g)
	if err == nil && len(data) > maxRequest {
		err = bad("size", "request of %d octets: expected at most %d", len(data), maxRequest)
	}
	return string(data), err
}
