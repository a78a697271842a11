package store

import (
	"cmp"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// replica is what is known of the database: the last good record of everything. It is pure data: no I/O, no clock
// (now is always the store's running clock, ms), no lock.
type replica struct {
	shards  [Shards]*shard
	dirty   map[string]change // services that changed since somebody asked
	edits   uint64            // counts changes other than reports
	counts  counts
	granted []holder // whose grants changed, for whoever tells
	once    bool     // read once and not followed: nobody gets the benefit of the doubt

	reportAt   int64         // when the last report came; 0 is never
	reportLife [Shards]int64 // the life of each shard then
}

// counts is what happened since the start.
type counts struct {
	applied  map[string]uint64 // by kind
	rejected map[string]uint64 // by reason
	recent   []Reject
	revived  uint64
}

// Reject is a record that was not taken; the last good one stands.
type Reject struct {
	Key    string `json:"key"`    // KIND SERVICE ID
	Reason string `json:"reason"` // a word, for counting
	Detail string `json:"detail"` // what was expected
	At     int64  `json:"at"`     // ms since 1970
}

// maxRejects bounds the rejections that are remembered.
const maxRejects = 32

// shard is the part of the replica that follows one stream.
type shard struct {
	clock      lifeClock
	epoch, rev uint64
	edited     int64 // ms on Redis's clock: when the zone was last edited, or the shard began
	loaded     bool  // whether there is anything: it was read, or stood in the state file
	read       bool  // whether it was read from the database
	synced     bool  // whether it holds what the database holds, and follows
	gen        uint32
	services   map[string]*service
}

// Each record carries the generation of the read that saw it last, and whether the database has lost it: a record
// that is gone because the database is another one (flushed, restored, failed over) is kept as an orphan.
type mark struct {
	gen  uint32
	lost int64 // life ms at which the database lost it; 0 has it
}

type service struct {
	mark
	spec    *steer.Service // nil when nobody says anything of it
	servers map[string]*server
	held    *holdings // nil when there are no grants
	order   []*server // the registered ones by priority and id, the order of farms; nil is to be made
}

type server struct {
	mark
	rec      *steer.Server // nil when it is not registered: it may stand in a Corefile
	by       string
	admin    admin
	own      *word            // its own agent's
	probes   map[string]*word // by reporter
	joined   int64            // life ms; 0 is long ago
	isNew    bool             // whether it had never been there before it joined
	fresh    bool             // registered while we watched, and not reported on yet
	measured steer.Measured
}

type admin struct {
	mark
	state     steer.AdminState // empty is ready
	by        string
	at, since int64      // ms on Redis's clock, and on the life clock
	left      *departure // nil if the server did not leave
}

// departure is how a server left.
type departure struct {
	how    string
	at     int64         // ms on Redis's clock
	server *steer.Server // where it served, if its record went along; else nil. Others may still answer with its addresses
}

// when returns the time of the departure, 0 if there was none.
func (d *departure) when() int64 {
	if d == nil {
		return 0
	}
	return d.at
}

// wanted is what is wanted of the server, apart from its having left.
func (a *admin) wanted() steer.AdminState {
	if a.left != nil && a.by == ByAgent {
		return ""
	}
	return a.state
}

// byOperator reports whether an operator set it.
func (a *admin) byOperator() bool { return a.state != "" && a.by != ByAgent }

// word is the last that one reporter said of a server.
type word struct {
	mark
	steer.Report
	at   int64 // ms on Redis's clock: what tells one report from the next
	end  int64 // life ms at which it stops standing
	well int64 // life ms since when the server is well again, by this reporter; 0 is always
}

func newReplica() *replica {
	r := &replica{dirty: make(map[string]change)}
	r.counts.applied = make(map[string]uint64)
	r.counts.rejected = make(map[string]uint64)
	for i := range r.shards {
		r.shards[i] = &shard{clock: newLifeClock(), services: make(map[string]*service)}
	}
	return r
}

// room returns the service, made if there is room for it.
func (sh *shard) room(name string) (*service, error) {
	s := sh.services[name]
	if s == nil && len(sh.services) >= 2*maxServices {
		return nil, bad("count", "more than %d services in the shard", 2*maxServices)
	}
	if s == nil {
		s = &service{servers: make(map[string]*server)}
		sh.services[name] = s
	}
	return s, nil
}

// roomFor returns the server, made if there is room for it.
func (sh *shard) roomFor(svc, id string) (*server, error) {
	s, err := sh.room(svc)
	if err != nil {
		return nil, err
	}
	v := s.servers[id]
	if v == nil && len(s.servers) >= 2*maxServers {
		return nil, bad("count", "more than %d servers in the service", 2*maxServers)
	}
	if v == nil {
		v = new(server)
		s.servers[id] = v
	}
	return v, nil
}

// find returns the server, or nil.
func (sh *shard) find(svc, id string) *server {
	if s := sh.services[svc]; s != nil {
		return s.servers[id]
	}
	return nil
}

// empty says whether nothing is known of the server.
func (v *server) empty() bool {
	return v.rec == nil && v.admin.state == "" && v.own == nil && len(v.probes) == 0
}

// alive says whether the server's own agent, or a prober, has been heard within its lease.
func (v *server) alive(life int64) bool {
	if v.own != nil && life < v.own.end {
		return true
	}
	for _, w := range v.probes {
		if life < w.end {
			return true
		}
	}
	return false
}

// touch notes that a service has to be built anew; edit, also that more than a report changed.
func (r *replica) touch(svc string, c change) { r.dirty[svc] |= c }

func (r *replica) edit(svc string) {
	r.touch(svc, edited|urgent)
	r.edits++
	if s := r.shards[Shard(svc)].services[svc]; s != nil {
		s.order = nil
	}
}

// registered lists the servers that are registered. Farms are built from sorted members more quickly.
func (s *service) registered() []*server {
	if s.order != nil {
		return s.order
	}
	s.order = make([]*server, 0, len(s.servers))
	for _, v := range s.servers {
		if v.rec != nil {
			s.order = append(s.order, v)
		}
	}
	slices.SortFunc(s.order, func(a, b *server) int {
		return cmp.Or(cmp.Compare(a.rec.Priority, b.rec.Priority), strings.Compare(a.rec.ID, b.rec.ID))
	})
	return s.order
}

func (r *replica) reject(rec record, now int64, err error) {
	c := &r.counts
	c.rejected[reasonOf(err)]++
	if len(c.recent) == maxRejects {
		c.recent = append(c.recent[:0], c.recent[1:]...)
	}
	c.recent = append(c.recent, rejection(rec, now, err))
}

func rejection(rec record, now int64, err error) Reject {
	key := clip(rec.kind + " " + rec.svc + " " + rec.id)
	return Reject{Key: key, Reason: reasonOf(err), Detail: clip(err.Error()), At: now}
}
