package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// rules is our table of nftables:
//
//	table inet farm {
//	    map class4 { type ipv4_addr . ipv4_addr : classid; flags timeout; }   # and class6
//	    set dscp46_4 { type ipv4_addr . ipv4_addr; flags timeout; }           # and dscp46_6: a pair for each value in use
//	    chain mark {
//	        type filter hook postrouting priority mangle; policy accept;
//	        meta priority set ip saddr . ip daddr map @class4                  # and for ip6
//	        ip saddr . ip daddr @dscp46_4 ip dscp set 46                       # and for ip6
//	    }
//	}
//
// Handles of classes stand in it in network order, which is how nft shows the values of a map that it did not make; the
// rule turns them round.
type rules struct {
	table *nftables.Table
	major uint16
}

const (
	chainName  = "mark"
	classesOf4 = "class4"
	classesOf6 = "class6"
)

// elementsAtOnce bounds a message of netlink, whose list of elements is at most 64 KiB.
const elementsAtOnce = 200

// sendBuffer is what a change of many elements needs, in octets.
const sendBuffer = 8 << 20

func newRules(cfg *Config) (*rules, error) {
	major, err := cfg.major()
	return &rules{&nftables.Table{Name: cfg.Table, Family: nftables.TableFamilyINet}, major}, err
}

// dial opens a connection; nothing is sent before it is flushed.
func dial() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		// Without the right to force it, the kernel's own bound has to do.
		_, _ = c.SetWriteBuffer(sendBuffer), c.SetReadBuffer(sendBuffer)
		return nil
	}))
}

// ensure makes the table, if it is not there as we would make it. One that somebody else made gives way only to replace.
func (r *rules) ensure(replace bool) error {
	c, err := dial()
	if err != nil {
		return err
	}
	there, ours, err := r.look(c)
	switch {
	case err != nil:
		return err
	case ours:
		return nil
	case there && !replace:
		return fmt.Errorf("nftables has a table inet %s that is not ours: expected none; remove it, name another, or say replace", r.table.Name)
	case there:
		c.DelTable(r.table)
	}
	r.create(c)
	return c.Flush()
}

// look says whether there is a table of our name, and whether it holds what ours holds.
func (r *rules) look(c *nftables.Conn) (there, ours bool, err error) {
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, false, err
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == r.table.Name }) {
		return false, false, nil
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return true, false, err
	}
	sets, err := c.GetSets(r.table)
	if err != nil {
		return true, false, err
	}
	found := 0
	for _, ch := range chains {
		if ch.Table.Name == r.table.Name && ch.Name == chainName && ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookPostrouting {
			found++
		}
	}
	for _, s := range sets {
		want := r.classes(s.KeyType.Bytes == 8)
		if s.Name == want.Name && s.IsMap && s.HasTimeout && s.KeyType.Bytes == want.KeyType.Bytes {
			found++
		}
	}
	return true, found == 3, nil
}

func (r *rules) create(c *nftables.Conn) {
	c.AddTable(r.table)
	chain := c.AddChain(&nftables.Chain{
		Name: chainName, Table: r.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityMangle,
	})
	for _, is4 := range []bool{true, false} {
		set := r.classes(is4)
		// A map that is new, and a family that is known, are no cause for an error before the flush.
		_ = c.AddSet(set, nil)
		c.AddRule(&nftables.Rule{Table: r.table, Chain: chain, Exprs: append(loadPair(is4),
			&expr.Lookup{SourceRegister: unix.NFT_REG32_00, SetName: set.Name, SetID: set.ID, DestRegister: unix.NFT_REG_1, IsDestRegSet: true},
			&expr.Byteorder{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Op: expr.ByteorderNtoh, Len: 4, Size: 4},
			&expr.Meta{Key: expr.MetaKeyPRIORITY, SourceRegister: true, Register: unix.NFT_REG_1},
		)})
	}
}

// remove takes the table away, if it is there.
func (r *rules) remove() error {
	c, err := dial()
	if err != nil {
		return err
	}
	c.DelTable(r.table)
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func keyType(is4 bool) nftables.SetDatatype {
	t := nftables.TypeIPAddr
	if !is4 {
		t = nftables.TypeIP6Addr
	}
	return nftables.MustConcatSetType(t, t)
}

// classes is the map of a family. Sets that are new in a transaction need numbers that differ within it.
func (r *rules) classes(is4 bool) *nftables.Set {
	name, id := classesOf4, uint32(1)
	if !is4 {
		name, id = classesOf6, 2
	}
	return &nftables.Set{Table: r.table, Name: name, ID: id, KeyType: keyType(is4), Concatenation: true,
		IsMap: true, DataType: nftables.TypeClassID, HasTimeout: true}
}

func (r *rules) marks(dscp uint8, is4 bool) *nftables.Set {
	version := uint32(4)
	if !is4 {
		version = 6
	}
	return &nftables.Set{Table: r.table, Name: fmt.Sprintf("dscp%d_%d", dscp, version), ID: 10*uint32(dscp) + version, KeyType: keyType(is4),
		Concatenation: true, HasTimeout: true}
}

// loadPair loads the addresses of a packet of the family, source and destination, side by side.
func loadPair(is4 bool) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
	if !is4 {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{family}},
		&expr.Payload{DestRegister: unix.NFT_REG32_00, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Payload{DestRegister: unix.NFT_REG32_00 + size/4, Base: expr.PayloadBaseNetworkHeader, Offset: offset + size, Len: size},
	}
}

