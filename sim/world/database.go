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
	agents  []bool           // by server, whether it has an agent that reports
	onWay   [][]steer.Report // by server, the reports that have not arrived, oldest first
	chance  *rand.Rand       // of reports
	serial  int
}

func (d *database) init(w *World, rnd, chance *rand.Rand) {
	d.w, d.chance = w, chance
	d.onWay = make([][]steer.Report, len(w.machines))
	for i := range w.machines {
		s := &steer.Server{ID: fmt.Sprintf("s%05d", i), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}}
		if !w.s.Undeclared {
			s.Capacity = w.machines[i].capacity * math.Exp(rnd.NormFloat64()*w.s.DeclaredError)
			s.Weight = new(s.Capacity)
		}
		d.members = append(d.members, steer.Member{Server: s, Report: steer.NoReport})
		d.agents = append(d.agents, true)
	}
	for _, g := range w.s.Reports.Unreported {
		for _, i := range w.s.selectServers(g.Size, 0, g.Count) {
			d.agents[i] = false
		}
	}
	d.writeByHand()
	d.serial++
}

func ms(t float64) int64 { return int64(t*1000) + epoch }

// epoch is when a run starts, in milliseconds: 0 means never in some places.
const epoch = 1_000_000

// lease is how many heartbeats a report stands for.
const lease = 3

// send has a server report. What it reports arrives at once, later or not at all.
func (d *database) send(i int, t float64) {
	m, how := &d.w.machines[i], &d.w.s.Reports
	lost := d.chance.Float64() < how.Loss
	utilNoise, rpsNoise := 1+how.Noise*d.chance.NormFloat64(), 1+how.Noise*d.chance.NormFloat64()
	if m.dead || t <= m.reportedAt {
		return
	}
	r := steer.NoReport
	util, rps := m.report(t, d.w.s.Smoothing)
	r.Utilization = util * max(utilNoise, 0)
	if !how.UtilizationAlone {
		r.RPS = rps * max(rpsNoise, 0)
	}
	if lost {
		return
	}
	d.onWay[i] = append(d.onWay[i], r)
	if how.Delay == 0 {
		d.receive(i, t)
		return
	}
	d.w.events.push(event{t + how.Delay, onArrived, int32(i)})
}

// receive stores the oldest report of a server that is on its way.
func (d *database) receive(i int, t float64) {
	r := d.onWay[i][0]
	d.onWay[i] = append(d.onWay[i][:0], d.onWay[i][1:]...)
	r.Lease = lease * d.w.s.Heartbeat
	m := &d.members[i]
	if m.Reported && ms(t) >= m.LeaseEnd && !steer.ServedOn(m.Report, r) || !m.Reported && d.w.s.Joining {
		m.Joined = ms(t) // what was measured of it before it went is the best guess
	}
	d.write(i, r, t)
}

// write stores a report.
func (d *database) write(i int, r steer.Report, t float64) {
	now, m, stands := ms(t), &d.members[i], int64(r.Lease*1000)
	m.Reported, m.LeaseEnd, m.Report = true, now+stands, r
	m.Measured = m.Measured.Observe(r, now, stands)
	d.serial++
}

// writeByHand stores the reports that somebody wrote before the run.
func (d *database) writeByHand() {
	for _, h := range d.w.s.Reports.HandWritten {
		r := steer.NoReport
		r.Utilization, r.Lease = h.Utilization, steer.MaxLease
		if h.RPS > 0 {
			r.RPS = h.RPS
		}
		for _, i := range d.w.s.selectServers(h.Size, 0, h.Count) {
			d.agents[i] = false
			d.write(i, r, 0)
		}
	}
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
