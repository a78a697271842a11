package qos

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
)

// GrantID names a grant: random octets.
type GrantID [16]byte

// String returns 32 hexadecimal digits.
func (g GrantID) String() string { return hex.EncodeToString(g[:]) }

// MarshalText implements encoding.TextMarshaler.
func (g GrantID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *GrantID) UnmarshalText(text []byte) error { return parseHex("grant", string(text), g[:]) }

// State is how far a grant has come. The numbers are those of the EDNS0 option and of the SvcParam.
type State uint8

// The states. Requested, Granted and GrantedLower are live; Refused and Ended are final.
const (
	NoGrant      State = iota
	Requested          // the element has not answered yet
	Granted            // at the level that was asked for
	GrantedLower       // at a lower one
	Refused
	Ended
)

var stateNames = []string{"none", "requested", "granted", "granted_lower", "refused", "ended"}

func (s State) String() string { return wordOf(stateNames, int(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *State) UnmarshalText(text []byte) error {
	i, err := wordAt("state", stateNames, string(text))
	*s = State(i)
	return err
}

// Live reports whether the grant holds, or may come to hold, anything.
func (s State) Live() bool { return s == Requested || s == Granted || s == GrantedLower }

// Given reports whether the grant stands.
func (s State) Given() bool { return s == Granted || s == GrantedLower }

// Reason is why a grant was refused or has ended. The numbers are those of the EDNS0 option.
type Reason uint8

// The reasons.
const (
	NoReason      Reason = iota
	Expired              // its time was over
	Released             // the client gave it back, or asked for another in its place
	Revoked              // an operator took it back
	Drained              // its server was taken out, or died
	Full                 // no server has that much left for the level
	ByElement            // the element refused it, or ended it
	NoElement            // nobody answered for the element in time
	NotEntitled          // the client may not have the level
	NotUnderstood        // something in the request that must be understood is not
	Failed               // the element could not be asked, for a reason that asking again does not mend
)

var reasonNames = []string{"", "expired", "released", "revoked", "drained", "full", "element", "no_element", "not_entitled", "not_understood", "failed"}

func (r Reason) String() string { return wordOf(reasonNames, int(r)) }

// MarshalText implements encoding.TextMarshaler.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Reason) UnmarshalText(text []byte) error {
	i, err := wordAt("reason", reasonNames, string(text))
	*r = Reason(i)
	return err
}

func wordOf(words []string, i int) string {
	if i >= len(words) {
		return fmt.Sprint(i)
	}
	return words[i]
}

func wordAt(what string, words []string, word string) (int, error) {
	i := slices.Index(words, word)
	if i < 0 {
		return 0, fmt.Errorf("%s: expected one of %q", what, words)
	}
	return i, nil
}

// Million is a whole server in the units of Grant.Unit.
const Million = 1_000_000

// Offer is what a level promises one client.
type Offer struct {
	Level   string `json:"level"`
	Unit    int64  `json:"unit,omitempty"`    // part of the server, in millionths
	Share   int64  `json:"share,omitempty"`   // what the level's grants may take of the server together, in millionths
	Network bool   `json:"network,omitempty"` // whether an element is asked
	Element string `json:"element,omitempty"` // which; empty is the broker's only one
	Up      uint32 `json:"up,omitempty"`      // kbit/s from the client
	Down    uint32 `json:"down,omitempty"`    // kbit/s to the client
	Delay   uint16 `json:"delay,omitempty"`   // ms
	DSCP    uint8  `json:"dscp,omitempty"`
	Profile string `json:"profile,omitempty"` // CAMARA QoS profile

	NeedsServer  bool   `json:"needs_server,omitempty"`  // whether the grant stands only with the server's part
	NeedsNetwork bool   `json:"needs_network,omitempty"` // and only with the network's
	Duration     uint32 `json:"duration"`                // s
}

// Grant is what one client is granted, or has asked for, at one server of a service. Times are milliseconds; on whose
// clock, says who hands it out. The JSON form is a field of a service's grants hash (docs/redis.md).
type Grant struct {
	ID      GrantID  `json:"id"`
	Service string   `json:"-"` // lower-case FQDN
	Client  ClientID `json:"client"`
	Server  string   `json:"server"` // id of the server
	Asked   string   `json:"asked"`  // the level that the client asked for
	Offer            // what is granted, or is being asked for
	Lower   []Offer  `json:"lower,omitempty"` // what to try next if the element refuses, the best first; at most MaxLower

	State   State  `json:"state"`
	Reason  Reason `json:"reason,omitzero"`
	Detail  string `json:"detail,omitempty"`  // for people, at most 200 octets
	Session string `json:"session,omitempty"` // its name at the element

	ClientAddr netip.Addr `json:"client_addr,omitzero"`
	ClientPort uint16     `json:"client_port,omitempty"` // 0 is not known
	Phone      string     `json:"phone,omitempty"`       // E.164; where an element wants it
	ServerAddr netip.Addr `json:"server_addr,omitzero"`
	ServerPort uint16     `json:"server_port,omitempty"` // 0 is not said

	Start   int64  `json:"start,omitempty"` // ms; when it was granted
	End     int64  `json:"end"`             // ms; of an open request, by when it is to be answered
	Version uint64 `json:"version"`         // grows by one with each change
}

// MaxLower bounds what is tried in the place of a level.
const MaxLower = 4
