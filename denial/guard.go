// Package denial proves that names and types do not exist, in answers that CoreDNS's dnssec signs. dnssec 1.15 makes such
// proofs itself, but with the same list of types everywhere: types that exist are missing from it, and it does not depend
// on where the name stands in its zone. All cryptography is dnssec's.
package denial

import (
	"context"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/request"

	"github.com/miekg/dns"
)

// signer is what dnssec offers: it signs each set of records of a positive answer.
type signer interface {
	plugin.Handler
	Sign(state request.Request, now time.Time, server string) *dns.Msg
}

// signing is the name of the plugin that signs.
const signing = "dnssec"

// Block is the part of a server block that makes its proofs.
type Block struct {
	config *dnsserver.Config
	guards []*guard // one for each address that the block listens on; empty without dnssec
}

// Protect puts a guard directly behind dnssec, in a server block that has it, whichever plugin there makes the answers.
// It is called by the setup of a plugin behind dnssec.
func Protect(config *dnsserver.Config) *Block {
	b := &Block{config: config}
	for i, p := range config.Plugin {
		config.Plugin[i] = b.guarded(p)
	}
	return b
}

// guarded returns a plugin that hands on to a guard if it is dnssec, and the plugin itself if not.
func (b *Block) guarded(p plugin.Plugin) plugin.Plugin {
	return func(next plugin.Handler) plugin.Handler {
		h := p(next)
		s, ok := h.(signer)
		if !ok || h.Name() != signing {
			return h
		}
		g := &guard{next: next, signer: s}
		b.guards = append(b.guards, g)
		return p(g)
	}
}

// guard stands between dnssec, which signs what passes, and the plugins that make the answers.
type guard struct {
	next   plugin.Handler
	signer signer
}

// Name implements plugin.Handler.
func (g *guard) Name() string { return "denial" }

// ServeDNS implements plugin.Handler. dnssec signs for those that ask for signatures.
func (g *guard) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	if opt := r.IsEdns0(); opt != nil && opt.Do() {
		w = &writer{ResponseWriter: w, guard: g, ctx: ctx}
	}
	return g.next.ServeDNS(ctx, w, r)
}
