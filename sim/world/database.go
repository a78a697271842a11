package world

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"

	"github.com/coredns-farm/farm/steer"
)

// serviceName is what everybody looks up.
const serviceName = "www.example.org."

// database stands for the services database: what servers reported, as every replica sees it.
type database struct {
	w       *World
	members []steer.Member
	serial  int
}

func (d *database) init(w *World, rnd *rand.Rand) {
	d.w = w
	for i := range w.machines {
		s := &steer.Server{ID: fmt.Sprintf("s%05d", i), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}}
		if !w.s.Undeclared {
			s.Capacity = w.machines[i].capacity * math.Exp(rnd.NormFloat64()*w.s.DeclaredError)
			s.Weight = new(s.Capacity)
		}
		d.members = append(d.members, steer.Member{Server: s, Report: steer.NoReport})
	}
	d.serial++
}

func ms(t float64) int64 { return int64(t*1000) + epoch }

// epoch is when a run starts, in milliseconds: 0 means never in some places.
const epoch = 1_000_000

// lease is how many heartbeats a report stands for.
const lease = 3

func (d *database) report(i int, t float64) {
	m := &d.w.machines[i]
	if m.dead || t <= m.reportedAt {
		return
	}
	util, rps := m.report(t, d.w.s.Smoothing)
	now, r := ms(t), &d.members[i]
	stands := int64(lease * d.w.s.Heartbeat * 1000)
	if r.Reported && now >= r.LeaseEnd {
		r.Joined = now
		// What was measured of it before it went is the best guess.
	}
	r.Reported, r.LeaseEnd = true, now+stands
	r.Report = steer.NoReport
	r.Report.Utilization, r.Report.RPS, r.Report.Lease = util, rps, float64(stands)/1000
	r.Measured = r.Measured.Observe(r.Report, now, stands)
	d.serial++
}

func (d *database) drain(i int, t float64) {
	d.members[i].Admin = steer.Admin{State: steer.Drain, Since: ms(t)}
	d.serial++
}

func (d *database) ready(i int, t float64) {
	d.members[i].Admin = steer.Admin{State: steer.Ready, Since: ms(t)}
	d.members[i].Joined = ms(t)
	d.serial++
}

// farm returns the current generation, built from prev if it has changed since.
func (d *database) farm(service steer.Service, g *generation, t float64) *steer.Farm {
	now := ms(t)
	if g.farm == nil || g.serial != d.serial || g.farm.Next != 0 && now >= g.farm.Next {
		service.Name, service.TTL = serviceName, &d.w.s.TTL
		g.farm = steer.Build(steer.Input{Service: service, Members: d.members, Now: now, Prev: g.farm, Seed: g.seed})
		g.serial = d.serial
	}
	return g.farm
}

// generation is the farm as one replica has it.
type generation struct {
	farm   *steer.Farm
	serial int
	seed   uint64
}
