package denial

import (
	"errors"
	"testing"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/request"

	"github.com/miekg/dns"
)

// TestCheck has whole servers made, as plugins are known to a server block only then.
func TestCheck(t *testing.T) {
	is := func(h plugin.Handler) plugin.Plugin { return func(plugin.Handler) plugin.Handler { return h } }
	signs := signingPlugin(key())
	for _, tc := range []struct {
		name          string
		before, after []plugin.Plugin
		zones         []string
		want          error
	}{
		{"no dnssec", nil, nil, []string{"example.org."}, nil},
		{"dnssec", []plugin.Plugin{signs}, nil, []string{"example.org."}, nil},
		{"dnssec of other zones", []plugin.Plugin{signs}, nil, []string{"example.net."}, nil},
		{"dnssec behind", nil, []plugin.Plugin{signs}, []string{"example.org."}, errOrder},
		{"dnssec that cannot be asked to sign", []plugin.Plugin{is(stranger{})}, nil, []string{"example.org."}, errUnlike},
		{"dnssec that adds proofs to any answer", []plugin.Plugin{is(eager{})}, nil, []string{"example.org."}, errUnlike},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config := &dnsserver.Config{Zone: "example.org.", Transport: "dns", Port: "53", ListenHosts: []string{""}, Plugin: tc.before}
			b := Protect(config)
			config.AddPlugin(is(writes(nil)))
			for _, p := range tc.after {
				config.AddPlugin(p)
			}
			if _, err := dnsserver.NewServer("dns://:53", []*dnsserver.Config{config}); err != nil {
				t.Fatal(err)
			}
			if err := b.Check(tc.zones); !errors.Is(err, tc.want) {
				t.Errorf("Expected %v, got %v", tc.want, err)
			}
		})
	}
}

// stranger has the name alone.
type stranger struct{ plugin.Handler }

func (stranger) Name() string { return signing }

// eager signs what already has a proof once more.
type eager struct{ stranger }

func (eager) Sign(state request.Request, _ time.Time, _ string) *dns.Msg {
	m := state.Req
	sig := &dns.RRSIG{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeRRSIG}, SignerName: "example.org."}
	if len(m.Answer) > 0 {
		m.Answer = append(m.Answer, sig)
	}
	m.Ns = append(m.Ns, sig)
	return m
}
