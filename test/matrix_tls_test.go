package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// overTLS is a Redis that CoreDNS reads over TLS, and agents without. Its certificate can be exchanged.
func overTLS(t *testing.T) *victim {
	a := newAuthority(t)
	a.issue("valid", time.Now().Add(24*time.Hour))
	a.issue("expired", time.Now().Add(-time.Minute))
	port := strconv.Itoa(freePort(t))
	r := storetest.Start(t, "--tls-port", port, "--tls-ca-cert-file", a.path("ca.pem"), "--tls-cert-file", a.path("valid.pem"),
		"--tls-key-file", a.path("valid.key"), "--tls-auth-clients", "no")
	return &victim{
		Redis: r, url: "rediss://127.0.0.1:" + port + "?" + url.Values{"ca": {a.path("ca.pem")}}.Encode(), agent: r.URL,
		certs: a.dir,
	}
}

// present has the server show another certificate, also to those who are connected: they have to come again.
func (v *victim) present(t *testing.T, name string) {
	t.Helper()
	if out := v.Do("CONFIG", "SET", "tls-cert-file", filepath.Join(v.certs, name+".pem"), "tls-key-file", filepath.Join(v.certs, name+".key")); out != "OK" {
		t.Fatalf("Expected the certificate to be taken, got %s", out)
	}
	v.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
}

// authority issues certificates into a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir(), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}
	a.key = a.newKey("ca")
	a.sign("ca", a.cert, a.key)
	return a
}

// issue makes NAME.pem and NAME.key for 127.0.0.1, good until then.
func (a *authority) issue(name string, until time.Time) {
	a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.newKey(name))
}

func (a *authority) newKey(name string) *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".key", "EC PRIVATE KEY", der)
	return key
}

func (a *authority) sign(name string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }
