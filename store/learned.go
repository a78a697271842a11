package store

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/coredns-farm/farm/steer"
)

// What replicas tell each other of a service: a hash of one field a replica, its node name. It is bounded in every way, is
// never needed, and goes by itself: a replica that starts is warm sooner with it.

// learned is what one replica says.
type learned struct {
	At       int64              `json:"at"`                 // ms on Redis's clock
	Capacity map[string]float64 `json:"capacity,omitempty"` // requests a second, as measured, by server
	Loads    []byte             `json:"loads,omitempty"`    // as steer.Learned.Export writes them; base64

	by string // the replica
}

// Bounds of what replicas tell each other.
const (
	maxLearned    = 64 << 10 // octets of one value
	maxCapacities = 1000     // servers of a service
	maxReplicas   = 128      // of a service
	maxLoads      = 40 << 10 // octets

	learnedFresh  = 15_000 // ms; what is older is not believed
	learnedKept   = 60_000 // ms; what is older is deleted, and the key expires
	learnedJitter = 1000   // ms by which what was just said may seem to be of the future
)

func learnedKey(prefix, service string) string {
	return tagOf(prefix, Shard(service)) + "lrn:" + service
}

// decodeLearned reads a value and checks everything but the loads, which only the decision core can.
func decodeLearned(data string) (*learned, error) {
	if len(data) > maxLearned {
		return nil, bad("size", "%d octets: expected at most %d", len(data), maxLearned)
	}
	l := new(learned)
	if err := json.Unmarshal([]byte(data), l); err != nil {
		return nil, bad("json", "%s", clip(err.Error()))
	}
	if l.At < 1 || l.At > maxTime {
		return nil, bad("range", "at %d: expected ms since 1970", l.At)
	}
	if len(l.Capacity) > maxCapacities {
		return nil, bad("count", "capacity of %d servers: expected at most %d", len(l.Capacity), maxCapacities)
	}
	for id, c := range l.Capacity {
		if !isID(id) || !(c > 0 && c <= steer.MaxRate) {
			return nil, bad("range", "capacity of %q: expected a server, and a number above 0 and up to %v", clip(id), float64(steer.MaxRate))
		}
	}
	if len(l.Loads) > maxLoads {
		return nil, bad("size", "loads of %d octets: expected at most %d", len(l.Loads), maxLoads)
	}
	return l, nil
}

// encode returns the value, or "" if the replica has nothing to say.
func (l *learned) encode() string {
	if len(l.Capacity) == 0 && len(l.Loads) == 0 || len(l.Loads) > maxLoads {
		return ""
	}
	data, err := json.Marshal(l)
	if err != nil || len(data) > maxLearned {
		// Many servers with long ids. Loads matter more.
		rest := learned{At: l.At, Loads: l.Loads}
		data, err = json.Marshal(&rest)
	}
	if err != nil {
		return ""
	}
	return string(data)
}

// stands says whether it is young enough to be believed, now on Redis's clock.
func (l *learned) stands(now int64) bool {
	return now-l.At <= learnedFresh && l.At-now <= learnedJitter
}

// capacities returns what was measured of a service's servers.
func (r *replica) capacities(service string) map[string]float64 {
	s := r.shards[Shard(service)].services[service]
	if s == nil {
		return nil
	}
	var found map[string]float64
	for id, v := range s.servers {
		if v.measured.Capacity <= 0 || len(found) == maxCapacities {
			continue
		}
		if found == nil {
			found = make(map[string]float64)
		}
		found[id] = threeDigits(v.measured.Capacity)
	}
	return found
}

// threeDigits rounds. No measurement is better than that.
func threeDigits(x float64) float64 {
	y, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
	return min(y, steer.MaxRate)
}

// adopt takes capacities over for the servers that have none of their own yet. What is measured here replaces them
// smoothly. It says whether there was any.
func (r *replica) adopt(service string, capacity map[string]float64) (adopted bool) {
	sh := r.shards[Shard(service)]
	for id, c := range capacity {
		if v := sh.find(service, id); v != nil && v.measured.Capacity == 0 {
			v.measured.Capacity, adopted = c, true
		}
	}
	if adopted {
		r.touch(service, 0)
	}
	return adopted
}

// younger orders what was learned by age.
func younger(a, b *learned) int { return cmp.Compare(b.At, a.At) }
