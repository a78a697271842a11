package store

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// moment is when a record is applied.
type moment struct {
	now   int64 // the store's running clock
	life  int64 // the shard's
	redis int64 // Redis's: against it stands how old a record is
	first bool  // the first read of the shard: nothing in it is news
	whole bool  // the shard is read as a whole: what has changed since the last time is not told in order
}

// errGap is what follow returns when a stream does not go on where the replica stands.
var errGap = errors.New("stream does not go on where the replica stands")

// follow applies entries of one shard's stream, which must be consecutive. Entries that were already read are skipped.
func (r *replica) follow(shard int, entries []entry, now int64) error {
	sh := r.shards[shard]
	m := moment{now: now, life: sh.clock.at(now), redis: newest(entries)}
	for i := range entries {
		if err := r.step(sh, shard, &entries[i], m); err != nil {
			return err
		}
	}
	return nil
}

func (r *replica) step(sh *shard, shard int, e *entry, m moment) error {
	began := sh.epoch == 0 && e.rev == 1
	switch {
	case e.epoch != sh.epoch && !began:
		return errGap
	case e.epoch == sh.epoch && e.rev <= sh.rev:
		return nil
	case !began && e.rev != sh.rev+1:
		return errGap
	}
	sh.epoch, sh.rev = e.epoch, e.rev
	sh.noteEpoch()
	if e.edits() {
		sh.edited = max(sh.edited, e.at)
	}
	r.apply(sh, shard, e.record, e.del, m)
	return nil
}

// apply takes one record, or rejects it alone.
func (r *replica) apply(sh *shard, shard int, rec record, del bool, m moment) {
	err := r.check(shard, rec)
	if err == nil && del {
		r.remove(sh, rec, m)
	} else if err == nil {
		err = r.set(sh, rec, m)
	}
	if err != nil {
		r.reject(rec, m.now, err)
		return
	}
	r.counts.applied[rec.kind]++
}

func (r *replica) check(shard int, rec record) error {
	switch rec.kind {
	case kindService, kindServer, kindAdmin, kindReport, kindGrant:
	default:
		return bad("entry", "kind %q: expected service, server, admin, report or grant", clip(rec.kind))
	}
	if err := CheckServiceName(rec.svc); err != nil {
		return err
	}
	if Shard(rec.svc) != shard {
		return bad("shard", "service %s in shard %02d: expected %02d", clip(rec.svc), shard, Shard(rec.svc))
	}
	if rec.kind != kindService && rec.kind != kindGrant {
		_, _, err := splitField(rec.id)
		return err
	}
	return nil
}

func (r *replica) set(sh *shard, rec record, m moment) error {
	switch rec.kind {
	case kindService:
		return r.setService(sh, rec)
	case kindServer:
		return r.setServer(sh, rec, m)
	case kindAdmin:
		return r.setAdmin(sh, rec, m)
	case kindGrant:
		return r.setGrant(sh, rec, m)
	}
	return r.setReport(sh, rec, m)
}

func (r *replica) setService(sh *shard, rec record) error {
	got, err := decodeService(rec.svc, rec.data)
	if err != nil {
		if s := sh.services[rec.svc]; s != nil {
			s.gen = sh.gen
		}
		return err
	}
	s, err := sh.room(rec.svc)
	if err != nil {
		return err
	}
	s.gen = sh.gen
	if got.Implied {
		// Says nothing; what an operator said of it before the database lost it, stands.
		if s.lost == 0 && s.spec != nil {
			s.spec = nil
			r.edit(rec.svc)
		}
		return nil
	}
	s.lost = 0
	if s.spec == nil || !reflect.DeepEqual(*s.spec, got.Service) {
		s.spec = &got.Service
		r.edit(rec.svc)
	}
	return nil
}

func (r *replica) setServer(sh *shard, rec record, m moment) error {
	got, err := decodeServer(rec.id, rec.data)
	if err == nil {
		err = CheckAlias(rec.svc, got.Target)
	}
	if err != nil {
		if v := sh.find(rec.svc, rec.id); v != nil {
			v.gen = sh.gen
		}
		return err
	}
	v, err := sh.roomFor(rec.svc, rec.id)
	if err != nil {
		return err
	}
	v.fresh = !m.first && v.rec == nil && v.own == nil
	v.mark = mark{gen: sh.gen}
	if v.rec == nil || v.by != got.By || !reflect.DeepEqual(*v.rec, got.Server) {
		v.rec, v.by = &got.Server, got.By
		r.edit(rec.svc)
	}
	return nil
}

