package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// stubZone is a zone that a resolver asks one name server for, instead of following delegations from the root.
type stubZone struct {
	zone string
	addr string // of the name server, host:port
	key  string // trust anchor: the file with the zone's DNSKEY, without its ending .key; empty for an unsigned zone
}

// resolvingServer is a real recursive resolver with its default settings: it caches, minimizes names, validates, and
// denies from cached NSEC records where that is its default.
type resolvingServer struct {
	*process
	addr string
}

// startUnbound starts Debian's unbound for the zones. It knows no root servers: other names are SERVFAIL.
func startUnbound(t testing.TB, zones ...stubZone) *resolvingServer {
	t.Helper()
	port := freePort(t)
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
    interface: 127.0.0.1@%d
    do-ip6: no
    do-not-query-localhost: no
    do-daemonize: no
    username: ""
    chroot: ""
    directory: %q
    pidfile: ""
    use-syslog: no
    logfile: ""
    val-log-level: 2
`, port, t.TempDir())
	for _, z := range zones {
		if z.key != "" {
			fmt.Fprintf(&conf, "    trust-anchor-file: %q\n", z.key+".key")
		}
	}
	for _, z := range zones {
		fmt.Fprintf(&conf, "stub-zone:\n    name: %q\n    stub-addr: %s\n", z.zone, strings.Replace(z.addr, ":", "@", 1))
	}
	file := filepath.Join(t.TempDir(), "unbound.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return awaitResolver(&resolvingServer{start(t, "unbound", "unbound", "-d", "-c", file), local(port)})
}

// startNamed starts BIND's named for the zones, which are signed. It minimizes names and validates, and does not deny from
// cached NSEC records.
func startNamed(t testing.TB, zones ...stubZone) *resolvingServer {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	var conf strings.Builder
	fmt.Fprintf(&conf, `options {
    directory %[1]q;
    managed-keys-directory %[1]q;
    pid-file none;
    session-keyfile none;
    lock-file none;
    listen-on port %[2]d { 127.0.0.1; };
    listen-on-v6 { none; };
    dnssec-validation yes;
    empty-zones-enable no;
};
controls { };
`, dir, port)
	for _, z := range zones {
		host, at, _ := strings.Cut(z.addr, ":")
		fmt.Fprintf(&conf, "zone %q { type forward; forward only; forwarders { %s port %s; }; };\n", z.zone, host, at)
		fmt.Fprintf(&conf, "trust-anchors { %s };\n", anchorOf(t, z))
	}
	file := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return awaitResolver(&resolvingServer{start(t, "named", "named", "-g", "-n", "1", "-c", file), local(port)})
}

// anchorOf returns the zone's key as BIND's configuration has it.
func anchorOf(t testing.TB, z stubZone) string {
	t.Helper()
	text, err := os.ReadFile(z.key + ".key")
	if err != nil {
		t.Fatal(err)
	}
	rr, err := dns.NewRR(string(text))
	if err != nil {
		t.Fatal(err)
	}
	k := rr.(*dns.DNSKEY)
	return fmt.Sprintf("%q static-key %d %d %d %q;", z.zone, k.Flags, k.Protocol, k.Algorithm, k.PublicKey)
}

func awaitResolver(r *resolvingServer) *resolvingServer {
	r.t.Helper()
	await(r.t, r.name+" to answer", func() bool {
		if r.ended() {
			r.t.Fatalf("Expected %s to run, it ended: %v\n%s", r.name, r.err, r.log.String())
		}
		_, err := exchange(r.addr, question("version.bind.", dns.TypeTXT))
		return err == nil
	})
	return r
}

// resolve asks a resolver as a client that wants to know whether the answer was validated (AD) and to see its proof.
func (r *resolvingServer) resolve(name string, qtype uint16) *dns.Msg {
	r.t.Helper()
	m := question(name, qtype)
	m.IsEdns0().SetDo()
	reply, err := exchange(r.addr, m)
	if err != nil {
		r.t.Fatalf("%s %s through %s: expected a reply, got %v", name, dns.TypeToString[qtype], r.name, err)
	}
	return reply
}

// records returns the records of a section that have the type, in presentation format without TTL and class.
func records(section []dns.RR, qtype uint16) []string {
	var list []string
	for _, rr := range section {
		if rr.Header().Rrtype == qtype {
			fields := strings.Fields(rr.String())
			list = append(list, strings.Join(fields[4:], " "))
		}
	}
	return list
}
