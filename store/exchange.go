package store

import "sync"

// Shared is what a replica has learned of a service's resolvers, or which answers it gave them: either Loads or Answers.
type Shared struct {
	Service string
	Loads   []byte // as steer.Learned.Export writes them; whoever takes them checks them
	Answers []byte // as steer.Learned.ExportAnswers writes them; likewise
	At      int64  // ms on the clock of View.Now; when they were exported
}

// Exchange hands over what is to be told to other replicas, and returns what they have told since it was last called.
// Capacities need not be handed over: the store knows what it has measured. It never blocks. Call it every second or so, with
// the answers that were given since, and every few seconds with loads; what nobody collects is dropped.
func (v *View) Exchange(out []Shared) (in []Shared) {
	in, loads := v.mail.swap(out)
	if loads {
		signal(v.store.told)
	}
	signal(v.store.exchanged)
	return in
}

// signal leaves one pending call.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// mailbox is what the owner of a view and the goroutines that share have for each other.
type mailbox struct {
	mu      sync.Mutex
	open    bool // whether anybody collects
	out     map[string]Shared
	answers []Shared // to be told
	waiting int      // octets of them
	in      []Shared
	size    int // octets of in
}

// maxMail bounds, in octets, what waits to be collected.
const maxMail = 16 << 20

// swap takes what is to be told, and says whether loads are among it.
func (m *mailbox) swap(out []Shared) (in []Shared, loads bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = true
	if m.out == nil {
		m.out = make(map[string]Shared)
	}
	for _, s := range out {
		if len(s.Answers) > 0 {
			m.answers = appendBounded(m.answers, s, &m.waiting)
			continue
		}
		m.out[s.Service], loads = s, true
	}
	in = m.in
	m.in, m.size = nil, 0
	return in, loads
}

// takeAnswers empties what is to be told of answers, and says whether anybody collects.
func (m *mailbox) takeAnswers() (answers []Shared, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answers = m.answers
	m.answers, m.waiting = nil, 0
	return answers, m.open
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
	m.in = appendBounded(m.in, s, &m.size)
}

// appendBounded appends, and drops what was there before if it becomes too large.
func appendBounded(all []Shared, s Shared, size *int) []Shared {
	n := len(s.Loads) + len(s.Answers)
	if *size += n; *size > maxMail {
		all, *size = nil, n
	}
	return append(all, s)
}
