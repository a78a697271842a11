package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

// levelledCorefile has a level that reserves three tenths of a server for each client, and six tenths for all.
const levelledCorefile = `example.org:PORT {
    bind 127.0.0.1
    errors
    tsig {
        secret key.example.org. %s
    }
    farm {
        redis %s
        level gold {
            rank 20
            unit 0.3
            share 0.6
            requires server
            refuse
        }
        qos {
            wait 2s
            rate 100 100
            client tsig key.example.org gold
        }
        service www.example.org {
            ttl 20
        }
    }
}
`

const levelledName = "www.example.org."

var tsigSecret = base64.StdEncoding.EncodeToString([]byte("a secret of tests, of 32 octets!"))

// issuer signs handles with a key that stands in the database.
type issuer struct {
	t    *testing.T
	ring *qos.Keyring
}

func newIssuer(t *testing.T, db *database) *issuer {
	t.Helper()
	key := qos.Key{ID: 3, Secret: []byte(strings.Repeat("s", 32))}
	db.do("put a key", func(ctx context.Context) error { return db.PutKey(ctx, key) })
	ring, err := qos.NewKeyring([]qos.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, ring}
}

// token is a handle for a level of rank 20 that stands for an hour.
func (i *issuer) token(client string) []byte {
	i.t.Helper()
	token, err := i.ring.Sign(qos.Claim{
		Client: qos.Client(qos.KindID, client), Rank: 20, Expires: time.Now().Add(time.Hour).UnixMilli(),
		Service: qos.ServiceHash(levelledName), KeyID: 3,
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return token[:]
}

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// name is the service's name as a client with a handle asks for it.
func (i *issuer) name(client string) string {
	return strings.ToLower(fmt.Sprintf("_h-%s._c-%s.%s", base32hex.EncodeToString(i.token(client)), base32hex.EncodeToString([]byte(client)), levelledName))
}

// grantText is what TXT at _grant says of the client's grant.
func (i *issuer) grantText(addr, client string) string {
	i.t.Helper()
	r := ask(i.t, addr, "_grant."+i.name(client), dns.TypeTXT)
	if len(r.Answer) != 1 {
		return ""
	}
	return r.Answer[0].(*dns.TXT).Txt[0]
}

// TestLevels follows clients with handles from their first lookup to the end of their grants, at two name servers.
func TestLevels(t *testing.T) {
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	one := startCoreDNS(t, fmt.Sprintf(levelledCorefile, tsigSecret, redis.URL))
	two := startCoreDNS(t, fmt.Sprintf(levelledCorefile, tsigSecret, redis.URL))
	addrs := map[string]string{"web1": "192.0.2.1", "web2": "192.0.2.2"}
	for id, addr := range addrs {
		db.server(levelledName, id, addr)
	}
	for _, c := range []*coredns{one, two} {
		awaitGiven(t, c.addr, levelledName, "192.0.2.1", "192.0.2.2")
	}
	i := newIssuer(t, db)
	await(t, "both to accept handles", func() bool {
		return i.grantText(one.addr, "nobody") != "" && i.grantText(two.addr, "nobody") != ""
	})

	first := addresses(ask(t, one.addr, i.name("alice"), dns.TypeA))
	if len(first) != 1 || !strings.HasPrefix(i.grantText(one.addr, "alice"), "state=granted level=gold asked=gold ") {
		t.Fatalf("Expected a grant at one server within the wait, got %v and %q", first, i.grantText(one.addr, "alice"))
	}
	await(t, "the other name server to know", func() bool { return i.grantText(two.addr, "alice") == i.grantText(one.addr, "alice") })
	for range 20 {
		if got := addresses(ask(t, two.addr, i.name("alice"), dns.TypeA)); fmt.Sprint(got) != fmt.Sprint(first) {
			t.Fatalf("Expected alice to stay at %v, got %v", first, got)
		}
	}

	granted := idOf(addrs, first[0])
	db.admin(levelledName, granted, steer.Maint)
	await(t, "alice to be granted the other server", func() bool {
		got := addresses(ask(t, one.addr, i.name("alice"), dns.TypeA))
		return len(got) == 1 && got[0] != first[0] && strings.HasPrefix(i.grantText(one.addr, "alice"), "state=granted ")
	})
	db.admin(levelledName, granted, steer.Ready)
	awaitGiven(t, one.addr, levelledName, "192.0.2.1", "192.0.2.2")

	for _, client := range []string{"bob", "carol", "dave"} {
		await(t, client+" to be granted", func() bool {
			ask(t, one.addr, i.name(client), dns.TypeA)
			return strings.HasPrefix(i.grantText(one.addr, client), "state=granted ")
		})
	}
	db.usedUp(t, 1.2)
	if got := addresses(ask(t, one.addr, i.name("erin"), dns.TypeA)); len(got) == 0 || strings.Contains(i.grantText(one.addr, "erin"), "state=granted") {
		t.Errorf("Expected best effort when all is granted, got %v, %q", got, i.grantText(one.addr, "erin"))
	}
	db.do("revoke alice's grant", func(ctx context.Context) error {
		all, err := db.Grants(ctx, levelledName)
		for _, g := range all {
			if err == nil && g.Client == qos.Client(qos.KindID, "alice") && g.State.Live() {
				_, err = db.Revoke(ctx, levelledName, g.ID)
			}
		}
		return err
	})
	await(t, "erin to have what alice had", func() bool {
		ask(t, two.addr, i.name("erin"), dns.TypeA)
		return strings.HasPrefix(i.grantText(two.addr, "erin"), "state=granted ")
	})

	handle := i.token("bob")
	db.do("revoke bob's handle", func(ctx context.Context) error {
		return db.PutHandle(ctx, qos.HandleOf(handle), qos.HandleRecord{
			Client: qos.Client(qos.KindID, "bob"), Rank: 20, Service: levelledName, Expires: time.Now().Add(time.Hour).UnixMilli(), Revoked: true,
		})
	})
	revoked := "_q-gold." + i.nameWith(handle, "bob")
	await(t, "bob to be refused at both", func() bool {
		return ask(t, one.addr, revoked, dns.TypeA).Rcode == dns.RcodeRefused && ask(t, two.addr, revoked, dns.TypeA).Rcode == dns.RcodeRefused
	})

	was := addresses(ask(t, one.addr, i.name("carol"), dns.TypeA))
	redis.Kill()
	for range 50 {
		if got := addresses(ask(t, one.addr, i.name("carol"), dns.TypeA)); fmt.Sprint(got) != fmt.Sprint(was) {
			t.Fatalf("Expected carol to stay where she was granted without a database, got %v instead of %v", got, was)
		}
	}
}

func (i *issuer) nameWith(token []byte, client string) string {
	return strings.ToLower(fmt.Sprintf("_h-%s._c-%s.%s", base32hex.EncodeToString(token), base32hex.EncodeToString([]byte(client)), levelledName))
}

func idOf(addrs map[string]string, addr string) string {
	for id, a := range addrs {
		if a == addr {
			return id
		}
	}
	return ""
}

// usedUp asserts how much of all servers grants hold.
func (d *database) usedUp(t *testing.T, want float64) {
	t.Helper()
	var held int64
	d.do("read the grants", func(ctx context.Context) error {
		all, err := d.Grants(ctx, levelledName)
		for _, g := range all {
			if g.State.Live() {
				held += g.Unit
			}
		}
		return err
	})
	if got := float64(held) / qos.Million; got != want {
		t.Errorf("Expected %v of the servers to be reserved, got %v", want, got)
	}
}

// TestLevelByTSIG: a key that the tsig plugin has verified has its level; one that nobody has verified has none.
func TestLevelByTSIG(t *testing.T) {
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	c := startCoreDNS(t, fmt.Sprintf(levelledCorefile, tsigSecret, redis.URL))
	db.server(levelledName, "web1", "192.0.2.1")
	awaitGiven(t, c.addr, levelledName, "192.0.2.1")
	signed := func(secret string) *dns.Msg {
		m := question("_q-gold."+levelledName, dns.TypeA)
		m.SetTsig("key.example.org.", dns.HmacSHA256, 300, time.Now().Unix())
		client := dns.Client{Timeout: lookupTimeout, TsigSecret: map[string]string{"key.example.org.": secret}}
		r, _, err := client.Exchange(m, c.addr)
		if r == nil {
			t.Fatal(err)
		}
		return r
	}
	if r := signed(tsigSecret); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
		t.Errorf("Expected an answer for the key, got %v", r)
	}
	db.usedUp(t, 0.3)
	if r := signed(base64.StdEncoding.EncodeToString([]byte("another"))); r.Rcode != dns.RcodeNotAuth {
		t.Errorf("Expected a wrong signature to be refused, got %v", r)
	}
	if r := ask(t, c.addr, "_q-gold."+levelledName, dns.TypeA); r.Rcode != dns.RcodeRefused {
		t.Errorf("Expected who shows nothing to be refused, got %v", r)
	}
}

// TestLevelByCertificate: over TLS, a certificate that the server has verified has its level.
func TestLevelByCertificate(t *testing.T) {
	files, port := storetest.NewTLS(t), freePort(t)
	startCoreDNS(t, fmt.Sprintf(`tls://example.org:%d {
    bind 127.0.0.1
    tls %s %s %s {
        client_auth verify_if_given
    }
    errors
    farm {
        embedded 127.0.0.1:%d
        level gold {
            rank 20
            ceiling 0.9
            refuse
        }
        qos {
            client cert localhost gold
        }
        service www.example.org {
            server web1 192.0.2.1
        }
    }
}
.:PORT {
    bind 127.0.0.1
    chaos
}
`, port, files.Cert, files.Key, files.CA, freePort(t)))
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	for want, certs := range map[int][]tls.Certificate{dns.RcodeSuccess: {pair}, dns.RcodeRefused: nil} {
		client := dns.Client{Net: "tcp-tls", Timeout: lookupTimeout, TLSConfig: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", Certificates: certs}}
		r, _, err := client.Exchange(question("_q-gold."+levelledName, dns.TypeA), local(port))
		if err != nil || r.Rcode != want {
			t.Errorf("With %d certificates: expected %s, got %v, %v", len(certs), dns.RcodeToString[want], r, err)
		}
	}
}
