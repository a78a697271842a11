package steer

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// Member is one server of a service with all that is known of it now, as [Build] takes it. Times are milliseconds on
// the clock of Input.Now.
type Member struct {
	Server   *Server
	Admin    Admin
	Left     bool     // whether its agent has left, and no report came since: no machine stands behind it
	Back     int64    // since when it has been well again, after it was down, silent or had left; 0 is always
	Report   Report   // the last one; NoReport when there is none
	Reported bool     // whether anybody ever reported on it; a server nobody reports on is taken to live
	LeaseEnd int64    // when the last report stops standing for the server's life; if Reported
	Joined   int64    // when it came (back) into service and started slowly; 0 is long ago
	Measured Measured // its measured capacity
	Used     []Use    // what grants have reserved of it
}

// Use is the part of a server that the grants of one level have reserved, 1 being the whole server.
type Use struct {
	Level string
	Part  float64
}

// Gate says why a server takes no part in normal answers. A closed gate is a reason, not a verdict: the ladder of
// [Decide] opens gates again, in order, when nothing else is left.
type Gate uint8

// The gates, in the order in which they are tried.
const (
	Open    Gate = iota
	InMaint      // an operator took it out
	HasLeft      // its agent stopped, or crashed long ago
	IsDown       // it, or those that probe it, say that it does not serve
	Silent       // its last report is older than its lease
	Drained      // an operator drained it, and the drain is over
	Standby      // its weight is 0: it serves when no other server is open
	Full         // at or above its hard limit of utilisation, or the ceiling of the level
	Unfit        // not of a class that the level asks for
	Taken        // what it may give the level is granted to others
	Held         // in explanations alone: open, and behind those that took over from it until failback
)

var gateNames = [...]string{"open", "maint", "left", "down", "silent", "drained", "standby", "full", "unfit", "taken", "held"}

func (g Gate) String() string { return gateNames[g] }

// State is what a generation of a farm holds of one server.
type State struct {
	Gate      Gate
	Family    Family  // the families it has addresses in
	RPS       float64 // requests a second; negative when unknown
	Util      float64 // utilisation; an estimate from the known ones when unknown
	Degraded  bool    // whether it said so: it gets half its share
	Known     bool    // whether Util was reported
	Measured  bool    // whether Capacity was measured from the server's own reports
	Capacity  float64 // requests a second, measured, or declared, or the mean; relative when none is known
	Ramp      float64 // 0 to 1: slow start and drain together
	Back      int64   // ms; since when it is well again, for as long as failback holds that against it; 0 if it does not
	Undrained float64 // 0 to 1: drain alone; what a draining server sheds may go to the next tier
	Admit     float64 // 0 to 1: what the limits let in
	Weight    float64 // relative share under the service's policy, before tiers
	Kept      float64 // part that is kept free for levels above, as far as grants have not reserved it
}

// Family is a set of address families.
type Family uint8

// The families. Named is a server whose address is a name. Secure is one more thing that a client may need: a server whose port says that
// it speaks https.
const (
	V4     Family = 1 << iota
	V6            //
	Named         //
	Secure        //
)

// AnyFamily is every family of addresses.
const AnyFamily = V4 | V6 | Named

// FamilyOf returns the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return V4
	}
	return V6
}

// Input is what a farm is built from.
type Input struct {
	Service Service // absent fields are filled in from Defaults
	Members []Member
	Regions *Regions // may be nil
	Now     int64    // ms
	Prev    *Farm    // the generation before, if any: the turns of its answers go on
	Seed    uint64   // where the turns start, if there is no Prev; replicas should differ
	Indexed bool     // whether ByAddress will be asked
}

