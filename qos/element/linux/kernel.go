package linux

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// network is where ops take effect: the kernel, or paper.
type network interface {
	// ensure makes what every op needs.
	ensure(replace bool) error
	// read returns what stands.
	read() (*state, error)
	// apply does ops. If it fails, some may have been done.
	apply(ops []op) error
	// route returns the one of the links over which packets to an address leave.
	route(links []int, to netip.Addr) (int, error)
	// remove takes away all that ensure and apply made.
	remove() error
}

// kernel is the one that this process runs on, in its network namespace.
type kernel struct {
	cfg *Config
	*rules
	*queues
}

func newKernel(cfg *Config) (*kernel, error) {
	r, err := newRules(cfg)
	if err != nil {
		return nil, err
	}
	q, err := newQueues(cfg)
	return &kernel{cfg, r, q}, err
}

func (k *kernel) ensure(replace bool) error {
	return errors.Join(k.queues.ensure(replace), k.rules.ensure(replace))
}

func (k *kernel) read() (*state, error) {
	s := newState()
	return s, errors.Join(k.queues.read(s), k.rules.read(s, nowMillis()))
}

// apply does what is planned: classes come first and go last, what is between is one transaction.
func (k *kernel) apply(ops []op) error {
	first := 0
	for first < len(ops) && ops[first].do == setClass {
		first++
	}
	last := len(ops)
	for last > first && ops[last-1].do == dropClass {
		last--
	}
	if err := k.queues.apply(ops[:first]); err != nil {
		return err
	}
	if err := k.rules.apply(ops[first:last], nowMillis()); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return k.queues.apply(ops[last:])
}

func (k *kernel) remove() error {
	return errors.Join(k.rules.remove(), k.queues.remove())
}

// route asks the routing table, unless only one link leads there.
func (k *kernel) route(links []int, to netip.Addr) (int, error) {
	if len(links) == 1 {
		return links[0], nil
	}
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil {
		return 0, refusal(fmt.Sprintf("no route leads to %s: %v", to, err))
	}
	for _, r := range routes {
		for _, i := range links {
			if link, err := netlink.LinkByName(k.cfg.Links[i].Interface); err == nil && link.Attrs().Index == r.LinkIndex {
				return i, nil
			}
		}
	}
	return 0, refusal(fmt.Sprintf("the way to %s leads over none of the links", to))
}

// paper does nothing but say what would be done.
type paper struct {
	cfg  *Config
	out  io.Writer
	have *state
}

func newPaper(cfg *Config, out io.Writer) *paper { return &paper{cfg, out, newState()} }

func (p *paper) ensure(bool) error {
	for i, l := range p.cfg.Links {
		fmt.Fprintf(p.out, "tc qdisc replace dev %s root handle %s: htb default %x\n", l.Interface, p.cfg.Handle, minorRest)
		fmt.Fprintf(p.out, "tc class replace dev %s parent %s: classid %s:%x htb rate %dkbit\n",
			l.Interface, p.cfg.Handle, p.cfg.Handle, minorLink, l.Rate)
		fmt.Fprintf(p.out, "tc class replace dev %s parent %s:%x classid %s:%x htb rate %dkbit ceil %dkbit\n",
			l.Interface, p.cfg.Handle, minorLink, p.cfg.Handle, minorRest, l.Rate-uint32(p.cfg.grantable(i)), l.Rate)
	}
	_, err := fmt.Fprintf(p.out, "nft add table inet %s, its maps %s and %s, and its chain %s\n", p.cfg.Table, classesOf4, classesOf6, chainName)
	return err
}

func (p *paper) read() (*state, error) {
	return &state{maps.Clone(p.have.classes), maps.Clone(p.have.flows), maps.Clone(p.have.marks), maps.Clone(p.have.values)}, nil
}

func (p *paper) apply(ops []op) error {
	now := nowMillis()
	for i := range ops {
		if _, err := fmt.Fprintln(p.out, ops[i].line(p.cfg, now)); err != nil {
			return err
		}
	}
	p.have.note(ops)
	return nil
}

// route takes the first: what leads where is not known on paper.
func (p *paper) route(links []int, _ netip.Addr) (int, error) { return slices.Min(links), nil }

func (p *paper) remove() error {
	fmt.Fprintf(p.out, "nft delete table inet %s\n", p.cfg.Table)
	for _, l := range p.cfg.Links {
		fmt.Fprintf(p.out, "tc qdisc del dev %s root\n", l.Interface)
	}
	p.have = newState()
	return nil
}

func nowMillis() int64 { return time.Now().UnixMilli() }
