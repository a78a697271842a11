package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/coredns-farm/farm/steer"
)

// Database is all that the database held when it was read.
type Database struct {
	Now      int64           // ms, Redis's clock
	Services []ServiceRecord // by name
	Nodes    []Node
	Learned  []Shared // what replicas tell each other of resolvers, the youngest of a service first; times are Redis's
	Bad      []Reject // records that no replica takes

	replica *replica
}

// ServiceRecord is a service and its servers.
type ServiceRecord struct {
	Name    string
	Service *steer.Service // nil when Redis says nothing of it but has servers of it
	Shard   int
	Servers []ServerRecord // by id
}

// ServerRecord is what Redis says of one server.
type ServerRecord struct {
	ID         string
	Server     *steer.Server // nil when it is not registered: it may stand in a Corefile
	By         string        // ByAgent or ByOperator; who registered it
	Admin      steer.AdminState
	AdminBy    string
	AdminSince int64             // ms, Redis's clock; 0 if nobody ever set it
	Left       string            // LeftStopped or LeftSwept: its agent left, and no report came since; else empty
	LeftAt     int64             // ms, Redis's clock
	Report     *Report           // its own agent's last; nil if there is none
	Recalled   bool              // whether the database has lost the report, and a replica remembers it
	Probes     map[string]Report // by reporter
}

