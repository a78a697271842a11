package store

import (
	"cmp"
	"slices"
	"strings"
)

// load takes what a whole shard holds. What the database no longer holds is removed if it is still the same database
// (the epoch stands and the revision went on), and else kept as an orphan: a flush, a restart without data or a fail-over
// to an older copy takes no server out of service.
func (r *replica) load(shard int, d *dump, now int64) {
	sh := r.shards[shard]
	another := sh.loaded && (d.epoch != sh.epoch || d.rev < sh.rev)
	sh.clock.hear(now)
	sh.gen++
	m := moment{now: now, life: sh.clock.at(now), redis: d.now, first: !sh.read, whole: true}
	for _, rec := range d.records {
		r.apply(sh, shard, rec, false, m)
	}
	for _, b := range d.broken {
		r.reject(record{kind: b.kind, svc: b.svc}, now, bad("type", "%s", clip(b.data)))
		sh.keep(b.svc, b.kind)
	}
	for name, s := range sh.services {
		r.prune(sh, name, s, another, m.life)
	}
	if m.first && !r.once {
		r.awaken(sh, m.life)
	}
	sh.epoch, sh.rev = d.epoch, d.rev
	sh.edited = max(sh.edited, d.edited)
	sh.noteEpoch()
	sh.loaded, sh.read, sh.synced = true, true, true
}

// keep marks everything of a kind as seen.
func (sh *shard) keep(svc, kind string) {
	s := sh.services[svc]
	if s == nil {
		return
	}
	if kind == kindGrant && s.held != nil {
		for _, g := range s.held.grants {
			g.gen = sh.gen
		}
	}
	for _, v := range s.servers {
		switch kind {
		case kindServer:
			v.gen = sh.gen
		case kindAdmin:
			v.admin.gen = sh.gen
		case kindReport:
			for w := range v.words() {
				w.gen = sh.gen
			}
		}
	}
}

// gone decides over a record that the last read did or did not see. It returns true when the record is to go.
func (k *mark) gone(gen uint32, another bool, life int64) bool {
	if k.gen == gen || k.lost != 0 {
		return false
	}
	if another {
		k.lost = life
		return false
	}
	return true
}

func (r *replica) prune(sh *shard, name string, s *service, another bool, life int64) {
	for id, v := range s.servers {
		// A server that has left by what was read leaves nothing behind, whatever database it is.
		kept := another && (v.admin.left == nil || v.admin.gen != sh.gen)
		if v.own != nil && v.own.gone(sh.gen, kept, life) {
			v.own = nil
			r.touch(name, urgent)
		}
		for reporter, w := range v.probes {
			if w.gone(sh.gen, another, life) {
				delete(v.probes, reporter)
				r.touch(name, urgent)
			}
		}
		// What an agent wanted of its own server, it will say again; unless it has left.
		if v.admin.state != "" && v.admin.gone(sh.gen, another && (v.admin.by != ByAgent || v.admin.left != nil), life) {
			v.admin = admin{}
			r.edit(name)
		}
		if v.rec != nil && v.gone(sh.gen, kept, life) {
			v.rec, v.by = nil, ""
			r.edit(name)
		}
		s.tidy(id)
	}
	if s.spec != nil && s.gone(sh.gen, another, life) {
		s.spec = nil
		r.edit(name)
	}
	r.pruneGrants(s, sh.gen, another, life)
	if s.spec == nil && len(s.servers) == 0 && s.held == nil {
		delete(sh.services, name)
	}
}

// orphanage is how long, in ms of life, an orphan is kept at least.
const orphanage = 5 * 60 * 1000

// dropOrphans lets the servers go that the database lost and that did not come back, once others of their service
// have. An orphan whose service has nobody else stays: it is better than an empty farm.
func (r *replica) dropOrphans(now int64) {
	for _, sh := range r.shards {
		if !sh.synced {
			continue
		}
		life := sh.clock.at(now)
		for name, s := range sh.services {
			if s.dropOrphans(life) {
				r.edit(name)
			}
		}
	}
}

func (s *service) dropOrphans(life int64) (dropped bool) {
	back := false
	for _, v := range s.servers {
		back = back || v.rec != nil && v.lost == 0 && v.own != nil && life < v.own.end
	}
	if !back {
		return false
	}
	for id, v := range s.servers {
		if v.rec == nil || v.lost == 0 || life-v.lost <= orphanage {
			continue
		}
		dropped = true
		if v.own == nil || life < v.own.end {
			delete(s.servers, id)
			continue
		}
		// It may stand in a Corefile, and its agent is gone.
		v.goLost(LeftSwept, v.own.at, moment{life: life})
		v.rec, v.by, v.mark = nil, "", mark{}
	}
	if dropped {
		s.forgetLeft()
	}
	return dropped
}

// maxLeft bounds the servers of a service that the database has lost, and that have left.
const maxLeft = 1000

// forgetLeft forgets, when there are too many, the servers that left first.
func (s *service) forgetLeft() {
	var left []string
	for id, v := range s.servers {
		if v.rec == nil && v.hasLeft() && v.admin.lost != 0 && !v.admin.byOperator() {
			left = append(left, id)
		}
	}
	if len(left) <= maxLeft {
		return
	}
	slices.SortFunc(left, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.servers[a].admin.left.at, s.servers[b].admin.left.at), strings.Compare(a, b))
	})
	for _, id := range left[:len(left)-maxLeft] {
		s.servers[id].admin = admin{}
		s.tidy(id)
	}
}
