package store

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
)

// holdings is the grants of a service, and what they hold.
type holdings struct {
	grants  map[qos.GrantID]*grant
	holders map[qos.ClientID]*grant     // the live grant of each client, or its last
	used    map[string]map[string]int64 // millionths, by server, by level
	uses    map[string][]steer.Use      // by server: used, as decisions take it. The lists are replaced, never changed
	live    int
	next    int64 // ms; when the next of them ends or is forgotten, 0 is never
}

// grant is one of a service. Its times are on the running clock, and what it points to is never changed.
type grant struct {
	mark
	*qos.Grant
	at int64 // ms on Redis's clock; when the record was written
}

// holder is a client at a service.
type holder struct {
	service string
	client  qos.ClientID
}

func (h holder) hash() uint32 { return binary.LittleEndian.Uint32(h.client[:]) }

// due is when something is to be done about the grant.
func (g *grant) due() int64 {
	if g.State.Live() {
		return g.End
	}
	return g.End + qos.Kept
}

// over returns the grant as it is once it has ended for that reason.
func (g *grant) over(why qos.Reason, at int64) *grant {
	ended := *g.Grant
	ended.State, ended.Reason = qos.Ended, why
	if g.State == qos.Requested && why == qos.Expired {
		ended.State, ended.Reason = qos.Refused, qos.NoElement
	}
	ended.End = min(ended.End, at)
	return &grant{mark: g.mark, Grant: &ended, at: g.at}
}

// setGrant takes a record of a grant.
func (r *replica) setGrant(sh *shard, rec record, m moment) error {
	got, err := decodeGrant(rec.svc, rec.id, rec.data)
	if err != nil {
		keepGrant(sh, rec)
		return err
	}
	s, err := sh.room(rec.svc)
	if err != nil {
		return err
	}
	old := s.grant(got.ID)
	if old != nil && old.at == got.At && old.Version == got.Version {
		old.mark = mark{gen: sh.gen} // read again: it keeps the end that it had
		return nil
	}
	if old == nil && s.held != nil && len(s.held.grants) >= 2*maxGrants {
		return bad("count", "more than %d grants of the service", 2*maxGrants)
	}
	shift := m.now - max(m.redis, got.At)
	got.End += shift
	if got.Start != 0 {
		got.Start += shift
	}
	r.hold(s, &grant{mark: mark{gen: sh.gen}, Grant: &got.Grant, at: got.At}, m.now)
	return nil
}

// keepGrant keeps the last good record of a grant whose newer one is bad.
func keepGrant(sh *shard, rec record) {
	var id qos.GrantID
	s := sh.services[rec.svc]
	if s == nil || id.UnmarshalText([]byte(rec.id)) != nil {
		return
	}
	if g := s.grant(id); g != nil {
		g.gen = sh.gen
	}
}

func (s *service) grant(id qos.GrantID) *grant {
	if s.held == nil {
		return nil
	}
	return s.held.grants[id]
}

// hold puts a grant in the place of what was known of it. Of two live grants of one client the one that was written first
// is over: the database has lost it, or was read while they changed.
func (r *replica) hold(s *service, g *grant, now int64) {
	if s.held == nil {
		s.held = &holdings{
			grants: make(map[qos.GrantID]*grant), holders: make(map[qos.ClientID]*grant),
			used: make(map[string]map[string]int64), uses: make(map[string][]steer.Use),
		}
	}
	h := s.held
	if other := h.holders[g.Client]; other != nil && other.ID != g.ID && other.State.Live() && g.State.Live() {
		if g.at >= other.at || other.lost != 0 {
			r.put(h, other.over(qos.Released, now))
		} else {
			g = g.over(qos.Released, now)
		}
	}
	r.put(h, g)
}

func (r *replica) put(h *holdings, g *grant) {
	old := h.grants[g.ID]
	h.grants[g.ID] = g
	r.account(h, g.Service, old, g)
	if due := g.due(); h.next == 0 || due < h.next {
		h.next = due
	}
	if has := h.holders[g.Client]; has == nil || has.ID == g.ID || !has.State.Live() && (g.State.Live() || g.at >= has.at) {
		h.holders[g.Client] = g
	}
	r.granted = append(r.granted, holder{g.Service, g.Client})
}

// letGo forgets a grant.
func (r *replica) letGo(h *holdings, g *grant) {
	delete(h.grants, g.ID)
	r.account(h, g.Service, g, nil)
	if has := h.holders[g.Client]; has != nil && has.ID == g.ID {
		delete(h.holders, g.Client)
	}
	r.granted = append(r.granted, holder{g.Service, g.Client})
}

// account brings what is used up to date. from and to may be nil.
func (r *replica) account(h *holdings, service string, from, to *grant) {
	h.live += live(to) - live(from)
	if from.part() == to.part() && (to.part() == 0 || from.Server == to.Server && from.Level == to.Level) {
		return
	}
	h.use(from, -1)
	h.use(to, 1)
	r.touch(service, urgent)
}