func (r *replica) setAdmin(sh *shard, rec record, m moment) error {
	got, err := decodeAdmin(rec.id, rec.data)
	if err != nil {
		if v := sh.find(rec.svc, rec.id); v != nil {
			v.admin.gen = sh.gen
		}
		return err
	}
	v, err := sh.roomFor(rec.svc, rec.id)
	if err != nil {
		return err
	}
	a := admin{
		mark: mark{gen: sh.gen}, state: got.State, by: got.By, at: got.Since, since: v.admin.since,
		left: got.departure(rec.id),
	}
	old := v.admin
	if old.at != a.at || old.state != a.state || old.left.when() != a.left.when() {
		a.since = m.life - max(m.redis-got.Since, 0)
		v.rejoin(a.wanted(), m)
		r.edit(rec.svc)
	}
	v.admin = a
	if a.left != nil && !m.whole && old.left.when() != a.left.when() {
		v.takeOut()
	}
	return nil
}

// takeOut forgets what a server that left takes along: what was said of it, and its record if its agent wrote that.
func (v *server) takeOut() {
	v.own, v.joined, v.fresh = nil, 0, false
	if v.by == ByAgent && !v.admin.byOperator() {
		v.rec, v.by = nil, ""
	}
}

// hasLeft reports whether the server's agent left, and no report came since.
func (v *server) hasLeft() bool { return v.admin.left != nil && v.own == nil }

// goLost has a server leave whose records the database has lost. Only the replica remembers that.
func (v *server) goLost(how string, at int64, m moment) {
	if !v.admin.byOperator() {
		v.admin = admin{state: steer.Maint, by: ByAgent, at: at, since: m.life}
	}
	v.admin.lost, v.admin.left = m.life, &departure{how: how, at: at}
	if v.rec != nil {
		v.admin.left.server = &steer.Server{ID: v.rec.ID, Addresses: v.rec.Addresses}
	}
	v.takeOut()
}

// rejoin notes that a server comes back from where it got no clients.
func (v *server) rejoin(to steer.AdminState, m moment) {
	from := v.admin.wanted()
	if (from == steer.Maint || from == steer.Drain) && to != steer.Maint && to != steer.Drain && !m.first {
		v.joined = m.life
	}
}

func (r *replica) setReport(sh *shard, rec record, m moment) error {
	got, err := decodeReport(rec.svc, rec.id, rec.data)
	if err != nil {
		if s := sh.services[rec.svc]; s != nil {
			keepWord(s, rec.id, sh.gen)
		}
		return err
	}
	v, err := sh.roomFor(rec.svc, got.ID)
	if err != nil {
		return err
	}
	old := v.word(got.Reporter)
	w := &word{mark: mark{gen: sh.gen}, Report: got.steer(), at: got.At}
	if old != nil && old.at == w.at && old.Report == w.Report {
		old.mark = w.mark // read again: it keeps the end that it had
		return nil
	}
	if !m.first {
		r.endSilence(m.now)
	}
	r.reported(m.now)
	r.touch(rec.svc, w.after(old))
	w.end = m.life + w.lease() - max(m.redis-w.at, 0)
	w.well = v.wellSince(got, old, m)
	if got.Reporter != "" {
		return v.probed(got.Reporter, w)
	}
	if m.whole && w.at <= v.admin.left.when() {
		return nil // an older copy of the database: the server has left since
	}
	v.heard(w, m)
	return nil
}

// wellSince is since when, on the life clock, the server is well by the reporter of a report; 0 is always. What was seen
// here counts before what the database says: it may have been another one then.
func (v *server) wellSince(got *Report, old *word, m moment) int64 {
	own := got.Reporter == ""
	back := old != nil && (old.Health == steer.Down || own && m.life >= old.end) || old == nil && own && v.admin.left != nil
	switch {
	case old != nil && !back:
		return old.well
	case got.Well > 0 && m.redis > 0:
		return max(m.life-max(m.redis-got.Well, 0), 1)
	case back && !m.first:
		return m.life
	}
	return 0
}

// leap is how much more or less utilised a server has to be for it to be urgent. Less is no news: shares follow utilisation
// in straight lines.
const leap = 0.25

