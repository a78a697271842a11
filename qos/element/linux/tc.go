package linux

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// queues is what we have of a link: a root qdisc (HTB) with a class for the whole link, and below it one for best effort
// and one for each flow. HTB finds a packet's class by its priority, which our table of nftables sets; there are no
// filters. A class may send at its rate whatever the others do, and shares what they leave up to the link's rate: each
// by turns a packet, best effort several.
type queues struct {
	cfg   *Config
	major uint16
	codel bool // whether the kernel has fq_codel, as far as is known
}

// restQuantum is how many packets best effort sends when the flows' classes send one each of what is left over. It has
// many clients in one class.
const restQuantum = 4

func newQueues(cfg *Config) (*queues, error) {
	major, err := cfg.major()
	return &queues{cfg: cfg, major: major, codel: true}, err
}

func (q *queues) handle(minor uint16) uint32 { return netlink.MakeHandle(q.major, minor) }

// ensure gives each link its qdisc and the two classes that stand. A qdisc that somebody else has put there gives way
// only to replace.
func (q *queues) ensure(replace bool) error {
	for i := range q.cfg.Links {
		if err := q.ensureLink(i, replace); err != nil {
			return fmt.Errorf("link %s: %w", q.cfg.Links[i].Interface, err)
		}
	}
	return nil
}

func (q *queues) ensureLink(i int, replace bool) error {
	link, err := netlink.LinkByName(q.cfg.Links[i].Interface)
	if err != nil {
		return err
	}
	root, err := rootOf(link)
	if err != nil {
		return err
	}
	switch {
	case root != nil && q.owns(root):
	case root != nil && root.Attrs().Handle != 0 && !replace: // the kernel's own default has no handle
		return fmt.Errorf("it has a root qdisc %s %x: that is not ours: expected the kernel's default; remove it, or say replace",
			root.Type(), root.Attrs().Handle>>16)
	default:
		if err := q.addRoot(link); err != nil {
			return err
		}
	}
	rate := q.cfg.Links[i].Rate
	if err := q.setClass(link, minorLink, netlink.HANDLE_ROOT, rate, rate, 1); err != nil {
		return err
	}
	rest := rate - uint32(q.cfg.grantable(i))
	if err := q.setClass(link, minorRest, q.handle(minorLink), rest, rate, restQuantum); err != nil {
		return err
	}
	return q.setLeaf(link, minorRest, 0)
}

func rootOf(link netlink.Link) (netlink.Qdisc, error) {
	all, err := netlink.QdiscList(link)
	for _, d := range all {
		if d.Attrs().Parent == netlink.HANDLE_ROOT {
			return d, err
		}
	}
	return nil, err
}

func (q *queues) owns(d netlink.Qdisc) bool {
	return d.Type() == "htb" && d.Attrs().Handle == q.handle(0)
}

func (q *queues) addRoot(link netlink.Link) error {
	d := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: q.handle(0), Parent: netlink.HANDLE_ROOT})
	d.Defcls = uint32(minorRest)
	if err := netlink.QdiscReplace(d); err != nil {
		return fmt.Errorf("cannot add an HTB qdisc: %w", err)
	}
	return nil
}

// setClass makes a class, or changes it. Rates are in kbit/s.
func (q *queues) setClass(link netlink.Link, minor uint16, parent, rate, ceil, quantum uint32) error {
	if parent == netlink.HANDLE_ROOT {
		parent = q.handle(0)
	}
	c := netlink.NewHtbClass(
		netlink.ClassAttrs{LinkIndex: link.Attrs().Index, Parent: parent, Handle: q.handle(minor)},
		netlink.HtbClassAttrs{Rate: uint64(rate) * 1000, Ceil: uint64(ceil) * 1000, Quantum: quantum * uint32(max(link.Attrs().MTU+100, packet))},
	)
	if err := netlink.ClassReplace(c); err != nil {
		return fmt.Errorf("cannot set class %x of %d kbit/s: %w", minor, rate, err)
	}
	return nil
}

// setLeaf gives a class its queue: one of at most limit packets, or, with no limit, fq_codel where the kernel has it and
// the kernel's default where it has not.
func (q *queues) setLeaf(link netlink.Link, minor uint16, limit uint32) error {
	if limit > 0 {
		return q.setFIFO(link, minor, limit)
	}
	if !q.codel {
		return nil
	}
	attrs := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: q.handle(minor)} // the kernel gives it a handle
	switch err := netlink.QdiscReplace(netlink.NewFqCodel(attrs)); {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		q.codel = false
	case err != nil:
		return fmt.Errorf("cannot set the queue of class %x: %w", minor, err)
	}
	return nil
}

// setFIFO sets a queue of so many packets. (The library knows this qdisc only without its limit.)
func (q *queues) setFIFO(link netlink.Link, minor uint16, limit uint32) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(link.Attrs().Index), Parent: q.handle(minor)})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("pfifo")))
	req.AddData(nl.NewRtAttr(nl.TCA_OPTIONS, nl.Uint32Attr(limit)))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("cannot set the queue of class %x to %d packets: %w", minor, limit, err)
	}
	return nil
}

// apply does ops of classes, one after the other.
func (q *queues) apply(ops []op) error {
	for i := range ops {
		if err := q.applyOne(&ops[i]); err != nil {
			return fmt.Errorf("link %s: %w", q.cfg.Links[ops[i].at.link].Interface, err)
		}
	}
	return nil
}

func (q *queues) applyOne(o *op) error {
	cfg := q.cfg.Links[o.at.link]
	link, err := netlink.LinkByName(cfg.Interface)
	if err != nil {
		return err
	}
	if o.do == dropClass {
		err := netlink.ClassDel(&netlink.GenericClass{ClassType: "htb",
			ClassAttrs: netlink.ClassAttrs{LinkIndex: link.Attrs().Index, Parent: q.handle(minorLink), Handle: q.handle(o.at.minor)}})
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	if err := q.setClass(link, o.at.minor, q.handle(minorLink), o.rate, cfg.Rate, 1); err != nil {
		return err
	}
	limit := uint32(0)
	if o.delay > 0 {
		limit = queueLimit(o.rate, o.delay)
	}
	return q.setLeaf(link, o.at.minor, limit)
}

// read adds to the state the classes of flows that stand.
func (q *queues) read(s *state) error {
	for i, l := range q.cfg.Links {
		link, err := netlink.LinkByName(l.Interface)
		if err != nil {
			return fmt.Errorf("link %s: %w", l.Interface, err)
		}
		classes, err := netlink.ClassList(link, netlink.HANDLE_NONE)
		if err != nil {
			return fmt.Errorf("link %s: %w", l.Interface, err)
		}
		for _, c := range classes {
			htb, ok := c.(*netlink.HtbClass)
			major, minor := netlink.MajorMinor(c.Attrs().Handle)
			if ok && major == q.major && minor >= minorFirst {
				s.classes[classAt{i, minor}] = uint32(htb.Rate * 8 / 1000)
			}
		}
	}
	return nil
}

// remove takes our root qdiscs away; the kernel puts its default there.
func (q *queues) remove() error {
	var errs []error
	for _, l := range q.cfg.Links {
		link, err := netlink.LinkByName(l.Interface)
		if err == nil {
			var root netlink.Qdisc
			if root, err = rootOf(link); err == nil && root != nil && q.owns(root) {
				err = netlink.QdiscDel(root)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("link %s: %w", l.Interface, err))
		}
	}
	return errors.Join(errs...)
}
