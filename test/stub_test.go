package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lookupArgument makes the test binary a stub resolver: lookup-host NAME.
const lookupArgument = "lookup-host"

// lookupHost prints what Go's own resolver says of a name.
func lookupHost(name string) {
	r := net.Resolver{PreferGo: true}
	addrs, err := r.LookupHost(context.Background(), name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(addrs, "\n"))
}

const stubCorefile = `
. {
    bind 127.0.0.1
    errors
    farm example.org {
        embedded 127.0.0.1:6399
        upstream 127.0.0.1
        service www.example.org {
            server web1 192.0.2.1 2001:db8::1
        }
        service inside.example.org {
            server x www.example.org
        }
        service here.example.org {
            server x www.example.net
        }
        service there.example.org {
            server x back.example.net
        }
        service away.example.org {
            server x www.example.com
        }
        service empty.example.org {
            fallback www.example.com
        }
        service flat.example.org {
            flatten
            server x www.example.com
        }
        service example.org {
            server x www.example.net
        }
    }
    file ZONES/example.net.zone example.net
    forward . 127.0.0.2
}
example.com {
    bind 127.0.0.2
    errors
    file ZONES/example.com.zone
}
`

// stubNetwork is a network namespace whose resolv.conf names a CoreDNS in it.
type stubNetwork struct {
	t    *testing.T
	name string
}

// newStubNetwork makes one, or skips the test where it cannot be made.
func newStubNetwork(t *testing.T) *stubNetwork {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skipped: network namespaces need root; run the tests as root")
	}
	for _, tool := range []string{"ip", "dig", "musl-gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %s is missing; run make setup as root", tool)
		}
	}
	n := &stubNetwork{t, fmt.Sprintf("farmstub%d", os.Getpid())}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("skipped: network namespaces cannot be made: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", n.name).Run() })
	if out, err := exec.Command("ip", "-n", n.name, "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("loopback: %v: %s", err, out)
	}
	// ip netns exec has what stands in this directory stand in for /etc.
	dir := filepath.Join("/etc/netns", n.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(dir)
		os.Remove("/etc/netns") // if it is empty
	})
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver 127.0.0.1\noptions timeout:10\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *stubNetwork) command(words ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.name}, words...)...)
}

// addressesOf returns the addresses that a command prints, the first word of each line, sorted.
func (n *stubNetwork) addressesOf(words ...string) ([]string, error) {
	var errs strings.Builder
	cmd := n.command(words...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, errs.String())
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if a, err := netip.ParseAddr(word); err == nil && !slices.Contains(list, a.String()) {
			list = append(list, a.String())
		}
	}
	slices.Sort(list)
	return list, nil
}

// stub is a stub resolver: a command that prints the addresses of the name that is its last word.
type stub struct {
	name string
	args []string
}

// stubs returns the resolvers of glibc, musl and Go, and of what else is installed.
func (n *stubNetwork) stubs() []stub {
	n.t.Helper()
	files, err := filepath.Abs("testdata/stubs")
	if err != nil {
		n.t.Fatal(err)
	}
	musl := filepath.Join(n.t.TempDir(), "lookup")
	if out, err := exec.Command("musl-gcc", "-static", "-o", musl, filepath.Join(files, "lookup.c")).CombinedOutput(); err != nil {
		n.t.Fatalf("musl-gcc: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	list := []stub{{"glibc", []string{"getent", "ahosts"}}, {"musl", []string{musl}}, {"Go", []string{self, lookupArgument}}}
	for _, s := range []stub{
		{"Java", []string{"java", filepath.Join(files, "Lookup.java")}},
		{"Python", []string{"python3", "-c", "import socket, sys\nfor a in socket.getaddrinfo(sys.argv[1], None): print(a[4][0])"}},
		{"c-ares", []string{"node", "-e", `const {Resolver} = require("dns").promises, r = new Resolver(), n = process.argv[1];
			Promise.all([r.resolve4(n), r.resolve6(n)]).then(l => l.flat().forEach(a => console.log(a)), e => { console.error(e.message); process.exit(1) })`}},
	} {
		if exec.Command(s.args[0], "--version").Run() == nil {
			list = append(list, s)
		} else {
			n.t.Logf("%s is not asked: %s does not run here", s.name, s.args[0])
		}
	}
	return list
}

// TestStubResolvers asks for aliases with the stub resolvers of C libraries and languages, whose name server is CoreDNS itself: they
// follow no alias, and have what is in the answer.
func TestStubResolvers(t *testing.T) {
	t.Parallel()
	n := newStubNetwork(t)
	zones := t.TempDir()
	for name, text := range map[string]string{
		"example.net": "www 60 IN A 192.0.2.2\nwww 60 IN AAAA 2001:db8::2\nback 60 IN CNAME www.example.org.\n",
		"example.com": "www 60 IN A 192.0.2.3\nwww 60 IN AAAA 2001:db8::3\n",
	} {
		text = "@ 60 IN SOA ns hostmaster 1 7200 1800 604800 5\n@ 60 IN NS ns\n" + text
		if err := os.WriteFile(filepath.Join(zones, name+".zone"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(zones, "Corefile")
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(stubCorefile, "ZONES", zones)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := n.command(command(t, "coredns"), "-conf", conf)
	p := start(t, "coredns", cmd.Path, cmd.Args[1:]...)
	for _, name := range []string{"flat.example.org", "example.org"} {
		await(t, name+" to be resolved", func() bool {
			if p.ended() {
				t.Fatalf("Expected CoreDNS to run, it ended: %v\n%s", p.err, p.log.String())
			}
			for _, qtype := range []string{"A", "AAAA"} {
				if got, err := n.addressesOf("dig", "+short", "+tries=1", "+time=1", "@127.0.0.1", name, qtype); err != nil || len(got) != 1 {
					return false
				}
			}
			return true
		})
	}
	for _, s := range n.stubs() {
		t.Run(s.name, func(t *testing.T) {
			for name, want := range map[string][]string{
				"www.example.org":    {"192.0.2.1", "2001:db8::1"},
				"inside.example.org": {"192.0.2.1", "2001:db8::1"}, // in the zone
				"here.example.org":   {"192.0.2.2", "2001:db8::2"}, // in another zone of the process
				"there.example.org":  {"192.0.2.1", "2001:db8::1"}, // there, and back
				"away.example.org":   {"192.0.2.3", "2001:db8::3"}, // in nobody's here: by forward
				"empty.example.org":  {"192.0.2.3", "2001:db8::3"}, // the fallback
				"flat.example.org":   {"192.0.2.3", "2001:db8::3"},
				"example.org":        {"192.0.2.2", "2001:db8::2"},
			} {
				got, err := n.addressesOf(append(slices.Clone(s.args), name)...)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%s: expected %v, got %v, %v", name, want, got, err)
				}
			}
		})
	}
}
