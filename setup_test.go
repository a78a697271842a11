package farm

import (
	"iter"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
)

func TestSetup(t *testing.T) {
	c := caddy.NewTestController("dns", "farm example.org {\nembedded 127.0.0.1:1\n}")
	if err := setup(c); err != nil {
		t.Fatal(err)
	}
	plugins := dnsserver.GetConfig(c).Plugin
	if len(plugins) != 1 {
		t.Fatalf("Got %d plugins, want 1", len(plugins))
	}
	h := plugins[0](nil)
	if h.Name() != "farm" {
		t.Errorf("Got the name %q, the directive is farm", h.Name())
	}
	if h.(*Farm).Ready() {
		t.Error("Ready before it was started")
	}
}

// setupErrors are blocks and what is to be said of them.
var setupErrors = []struct{ block, want string }{
	{"farm", "farm: expected a zone"},
	{"farm example.org\nfarm example.net", "once per Server Block"},
	{"farm " + strings.Repeat("a", 64) + ".org", "zone: expected a name, not"},
	{"farm example.org {\n bogus\n}", `Testfile:2 - Error during parsing: unknown property: "bogus"`},
	{"farm example.org {\n answers 2\n answers 2\n}", "Testfile:3 - Error during parsing: answers is given more than once"},
	{"farm example.org {\n answers 2\n", "block: expected } at its end"},
	{"farm example.org {\n {\n }\n}", `unknown property: "{"`},

	{"farm example.org {\n redis\n}", "redis: expected a URL"},
	{"farm example.org {\n redis http://127.0.0.1\n}", "Testfile:2 - Error during parsing: redis: "},
	{"farm example.org {\n redis redis://127.0.0.1\n embedded\n}", "expected one of them"},
	{"farm example.org {\n embedded\n redis redis://127.0.0.1\n}", "expected one of them"},
	{"farm example.org {\n embedded nowhere\n}", "embedded: expected one IP:PORT"},
	{"farm example.org {\n prefix\n}", "prefix: expected one name"},
	{"farm example.org {\n prefix {a}\n}", "prefix"},
	{"farm example.org {\n state\n}", "state: expected one file name"},
	{"farm example.org {\n max_stale -1s\n}", "max_stale: expected a duration"},
	{"farm example.org {\n max_stale\n}", "max_stale: expected a duration"},
	{"farm example.org {\n rewrite all\n}", "rewrite: expected no argument"},
	{"farm example.org {\n mailbox\n}", "mailbox: expected one name"},
	{"farm example.org {\n service api.example.org {\n server m 192.0.2.6\n }\n service _grpc._tcp.api.example.org {\n server m 192.0.2.7\n }\n}",
		"Testfile:6 - Error during parsing: server m: its name m.api.example.org. is that of server m of api.example.org., with other addresses: expected another id"},
	{"farm example.org {\n service www.example.org {\n server web1 192.0.2.6\n }\n service web1.www.example.org {\n server a 192.0.2.7\n }\n}",
		"Testfile:3 - Error during parsing: server web1: its name web1.www.example.org. is that of service web1.www.example.org., with other addresses"},
	{"farm example.org {\n mailbox a@b\n}", "mailbox: expected a name"},
	{"farm example.org {\n soa\n}", "soa: expected times"},
	{"farm example.org {\n soa serial 5\n}", `soa: expected refresh, retry, expire and minimum, each once, not "serial"`},
	{"farm example.org {\n soa retry 5m retry 5m\n}", `each once, not "retry"`},
	{"farm example.org {\n soa refresh\n}", "soa refresh: expected a duration in whole seconds"},
	{"farm example.org {\n soa minimum 500ms\n}", `soa minimum: expected a duration in whole seconds from 0s to 86400s, such as 90s or 5m, not "500ms"`},
	{"farm example.org {\n soa minimum 48h\n}", `soa minimum: expected a duration in whole seconds from 0s to 86400s, such as 90s or 5m, not "48h"`},
	{"farm example.org {\n soa refresh 0s\n}", "soa refresh: expected a duration in whole seconds from 1s"},
	{"farm example.org {\n soa retry 5h\n}", "soa retry: expected 1 second to refresh (14400), not 18000"},
	{"farm example.org {\n soa expire 5h\n}", "soa expire: expected more than refresh and retry together (18000), not 18000"},

	{"farm example.org {\n level\n}", "level: expected one name"},
	{"farm example.org {\n level Gold! {\n rank 1\n }\n}", "level \"gold!\": expected at most 32"},
	{"farm example.org {\n level r-d5 {\n rank 1\n }\n}", "and not r- in front"},
	{"farm example.org {\n level gold\n}", "rank: expected 1 to 255"},
	{"farm example.org {\n level gold {\n rank 0\n }\n}", "Testfile:3 - Error during parsing: rank: expected a whole number from 1 to 255"},
	{"farm example.org {\n level gold {\n rank 1\n }\n level gold {\n rank 2\n }\n}", "level gold is given more than once"},
	{"farm example.org {\n level gold {\n rank 1\n }\n level pro {\n rank 1\n }\n}", "rank 1 is that of level gold"},
	{"farm example.org {\n level gold {\n rank 1\n colour red\n }\n}", `unknown property: "colour"`},
	{"farm example.org {\n level gold {\n rank 1\n unit 1.5\n }\n}", "unit: expected a number above 0 and up to 1"},
	{"farm example.org {\n level gold {\n rank 1\n unit 0.5\n share 0.2\n }\n}", "expected that one grant fits"},
	{"farm example.org {\n level gold {\n rank 1\n down 8\n }\n}", "down: expected a rate in bit/s, as 500k, 8M or 1.5G"},
	{"farm example.org {\n level gold {\n rank 1\n up -1M\n }\n}", "up: expected a rate in bit/s"},
	{"farm example.org {\n level gold {\n rank 1\n delay 2h\n }\n}", "delay: expected 1ms to 65535ms"},
	{"farm example.org {\n level gold {\n rank 1\n dscp 64\n }\n}", "dscp: expected a code point"},
	{"farm example.org {\n level gold {\n rank 1\n dscp AF45\n }\n}", "dscp: expected a code point"},
	{"farm example.org {\n level gold {\n rank 1\n loss 11\n }\n}", "loss: expected a whole number from 1 to 10"},
	{"farm example.org {\n level gold {\n rank 1\n requires all\n }\n}", "expected none, server, network or both"},
	{"farm example.org {\n level gold {\n rank 1\n requires network\n }\n}", "requires the network's part"},
	{"farm example.org {\n level gold {\n rank 1\n requires server\n down 1M\n }\n}", "requires the server's part"},
	{"farm example.org {\n level gold {\n rank 1\n duration 5s\n }\n}", "duration 5: expected 10 to 86400 s"},
	{"farm example.org {\n level gold {\n rank 1\n handle yes\n }\n}", "handle: expected no argument"},
	{"farm example.org {\n level gold {\n rank 1\n classes fa_st\n }\n}", "class \"fa_st\": expected lower-case"},
	{"farm example.org {\n service www.example.org {\n server a 192.0.2.1 classes a,,b\n }\n}", "class \"\": expected lower-case"},

	{"farm example.org {\n qos on\n}", "qos: expected a block and no argument"},
	{"farm example.org {\n qos\n rewrite\n}", "Testfile:2 - Error during parsing: qos and rewrite: expected one of them"},
	{"farm example.org {\n qos {\n option 8\n }\n}", "option: expected a whole number from 65001 to 65534"},
	{"farm example.org {\n qos {\n keys\n }\n}", "keys: expected one file name"},
	{"farm example.org {\n qos {\n wait 3s\n }\n}", "wait: expected 2s at most"},
	{"farm example.org {\n qos {\n rate 0\n }\n}", "rate: expected a number above 0"},
	{"farm example.org {\n qos {\n rate 1 0\n }\n}", "rate: expected a whole number from 1 to 1000"},
	{"farm example.org {\n qos {\n client\n }\n}", "client: expected tsig or cert"},
	{"farm example.org {\n qos {\n client name alice gold\n }\n}", "client: expected tsig, cert or subnet, not \"name\""},
	{"farm example.org {\n qos {\n client tsig a b gold\n }\n}", "client: expected tsig or cert, a name and a level"},
	{"farm example.org {\n qos {\n client tsig k Gold!\n }\n}", "level \"gold!\""},
	{"farm example.org {\n qos {\n client tsig k gold\n client tsig K. pro\n }\n}", "client tsig k. is given more than once"},
	{"farm example.org {\n qos {\n client subnet 10.0.0.0/33 gold\n }\n}", "expected a subnet, not"},
	{"farm example.org {\n qos {\n client subnet 10.0.0.0/8 gold\n client subnet 10.0.0.0/8 pro\n }\n}", "10.0.0.0/8 has level gold already"},

	{"farm example.org {\n policy best\n}", "policy: expected one of ["},
	{"farm example.org {\n policy headroom first 0.3\n}", `policy headroom has no option "first"`},
	{"farm example.org {\n policy predict last 0.3\n}", `policy predict has no option "last"`},
	{"farm example.org {\n policy predict first\n}", "policy predict first: expected a number from 0 to 1"},
	{"farm example.org {\n policy predict first 1.1\n}", "policy predict first: expected a number from 0 to 1"},
	{"farm example.org {\n policy predict first NaN\n}", "policy predict first: expected a number from 0 to 1"},
	{"farm example.org {\n policy predict first 0.1 0.2\n}", "policy predict first: expected a number from 0 to 1"},
	{inService("policy predict first 0.3"), "policy predict first is said once for the whole block"},
	{"farm example.org {\n resolvers\n}", "resolvers: expected a whole number from 64 to 1048576"},
	{"farm example.org {\n resolvers 63\n}", "resolvers: expected a whole number from 64 to 1048576"},
	{"farm example.org {\n resolvers 1048577\n}", "resolvers: expected a whole number from 64 to 1048576"},
	{"farm example.org {\n answers 0\n}", "answers: expected a whole number from 1 to 8"},
	{"farm example.org {\n answers 9\n}", "answers: expected a whole number from 1 to 8"},
	{"farm example.org {\n answers 1 2\n}", "answers: expected a whole number"},
	{"farm example.org {\n ttl\n}", "ttl: expected MIN [MAX]"},
	{"farm example.org {\n service a.example.org {\n  server s b.example.org\n }\n service b.example.org {\n  server s a.example.org\n }\n}",
		"service a.example.org.: its aliases go round: a.example.org. -> b.example.org. -> a.example.org."},
	{"farm example.org {\n polcy weighted\n}", `unknown property: "polcy"; did you mean policy?`},
	{"farm example.org {\n ANSWERS 2\n}", `unknown property: "ANSWERS"; did you mean answers?`},
	{inService("server a 192.0.2.1 PORT 443"), `not "PORT"; did you mean port?`},
	{inService("server a 192.0.2.1 prot 443"), `not "prot"; did you mean port?`},
	{"farm example.org {\n soa refresh 0\n}", "soa refresh: expected a duration in whole seconds from 1s to 31536000s"},
	{"farm example.org {\n soa minimum 200000000s\n}", "soa minimum: expected a duration in whole seconds from 0s to 86400s"},
	{"farm example.org {\n state redis://:Sup3rSecret@h\n}", `state: expected a file name, not "(a URL)"`},
	{"farm example.org {\n prefix redis://:Sup3rSecret@h\n}", `prefix "(a URL)": expected 1 to 64 letters`},
	{"farm example.org {\n upstream redis://:Sup3rSecret@h\n}", `upstream: expected resolvers over plain DNS, not "(a URL)"`},
	{"farm example.org {\n qos {\n  clinet x\n }\n}", `unknown property: "clinet"; did you mean client?`},
	{"farm example.org {\n level gold {\n  cieling 1\n }\n}", `unknown property: "cieling"; did you mean ceiling?`},
	{"farm example.org {\n redis redis://:a@b\n redis://:secret@c\n}", `unknown property: "(a URL)"`},
	{"farm example.org {\n embedded redis://:secret@c\n}", `embedded: expected one IP:PORT, not "(a URL)"`},
	{"farm example.org {\n redis redis://:secret/xyz@192.0.2.1:6379\n}", "redis: redis URL: an @ stands behind a /"},
	{"farm example.org {\n ttl -1\n}", "ttl: expected a whole number from 0 to 86400"},
	{"farm example.org {\n ttl 60 20\n}", "ttl: expected a whole number from 60 to 86400"},
	{"farm example.org {\n soft -1\n}", "soft: expected a number from 0 to 10"},
	{"farm example.org {\n hard 0\n}", "hard: expected a number above 0 and up to 10"},
	{"farm example.org {\n soft NaN\n}", "soft: expected a number"},
	{"farm example.org {\n hard +Inf\n}", "hard: expected a number"},
	{"farm example.org {\n soft 0.9\n hard 0.8\n}", "soft <= hard"},
	{"farm example.org {\n slow_start 48h\n}", "slow_start: expected a duration from 0 to 86400s"},
	{"farm example.org {\n drain soon\n}", "drain: expected a duration"},
	{"farm example.org {\n failback\n}", "failback: expected manual, or a duration from 0 to 86400s"},
	{"farm example.org {\n failback Manually\n}", "failback: expected manual, or a duration"},
	{"farm example.org {\n failback -1s\n}", "failback: expected manual, or a duration"},
	{"farm example.org {\n failback 5m manual\n}", "failback: expected manual, or a duration"},

	{"farm example.org {\n region eu\n}", "region: expected a name, and subnets"},
	{"farm example.org {\n region eu 10.0.0.0/33\n}", `expected a subnet, not "10.0.0.0/33"`},
	{"farm example.org {\n region eu 10.0.0.1/8\n}", "did you mean 10.0.0.0/8?"},
	{"farm example.org {\n region eu 10.0.0.0/8\n region us 10.0.0.0/8\n}", "10.0.0.0/8 is in region eu already"},
	{"farm example.org {\n region eu country=DE\n}", "PLUGIN/LABEL=VALUE"},
	{"farm example.org {\n region eu geoip/country/code=\n}", "PLUGIN/LABEL=VALUE"},
	{"farm example.org {\n" + manyRegions() + "}", "too many regions"},
	{"farm example.org {\n ecs\n}", "ecs: expected subnets"},
	{"farm example.org {\n ecs all\n}", `expected a subnet, not "all"`},
	{"farm example.org {\n explain 10.0.0.0/7x\n}", "expected a subnet, not"},
	{"farm example.org {\n ns\n}", "ns: expected a name"},
	{"farm example.org {\n ns -.-..\n}", "ns: expected the name of a host"},
	{"farm example.org {\n ns ns1.example.org\n ns ns1.example.org\n}", "is given more than once"},
	{"farm example.org {\n ns ns1.example.org nowhere\n}", `expected an IP address, not "nowhere"`},
	{"farm example.org {\n fallthrough " + strings.Repeat("a", 64) + "\n}", "fallthrough: expected zones"},

	{"farm example.org {\n service\n}", "service: expected one name"},
	{"farm example.org {\n service a b\n}", "service: expected one name"},
	{"farm example.org {\n service www.example.net\n}", "in none of the zones"},
	{"farm example.org {\n service www.badexample.org\n}", "in none of the zones"},
	{"farm example.org {\n service w%w.example.org\n}", "service name"},
	{"farm example.org {\n service a.*.example.org\n}", "service name"},
	{"farm example.org {\n service a.example.org\n service A.example.org.\n}", "service a.example.org. is given more than once"},
	{inService("bogus"), `unknown property: "bogus"`},
	{inService("ttl 5\nttl 6"), "ttl is given more than once"},
	{inService("soft 0.9\nhard 0.5"), "soft <= hard"},
	{inService("fallback"), "fallback: expected 1 to 8 names"},
	{inService("fallback a_%"), "fallback: expected names"},
	{inService("alpn"), "alpn: expected 1 to 8"},
	{inService("alpn h2 h2"), "h2 is given more than once"},
	{inService("server a"), "server: expected an id and its addresses"},
	{inService("server -a 192.0.2.1"), `id "-a"`},
	{inService("server a 192.0.2.1\nserver A 192.0.2.2"), "server a is given more than once"},
	{inService("server a 192.0.2.1 192.0.2.1"), "192.0.2.1 is given more than once"},
	{inService("server a 0.0.0.0"), "expected the address of a host, not 0.0.0.0"},
	{inService("server a fe80::1%eth0"), "expected an IP address or an option"},
	{inService("server a 192.0.2.1 www.example.net"), `region, soft, weight, not "www.example.net"`},
	{inService("server a localhost"), "one name with a dot"},
	{inService("server a 192.0.2.300"), `expected addresses, or one name with a dot, not "192.0.2.300"`},
	{inService("server a 192.0.2"), `expected addresses, or one name with a dot, not "192.0.2"`},
	{inService("fallback 192.0.2.300"), `fallback: expected names, not "192.0.2.300"`},
	{"farm example.org {\n ns 192.0.2.1\n}", `ns: expected the name of a host, not "192.0.2.1"`},
	{"farm example.org {\n mailbox 192.0.2.1\n}", `mailbox: expected a name such as hostmaster.example.org, not "192.0.2.1"`},
	{inService("server a port 80"), "expected 1 to 8 addresses"},
	{inService("server a 192.0.2.1 port"), "server a, port: expected a value"},
	{inService("server a 192.0.2.1 port 0"), "server a, port: expected a whole number from 1 to 65535"},
	{inService("server a 192.0.2.1 port 80 port 81"), "server a, port is given more than once"},
	{inService("server a 192.0.2.1 port 80 bogus 1"), `unknown option of server a: "bogus"`},
	{inService("server a 192.0.2.1 weight -1"), "server a, weight: expected a number from 0 to 65535"},
	{inService("server a 192.0.2.1 priority 65536"), "priority: expected a whole number from 0 to 65535"},
	{inService("server a 192.0.2.1 soft 0.9 hard 0.8"), "server a: soft 0.9"},
	{inService("server a 192.0.2.1 region mars"), `no region property names "mars"`},
	{inService("server a 192.0.2.1 poort 80"), `expected an IP address or an option: capacity, classes, hard, port, priority, region, soft, weight, not "poort"; did you mean port?`},
	{inService("server a a.example.org"), "server a: an alias of a.example.org.: expected another name than its own"},
	{inService("fallback sorry.example.net A.example.org"), "fallback: an alias of a.example.org."},
	{"farm example.org {\n prefix a{b\n ttl 5\n}", `Testfile:2 - Error during parsing: prefix "a{b"`},
	{"farm example.org {\n flatten on\n}", `flatten: expected no argument, or off, not "on"`},
	{"farm example.org {\n service a.example.org {\n flatten\n flatten off\n}\n}", "flatten is given more than once"},
	{"farm example.org {\n upstream\n}", "upstream: expected the addresses of resolvers"},
	{"farm example.org {\n upstream ns.example.org\n}", "upstream: not an IP address or file"},
	{"farm example.org {\n upstream 127.0.0.1:99999\n}", `upstream: expected a port from 1 to 65535, not "127.0.0.1:99999"`},
	{"farm example.org {\n upstream [2001:db8::1]:0\n}", "upstream: expected a port from 1 to 65535"},
	{"farm example.org {\n flatten\n rewrite\n}", "Testfile:2 - Error during parsing: flatten and rewrite: expected one of them"},
	{"farm example.org {\n rewrite\n service a.example.org {\n flatten\n }\n}", "Testfile:4 - Error during parsing: flatten and rewrite"},
	{"farm example.org {\n service _farm.a.example.org\n explain 127.0.0.1\n}",
		"Testfile:2 - Error during parsing: service _farm.a.example.org.: with explain, names with _farm. in front are explanations"},
	{"farm example.org {\n ns al.example.org\n service al.example.org {\n server a www.example.net\n }\n}",
		"Testfile:2 - Error during parsing: ns al.example.org.: service al.example.org. is answered with a CNAME"},
	{"farm example.org {\n service al.example.org {\n server a 192.0.2.1\n fallback www.example.net\n }\n ns al.example.org 192.0.2.1\n}",
		"Testfile:6 - Error during parsing: ns al.example.org.: service al.example.org. is answered with a CNAME, or may be"},
	{"farm example.org {\n ns ns1.example.org 192.0.2.53\n service ns1.example.org {\n server a 192.0.2.1\n }\n}",
		"Testfile:2 - Error during parsing: ns ns1.example.org.: service ns1.example.org. is at other addresses"},
	{"farm example.org {\n ns ns1.www.example.org\n service www.example.org {\n server ns1 192.0.2.1\n }\n}",
		"Testfile:4 - Error during parsing: server ns1: its name ns1.www.example.org. is that of name server ns1.www.example.org., with other addresses"},
	{inService("server a fe80::1"), "expected the address of a host, not fe80::1"},
	{inService("server a 169.254.1.1"), "expected the address of a host, not 169.254.1.1"},
	{inService("server a ::ffff:169.254.1.1"), "expected the address of a host, not ::ffff:169.254.1.1"},
	{inService("server a 255.255.255.255"), "expected the address of a host, not 255.255.255.255"},
	{"farm example.org {\n upstream tls://192.0.2.1\n}", "upstream: expected resolvers over plain DNS"},
	{"farm example.org {\n upstream 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9\n}", "upstream: expected at most 8 resolvers"},
}

func inService(lines string) string {
	return "farm example.org {\n region eu 10.0.0.0/8\n service a.example.org {\n" + lines + "\n}\n}"
}

func manyRegions() string {
	var b strings.Builder
	for i := range steer.MaxRegions + 1 {
		b.WriteString("region r" + strings.Repeat("x", i) + " geoip/a/b=c\n")
		if i > 60 {
			b.WriteString("region q" + strings.Repeat("x", i-30) + " geoip/a/b=c\n")
		}
	}
	return b.String()
}

// No error repeats a word that may hold a password, whichever property it is given to.
func TestSetupErrorsKeepSecrets(t *testing.T) {
	for _, secret := range []string{"redis://:Sup3rSecret@h", "u:Sup3rSecret@h", "redis://:Sup3rSecret/x@h"} {
		lines := []string{secret, "policy predict " + secret, "ns ns1.example.org " + secret, "soa refresh " + secret, "soa " + secret + " 5",
			inService(secret), inService("server a " + secret), inService("server " + secret + " 192.0.2.1"),
			inService("server a 192.0.2.1 " + secret), inService("server a 192.0.2.1 " + secret + " 5")}
		for name := range properties {
			lines = append(lines, name+" "+secret, name+" "+secret+" "+secret)
		}
		for name := range serviceProperties {
			lines = append(lines, inService(name+" "+secret))
		}
		for name := range serverOptions {
			lines = append(lines, inService("server a 192.0.2.1 "+name+" "+secret))
		}
		for name := range levelProperties {
			lines = append(lines, "level gold {\n "+name+" "+secret+"\n}")
		}
		for _, line := range lines {
			text := line
			if !strings.HasPrefix(text, "farm ") {
				text = "farm example.org {\n " + line + "\n}"
			}
			_, err := parse(caddy.NewTestController("dns", text))
			if err != nil && strings.Contains(err.Error(), "Sup3r") {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

// Words of a fixed list have no letter case, as with the command and in YAML.
func TestWordsInAnyCase(t *testing.T) {
	conf, err := parse(caddy.NewTestController("dns", "farm example.org {\n policy FIRST\n failback MANUAL\n flatten OFF\n}"))
	if err != nil {
		t.Fatal(err)
	}
	d := conf.defaults
	if d.Policy != steer.First || d.Failback == nil || *d.Failback != steer.ByHand || d.Flatten == nil || *d.Flatten {
		t.Errorf("got %+v", d)
	}
}

func TestSetupErrors(t *testing.T) {
	for _, tc := range setupErrors {
		_, err := parse(caddy.NewTestController("dns", tc.block))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s\ngot  %v\nwant %q", tc.block, err, tc.want)
		}
	}
}

func TestParse(t *testing.T) {
	c := caddy.NewTestController("dns", `farm Example.ORG example.org example.net {
		redis redis://127.0.0.1:1 redis://127.0.0.1:2
		prefix p
		state f
		max_stale 90
		policy weighted
		ttl 5 50
		drain 10s
		region eu 10.0.0.0/8 geoip/country/code=DE 2001:db8::/32
		region us geoip/country/code=US
		ecs 127.0.0.1 ::1
		ns A.example.org 192.0.2.53
		ns b.example.com
		mailbox joe.example.org
		soa minimum 30s refresh 6h
		fallthrough
		service WWW.example.org {
			ttl 7
			server A 192.0.2.1 2001:db8::1 port 80 weight 2.5 region eu capacity 100 priority 3 soft 0.5 hard 0.6
			server b www.example.net
		}
		service *.example.net
	}`)
	dnsserver.GetConfig(c).Root = "/root/of/it"
	conf, err := parse(c)
	if err != nil {
		t.Fatal(err)
	}
	f := newFarm(conf)
	if got := strings.Join(f.CacheBypassZones(), " "); got != "example.net. example.org." {
		t.Errorf("Zones: got %s", got)
	}
	if conf.store.StateFile != "/root/of/it/f" || conf.store.Prefix != "p" || len(conf.store.URLs) != 2 || conf.store.Embedded != "" {
		t.Errorf("Store: got %+v", conf.store)
	}
	if d := conf.defaults; conf.maxStale != 90*time.Second || d.Policy != steer.Weighted || *d.TTL != 5 || *d.MaxTTL != 50 || *d.Drain != 10 {
		t.Errorf("Defaults: got %v %+v", conf.maxStale, d)
	}
	a, b := conf.servers["www.example.org."][0], conf.servers["www.example.org."][1]
	if a.ID != "a" || len(a.Addresses) != 2 || a.Port != 80 || *a.Weight != 2.5 || a.Region != "eu" || a.Capacity != 100 ||
		a.Priority != 3 || *a.Soft != 0.5 || a.Hard != 0.6 || b.Target != "www.example.net." {
		t.Errorf("Servers: got %+v %+v", a, b)
	}
	if f.regions.Len() != 2 || conf.labels[0].region != 1 || conf.labels[1].region != 2 {
		t.Errorf("Regions: got %d, %+v", f.regions.Len(), conf.labels)
	}
	z := f.zones.of("x.example.org.")
	if want := (soaTimes{refresh: 21600, retry: 3600, expire: 1209600, minimum: 30}); z == nil || z.times != want {
		t.Errorf("SOA: got %+v, want %+v", z, want)
	}
	if z == nil || z.mailbox != "joe.example.org." || len(z.NS) != 2 || z.NS[0].Name != "a.example.org." {
		t.Errorf("Zone: got %+v", z)
	}
	if !conf.fall.Through("x.example.org.") {
		t.Error("Fallthrough: got none")
	}
}

func TestParseTable(t *testing.T) {
	for _, tc := range []struct {
		lines string
		want  table
	}{
		{"", table{14, 0.3}},
		{"policy predict\n", table{14, 0.3}},
		{"policy predict first 0\nresolvers 64\n", table{6, 0}},
		{"resolvers 65\npolicy predict first 1\n", table{7, 1}},
		{"resolvers 1048576\n", table{20, 0.3}},
	} {
		conf, err := parse(caddy.NewTestController("dns", "farm example.org {\n"+tc.lines+"}"))
		if err != nil {
			t.Errorf("%q: %v", tc.lines, err)
		} else if conf.table != tc.want {
			t.Errorf("%q: got %+v, want %+v", tc.lines, conf.table, tc.want)
		}
	}
}

func TestZonesOf(t *testing.T) {
	z := newZones([]string{"example.org.", "a.example.org."})
	for name, want := range map[string]string{
		"example.org.": "example.org.", "x.y.example.org.": "example.org.", "a.example.org.": "a.example.org.",
		"b.a.example.org.": "a.example.org.", "ba.example.org.": "example.org.", "org.": "", ".": "", "badexample.org.": "",
		`a\.example.org.`: "", `x\.a.example.org.`: "example.org.",
	} {
		got := ""
		if zone := z.of(name); zone != nil {
			got = zone.Name
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if newZones([]string{"."}).of("anything.") == nil {
		t.Error("The root zone has nothing")
	}
}

// What looks like what is refused, and can be meant.
func TestParseTakes(t *testing.T) {
	for _, block := range []string{
		"ns ns1.example.org 192.0.2.1\nservice ns1.example.org {\nserver a 192.0.2.1\nserver b 192.0.2.2\n}",
		"ns ns1.example.org 192.0.2.1\nservice ns1.example.org",
		"ns ns1.www.example.org 192.0.2.1\nservice www.example.org {\nserver ns1 192.0.2.1\n}",
		"ns example.org 192.0.2.1\nservice example.org {\nserver a www.example.net\n}",
		"service _farm.a.example.org",
		"rewrite\nflatten off",
		"upstream 127.0.0.1:5353 [::1]:53 192.0.2.1",
		"service a.example.org {\nserver a 127.0.0.1 ::1\n}",
		"service a.example.org {\nserver a 192.0.2.1\nfallback b.example.org\n}\nservice b.example.org {\nserver b 192.0.2.2\nfallback a.example.org\n}",
	} {
		if _, err := parse(caddy.NewTestController("dns", "farm example.org {\n"+block+"\n}")); err != nil {
			t.Errorf("%s\n%v", block, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("farm example.org {\n" + everything + "}")
	f.Add(everything)
	for _, tc := range setupErrors {
		f.Add(tc.block)
	}
	f.Fuzz(func(t *testing.T, block string) {
		conf, err := parse(caddy.NewTestController("dns", block))
		if err != nil {
			return
		}
		for _, s := range conf.services {
			if newZones(conf.zones).of(strings.TrimPrefix(s.Name, "*.")) == nil {
				t.Errorf("Service %q is in no zone of %q", s.Name, conf.zones)
			}
		}
		snapshotOf(newFarm(conf))
	})
}

// Every property stands in the example, and is told from a comment by its place: first on its line.
func TestCorefileExampleHasEveryProperty(t *testing.T) {
	text, err := os.ReadFile("Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	for p := range allProperties() {
		if !regexp.MustCompile(`(?m)^ +#?` + p + `\b`).Match(text) {
			t.Errorf("Corefile.example lacks %s", p)
		}
	}
}

// allProperties yields the names of the properties of every block.
func allProperties() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, names := range []iter.Seq[string]{
			maps.Keys(properties), maps.Keys(serviceProperties), maps.Keys(levelProperties), maps.Keys(qosProperties),
		} {
			for name := range names {
				if !yield(name) {
					return
				}
			}
		}
	}
}
