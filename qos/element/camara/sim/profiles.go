package sim

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// Profile is a QoS profile, in the form of the API.
type Profile struct {
	Name                    string    `json:"name"`
	Description             string    `json:"description,omitempty"`
	Status                  string    `json:"status"`
	TargetMinUpstreamRate   *Quantity `json:"targetMinUpstreamRate,omitempty"`
	TargetMinDownstreamRate *Quantity `json:"targetMinDownstreamRate,omitempty"`
	MinDuration             *Quantity `json:"minDuration,omitempty"`
	MaxDuration             *Quantity `json:"maxDuration,omitempty"`
	PacketDelayBudget       *Quantity `json:"packetDelayBudget,omitempty"`
}

// The states of a profile.
const (
	Active     = "ACTIVE"
	Inactive   = "INACTIVE"
	Deprecated = "DEPRECATED"
)

// Quantity is a rate or a duration in the words of the API.
type Quantity struct {
	Value int64  `json:"value"`
	Unit  string `json:"unit"`
}

// Profiles returns the four profiles that CAMARA names, with figures of our own.
func Profiles() []Profile {
	one := func(name, what string, mbps, delay int64) Profile {
		return Profile{
			Name: name, Description: what, Status: Active,
			TargetMinDownstreamRate: &Quantity{mbps, "Mbps"}, PacketDelayBudget: &Quantity{delay, "Milliseconds"},
			MinDuration: &Quantity{1, "Seconds"}, MaxDuration: &Quantity{1, "Days"},
		}
	}
	return []Profile{
		one("QOS_E", "stable latency, low throughput", 1, 20),
		one("QOS_S", "a small throughput, also when the cell is full", 4, 100),
		one("QOS_M", "a medium throughput, also when the cell is full", 8, 100),
		one("QOS_L", "a large throughput, also when the cell is full", 20, 100),
	}
}

var units = map[string]time.Duration{
	"Days": 24 * time.Hour, "Hours": time.Hour, "Minutes": time.Minute, "Seconds": time.Second,
	"Milliseconds": time.Millisecond, "Microseconds": time.Microsecond, "Nanoseconds": 1,
}

// span returns a duration; 0 is none. Sessions last at most as many seconds as the API can say.
func (q *Quantity) span() time.Duration {
	const most = math.MaxInt32 * time.Second
	if q == nil || q.Value < 0 {
		return 0
	}
	unit := units[q.Unit]
	if unit == 0 || q.Value > int64(most/unit) {
		return most
	}
	return time.Duration(q.Value) * unit
}

// maxProfiles bounds the profiles that there can be.
const maxProfiles = 1_000

// SetProfile adds a profile, or replaces one.
func (p *Provider) SetProfile(one Profile) error {
	if !profileForm.MatchString(one.Name) || one.Status != Active && one.Status != Inactive && one.Status != Deprecated {
		return errors.New("expected the name of a profile, and a status of ACTIVE, INACTIVE or DEPRECATED")
	}
	full := false
	p.do(func(time.Time) {
		_, known := p.profiles[one.Name]
		if full = !known && len(p.profiles) >= maxProfiles; !full {
			p.profiles[one.Name] = one
		}
	})
	if full {
		return fmt.Errorf("expected at most %d profiles", maxProfiles)
	}
	return nil
}

func (p *Provider) getProfile(r *http.Request, _ string, _ time.Time) (int, any, *failure) {
	name := r.PathValue("name")
	if !profileForm.MatchString(name) {
		return 0, nil, invalid("name: expected the name of a profile")
	}
	one, ok := p.profiles[name]
	if !ok {
		return 0, nil, notFound()
	}
	return http.StatusOK, one, nil
}

func (p *Provider) findProfiles(r *http.Request, _ string, _ time.Time) (int, any, *failure) {
	var req struct {
		Device *Device `json:"device"`
		Name   string  `json:"name"`
		Status string  `json:"status"`
	}
	if f := decode(r, &req); f != nil {
		return 0, nil, f
	}
	if req.Device != nil {
		if _, _, f := identify(req.Device); f != nil {
			return 0, nil, f
		}
	}
	list := []Profile{}
	for _, one := range p.profiles {
		if (req.Name == "" || req.Name == one.Name) && (req.Status == "" || req.Status == one.Status) {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b Profile) int { return cmp.Compare(a.Name, b.Name) })
	return http.StatusOK, list, nil
}
