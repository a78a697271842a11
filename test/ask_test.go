package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// question makes a query with a plain EDNS, as resolvers send it.
func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	m.SetEdns0(1232, false)
	return m
}

// lookupTimeout is after which a lookup counts as failed. A name server that works answers in a fraction of it, even
// under the race detector on a busy machine.
const lookupTimeout = 5 * time.Second

func exchange(addr string, m *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Timeout: lookupTimeout}
	r, _, err := c.Exchange(m, addr)
	return r, err
}

func exchangeTCP(addr string, m *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Net: "tcp", Timeout: lookupTimeout}
	r, _, err := c.Exchange(m, addr)
	return r, err
}

// ask asks over UDP; no reply fails the test.
func ask(t testing.TB, addr, name string, qtype uint16) *dns.Msg {
	t.Helper()
	r, err := exchange(addr, question(name, qtype))
	if err != nil {
		t.Fatalf("%s %s: expected a reply, got %v", name, dns.TypeToString[qtype], err)
	}
	return r
}

// addresses returns the addresses of an answer, in its order.
func addresses(r *dns.Msg) []string {
	var list []string
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			list = append(list, rr.A.String())
		case *dns.AAAA:
			list = append(list, rr.AAAA.String())
		}
	}
	return list
}

// failure says what is wrong with an answer that should hold addresses.
func failure(r *dns.Msg, err error) error {
	switch {
	case err != nil:
		return err
	case r.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("%s", dns.RcodeToString[r.Rcode])
	case len(addresses(r)) == 0:
		return fmt.Errorf("no addresses: %s", strings.Join(strings.Fields(r.String()), " "))
	}
	return nil
}

// extendedErrors returns the codes of the extended errors of an answer.
func extendedErrors(r *dns.Msg) []uint16 {
	var codes []uint16
	if opt := r.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				codes = append(codes, e.InfoCode)
			}
		}
	}
	return codes
}

// given asks a few times in a row and returns every address that was given, sorted.
func given(t testing.TB, addr, name string) []string {
	t.Helper()
	var all []string
	for range 12 {
		for _, a := range addresses(ask(t, addr, name, dns.TypeA)) {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	slices.Sort(all)
	return all
}

// awaitGiven waits until exactly these addresses, sorted, are given.
func awaitGiven(t testing.TB, addr, name string, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(patience); ; {
		if got = given(t, addr, name); slices.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("Expected %s to be answered with %v, got %v", name, want, got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
