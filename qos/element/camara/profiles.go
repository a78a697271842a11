package camara

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// profiles knows the bounds of sessions' durations, as the qos-profiles API tells them.
type profiles struct {
	api *caller // nil: nobody is asked
	now func() time.Time

	mu    sync.Mutex
	known map[string]bounds
}

// bounds are those of a profile's durations, in seconds; 0 is none.
type bounds struct {
	least, most int32
	until       time.Time // when they are to be asked for again
}

const (
	profileLife = time.Hour   // operators change profiles rarely, and say when a duration does not fit
	profileGap  = time.Minute // before an API that does not answer is asked again
	maxProfiles = 256
)

func newProfiles(url string, api *caller) *profiles {
	p := &profiles{now: api.now, known: make(map[string]bounds)}
	if url != "" {
		own := *api
		own.base = strings.TrimSuffix(url, "/")
		p.api = &own
	}
	return p
}

// clamp brings a request's duration within the bounds of its profile, and tells whether it had to.
func (p *profiles) clamp(ctx context.Context, g *qos.Grant, req *createSession) bool {
	b := p.bounds(ctx, req.QosProfile, g.ID)
	d := max(req.Duration, b.least)
	if b.most > 0 {
		d = min(d, b.most)
	}
	changed := d != req.Duration
	req.Duration = d
	return changed
}

// longest is how long a session of this request may last with all its extensions, as far as anyone can tell.
func (p *profiles) longest(req *createSession) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	const day = 24 * 60 * 60
	return time.Duration(max(req.Duration, cmp.Or(p.known[req.QosProfile].most, day))) * time.Second
}

// forget makes the bounds of a profile be asked for again.
func (p *profiles) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, name)
}

// bounds returns the bounds of a profile; none if they cannot be had: the operator says itself what it does not take.
func (p *profiles) bounds(ctx context.Context, name string, id qos.GrantID) bounds {
	p.mu.Lock()
	b, ok := p.known[name]
	p.mu.Unlock()
	if p.api == nil || ok && p.now().Before(b.until) {
		return b
	}
	ans, err := p.api.do(ctx, call{method: http.MethodGet, path: "/qos-profiles/" + name, grant: id, expect: http.StatusOK, once: true})
	if err == nil {
		b, err = decodeProfile(ans.body)
	}
	b.until = p.now().Add(profileLife)
	if err != nil {
		b.until = p.now().Add(profileGap)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxProfiles {
		clear(p.known)
	}
	p.known[name] = b
	return b
}

// span is a duration in the words of the API.
type span struct {
	Value int64  `json:"value"`
	Unit  string `json:"unit"`
}

var units = map[string]time.Duration{
	"Days": 24 * time.Hour, "Hours": time.Hour, "Minutes": time.Minute, "Seconds": time.Second,
	"Milliseconds": time.Millisecond, "Microseconds": time.Microsecond, "Nanoseconds": 1,
}

// nanoseconds returns the span, at most the longest duration there is; 0 is not said.
func (s *span) nanoseconds() (time.Duration, error) {
	if s == nil {
		return 0, nil
	}
	unit, ok := units[s.Unit]
	if !ok || s.Value < 1 {
		return 0, errors.New("profile: expected durations of a known unit, from 1")
	}
	if s.Value > int64(math.MaxInt64/unit) {
		return math.MaxInt64, nil
	}
	return time.Duration(s.Value) * unit, nil
}

func decodeProfile(body []byte) (bounds, error) {
	var p struct {
		MinDuration *span `json:"minDuration"`
		MaxDuration *span `json:"maxDuration"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return bounds{}, errors.New("profile: expected a JSON object as the API defines it")
	}
	least, err := p.MinDuration.nanoseconds()
	if err != nil {
		return bounds{}, err
	}
	most, err := p.MaxDuration.nanoseconds()
	if err != nil {
		return bounds{}, err
	}
	b := bounds{least: inSeconds(least, time.Second-1), most: inSeconds(most, 0)}
	if most > 0 && (b.most < 1 || b.most < b.least) {
		return bounds{}, errors.New("profile: expected a maxDuration of at least a second, and of minDuration")
	}
	return b, nil
}

func inSeconds(d, round time.Duration) int32 {
	if d > math.MaxInt64-round {
		return math.MaxInt32
	}
	return int32(min((d+round)/time.Second, math.MaxInt32))
}
