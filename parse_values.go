package farm

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/suggest"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/durations"
)

// maxUtilization bounds limits of utilisation: a server can be over its capacity, not by tenfold.
const maxUtilization = 10

// maxStaleMost bounds max_stale, so that sums of times stay far from overflow.
const maxStaleMost = 365 * 24 * time.Hour

func (p *parser) integer(name string, args []string, lo, hi int) (int, error) {
	if len(args) == 1 {
		if n, err := strconv.Atoi(args[0]); err == nil && lo <= n && n <= hi {
			return n, nil
		}
	}
	return 0, p.Errf("%s: expected a whole number from %d to %d, not %q", name, lo, hi, strings.Join(args, " "))
}

// number reads a number above 0.
func (p *parser) number(name string, args []string, hi float64) (float64, error) {
	if len(args) == 1 {
		if x, err := strconv.ParseFloat(args[0], 64); err == nil && x > 0 && x <= hi {
			return x, nil
		}
	}
	return 0, p.Errf("%s: expected a number above 0 and up to %v, not %q", name, hi, strings.Join(args, " "))
}

// numberOrZero reads a number from 0 on.
func (p *parser) numberOrZero(name string, args []string, hi float64) (*float64, error) {
	if len(args) == 1 {
		if x, err := strconv.ParseFloat(args[0], 64); err == nil && x >= 0 && x <= hi {
			return &x, nil
		}
	}
	return nil, p.Errf("%s: expected a number from 0 to %v, not %q", name, hi, strings.Join(args, " "))
}

// part reads a number from 0 to 1.
func (p *parser) part(name string, args []string) (float64, error) {
	if len(args) == 1 {
		if x, err := strconv.ParseFloat(args[0], 64); err == nil && x >= 0 && x <= 1 {
			return x, nil
		}
	}
	return 0, p.Errf("%s: expected a number from 0 to 1, not %q", name, strings.Join(args, " "))
}

// wholeSeconds reads a time within bounds, without fractions of seconds.
func (p *parser) wholeSeconds(name string, args []string, least, most time.Duration) (uint32, error) {
	if len(args) == 1 {
		if d, err := durations.NewDurationFromArg(args[0]); err == nil && least <= d && d <= most && d%time.Second == 0 {
			return uint32(d / time.Second), nil
		}
	}
	return 0, p.Errf("%s: expected a duration in whole seconds from %.0fs to %.0fs, such as 90s or 5m, not %q",
		name, least.Seconds(), most.Seconds(), strings.Join(args, " "))
}

// duration reads a time above 0: 90s, 5m, or a number of seconds.
func (p *parser) duration(name string, args []string) (time.Duration, error) {
	if len(args) == 1 {
		if d, err := durations.NewDurationFromArg(args[0]); err == nil && d > 0 && d <= maxStaleMost {
			return d, nil
		}
	}
	return 0, p.Errf("%s: expected a duration above 0, such as 90s or 5m, not %q", name, strings.Join(args, " "))
}

// ramp reads a time from 0 to steer.MaxRamp, in seconds.
func (p *parser) ramp(name string, args []string) (*float64, error) {
	if len(args) == 1 {
		if d, err := durations.NewDurationFromArg(args[0]); err == nil && d >= 0 && d.Seconds() <= steer.MaxRamp {
			return new(d.Seconds()), nil
		}
	}
	return nil, p.Errf("%s: expected a duration from 0 to %ds, such as 90s or 5m, not %q", name, steer.MaxRamp, strings.Join(args, " "))
}

func orOption(options []string) string {
	if len(options) == 0 {
		return ""
	}
	return " or an option: " + strings.Join(options, ", ")
}

// addresses reads IP addresses; options are the words that might have stood there instead.
func (p *parser) addresses(what string, options []string, args []string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, arg := range args {
		a, err := netip.ParseAddr(arg)
		a = a.Unmap()
		switch {
		case err != nil || a.Zone() != "":
			return nil, p.Errf("%s: expected an IP address%s, not %q%s", what, orOption(options), arg, suggest.DidYouMean(suggest.Words(arg, options)))
		case store.CheckAddress(a) != nil:
			return nil, p.Errf("%s: expected the address of a host, not %s", what, arg)
		case slices.Contains(addrs, a):
			return nil, p.Errf("%s: %s is given more than once", what, arg)
		}
		addrs = append(addrs, a)
	}
	if len(addrs) > steer.MaxAddresses {
		return nil, p.Errf("%s: expected at most %d addresses", what, steer.MaxAddresses)
	}
	return addrs, nil
}

// prefix reads a subnet, or an address as the subnet of itself.
func (p *parser) prefix(what, arg string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(arg); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(arg)
	switch {
	case err != nil || n.Addr().Is4In6():
		return n, p.Errf("%s: expected a subnet, not %q", what, arg)
	case n != n.Masked():
		return n, p.Errf("%s: %s has bits beyond its length: did you mean %s?", what, arg, n.Masked())
	}
	return n, nil
}

// lowerAll makes names lower case: DNS knows no other difference.
func lowerAll(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToLower(name)
	}
	return out
}

// hostName reads a name that a record may point to.
func hostName(arg string) (string, bool) {
	name := plugin.Name(arg).Normalize()
	return name, !strings.HasPrefix(name, "*") && store.CheckServiceName(name) == nil
}
