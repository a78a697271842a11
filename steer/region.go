package steer

import (
	"errors"
	"net/netip"
	"slices"
)

// MaxRegions bounds the regions of one table; a farm is built once for each.
const MaxRegions = 64

// ErrRegions is what NewRegions returns when there are more than MaxRegions.
var ErrRegions = errors.New("too many regions: at most 64")

// Region is a named set of client subnets.
type Region struct {
	Name     string
	Prefixes []netip.Prefix
}

// Regions finds the region of a client. It is immutable, and nil is an empty one.
//
// The subnets stand in a binary trie, so that the part of the address space that shares an answer is known exactly:
// RFC 7871 section 7.2.1 wants scopes that do not overlap.
type Regions struct {
	names []string // region i+1
	nodes []node   // 0 is the root of IPv4, 1 of IPv6
}

type node struct {
	child  [2]int32 // 0 is none
	region int32    // 0 is none of its own
}

// NewRegions makes a table. The longest prefix wins, and of equal ones the first. A name may be given more than once.
func NewRegions(regions []Region) (*Regions, error) {
	r := &Regions{nodes: make([]node, 2)}
	for _, region := range regions {
		i := r.Number(region.Name)
		if i == 0 {
			if len(r.names) == MaxRegions {
				return nil, ErrRegions
			}
			r.names = append(r.names, region.Name)
			i = len(r.names)
		}
		for _, p := range region.Prefixes {
			r.insert(p.Masked(), int32(i))
		}
	}
	return r, nil
}

func (r *Regions) insert(p netip.Prefix, region int32) {
	at := rootOf(p.Addr())
	b := p.Addr().AsSlice()
	for i := range p.Bits() {
		bit := b[i/8] >> (7 - i%8) & 1
		if r.nodes[at].child[bit] == 0 {
			r.nodes = append(r.nodes, node{})
			r.nodes[at].child[bit] = int32(len(r.nodes) - 1)
		}
		at = r.nodes[at].child[bit]
	}
	if r.nodes[at].region == 0 {
		r.nodes[at].region = region
	}
}

func rootOf(a netip.Addr) int32 {
	if a.Is4() {
		return 0
	}
	return 1
}

// Find returns the region of an address, 0 for none, and the length of the longest subnet around it of which every
// address has that region and that no other such subnet overlaps. It allocates nothing.
func (r *Regions) Find(a netip.Addr) (region, scope int) {
	if r == nil || !a.IsValid() {
		return 0, 0
	}
	a = a.Unmap()
	at := rootOf(a)
	b := a.As16()
	skip := 128 - a.BitLen()
	for {
		n := &r.nodes[at]
		if n.region != 0 {
			region = int(n.region)
		}
		if n.child == [2]int32{} {
			return region, scope
		}
		i := skip + scope
		at = n.child[b[i/8]>>(7-i%8)&1]
		scope++
		if at == 0 {
			return region, scope
		}
	}
}

// Len returns the number of regions.
func (r *Regions) Len() int {
	if r == nil {
		return 0
	}
	return len(r.names)
}

// Name returns the name of region i, 1 to Len.
func (r *Regions) Name(i int) string { return r.names[i-1] }

// Number returns the number of a region, or 0.
func (r *Regions) Number(name string) int {
	if r == nil {
		return 0
	}
	return slices.Index(r.names, name) + 1
}
