package sim

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// The states of a session, and why it is UNAVAILABLE.
const (
	Requested   = "REQUESTED"
	Available   = "AVAILABLE"
	Unavailable = "UNAVAILABLE"

	DurationExpired   = "DURATION_EXPIRED"
	NetworkTerminated = "NETWORK_TERMINATED"
	DeleteRequested   = "DELETE_REQUESTED"
)

// SessionInfo is what can be seen of a session, in the form of the API.
type SessionInfo struct {
	Device                 *Device    `json:"device,omitempty"`
	ApplicationServer      *AppServer `json:"applicationServer"`
	DevicePorts            *Ports     `json:"devicePorts,omitempty"`
	ApplicationServerPorts *Ports     `json:"applicationServerPorts,omitempty"`
	QosProfile             string     `json:"qosProfile"`
	Sink                   string     `json:"sink,omitempty"`
	SessionID              string     `json:"sessionId"`
	Duration               int32      `json:"duration"` // s
	StartedAt              *time.Time `json:"startedAt,omitempty"`
	ExpiresAt              *time.Time `json:"expiresAt,omitempty"`
	QosStatus              string     `json:"qosStatus"`
	StatusInfo             string     `json:"statusInfo,omitempty"`
}

// session is one session. Times are the operator's; a zero one is never.
type session struct {
	id      string
	owner   string // the client that made it
	request createSession
	device  identity
	shown   *Device // with the identifier that the operator goes by

	status   string
	info     string // why it is Unavailable
	duration int32  // s
	ready    time.Time
	started  time.Time
	expires  time.Time
	ended    time.Time
	deaf     bool // whether its sink wants no more notifications
}

// book is all sessions. Time is an argument.
type book struct {
	sessions  map[string]*session
	terminate time.Duration // after which the network ends a session; 0 is never
	notes     []note
}

// step lets time have its effect until now. It returns when it has one next; zero is never.
func (b *book) step(now time.Time) (next time.Time) {
	for _, s := range b.sessions {
		for b.advance(s, now) {
		}
		if at := b.due(s); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// due returns when a session's state changes by itself.
func (b *book) due(s *session) time.Time {
	switch s.status {
	case Requested:
		return s.ready
	case Available:
		if cut := s.started.Add(b.terminate); b.terminate > 0 && cut.Before(s.expires) {
			return cut
		}
		return s.expires
	}
	return s.ended.Add(Retention)
}

// advance makes the next change of a session, if it is due.
func (b *book) advance(s *session, now time.Time) bool {
	at := b.due(s)
	if at.IsZero() || at.After(now) || b.sessions[s.id] != s {
		return false
	}
	switch {
	case s.status == Requested:
		s.status, s.started = Available, at
		s.expires = at.Add(time.Duration(s.duration) * time.Second)
		b.note(s, at)
	case s.status == Unavailable:
		delete(b.sessions, s.id)
	case at.Equal(s.expires):
		b.end(s, DurationExpired, at)
	default:
		b.end(s, NetworkTerminated, at)
	}
	return true
}

// end makes a session Unavailable.
func (b *book) end(s *session, why string, at time.Time) {
	if s.status == Available {
		s.duration = max(1, int32(at.Sub(s.started)/time.Second))
	}
	s.status, s.info, s.ended, s.expires = Unavailable, why, at, at
	b.note(s, at)
}

// remove deletes a session by its owner's wish.
func (b *book) remove(s *session, at time.Time) {
	if s.status == Available {
		b.end(s, DeleteRequested, at)
	}
	delete(b.sessions, s.id)
}

// extend makes a session longer, up to most seconds; 0 is no bound. It tells whether the session is in a state for it.
func (b *book) extend(s *session, by, most int32) bool {
	if s.status != Available {
		return false
	}
	total := min(int64(s.duration)+int64(by), math.MaxInt32)
	if most > 0 {
		total = min(total, int64(most))
	}
	s.duration = max(s.duration, int32(total))
	s.expires = s.started.Add(time.Duration(s.duration) * time.Second)
	return true
}

// conflict returns a session that stands in the way of another one.
func (b *book) conflict(device identity, r *createSession) *session {
	for _, s := range b.sessions {
		if s.info != DurationExpired && s.device == device && s.request.overlaps(r) {
			return s
		}
	}
	return nil
}

// of returns the client's sessions of a device, in the order of their ids.
func (b *book) of(owner string, device identity) []SessionInfo {
	list := []SessionInfo{}
	for _, s := range b.sessions {
		if s.owner == owner && s.device == device {
			list = append(list, s.show())
		}
	}
	return sorted(list)
}

func (b *book) list() []SessionInfo {
	list := make([]SessionInfo, 0, len(b.sessions))
	for _, s := range b.sessions {
		list = append(list, s.show())
	}
	return sorted(list)
}

func sorted(list []SessionInfo) []SessionInfo {
	slices.SortFunc(list, func(a, b SessionInfo) int { return cmp.Compare(a.SessionID, b.SessionID) })
	return list
}

// show makes what can be seen of a session.
func (s *session) show() SessionInfo {
	r := &s.request
	info := SessionInfo{
		Device: s.shown, ApplicationServer: r.ApplicationServer, DevicePorts: r.DevicePorts,
		ApplicationServerPorts: r.ApplicationServerPorts, QosProfile: r.QosProfile, Sink: r.Sink,
		SessionID: s.id, Duration: s.duration, QosStatus: s.status, StatusInfo: s.info,
	}
	info.StartedAt, info.ExpiresAt = moment(s.started), moment(s.expires)
	return info
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}
