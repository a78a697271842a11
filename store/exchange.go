package store

import "sync"

// Shared is what a replica has learned of a service's resolvers.
type Shared struct {
	Service string
	Loads   []byte // as steer.Learned.Export writes them; whoever takes them checks them
	At      int64  // ms on the clock of View.Now; when they were exported
}

// Exchange hands over what is to be told to other replicas, and returns what they have told since it was last called.
// Capacities need not be handed over: the store knows what it has measured. It never blocks. Call it every second or so, and
// every few seconds with something to tell; what nobody collects is dropped.
func (v *View) Exchange(out []Shared) (in []Shared) {
	in = v.mail.swap(out)
	if len(out) > 0 {
		select {
		case v.store.told <- struct{}{}:
		default:
		}
	}
	return in
}

// mailbox is what the owner of a view and the goroutine that shares have for each other.
type mailbox struct {
	mu   sync.Mutex
	open bool // whether anybody collects
	out  map[string]Shared
	in   []Shared
	size int // octets of in
}

// maxMail bounds, in octets, what waits to be collected.
const maxMail = 16 << 20

func (m *mailbox) swap(out []Shared) []Shared {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = true
	if m.out == nil {
		m.out = make(map[string]Shared)
	}
	for _, s := range out {
		m.out[s.Service] = s
	}
	in := m.in
	m.in, m.size = nil, 0
	return in
}

// empty moves the outbox to all, and says whether anybody collects.
func (m *mailbox) empty(all map[string]Shared) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, s := range m.out {
		all[name] = s
	}
	clear(m.out)
	return m.open
}

func (m *mailbox) put(s Shared) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.size += len(s.Loads); m.size > maxMail {
		m.in, m.size = nil, len(s.Loads)
	}
	m.in = append(m.in, s)
}
