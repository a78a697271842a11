package camara

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What goes over the wire, in the words of the API: Quality-On-Demand 1.1.0 and qos-profiles 1.1.0, release r3.2. Fields
// that are not listed here are ignored.

// device is an end user's equipment. One of the fields is set.
type device struct {
	PhoneNumber string      `json:"phoneNumber,omitempty"` // E.164 with its +
	IPv4Address *deviceIPv4 `json:"ipv4Address,omitempty"`
	IPv6Address string      `json:"ipv6Address,omitempty"`
}

type deviceIPv4 struct {
	PublicAddress string `json:"publicAddress"`
	PublicPort    uint16 `json:"publicPort,omitempty"`
}

// server is the application server. One of the fields is set.
type server struct {
	IPv4Address string `json:"ipv4Address,omitempty"`
	IPv6Address string `json:"ipv6Address,omitempty"`
}

// ports are those of a flow. We ask for single ones; ranges are others'.
type ports struct {
	Ports  []uint16          `json:"ports,omitempty"`
	Ranges []json.RawMessage `json:"ranges,omitempty"`
}

// flow is what a session is for, as far as both directions say it.
type flow struct {
	ApplicationServer      server `json:"applicationServer"`
	ApplicationServerPorts *ports `json:"applicationServerPorts,omitempty"`
	QosProfile             string `json:"qosProfile"`
	Sink                   string `json:"sink,omitempty"`
}

// createSession asks for a session.
type createSession struct {
	Device device `json:"device"`
	flow
	SinkCredential *sinkCredential `json:"sinkCredential,omitempty"`
	Duration       int32           `json:"duration"` // s
}

// sinkCredential is what the operator shows when it notifies us.
type sinkCredential struct {
	CredentialType        string    `json:"credentialType"` // ACCESSTOKEN
	AccessToken           string    `json:"accessToken"`
	AccessTokenExpiresUTC time.Time `json:"accessTokenExpiresUtc"`
	AccessTokenType       string    `json:"accessTokenType"` // bearer
}

// retrieveSessions asks for the sessions of a device.
type retrieveSessions struct {
	Device device `json:"device"`
}

// extendSession asks for more time.
type extendSession struct {
	RequestedAdditionalDuration int32 `json:"requestedAdditionalDuration"` // s
}

// The states of a session, and why it is unavailable.
const (
	statusRequested   = "REQUESTED"
	statusAvailable   = "AVAILABLE"
	statusUnavailable = "UNAVAILABLE"

	infoExpired    = "DURATION_EXPIRED"
	infoTerminated = "NETWORK_TERMINATED"
	infoDeleted    = "DELETE_REQUESTED"
)

// sessionInfo is what the operator says of a session.
type sessionInfo struct {
	SessionID string `json:"sessionId"`
	flow
	Duration   int32     `json:"duration"` // s
	StartedAt  time.Time `json:"startedAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	QosStatus  string    `json:"qosStatus"`
	StatusInfo string    `json:"statusInfo"`
}

// maxSessions bounds the sessions of one device.
const maxSessions = 1_000

func decodeSession(body []byte) (*sessionInfo, error) {
	var s sessionInfo
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, errors.New("session: expected a JSON object as the API defines it")
	}
	return &s, s.check()
}

func decodeSessions(body []byte) ([]sessionInfo, error) {
	var list []sessionInfo
	if err := json.Unmarshal(body, &list); err != nil || len(list) > maxSessions {
		return nil, fmt.Errorf("sessions: expected a JSON list of at most %d sessions", maxSessions)
	}
	for i := range list {
		if err := list[i].check(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *sessionInfo) check() error {
	switch {
	case !isUUID(s.SessionID):
		return errors.New("session: sessionId: expected a UUID")
	case !known(s.QosStatus, statusRequested, statusAvailable, statusUnavailable):
		return fmt.Errorf("session: qosStatus: expected a known one, got %.40q", s.QosStatus)
	case s.Duration < 1:
		return errors.New("session: duration: expected at least 1")
	}
	return nil
}

// notification is a CloudEvent, of which we read what it is about.
type notification struct {
	SpecVersion string `json:"specversion"`
	Type        string `json:"type"`
	Data        struct {
		SessionID  string `json:"sessionId"`
		QosStatus  string `json:"qosStatus"`
		StatusInfo string `json:"statusInfo"`
	} `json:"data"`
}

// statusChanged is the one type of notification there is.
const statusChanged = "org.camaraproject.quality-on-demand.v1.qos-status-changed"

func decodeNotification(body []byte) (*notification, error) {
	var n notification
	switch err := json.Unmarshal(body, &n); {
	case err != nil:
		return nil, errors.New("expected a CloudEvent in JSON")
	case n.SpecVersion != "1.0":
		return nil, errors.New("specversion: expected 1.0")
	case n.Type != statusChanged:
		return nil, errors.New("type: expected " + statusChanged)
	case !isUUID(n.Data.SessionID):
		return nil, errors.New("data.sessionId: expected a UUID")
	case !known(n.Data.QosStatus, statusAvailable, statusUnavailable):
		return nil, errors.New("data.qosStatus: expected AVAILABLE or UNAVAILABLE")
	case !known(n.Data.StatusInfo, "", infoExpired, infoTerminated, infoDeleted):
		return nil, errors.New("data.statusInfo: expected a known one")
	}
	return &n, nil
}

// isUUID tells whether a session's name is one that may stand in a URL's path, and in the database.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

func known(word string, words ...string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
