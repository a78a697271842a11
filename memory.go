package farm

import (
	"math/rand/v2"
	"strings"
	"sync"
	"weak"

	"github.com/coredns-farm/farm/steer"
)

// memory is what a block learns and counts while it runs. A reload hands it on to the block of the same zones: the new
// one is set up while the old one still stands.
type memory struct {
	learned *steer.Learned
	picks   picks
}

// pairBits sizes the table of who was just answered: half a MiB, for 65,536 clients within a second.
const pairBits = 16

var memories struct {
	sync.Mutex
	byZones map[string]weak.Pointer[memory]
}

// memoryOf returns the memory of the live blocks of these zones, or a new one.
func memoryOf(zones []string) *memory {
	memories.Lock()
	defer memories.Unlock()
	key := strings.Join(zones, " ")
	if m := memories.byZones[key].Value(); m != nil {
		return m
	}
	for k, m := range memories.byZones {
		if m.Value() == nil {
			delete(memories.byZones, k)
		}
	}
	m := &memory{learned: steer.NewLearned(pairBits, rand.Uint64())}
	if memories.byZones == nil {
		memories.byZones = make(map[string]weak.Pointer[memory])
	}
	memories.byZones[key] = weak.Make(m)
	return m
}
