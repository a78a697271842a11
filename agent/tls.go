package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how a server that is probed or asked over TLS is verified.
type TLS struct {
	ServerName string `yaml:"server_name"` // the name in its certificate; default the host that is dialled
	CA         string `yaml:"ca"`          // PEM file of the authorities that are trusted; default the system's
	Insecure   bool   `yaml:"insecure"`    // whether any certificate will do
}

// config makes the client configuration. A nil TLS verifies as usual.
func (t *TLS) config() (*tls.Config, error) {
	if t == nil {
		return &tls.Config{}, nil
	}
	cfg := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	if t.CA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("tls.ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("tls.ca: no certificate in " + t.CA)
	}
	return cfg, nil
}