func live(g *grant) int {
	if g == nil || !g.State.Live() {
		return 0
	}
	return 1
}

// part is what the grant, which may be nil, holds of its server, in millionths.
func (g *grant) part() int64 {
	if g == nil {
		return 0
	}
	return g.Holds()
}

// use adds what a grant holds, or with sign -1 takes it away.
func (h *holdings) use(g *grant, sign int64) {
	if g.part() == 0 {
		return
	}
	levels := h.used[g.Server]
	if levels == nil {
		levels = make(map[string]int64)
		h.used[g.Server] = levels
	}
	if levels[g.Level] += sign * g.part(); levels[g.Level] == 0 {
		delete(levels, g.Level)
	}
	if len(levels) == 0 {
		delete(h.used, g.Server)
		delete(h.uses, g.Server)
		return
	}
	list := make([]steer.Use, 0, len(levels))
	for _, level := range slices.Sorted(maps.Keys(levels)) {
		list = append(list, steer.Use{Level: level, Part: float64(levels[level]) / qos.Million})
	}
	h.uses[g.Server] = list
}

// used is what grants have reserved of a server. The service may be nil.
func (s *service) used(server string) []steer.Use {
	if s == nil || s.held == nil {
		return nil
	}
	return s.held.uses[server]
}

// removeGrant takes the entry that says that a grant is forgotten.
func (r *replica) removeGrant(s *service, name string) {
	var id qos.GrantID
	if s.held == nil || id.UnmarshalText([]byte(name)) != nil {
		return
	}
	if g := s.held.grants[id]; g != nil {
		r.letGo(s.held, g)
		s.tidyHeld()
	}
}

// forgetGrants forgets all grants of a service.
func (r *replica) forgetGrants(s *service) {
	if s.held == nil {
		return
	}
	for _, g := range s.held.grants {
		r.letGo(s.held, g)
	}
	s.tidyHeld()
}

func (s *service) tidyHeld() {
	if len(s.held.grants) == 0 {
		s.held = nil
	}
}

// pruneGrants lets the grants go that the last read did not see, unless the database is another one: then those that live
// are kept until their end.
func (r *replica) pruneGrants(s *service, gen uint32, another bool, life int64) {
	if s.held == nil {
		return
	}
	for _, g := range s.held.grants {
		if g.gone(gen, another, life) {
			r.letGo(s.held, g)
		}
	}
	s.tidyHeld()
}

// endGrants does what is due by time: the database may be away, or nobody there may have looked yet.
func (r *replica) endGrants(now int64) {
	for _, sh := range r.shards {
		for _, s := range sh.services {
			if h := s.held; h != nil && h.next <= now {
				r.endDue(h, now)
				s.tidyHeld()
			}
		}
	}
}

func (r *replica) endDue(h *holdings, now int64) {
	h.next = 0
	for _, g := range slices.Collect(maps.Values(h.grants)) {
		switch {
		case g.due() > now:
			if h.next == 0 || g.due() < h.next {
				h.next = g.due()
			}
		case g.State.Live():
			r.put(h, g.over(qos.Expired, now))
		default:
			r.letGo(h, g)
		}
	}
}

// grantOf returns the live or last grant of a client, or nil.
func (r *replica) grantOf(of holder) *qos.Grant {
	s := r.shards[Shard(of.service)].services[of.service]
	if s == nil || s.held == nil || s.held.holders[of.client] == nil {
		return nil
	}
	return s.held.holders[of.client].Grant
}

// restoredAt stands in the state file for when a record was written: whatever the database says of it is newer.
const restoredAt = 1

// lines lists the grants for the state file, with their times as they are here.
func (h *holdings) lines(out []stateLine) []stateLine {
	if h == nil {
		return out
	}
	for id, g := range h.grants {
		out = append(out, stateLine{Kind: kindGrant, Service: g.Service, ID: id.String(), Lost: g.lost != 0, value: grantRecord{*g.Grant, restoredAt}})
	}
	return out
}

// markGrant notes whether the database had lost a grant that the state file holds.
func (s *service) markGrant(name string, lost int64) {
	var id qos.GrantID
	if id.UnmarshalText([]byte(name)) != nil {
		return
	}
	if g := s.grant(id); g != nil {
		g.lost = lost
	}
}

// refuse keeps that a request found no room, until the service is next read completely.
func (r *replica) refuse(g *qos.Grant, now int64) {
	sh := r.shards[Shard(g.Service)]
	s, err := sh.room(g.Service)
	if err != nil || s.held != nil && len(s.held.grants) >= 2*maxGrants {
		return
	}
	mine := &grant{mark: mark{gen: sh.gen}, Grant: g}
	if s.held != nil && s.held.holders[g.Client] != nil {
		mine.at = s.held.holders[g.Client].at // the client's last, until the database says more
	}
	r.hold(s, mine, now)
}