// Farm is one immutable generation of the servers of a service. Everything that a decision needs and that does not
// depend on the query is computed when it is built.
type Farm struct {
	Service  Service   // every field filled in, but for Answers
	Settings Settings  // the numbers of Service
	Servers  []*Server // sorted by priority, then ID
	State    []State   // one a server
	MeanUtil float64   // capacity-weighted mean utilisation of the servers that are open; 0 if unknown
	Busy     bool      // whether its state is about to change: ramps, limits, closed gates
	Next     int64     // ms; the earliest time at which building it anew gives something else; 0 is never

	views    []*view // one a region, 0 for clients of no region or of one that has no servers here
	families Family  // of all servers together
	byID     []int32 // indexes, sorted by ID
	byAddr   []addrIndex
	indexed  bool
	twins    []int32  // the first server at the addresses of each; nil while no two have the same
	ports    []uint16 // distinct ones
	hash     uint64   // of the service's name
	hashes   []uint64 // of the servers' IDs
	turn     *atomic.Uint64

	level  *Level  // whose clients the farm is for; nil is best effort
	levels []*Farm // of best effort alone: the same servers as the clients of each level see them, by rank

	reports  bool      // whether any server reports utilisation
	measured bool      // whether the capacity of any server was measured
	rates    bool      // whether capacities are in requests a second: one was measured or declared
	forecast *forecast // under Predict
	ahead    []ahead   // under Predict, by server
}

type addrIndex struct {
	addr   netip.Addr
	server int32
}

// Build makes a farm. It never fails: members are taken as valid (the store validates what it reads), and a farm
// without members is legal. It does not keep in.Members, but keeps the servers that they point to. O(n log n).
func Build(in Input) *Farm {
	f := &Farm{Service: in.Service.withDefaults(), State: make([]State, len(in.Members))}
	f.Settings = f.Service.settings()
	members := in.Members
	if !f.inherit(in.Prev, members, in.Indexed) { // in most cases: then they are sorted
		members = sorted(members)
		if !f.inherit(in.Prev, members, in.Indexed) {
			f.identify(members, in.Indexed)
		}
	}
	f.measure(members)
	f.gate(members, in.Now)
	f.weigh()
	f.buildViews(in.Regions)
	f.foresee(members, in.Prev)
	f.turn = turnOf(in)
	f.buildLevels(members, in)
	return f
}

// sorted returns the members by priority, then ID. It leaves those that are sorted where they are.
func sorted(members []Member) []Member {
	byRank := func(a, b Member) int {
		if a.Server.Priority != b.Server.Priority {
			return cmp.Compare(a.Server.Priority, b.Server.Priority)
		}
		return strings.Compare(a.Server.ID, b.Server.ID)
	}
	if slices.IsSortedFunc(members, byRank) {
		return members
	}
	members = slices.Clone(members)
	slices.SortFunc(members, byRank)
	return members
}

// inherit takes over from the generation before what follows from the servers' names and addresses alone, if it had the
// same servers, in its order. Most generations differ in what was reported only.
func (f *Farm) inherit(prev *Farm, members []Member, indexed bool) bool {
	if prev == nil || len(prev.Servers) != len(members) || prev.Service.Name != f.Service.Name || indexed != prev.indexed {
		return false
	}
	for i := range members {
		if prev.Servers[i] != members[i].Server {
			return false
		}
	}
	f.Servers, f.byID, f.byAddr, f.indexed = prev.Servers, prev.byID, prev.byAddr, prev.indexed
	f.families, f.hash, f.hashes = prev.families, prev.hash, prev.hashes
	f.twins, f.ports = prev.twins, prev.ports
	for i := range f.State {
		f.State[i].Family = prev.State[i].Family
	}
	return true
}

