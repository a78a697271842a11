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
	school  school
	targets targets // the last generation, which a reload begins with
}

// pairBits sizes the table of who was just answered: half a MiB, for 65,536 clients within a second.
const pairBits = 16

// table is the size of the table of resolvers, and what it is told of clients.
type table struct {
	bits  int     // 2^bits resolvers
	first float64 // the part of the clients that take the first address of an answer
}

// memoryName is what blocks have in common that share a memory. A table of another size is another one.
type memoryName struct {
	zones string
	table table
}

var memories struct {
	sync.Mutex
	byName map[memoryName]weak.Pointer[memory]
}

// memoryOf returns the memory of the live blocks of these zones, or a new one.
func memoryOf(zones []string, t table) *memory {
	memories.Lock()
	defer memories.Unlock()
	name := memoryName{strings.Join(zones, " "), t}
	if m := memories.byName[name].Value(); m != nil {
		return m
	}
	for k, m := range memories.byName {
		if m.Value() == nil {
			delete(memories.byName, k)
		}
	}
	m := &memory{learned: steer.NewLearned(pairBits, rand.Uint64())}
	m.learned.Resize(t.bits, t.first)
	if memories.byName == nil {
		memories.byName = make(map[memoryName]weak.Pointer[memory])
	}
	memories.byName[name] = weak.Make(m)
	return m
}
