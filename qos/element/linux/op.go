package linux

import "fmt"

// op is one thing to do to the kernel.
type op struct {
	do    verb
	at    classAt // of setClass, dropClass, addFlow; of dropFlow the minor alone
	rate  uint32  // of setClass, kbit/s
	delay uint16  // of setClass, ms; 0 is not said
	pair  pair    // of flows and marks
	dscp  uint8   // of marks and values
	until int64   // of addFlow and addMark, ms since 1970
}

type verb uint8

const (
	setClass verb = iota
	dropClass
	addFlow
	dropFlow
	addValue // makes a set and a rule for a DSCP value
	addMark
	dropMark
)

// note brings what is known of the kernel up to date with what was done to it.
func (s *state) note(ops []op) {
	for _, o := range ops {
		switch o.do {
		case setClass:
			s.classes[o.at] = o.rate
		case dropClass:
			delete(s.classes, o.at)
		case addFlow:
			s.flows[o.pair] = classified{o.at.minor, o.until}
		case dropFlow:
			delete(s.flows, o.pair)
		case addValue:
			s.values[o.dscp] = true
		case addMark:
			s.marks[o.pair] = marked{o.dscp, o.until}
		case dropMark:
			delete(s.marks, o.pair)
		}
	}
}

// grace is by how much what the kernel ends by itself outlives its grant. The element takes it away in time; the kernel
// is for the case that it cannot.
const grace = 5000 // ms

// timeout is how long the kernel keeps an element, in whole seconds.
func (o op) timeout(now int64) int64 { return max(1, (o.until+grace-now+999)/1000) }

// line says what an op does, as one would tell tc and nft.
func (o op) line(cfg *Config, now int64) string {
	version, proto := "4", "ip"
	if o.pair.from.Is6() {
		version, proto = "6", "ip6"
	}
	element := fmt.Sprintf("%s . %s", o.pair.from, o.pair.to)
	set := fmt.Sprintf("inet %s dscp%d_%s", cfg.Table, o.dscp, version)
	classes := fmt.Sprintf("inet %s class%s", cfg.Table, version)
	switch o.do {
	case setClass:
		link := cfg.Links[o.at.link]
		s := fmt.Sprintf("tc class replace dev %s parent %s:%x classid %s:%x htb rate %dkbit ceil %dkbit",
			link.Interface, cfg.Handle, minorLink, cfg.Handle, o.at.minor, o.rate, link.Rate)
		if o.delay > 0 {
			s += fmt.Sprintf("; tc qdisc replace dev %s parent %s:%x pfifo limit %d",
				link.Interface, cfg.Handle, o.at.minor, queueLimit(o.rate, o.delay))
		}
		return s
	case dropClass:
		return fmt.Sprintf("tc class del dev %s classid %s:%x", cfg.Links[o.at.link].Interface, cfg.Handle, o.at.minor)
	case addFlow:
		return fmt.Sprintf("nft add element %s { %s timeout %ds : %s:%x }", classes, element, o.timeout(now), cfg.Handle, o.at.minor)
	case dropFlow:
		return fmt.Sprintf("nft delete element %s { %s }", classes, element)
	case addValue:
		return fmt.Sprintf("nft add set inet %s dscp%d_4, dscp%d_6 and the rules that mark with %d", cfg.Table, o.dscp, o.dscp, o.dscp)
	case addMark:
		return fmt.Sprintf("nft add element %s { %s timeout %ds } # %s dscp set %d", set, element, o.timeout(now), proto, o.dscp)
	default:
		return fmt.Sprintf("nft delete element %s { %s }", set, element)
	}
}

// packet is the size of a full packet on the wire, in octets.
const packet = 1514

// queueLimit is how many full packets may wait in a class, so that they leave within the delay: but never so few that a
// burst is lost.
func queueLimit(rate uint32, delay uint16) uint32 {
	return uint32(max(4, uint64(rate)*uint64(delay)/8/packet))
}
