package store

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// What a replica remembers of servers, and the database has lost, stands in its node record: the commands read the database
// alone, and would show a server as open that the replica keeps out.

// Bounds of what a node record carries of it.
const (
	maxLost    = 1000      // lines
	maxLostLen = 128 << 10 // octets
	maxOrphans = 5         // servers that are named
)

// hasLost reports whether the database has lost anything of the server.
func (v *server) hasLost() bool {
	if v.rec != nil && v.lost != 0 || v.admin.state != "" && v.admin.lost != 0 {
		return true
	}
	for w := range v.words() {
		if w.lost != 0 {
			return true
		}
	}
	return false
}

// isOut reports whether an operator, its agent or the probers keep the server out of normal answers.
func (v *server) isOut(life int64) bool {
	if v.hasLeft() || v.admin.state == steer.Maint || v.admin.state == steer.Drain {
		return true
	}
	if v.own != nil && (life >= v.own.end || v.own.Health == steer.Down) {
		return true
	}
	var m steer.Member
	var next int64
	v.quorum(&m, life, 0, &next)
	return m.Report.Health == steer.Down
}

// isLastResort reports whether the server may be answered when no other is open.
func (v *server) isLastResort() bool { return !v.hasLeft() && v.admin.state != steer.Maint }

// orphans counts, and names some of, the servers that the database has lost and that are still served.
func (s *service) orphans(name string, life int64, st *Status) {
	open := false
	for _, v := range s.servers {
		open = open || v.rec != nil && !v.isOut(life)
	}
	for id, v := range s.servers {
		if v.rec == nil || v.lost == 0 || open && v.isOut(life) || !v.isLastResort() {
			continue
		}
		st.Orphans++
		st.orphans = append(st.orphans, name+" "+id)
		slices.Sort(st.orphans)
		st.orphans = st.orphans[:min(len(st.orphans), maxOrphans)]
	}
}

// lostCount tells when what was lost has changed: how many servers, and how many of them are kept out.
type lostCount struct{ lost, out int }

func (r *replica) countLost(now int64) (n lostCount) {
	for v, life := range r.lostServers(now) {
		n.lost++
		if v.isOut(life) {
			n.out++
		}
	}
	return n
}

// lostServers yields the servers of which the database has lost something, and the life of their shards.
func (r *replica) lostServers(now int64) func(yield func(*server, int64) bool) {
	return func(yield func(*server, int64) bool) {
		for _, sh := range r.shards {
			life := sh.clock.at(now)
			for _, s := range sh.services {
				for _, v := range s.servers {
					if v.hasLost() && !yield(v, life) {
						return
					}
				}
			}
		}
	}
}

// lostLines lists the admin states and reports that the database has lost, those of servers that are kept out first.
func (r *replica) lostLines(now int64) (list []stateLine) {
	for _, out := range []bool{true, false} {
		for _, sh := range r.shards {
			life := sh.clock.at(now)
			for name, s := range sh.services {
				for id, v := range s.servers {
					if len(list) >= maxLost {
						return list
					}
					if v.hasLost() && v.isOut(life) == out {
						list = append(list, v.lostLines(name, id, life)...)
					}
				}
			}
		}
	}
	return list
}

func (v *server) lostLines(svc, id string, life int64) []stateLine {
	return slices.DeleteFunc(v.lines(nil, svc, id, life), func(l stateLine) bool { return !l.Lost || l.Kind == kindServer })
}

// lostLines is what the node record carries of what the database has lost.
func (s *Store) lostLines() []stateLine {
	s.mu.Lock()
	list := s.replica.lostLines(s.now())
	s.mu.Unlock()
	size := 0
	for i := range list {
		data, err := json.Marshal(list[i].value)
		if size += len(data) + len(list[i].Service) + 2*maxID; err != nil || size > maxLostLen {
			return list[:i]
		}
		list[i].Data = data
	}
	return list
}

// recalled is a line of a node record, and when what it holds was said, in ms on Redis's clock.
type recalled struct {
	stateLine
	at int64
}

// recall adds to what was read of a shard what the living replicas remember of it, and the database has lost. Of several
// replicas the one that heard the newest counts, and of the same the one for which the lease ends first.
func (db *Database) recall(shard int, now int64, reports map[[2]string]*Report) {
	for _, l := range db.recalled(shard) {
		if !db.replica.takes(&l) {
			continue
		}
		db.replica.restoreRecord(&l.stateLine, now)
		if r, err := decodeReport(l.Service, l.ID, string(l.Data)); err == nil && l.Kind == kindReport {
			reports[[2]string{l.Service, l.ID}] = r
		}
	}
}

// recalled lists the lines that count, admin states first: a report after a departure takes that back.
func (db *Database) recalled(shard int) []recalled {
	var all []recalled
	for _, n := range db.Nodes {
		for _, l := range n.Lost[:min(len(n.Lost), maxLost)] {
			if at := l.said(); at > 0 && Shard(l.Service) == shard && db.names(l.Service, l.ID) {
				l.Lost = true
				all = append(all, recalled{l, at})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b recalled) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID),
			cmp.Compare(b.at, a.at), cmp.Compare(a.stateLine.Left, b.stateLine.Left))
	})
	return slices.CompactFunc(all, func(a, b recalled) bool { return a.Kind == b.Kind && a.Service == b.Service && a.ID == b.ID })
}

// said is when what the line holds was said; 0 if it holds nothing that may be recalled.
func (l *stateLine) said() int64 {
	if CheckServiceName(l.Service) != nil {
		return 0
	}
	switch l.Kind {
	case kindAdmin:
		if rec, err := decodeAdmin(l.ID, string(l.Data)); err == nil {
			return max(rec.Since, rec.LeftAt)
		}
	case kindReport:
		if rec, err := decodeReport(l.Service, l.ID, string(l.Data)); err == nil {
			return rec.At
		}
	}
	return 0
}

// names reports whether the server is registered, or stands in a Corefile.
func (db *Database) names(svc, field string) bool {
	id, _, _ := strings.Cut(field, "@")
	if v := db.replica.shards[Shard(svc)].find(svc, id); v != nil && v.rec != nil {
		return true
	}
	return slices.ContainsFunc(db.Nodes, func(n Node) bool {
		if n.Static == nil {
			return false
		}
		_, ok := n.Static.Servers[svc][id]
		return ok
	})
}

// takes reports whether the database knows nothing newer than the line.
func (r *replica) takes(l *recalled) bool {
	id, reporter, _ := strings.Cut(l.ID, "@")
	v := r.shards[Shard(l.Service)].find(l.Service, id)
	switch {
	case v == nil:
		return true
	case l.Kind == kindReport:
		return v.word(reporter) == nil && (reporter != "" || l.at > v.admin.left.when())
	}
	rec, err := decodeAdmin(id, string(l.Data))
	return err == nil && v.admin.state == "" && (rec.Left == "" || v.own == nil)
}
