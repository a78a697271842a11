package storetest

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
	"testing"
	"time"
)

// TLS holds the files of a certificate authority and of one certificate for 127.0.0.1 and localhost, good for servers
// and clients.
type TLS struct {
	CA, Cert, Key string
}

// NewTLS makes a certificate authority and a certificate.
func NewTLS(t testing.TB) *TLS {
	t.Helper()
	dir := t.TempDir()
	caKey, key := newKey(t), newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "storetest"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &TLS{
		CA:   writePEM(t, dir, "ca.pem", "CERTIFICATE", sign(t, ca, ca, &caKey.PublicKey, caKey)),
		Cert: writePEM(t, dir, "cert.pem", "CERTIFICATE", sign(t, leaf, ca, &key.PublicKey, caKey)),
		Key:  writePEM(t, dir, "key.pem", "EC PRIVATE KEY", der),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, c, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t testing.TB, dir, name, kind string, der []byte) string {
	t.Helper()
	return writeFile(t, dir, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// StartTLS starts a redis-server that speaks only TLS and wants client certificates.
func StartTLS(t testing.TB, args ...string) *Redis {
	t.Helper()
	files := NewTLS(t)
	r := &Redis{t: t, dir: t.TempDir(), tls: files}
	port := FreePort(t)
	r.Addr = net.JoinHostPort("127.0.0.1", port)
	q := url.Values{"ca": {files.CA}, "cert": {files.Cert}, "key": {files.Key}}
	r.URL = "rediss://" + r.Addr + "?" + q.Encode()
	r.args = append([]string{"--port", "0", "--tls-port", port, "--tls-ca-cert-file", files.CA,
		"--tls-cert-file", files.Cert, "--tls-key-file", files.Key, "--tls-auth-clients", "yes"}, common(r.dir)...)
	r.args = append(r.args, args...)
	r.begin()
	return r
}

// TLS returns the files of a server that StartTLS started.
func (r *Redis) TLS() *TLS { return r.tls }
