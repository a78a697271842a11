package farm

import (
	"context"

	"github.com/miekg/dns"
)

// scripted is a next plugin that answers with records.
type scripted struct {
	answer []dns.RR
	change func(*dns.Msg)
	rcode  int
	err    error
	asked  int
	wrote  *dns.Msg
}

func (s *scripted) Name() string { return "scripted" }

func (s *scripted) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	s.asked++
	m := new(dns.Msg)
	m.SetReply(r)
	m.Answer = s.answer
	if s.change != nil {
		s.change(m)
	}
	s.wrote = m
	if s.rcode == 0 {
		w.WriteMsg(m)
	}
	return s.rcode, s.err
}