// identify sets what follows from the names and the addresses alone.
func (f *Farm) identify(members []Member, indexed bool) {
	f.hash = hashString(f.Service.Name)
	f.Servers = make([]*Server, len(members))
	f.hashes = make([]uint64, len(members))
	f.byID = make([]int32, len(members))
	for i, m := range members {
		f.Servers[i] = m.Server
		f.hashes[i] = hashString(m.Server.ID)
		f.byID[i] = int32(i)
		f.State[i].Family = m.Server.families()
		if f.isSecure(m.Server.Port) {
			f.State[i].Family |= Secure
		}
		f.families |= f.State[i].Family
		f.notePort(m.Server.Port)
	}
	slices.SortFunc(f.byID, func(a, b int32) int { return strings.Compare(f.Servers[a].ID, f.Servers[b].ID) })
	f.findTwins()
	if f.indexed = indexed; indexed {
		f.indexAddresses()
	}
}

func turnOf(in Input) *atomic.Uint64 {
	if in.Prev != nil {
		return in.Prev.turn
	}
	t := new(atomic.Uint64)
	t.Store(in.Seed)
	return t
}

// withDefaults fills in what is absent.
func (s Service) withDefaults() Service {
	d := &Defaults
	s.Policy = cmp.Or(s.Policy, Policies[0])
	s.TTL = cmp.Or(s.TTL, &d.TTL)
	if s.MaxTTL == nil || *s.MaxTTL < *s.TTL {
		s.MaxTTL = s.TTL
	}
	s.Soft = cmp.Or(s.Soft, &d.Soft)
	s.Hard = cmp.Or(s.Hard, d.Hard)
	s.SlowStart = cmp.Or(s.SlowStart, &d.SlowStart)
	s.Drain = cmp.Or(s.Drain, &d.Drain)
	s.Failback = cmp.Or(s.Failback, &d.Failback)
	return s
}

// settings returns the numbers of a service that has all of them.
func (s *Service) settings() Settings {
	return Settings{
		Answers: s.Answers, TTL: *s.TTL, MaxTTL: *s.MaxTTL, Soft: *s.Soft, Hard: s.Hard, SlowStart: *s.SlowStart, Drain: *s.Drain,
		Failback: *s.Failback,
	}
}

// priorUtil is what one server of which nothing is known is taken for. It weighs as much as one report, so that a lone
// report does not speak for all, and many do.
const priorUtil = 0.5

// measure fills in utilisation and capacity. A server that nobody reports on counts as an average one.
func (f *Farm) measure(members []Member) {
	known, utils := 1.0, priorUtil
	for i := range members {
		m, s := &members[i], &f.State[i]
		s.Known = m.Reported && m.Report.Utilization >= 0
		if s.Known {
			s.Util = m.Report.Utilization
			known++
			utils += s.Util
		}
	}
	for i := range f.State {
		if !f.State[i].Known {
			f.State[i].Util = utils / known
		}
	}
	f.capacities(members)
}

// capacities takes, server by server, the measured capacity, else the declared one on the scale of the measured, else
// the declared weight on the scale of what is known.
func (f *Farm) capacities(members []Member) {
	var measured, declaredOfMeasured, declared, weightOfDeclared float64
	for i := range members {
		m := &members[i]
		if m.Server.Capacity <= 0 {
			continue
		}
		declared += m.Server.Capacity
		weightOfDeclared += m.Server.weight()
		if m.Measured.Capacity > 0 {
			measured += m.Measured.Capacity
			declaredOfMeasured += m.Server.Capacity
		}
	}
	f.rates = declared > 0
	trust := ratioOr(measured, declaredOfMeasured, 1)
	perWeight := ratioOr(declared*trust, weightOfDeclared, 1)
	if declared == 0 {
		perWeight = measuredPerWeight(members)
	}
	for i := range members {
		m := &members[i]
		switch {
		case m.Measured.Capacity > 0:
			f.State[i].Capacity, f.State[i].Measured = m.Measured.Capacity, true
			f.measured, f.rates = true, true
		case m.Server.Capacity > 0:
			f.State[i].Capacity = m.Server.Capacity * trust
		default:
			f.State[i].Capacity = m.Server.weight() * perWeight
		}
	}
}

// CapacityInRequests reports whether capacities, and the loads that predict works with, are in requests a second. They are
// once one server's capacity was measured or declared; before that they are relative, 1 being a server of weight 1.
func (f *Farm) CapacityInRequests() bool { return f.rates }

