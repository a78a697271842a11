package denial

import (
	"errors"
	"net"

	"github.com/miekg/dns"
)

var (
	errOrder  = errors.New("it is behind this plugin in the order of plugins, so it signs none of its answers")
	errUnlike = errors.New("its NSEC records cannot be replaced: it works differently from CoreDNS 1.15's")
)

// Check returns what keeps the proofs of some zones from being made here, although dnssec signs in the server block. It
// tries what it depends on: other releases of dnssec may work in other ways. It is called once the servers are made.
func (b *Block) Check(zones []string) error {
	h := b.config.Handler(signing)
	if h == nil {
		return nil
	}
	if len(b.guards) == 0 {
		if _, ok := h.(signer); ok {
			return errOrder
		}
		return errUnlike
	}
	for _, zone := range zones {
		if tried, err := b.guards[0].check(zone, b.address()); tried {
			return err
		}
	}
	return nil
}

// check has a proof made as for a lookup, and gives it to dnssec as the answer to one. It can try it on a zone that
// dnssec signs.
func (g *guard) check(zone, server string) (tried bool, err error) {
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1}, Ns: zone, Mbox: zone, Minttl: 1}
	m := new(dns.Msg)
	m.SetQuestion(zone, dns.TypeDS)
	m.Response, m.Ns = true, []dns.RR{soa}
	made := g.prove(m, &denied{name: zone, qtype: dns.TypeDS, place: apex, soa: soa}, server)
	if made == m {
		return false, nil
	}
	records := len(made.Ns)
	if passed := g.passed(made, server); len(passed.Answer) > 0 || len(passed.Ns) != records {
		return true, errUnlike
	}
	return true, nil
}

// address returns the name that the metrics of the block's first server have.
func (b *Block) address() string {
	host := ""
	if len(b.config.ListenHosts) > 0 {
		host = b.config.ListenHosts[0]
	}
	return b.config.Transport + "://" + net.JoinHostPort(host, b.config.Port)
}
