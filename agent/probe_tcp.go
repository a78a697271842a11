package agent

import (
	"context"
	"crypto/tls"
	"net"
)

// TCPProbe passes when a connection is accepted, and, with tls, the handshake succeeds.
type TCPProbe struct {
	Address string `yaml:"address"` // host:port
	TLS     *TLS   `yaml:"tls"`
}

func (t *TCPProbe) validate() error { return checkAddress(t.Address) }

// dialer is what plain and TLS dialers share.
type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

type tcpProbe struct {
	address string
	dialer  dialer
}

func newTCPProbe(cfg *TCPProbe) (*tcpProbe, error) {
	if cfg.TLS == nil {
		return &tcpProbe{cfg.Address, &net.Dialer{}}, nil
	}
	t, err := cfg.TLS.config()
	if err != nil {
		return nil, err
	}
	return &tcpProbe{cfg.Address, &tls.Dialer{Config: t}}, nil
}

func (t *tcpProbe) probe(ctx context.Context) error {
	conn, err := t.dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return err
	}
	return conn.Close()
}
