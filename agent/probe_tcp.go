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

func (t *TCPProbe) validate() error { return firstError(checkAddress(t.Address), t.TLS.validate()) }

// dialer is what plain and TLS dialers share.
type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

type tcpProbe struct{ cfg *TCPProbe }

// newTCPProbe makes the probe, and fails early if it could never pass.
func newTCPProbe(cfg *TCPProbe) (*tcpProbe, error) {
	t := &tcpProbe{cfg}
	_, err := t.dialer()
	return t, err
}

// dialer makes a dialer for each probe: certificates may have been renewed.
func (t *tcpProbe) dialer() (dialer, error) {
	if t.cfg.TLS == nil {
		return &net.Dialer{}, nil
	}
	c, err := t.cfg.TLS.config()
	return &tls.Dialer{Config: c}, err
}

func (t *tcpProbe) probe(ctx context.Context) error {
	d, err := t.dialer()
	if err != nil {
		return err
	}
	conn, err := d.DialContext(ctx, "tcp", t.cfg.Address)
	if err != nil {
		return err
	}
	return conn.Close()
}
