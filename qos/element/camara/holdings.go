package camara

import (
	"sync"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// held is a grant that the operator has a session for, or may have.
type held struct {
	grant   qos.Grant
	session string    // empty: asked for, and not known to be there
	given   bool      // whether the broker knows that the session is available
	end     int64     // ms since 1970; when it ends, 0 is not known
	next    time.Time // when to look at it
	failed  bool      // whether it could not be looked at the last time
	hint    string    // why it is unavailable, as a notification says
	absent  bool      // whether it was not among the live grants, when that was last told
	change  uint64    // number of the last change: who has looked at an older state must not write
}

// holdings is all that is held. The zero value is ready.
type holdings struct {
	mu      sync.Mutex
	grants  map[qos.GrantID]held
	of      map[string]qos.GrantID // by session
	changes uint64
}

// get returns what is held for a grant.
func (h *holdings) get(id qos.GrantID) (held, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, ok := h.grants[id]
	return one, ok
}

// holder returns the grant that has a session.
func (h *holdings) holder(session string) (qos.GrantID, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id, ok := h.of[session]
	return id, ok
}

// put holds a grant, in the place of what was held for it.
func (h *holdings) put(one held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set(one)
}

// name holds the session that a grant was asking for. What a notification said of it before its name was known is kept:
// it is looked at now.
func (h *holdings) name(one held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if asked, ok := h.grants[one.grant.ID]; ok && asked.session == "" && !asked.next.IsZero() {
		one.next, one.hint = asked.next, asked.hint
	}
	h.set(one)
}

// swap holds one, if what it was made from still stands.
func (h *holdings) swap(one held) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now, ok := h.grants[one.grant.ID]; !ok || now.change != one.change {
		return false
	}
	h.set(one)
	return true
}

func (h *holdings) set(one held) {
	if h.grants == nil {
		h.grants, h.of = make(map[qos.GrantID]held), make(map[string]qos.GrantID)
	}
	delete(h.of, h.grants[one.grant.ID].session)
	h.changes++
	one.change = h.changes
	h.grants[one.grant.ID] = one
	if one.session != "" {
		h.of[one.session] = one.grant.ID
	}
}

// update changes what is held for a grant, if anything is.
func (h *holdings) update(id qos.GrantID, change func(*held)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if one, ok := h.grants[id]; ok {
		change(&one)
		h.set(one)
	}
}

// drop lets a grant go.
func (h *holdings) drop(id qos.GrantID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(id)
}

// take lets a grant go, if one still stands.
func (h *holdings) take(one held) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now, ok := h.grants[one.grant.ID]; !ok || now.change != one.change {
		return false
	}
	h.remove(one.grant.ID)
	return true
}

func (h *holdings) remove(id qos.GrantID) {
	delete(h.of, h.grants[id].session)
	delete(h.grants, id)
}

// notice marks a grant's session to be looked at, if it is otherwise than known, and says whether there is one. A session
// that is not known yet is the one that is being asked for.
func (h *holdings) notice(id qos.GrantID, session, status, hint string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, ok := h.grants[id]
	if !ok || one.session != "" && one.session != session {
		return false
	}
	if status != statusAvailable || !one.given {
		one.hint, one.next = hint, now
		h.set(one)
	}
	return true
}

// due returns the sessions to look at now, and when the next one is to be looked at; zero is never.
func (h *holdings) due(now time.Time) (list []held, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.grants {
		switch {
		case one.session == "":
		case !one.next.After(now):
			list = append(list, one)
		case next.IsZero() || one.next.Before(next):
			next = one.next
		}
	}
	return list, next
}

// absentees marks what is not live, and returns what was not live the last time either: a grant that was made while the
// broker gathered what is live is not among it once.
func (h *holdings) absentees(live map[qos.GrantID]bool) []held {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []held
	for id, one := range h.grants {
		if one.absent && !live[id] {
			list = append(list, one)
		}
		if one.absent == live[id] {
			one.absent = !live[id]
			h.set(one)
		}
	}
	return list
}
