package farm

import (
	"strings"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// wish is what a query says about quality of service, who has shown to say so, and what it is to have.
type wish struct {
	option, label qos.Asked
	asksByOption  bool      // whether there is an option, which is then answered
	code          uint16    // of the option
	asksGrant     bool      // whether it asks what was granted
	garbled       bool      // whether the labels make no sense
	claim         qos.Claim // of a handle
	right         right
	level         *steer.Level // nil is best effort
	shown         qos.Shown
}

// noWish is that of all the queries that say nothing. It is only read.
var noWish wish

// readQoS reads what a query says about quality of service: its option here, its labels off its name. What is left is
// the name of what it asks for. It returns false where the option is malformed.
func (f *Farm) readQoS(q *query) (ok bool) {
	c := f.conf.qos
	data := optionOf(q.opt, c.code)
	if data == nil && !qos.MayHaveLabels(q.name) && len(c.tsig)+len(c.certs)+len(c.subnets) == 0 {
		return true
	}
	q.wish = &q.room
	q.code, q.asksByOption = c.code, data != nil
	if data != nil && qos.ParseOption(data, &q.option) != nil {
		return false
	}
	rest, grant, err := qos.StripLabels(q.name, &q.label)
	if err == nil && !steer.IsBelow(rest, q.zone.Name) && rest != q.zone.Name {
		return true // the labels belong to the zone
	}
	q.name, q.asksGrant, q.garbled = rest, grant, err != nil
	return true
}

// optionOf returns the data of the option, nil if there is none.
func optionOf(opt *dns.OPT, code uint16) []byte {
	if opt == nil || code == 0 {
		return nil
	}
	for _, o := range opt.Option {
		if o, ok := o.(*dns.EDNS0_LOCAL); ok && o.Code == code {
			return o.Data
		}
	}
	return nil
}

// Why a client is not given what it asks for.
var (
	notEntitled  = ede{dns.ExtendedErrorCodeProhibited, "not entitled to the level"}
	notSupported = ede{dns.ExtendedErrorCodeNotSupported, "no such level"}
	notAccepted  = ede{dns.ExtendedErrorCodeOther, "handle not accepted; best effort"}
	notGranted   = ede{dns.ExtendedErrorCodeOther, "qos not granted"}

	garbledLabels = ede{dns.ExtendedErrorCodeNotSupported, "labels before the name not understood"}
)

// entitle settles which level the query's client is to have at a service. It returns false where the client is to be
// refused.
func (f *Farm) entitle(q *query, farm *steer.Farm) bool {
	if len(farm.Service.Levels) == 0 {
		return true
	}
	f.identifyClient(q, farm)
	if q.right.why != nil && q.reason.text == "" {
		q.reason = notAccepted
	}
	l, asks := q.levelAsked(farm)
	switch {
	case asks && l == nil:
		q.shown.Reason, q.reason = qos.NotUnderstood, notSupported
		entitlements[q.right.origin].unknown.Inc()
	case asks && l.Rank > q.right.rank && l.Refuse:
		q.reason = notEntitled
		entitlements[q.right.origin].refused.Inc()
		return false
	case asks && l.Rank > q.right.rank:
		q.shown.Reason = qos.NotEntitled
		entitlements[q.right.origin].lower.Inc()
		q.level = farm.Service.LevelAt(q.right.rank)
	case asks:
		entitlements[q.right.origin].entitled.Inc()
		q.level = l
	case q.right.rank > 0:
		entitlements[q.right.origin].entitled.Inc()
		q.level = farm.Service.LevelAt(q.right.rank)
	}
	return true
}

// levelAsked returns the level that the query asks for, nil if the service has none such, and whether it asks for any.
// The option's word holds before the name's.
func (q *query) levelAsked(farm *steer.Farm) (l *steer.Level, asks bool) {
	for _, a := range []*qos.Asked{&q.option, &q.label} {
		switch {
		case a.Unknown != 0:
			return nil, true
		case a.Level != "":
			return named(&farm.Service, a.Level), true
		case a.HasNeeds:
			return qos.Cheapest(farm.Service.Levels, a.Needs), true
		}
	}
	return nil, false
}

// named finds a level by its name or, as a label has it, by that of its CAMARA profile: qos-e is QOS_E.
func named(s *steer.Service, name string) *steer.Level {
	if l := s.Level(name); l != nil {
		return l
	}
	profile := strings.ReplaceAll(name, "-", "_")
	for i := range s.Levels {
		if l := &s.Levels[i]; l.Profile != "" && strings.EqualFold(strings.ReplaceAll(l.Profile, "-", "_"), profile) {
			return l
		}
	}
	return nil
}

// personal fills in what makes a query one of a known client.
func (q *query) personal(sq *steer.Query) {
	sq.Level = q.level.Rank
	if q.right.origin > bySubnet {
		sq.Who = steer.WhoIs(q.right.client)
	}
	if needsGrant(q.level) {
		sq.Answers = 1 // it is granted at one server
	}
}

// needsGrant says whether anything is to be reserved for a client of the level.
func needsGrant(l *steer.Level) bool { return l.OnServer() || l.OnNetwork() }
