package sim

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

func (p *Provider) create(r *http.Request, client string, now time.Time) (int, any, *failure) {
	var req createSession
	if f := decode(r, &req); f != nil {
		return 0, nil, f
	}
	if f := req.check(); f != nil {
		return 0, nil, f
	}
	device, shown, f := identify(req.Device)
	if f != nil {
		return 0, nil, f
	}
	if f := p.fits(&req); f != nil {
		return 0, nil, f
	}
	if p.book.conflict(device, &req) != nil {
		return 0, nil, fail(http.StatusConflict, "CONFLICT", "Conflict with an existing session for the same device.")
	}
	if len(p.book.sessions) >= maxSessions {
		return 0, nil, fail(http.StatusTooManyRequests, "QUOTA_EXCEEDED", "Out of resource quota.")
	}
	s := &session{
		id: uuid.NewString(), owner: client, request: req, device: device, shown: shown,
		status: Requested, duration: int32(req.Duration),
	}
	if p.cfg.Setup >= 0 {
		s.ready = now.Add(p.cfg.Setup)
	}
	p.book.sessions[s.id] = s
	p.book.step(now)
	p.cfg.Log.Info("session created", "id", s.id, "profile", req.QosProfile, "status", s.status)
	return http.StatusCreated, s.show(), nil
}

// fits checks a request against its profile.
func (p *Provider) fits(req *createSession) *failure {
	profile, ok := p.profiles[req.QosProfile]
	if !ok {
		return invalid("qosProfile: there is no such profile")
	}
	if profile.Status != Active {
		return fail(http.StatusUnprocessableEntity, "QUALITY_ON_DEMAND.QOS_PROFILE_NOT_APPLICABLE",
			"The requested QoS Profile is currently not available for session creation.")
	}
	d := time.Duration(req.Duration) * time.Second
	if d < profile.MinDuration.span() || profile.MaxDuration != nil && d > profile.MaxDuration.span() {
		return fail(http.StatusBadRequest, "QUALITY_ON_DEMAND.DURATION_OUT_OF_RANGE",
			"The requested duration is out of the allowed range for the specific QoS profile")
	}
	return nil
}

// find returns the session that a call is about, if it is the client's.
func (p *Provider) find(r *http.Request, client string) (*session, *failure) {
	id := r.PathValue("id")
	if uuid.Validate(id) != nil || len(id) != 36 {
		return nil, invalid("sessionId: expected a UUID")
	}
	s := p.book.sessions[id]
	if s == nil || s.owner != client {
		return nil, notFound()
	}
	return s, nil
}

func (p *Provider) get(r *http.Request, client string, _ time.Time) (int, any, *failure) {
	s, f := p.find(r, client)
	if f != nil {
		return 0, nil, f
	}
	return http.StatusOK, s.show(), nil
}

func (p *Provider) delete(r *http.Request, client string, now time.Time) (int, any, *failure) {
	s, f := p.find(r, client)
	if f != nil {
		return 0, nil, f
	}
	p.book.remove(s, now)
	p.cfg.Log.Info("session deleted", "id", s.id)
	return http.StatusNoContent, nil, nil
}

func (p *Provider) extend(r *http.Request, client string, _ time.Time) (int, any, *failure) {
	s, f := p.find(r, client)
	if f != nil {
		return 0, nil, f
	}
	var req struct {
		Seconds int32 `json:"requestedAdditionalDuration"`
	}
	if f := decode(r, &req); f != nil {
		return 0, nil, f
	}
	if req.Seconds < 1 {
		return 0, nil, invalid("requestedAdditionalDuration: expected seconds, from 1")
	}
	most := int32(p.profiles[s.request.QosProfile].MaxDuration.span() / time.Second)
	if !p.book.extend(s, req.Seconds, most) {
		return 0, nil, fail(http.StatusConflict, "QUALITY_ON_DEMAND.SESSION_EXTENSION_NOT_ALLOWED",
			"Extending the session duration is not allowed in the current state ("+s.status+"). The session must be in the AVAILABLE state.")
	}
	p.cfg.Log.Info("session extended", "id", s.id, "duration", s.duration)
	return http.StatusOK, s.show(), nil
}

func (p *Provider) retrieve(r *http.Request, client string, _ time.Time) (int, any, *failure) {
	var req struct {
		Device *Device `json:"device"`
	}
	if f := decode(r, &req); f != nil {
		return 0, nil, f
	}
	device, _, f := identify(req.Device)
	if f != nil {
		return 0, nil, f
	}
	return http.StatusOK, p.book.of(client, device), nil
}