// setDSCP writes the DSCP into a packet's header: the upper six bits of the octet that RFC 2474 redefines, which in IPv6
// straddles two.
func setDSCP(dscp uint8, is4 bool) []expr.Any {
	mask, value := []byte{0xff, 0x03}, []byte{0, dscp << 2}
	write := &expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: unix.NFT_REG_1,
		Base: expr.PayloadBaseNetworkHeader, Len: 2, CsumType: expr.CsumTypeInet, CsumOffset: 10}
	if !is4 {
		mask, value = []byte{0xf0, 0x3f}, []byte{dscp >> 2, dscp << 6}
		write.CsumType, write.CsumOffset = expr.CsumTypeNone, 0
	}
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Len: 2},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 2, Mask: mask, Xor: value},
		write,
	}
}

// apply does the ops in one transaction: all of them or none.
func (r *rules) apply(ops []op, now int64) error {
	c, err := dial()
	if err != nil {
		return err
	}
	// A run of ops of one kind at one set is one message.
	for len(ops) > 0 {
		n := 1
		for n < len(ops) && n < elementsAtOnce && sameSet(&ops[0], &ops[n]) {
			n++
		}
		if err := r.send(c, ops[:n], now); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return c.Flush()
}

func sameSet(a, b *op) bool {
	return a.do == b.do && a.dscp == b.dscp && a.pair.from.Is4() == b.pair.from.Is4() && a.do != addValue
}

func (r *rules) send(c *nftables.Conn, ops []op, now int64) error {
	is4 := ops[0].pair.from.Is4()
	var elements []nftables.SetElement
	for i := range ops {
		elements = append(elements, r.element(&ops[i], now))
	}
	switch o := &ops[0]; o.do {
	case addFlow:
		return c.SetAddElements(r.classes(is4), elements)
	case dropFlow:
		return c.SetDeleteElements(r.classes(is4), elements)
	case addMark:
		return c.SetAddElements(r.marks(o.dscp, is4), elements)
	case dropMark:
		return c.SetDeleteElements(r.marks(o.dscp, is4), elements)
	default:
		return r.addValue(c, o.dscp)
	}
}

func (r *rules) element(o *op, now int64) (e nftables.SetElement) {
	e.Key = append(o.pair.from.AsSlice(), o.pair.to.AsSlice()...)
	if o.do == addFlow || o.do == addMark {
		e.Timeout = time.Duration(o.timeout(now)) * time.Second
	}
	if o.do == addFlow {
		e.Val = binaryutil.BigEndian.PutUint32(uint32(r.major)<<16 | uint32(o.at.minor))
	}
	return e
}

// addValue makes the sets and rules of a DSCP value.
func (r *rules) addValue(c *nftables.Conn, dscp uint8) error {
	chain := &nftables.Chain{Name: chainName, Table: r.table}
	for _, is4 := range []bool{true, false} {
		set := r.marks(dscp, is4)
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
		match := append(loadPair(is4), &expr.Lookup{SourceRegister: unix.NFT_REG32_00, SetName: set.Name, SetID: set.ID})
		c.AddRule(&nftables.Rule{Table: r.table, Chain: chain, Exprs: append(match, setDSCP(dscp, is4)...)})
	}
	return nil
}

// read adds to the state what stands in the table.
func (r *rules) read(s *state, now int64) error {
	c, err := dial()
	if err != nil {
		return err
	}
	sets, err := c.GetSets(r.table)
	if err != nil {
		return err
	}
	for _, set := range sets {
		dscp, ok := valueOf(set.Name)
		if !ok && set.Name != classesOf4 && set.Name != classesOf6 {
			continue
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return err
		}
		if ok {
			s.values[dscp] = true
		}
		for i := range elements {
			r.note(s, &elements[i], ok, dscp, now)
		}
	}
	return nil
}

func (r *rules) note(s *state, e *nftables.SetElement, isMark bool, dscp uint8, now int64) {
	half := len(e.Key) / 2
	from, ok1 := netip.AddrFromSlice(e.Key[:half])
	to, ok2 := netip.AddrFromSlice(e.Key[half:])
	if !ok1 || !ok2 {
		return
	}
	until := now + e.Expires.Milliseconds() - grace
	switch {
	case isMark:
		s.marks[pair{from, to}] = marked{dscp, until}
	case len(e.Val) >= 4:
		s.flows[pair{from, to}] = classified{uint16(binaryutil.BigEndian.Uint32(e.Val)), until}
	}
}

// valueOf returns the DSCP value whose set has that name.
func valueOf(set string) (dscp uint8, ok bool) {
	digits, isMarks := strings.CutPrefix(set, "dscp")
	digits, _, found := strings.Cut(digits, "_")
	n, err := strconv.ParseUint(digits, 10, 6)
	return uint8(n), isMarks && found && err == nil
}
