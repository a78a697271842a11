package qos

import "github.com/coredns-farm/farm/steer"

// OfferOf returns what a level promises.
func OfferOf(l *steer.Level) Offer {
	o := Offer{
		Level: l.Name, Unit: millionths(l.Unit), Network: l.OnNetwork(), Element: l.Element,
		Up: l.Up, Down: l.Down, Delay: l.Delay, DSCP: l.DSCP, Profile: l.Profile, Duration: l.Seconds(),
		NeedsServer: l.Needs(steer.RequiresServer), NeedsNetwork: l.Needs(steer.RequiresNetwork),
	}
	if o.Unit > 0 {
		o.Share = Million
		if l.Share > 0 {
			o.Share = millionths(l.Share)
		}
	}
	return o
}

func millionths(part float64) int64 { return int64(part*Million + 0.5) }
