package agent

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how a server that is probed or asked over TLS is verified, and how the agent shows who it is.
type TLS struct {
	ServerName string `yaml:"server_name"` // the name in its certificate; default the host that is dialled
	CA         string `yaml:"ca"`          // PEM file of the authorities that are trusted; default the system's
	Insecure   bool   `yaml:"insecure"`    // whether any certificate will do
	Cert       string `yaml:"cert"`        // PEM file of the client's certificate and those that vouch for it
	Key        string `yaml:"key"`         // PEM file of its key
}

func (t *TLS) validate() error {
	if t != nil && (t.Cert == "") != (t.Key == "") {
		return errors.New("tls: expected both cert and key, or neither")
	}
	return nil
}

// config makes the client configuration. A nil TLS verifies as usual.
func (t *TLS) config() (*tls.Config, error) {
	authorities, err := t.readCA()
	if err != nil {
		return nil, err
	}
	return t.configWith(authorities)
}

// readCA reads the file of authorities, nil if there is none.
func (t *TLS) readCA() ([]byte, error) {
	if t == nil || t.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("tls.ca: %w", err)
	}
	return pem, nil
}

// configWith makes the client configuration with authorities that were read. The client's certificate is read for each
// handshake, so that one that is renewed is used from the next connection on.
func (t *TLS) configWith(authorities []byte) (*tls.Config, error) {
	if t == nil {
		return &tls.Config{}, nil
	}
	cfg := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	if t.Cert != "" {
		if _, err := t.certificate(nil); err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = t.certificate
	}
	if len(authorities) == 0 {
		return cfg, nil
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(bytes.TrimSpace(authorities)) {
		return nil, errors.New("tls.ca: no certificate in " + t.CA)
	}
	return cfg, nil
}

func (t *TLS) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert: %w", err)
	}
	return &c, nil
}