// after says whether a report that follows another is urgent.
func (w *word) after(old *word) change {
	if old == nil || old.Health != w.Health || math.Abs(old.Utilization-w.Utilization) >= leap {
		return urgent
	}
	return 0
}

// word returns what a reporter last said of the server, or nil; the empty reporter is the server's own agent.
func (v *server) word(reporter string) *word {
	if reporter == "" {
		return v.own
	}
	return v.probes[reporter]
}

// keepWord keeps the last good report of a field whose newer one is bad.
func keepWord(s *service, field string, gen uint32) {
	id, reporter, err := splitField(field)
	if err != nil || s.servers[id] == nil {
		return
	}
	w := s.servers[id].word(reporter)
	if w != nil {
		w.gen = gen
	}
}

// maxProbers bounds the probers of one server.
const maxProbers = 64

func (v *server) probed(reporter string, w *word) error {
	if v.probes[reporter] == nil && len(v.probes) >= maxProbers {
		return bad("count", "more than %d probers of a server", maxProbers)
	}
	if v.probes == nil {
		v.probes = make(map[string]*word)
	}
	v.probes[reporter] = w
	return nil
}

// heard takes a report of the server's own agent. A server that comes, or comes back, starts slowly; not one that served on
// while its agent, or the way to the database, failed for a moment.
func (v *server) heard(w *word, m moment) {
	old, left := v.own, v.admin.left != nil
	back := old != nil && (m.life >= old.end && !steer.ServedOn(old.Report, w.Report) || old.Health == steer.Down && w.Health != steer.Down) || left
	if !m.first && (v.fresh || back) {
		v.joined, v.isNew = m.life, v.fresh && !left
		v.measured.Since = 0 // a cold server measures its warming up
	}
	if left {
		v.comeBack()
	}
	v.own, v.fresh = w, false
	v.measured = v.measured.Observe(w.Report, m.life, max(w.lease(), leastPause))
}

// comeBack takes back that a server has left; what an operator wants of it stands.
func (v *server) comeBack() {
	v.admin.left = nil
	if v.admin.by == ByAgent && v.admin.state == steer.Maint {
		v.admin = admin{}
	}
}

// leastPause is the shortest silence, in ms, after which a server's capacity is measured anew.
const leastPause = 60_000

func (w *word) lease() int64 { return int64(w.Lease * 1000) }

func (r *replica) remove(sh *shard, rec record, m moment) {
	s := sh.services[rec.svc]
	if s == nil {
		return
	}
	switch rec.kind {
	case kindService:
		r.forgetGrants(s)
		delete(sh.services, rec.svc)
		r.edit(rec.svc)
		return
	case kindGrant:
		r.removeGrant(s, rec.id)
		return
	}
	id, reporter, _ := splitField(rec.id)
	v := s.servers[id]
	if v == nil {
		return
	}
	switch {
	case rec.kind == kindServer:
		v.forget()
	case rec.kind == kindAdmin:
		v.rejoin(steer.Ready, m)
		v.admin = admin{}
	case reporter != "":
		delete(v.probes, reporter)
	case v.own != nil:
		v.goLost(LeftSwept, v.own.at, m) // a writer that knows no better has swept it
	}
	s.tidy(id)
	r.edit(rec.svc)
}

// forget forgets a server, apart from what probers say.
func (v *server) forget() { *v = server{probes: v.probes} }

// tidy drops a server of which nothing is left.
func (s *service) tidy(id string) {
	if v := s.servers[id]; v != nil && v.empty() {
		delete(s.servers, id)
	}
}

// newest returns the time, on Redis's clock, of the last report or grant of some entries. They were just read, so this is about
// what Redis's clock shows. (The ids of entries do not tell: they never go back, but the clock may.)
func newest(entries []entry) int64 {
	for i := len(entries) - 1; i >= 0; i-- {
		if e := &entries[i]; (e.kind == kindReport || e.kind == kindGrant) && !e.del {
			return stamp(e.data)
		}
	}
	return 0
}

// stamp returns the time that the script put at the end of a record, 0 if there is none.
func stamp(data string) int64 {
	const name = `"at":`
	i := strings.LastIndex(data, name)
	if i < 0 {
		return 0
	}
	at, _ := strconv.ParseInt(strings.TrimSuffix(data[i+len(name):], "}"), 10, 64)
	return min(max(at, 0), maxTime)
}