func measuredPerWeight(members []Member) float64 {
	var measured, weights float64
	for _, m := range members {
		if m.Measured.Capacity > 0 {
			measured += m.Measured.Capacity
			weights += m.Server.weight()
		}
	}
	return ratioOr(measured, weights, 1)
}

func ratioOr(num, den, or float64) float64 {
	if den > 0 && num > 0 {
		return num / den
	}
	return or
}

// gate decides for each server whether it takes part, and how much of it.
func (f *Farm) gate(members []Member, now int64) {
	var util, capacity float64
	for i := range members {
		m, s := &members[i], &f.State[i]
		soft, hard := f.limits(m)
		s.Admit, s.Kept = 1, f.kept(m)
		if s.Known {
			s.Admit = admit(s.Util, soft, hard)
		}
		s.Undrained = f.undrained(m, now)
		s.Ramp = f.slowStart(m, now) * s.Undrained
		s.Degraded = m.Report.Health == Degraded
		s.Back = f.heldSince(m, now)
		s.Gate = gateOf(m, s, now)
		if f.level != nil {
			s.Gate = f.level.gate(m, s.Gate)
		}
		f.note(m, s, now)
		if s.Gate == Open {
			util += s.Util * s.Capacity
			capacity += s.Capacity
		}
	}
	f.MeanUtil = ratioOr(util, capacity, 0)
}

// gateOf is the truth table of the gates: the first that holds.
func gateOf(m *Member, s *State, now int64) Gate {
	switch {
	case m.Admin.State == Maint:
		return InMaint
	case m.Left:
		return HasLeft
	case m.Report.Health == Down:
		return IsDown
	case m.Reported && now >= m.LeaseEnd:
		return Silent
	case m.Admin.State == Drain && s.Ramp == 0:
		return Drained
	case m.Server.onStandby():
		return Standby
	case s.Admit == 0:
		return Full
	}
	return Open
}

// limits returns the soft and hard limits of a server, lower by what is kept free. A server's own soft limit may lie above
// the service's hard one; then there is nothing between them.
func (f *Farm) limits(m *Member) (soft, hard float64) {
	soft, hard = f.Settings.Soft, cmp.Or(m.Server.Hard, f.Settings.Hard)
	if m.Server.Soft != nil {
		soft = *m.Server.Soft
	}
	if f.level != nil && f.level.Ceiling > 0 {
		hard = f.level.Ceiling
	}
	kept := f.kept(m)
	hard = max(hard-kept, minHeadroom)
	return min(soft-kept, hard), hard
}

// admit is 1 up to the soft limit, 0 from the hard one, and falls in a straight line between them.
func admit(util, soft, hard float64) float64 {
	switch {
	case util >= hard:
		return 0
	case util <= soft:
		return 1
	}
	return (hard - util) / (hard - soft)
}

// Least share of a joining server. With nothing at all it would never be seen to serve.
const minRamp = 0.1

// slowStart is how far a joining server has come up.
func (f *Farm) slowStart(m *Member, now int64) float64 {
	if m.Joined == 0 || !m.Reported || f.Settings.SlowStart == 0 {
		return 1
	}
	return clamp(float64(now-m.Joined)/(f.Settings.SlowStart*1000), minRamp, 1)
}

// undrained is what a draining server still has of its clients.
func (f *Farm) undrained(m *Member, now int64) float64 {
	switch {
	case m.Admin.State != Drain:
		return 1
	case f.Settings.Drain == 0:
		return 0
	}
	return clamp(1-float64(now-m.Admin.Since)/(f.Settings.Drain*1000), 0, 1)
}

func clamp(x, lo, hi float64) float64 { return min(max(x, lo), hi) }

// rampStep is how often, in ms, a farm with a ramp under way is built anew.
const rampStep = 1000

