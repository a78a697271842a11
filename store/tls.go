package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// tlsFiles is what a URL says of TLS. Comparable: all URLs of a Cluster must say the same.
type tlsFiles struct {
	on                    bool
	ca, cert, key, server string
}

func (f *tlsFiles) take(q url.Values) error {
	*f = tlsFiles{true, take(q, "ca"), take(q, "cert"), take(q, "key"), take(q, "server_name")}
	if (f.cert == "") != (f.key == "") {
		return errors.New("cert and key: expected both or neither")
	}
	return nil
}

// config reads the files; nil is no TLS.
func (f *tlsFiles) config() (*tls.Config, error) {
	if !f.on {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.server}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("redis URL: ca: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("redis URL: ca %s: expected PEM certificates", f.ca)
		}
	}
	if f.cert == "" {
		return conf, nil
	}
	if _, err := f.load(nil); err != nil {
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	// Read again for every connection, so that a renewed certificate needs no restart.
	conf.GetClientCertificate = f.load
	return conf, nil
}

func (f *tlsFiles) load(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	return &c, nil
}