// Read reads everything. Records that cannot be read are named in Bad.
func (c *Client) Read(ctx context.Context) (*Database, error) {
	ctx, cancel := deadline(ctx, readTime)
	defer cancel()
	db := &Database{replica: newReplica()}
	db.replica.once = true
	byName := make(map[string]*ServiceRecord)
	var err error
	if db.Nodes, err = c.Nodes(ctx); err != nil {
		return nil, err
	}
	for i := range Shards {
		d, err := fetchShard(ctx, c.db, c.prefix, i, nil)
		if err != nil {
			return nil, c.wrap("read", err)
		}
		db.Now = max(db.Now, d.now)
		db.take(i, d, byName)
		if err := db.hear(ctx, c, i, d.now); err != nil {
			return nil, c.wrap("read", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := byName[name]
		slices.SortFunc(s.Servers, func(a, b ServerRecord) int { return strings.Compare(a.ID, b.ID) })
		db.Services = append(db.Services, *s)
	}
	return db, nil
}

// take loads a shard the way replicas do, and lists what they take. Its clock is Redis's.
func (db *Database) take(shard int, d *dump, byName map[string]*ServiceRecord) {
	r := db.replica
	r.counts.recent = r.counts.recent[:0]
	r.load(shard, d, d.now)
	db.Bad = append(db.Bad, r.counts.recent...)
	reports := reportsOf(d)
	db.recall(shard, d.now, reports)
	for name, s := range r.shards[shard].services {
		rec := &ServiceRecord{Name: name, Service: s.spec, Shard: shard}
		for id, v := range s.servers {
			rec.Servers = append(rec.Servers, v.record(name, id, reports))
		}
		byName[name] = rec
	}
}

// hear takes what replicas said of the services of a shard: capacities as replicas do, loads for whoever explains.
func (db *Database) hear(ctx context.Context, c *Client, shard int, now int64) error {
	services := slices.Sorted(maps.Keys(db.replica.shards[shard].services))
	for names := range slices.Chunk(services, batch) {
		said, err := fetchLearned(ctx, c.db, c.prefix, names)
		if err != nil {
			return err
		}
		for i, name := range names {
			all := said[i].read(now, func(replica, _ string, err error) {
				if len(db.Bad) < Shards*maxRejects {
					db.Bad = append(db.Bad, rejection(learnedRecord(name, replica), now, err))
				}
			})
			for _, l := range all {
				db.replica.adopt(name, l.Capacity)
				if len(l.Loads) > 0 {
					db.Learned = append(db.Learned, Shared{Service: name, Loads: l.Loads, At: l.At})
				}
			}
		}
	}
	return nil
}

// reportsOf decodes the reports of a dump once more: replicas keep only what decisions need.
func reportsOf(d *dump) map[[2]string]*Report {
	out := make(map[[2]string]*Report)
	for _, rec := range d.records {
		if rec.kind != kindReport {
			continue
		}
		if r, err := decodeReport(rec.svc, rec.id, rec.data); err == nil {
			out[[2]string{rec.svc, rec.id}] = r
		}
	}
	return out
}

func (v *server) record(svc, id string, reports map[[2]string]*Report) ServerRecord {
	rec := ServerRecord{
		ID: id, Server: v.rec, By: v.by, Admin: v.admin.wanted(), AdminBy: v.admin.by, AdminSince: v.admin.at,
		Report: reports[[2]string{svc, id}], Recalled: v.own != nil && v.own.lost != 0,
	}
	if rec.By == "" && v.rec != nil {
		rec.By = ByOperator
	}
	if rec.Admin == "" {
		rec.Admin = steer.Ready
	}
	if v.hasLeft() {
		rec.Left, rec.LeftAt = v.admin.left.how, v.admin.left.at
	}
	for reporter := range v.probes {
		if r := reports[[2]string{svc, id + "@" + reporter}]; r != nil {
			if rec.Probes == nil {
				rec.Probes = make(map[string]Report)
			}
			rec.Probes[reporter] = *r
		}
	}
	return rec
}

// Base returns what stands in the Corefiles of the replicas that are alive.
func (db *Database) Base() Base {
	specs := make(map[string]steer.Service)
	servers := make(map[string]map[string]steer.Server)
	b := Base{Defaults: make(map[string]steer.Service)}
	for _, n := range db.Nodes {
		if n.Static == nil {
			continue
		}
		maps.Copy(b.Defaults, n.Static.Default)
		maps.Copy(specs, n.Static.Services)
		maps.Copy(servers, n.Static.Servers)
	}
	b.Servers = make(map[string][]steer.Server)
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		spec := specs[name]
		spec.Name = name
		if CheckServiceName(name) != nil || CheckService(&spec) != nil {
			continue
		}
		b.Services = append(b.Services, spec)
		for _, id := range slices.Sorted(maps.Keys(servers[name])) {
			rec := servers[name][id]
			rec.ID = id
			if isID(id) && CheckServer(&rec) == nil {
				b.Servers[name] = append(b.Servers[name], rec)
			}
		}
	}
	return b
}

// Answered says whether a replica that is alive answers for the service: whether it is in one's zones. When that is not
// known, somebody may.
func (db *Database) Answered(service string) bool {
	for _, n := range db.Nodes {
		if n.Static == nil {
			return true
		}
		if _, ok := zoneIn(n.Static.Default, service); ok {
			return true
		}
	}
	return len(db.Nodes) == 0
}

// BlockOf returns the zone that replicas answer a name in, and how; nil if it is in none. known is false where some replica does
// not tell, or none is alive.
func (db *Database) BlockOf(name string) (zone *steer.Zone, block Block, known bool) {
	known = len(db.Nodes) > 0
	for _, n := range db.Nodes {
		if n.Static == nil {
			known = false
			continue
		}
		of := make(map[string]string, len(n.Static.Default))
		for z := range n.Static.Default {
			of[z] = z
		}
		z, ok := zoneIn(of, name)
		if !ok || zone != nil && len(zone.Name) > len(z) {
			continue
		}
		block = n.Static.blockOf(z)
		zone = &steer.Zone{Name: z, NS: block.NS}
		if len(zone.NS) == 0 {
			zone.NS = []steer.NameServer{{Name: steer.DefaultNS(z)}}
		}
	}
	return zone, block, known
}

// IsOurs reports whether a name is in a zone of a replica.
func (db *Database) IsOurs(name string) bool {
	zone, _, _ := db.BlockOf(name)
	return zone != nil
}

func (s *Static) blockOf(zone string) Block {
	for _, b := range s.Blocks {
		if slices.Contains(b.Zones, zone) {
			return b
		}
	}
	return Block{Zones: []string{zone}}
}

// Snapshot builds what a replica with this Base has. Its capacities are those that replicas have measured, as far as they
// tell; what they have learned of resolvers is not in it, but in Learned. Its times are on Redis's clock, Now.
func (db *Database) Snapshot(b Base) *steer.Snapshot {
	v := newView(nil, b)
	v.addAll(db.replica)
	v.publish(new(sync.Mutex), db.replica, generation{now: db.Now, serial: db.replica.serial()}, always)
	return v.Load()
}