// passing says whether a server behind the gate is likely to be back by itself.
func (g Gate) passing() bool {
	switch g {
	case Open, InMaint, HasLeft, Drained, Standby, Unfit:
		return false
	}
	return true
}

// note keeps when this server's state will next change by time alone, and whether it is changing.
func (f *Farm) note(m *Member, s *State, now int64) {
	if s.Gate.passing() || s.Admit < 1 {
		f.Busy = true
	}
	ramping := m.Joined > 0 && m.Reported && now-m.Joined < int64(f.Settings.SlowStart*1000) ||
		m.Admin.State == Drain && s.Ramp > 0
	if ramping {
		f.Busy = true
		f.due(now + rampStep)
	}
	if m.Reported && m.LeaseEnd > now {
		f.due(m.LeaseEnd)
	}
}

func (f *Farm) due(at int64) {
	if f.Next == 0 || at < f.Next {
		f.Next = at
	}
}

// minHeadroom keeps a full server findable, so that it is seen when it empties.
const minHeadroom = 0.02

// degradedShare is what a degraded server gets of its share.
const degradedShare = 0.5

// weigh sets each server's relative share under the service's policy.
func (f *Farm) weigh() {
	for i, s := range f.Servers {
		st := &f.State[i]
		st.Weight = f.base(s, st) * st.Ramp * st.Admit
		if st.Degraded {
			st.Weight *= degradedShare
		}
	}
}

// base is a server's share under the service's policy, before ramps and limits.
func (f *Farm) base(s *Server, st *State) float64 {
	if s.onStandby() {
		return 0
	}
	switch f.Service.Policy {
	case RoundRobin, First:
		return 1
	case Weighted:
		return s.weight()
	case Sticky:
		return st.Capacity
	}
	return st.Capacity * max(minHeadroom, 1-st.Util-st.Kept)
}

// weight is the share of a server that is not on standby. Where all are, they have the same.
func (s *Server) weight() float64 {
	if s.Weight == nil || *s.Weight == 0 {
		return 1
	}
	return *s.Weight
}

// onStandby reports whether a server serves only when no other one is open.
func (s *Server) onStandby() bool { return s.Weight != nil && *s.Weight == 0 }

func (s *Server) families() Family {
	if s.Target != "" {
		return Named
	}
	var f Family
	for _, a := range s.Addresses {
		f |= FamilyOf(a)
	}
	return f
}

func (f *Farm) indexAddresses() {
	for i, s := range f.Servers {
		for _, a := range s.Addresses {
			f.byAddr = append(f.byAddr, addrIndex{a.Unmap(), int32(i)})
		}
	}
	slices.SortStableFunc(f.byAddr, func(a, b addrIndex) int { return a.addr.Compare(b.addr) })
}

// ByAddress returns the index of the server that has the address, or -1. The farm must have been built Indexed.
func (f *Farm) ByAddress(a netip.Addr) int {
	i, ok := slices.BinarySearchFunc(f.byAddr, a.Unmap(), func(e addrIndex, a netip.Addr) int { return e.addr.Compare(a) })
	if !ok {
		return -1
	}
	return int(f.byAddr[i].server)
}

// Families returns the families of all servers together.
func (f *Farm) Families() Family { return f.families & AnyFamily }

// FallsBack reports whether the clients of a region are answered with a fallback name, for want of servers.
func (f *Farm) FallsBack(region int) bool { return f.view(region).rung == Fallback }

// ByID returns the index of the server with the id, or -1.
func (f *Farm) ByID(id string) int {
	i, ok := slices.BinarySearchFunc(f.byID, id, func(i int32, id string) int { return cmp.Compare(f.Servers[i].ID, id) })
	if !ok {
		return -1
	}
	return int(f.byID[i])
}

// Turn takes the next number of the farm's turns. It is the only thing of a farm that changes; generations share it.
func (f *Farm) Turn() uint64 { return f.turn.Add(1) - 1 }
