package main

import (
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"
)

// mistakes are command lines that cannot be done. At NOBODY nothing listens.
var mistakes = []struct {
	args string
	code int
	want string // in the error
}{
	{"statsu", exitUsage, `unknown command "statsu" for "farm"; did you mean status?`},
	{"frobnicate", exitUsage, `unknown command "frobnicate" for "farm"; see farm --help`},
	{"service lst", exitUsage, `unknown command "lst" for "farm service"; did you mean list`},
	{"status --frob", exitUsage, "unknown flag: --frob"},
	{"status -o yaml", exitUsage, `flag -o: "yaml": expected table, wide or json`},
	{"status --timeout 0s", exitUsage, "flag --timeout"},
	{"status --timeout never", exitUsage, "flag --timeout: "},
	{"service show", exitUsage, "arguments: 0: expected SERVICE; see farm service show --help"},
	{"server set www.example.org", exitUsage, "arguments: 1: expected SERVICE SERVER; see farm server set --help"},
	{"drain", exitUsage, "expected SERVICE SERVER..."},
	{"drain www.example.org", exitUsage, "expected SERVER... after www.example.org, or --all"},
	{"drain www.example.org web1 --all", exitUsage, "expected one SERVICE with --all"},
	{"drain --all --everywhere web1", exitUsage, "flags --all and --everywhere"},
	{"drain --everywhere", exitUsage, "after --everywhere"},
	{"ready www.example.org web1 --wait", exitUsage, "unknown flag: --wait"},
	{"explain www.example.org --type MX", exitUsage, `: expected one of A, AAAA, SRV, HTTPS, SVCB`},
	{"explain www.example.org --client fe80::1%eth0", exitUsage, `: expected an IP address or a subnet`},
	{"explain www.example.org --chance -1", exitUsage, "flag --chance: "},
	{"service set www.example.org --policy best", exitUsage, `: expected one of predict`},
	{"service set www.example.org --ttl 1.5s", exitUsage, `: expected whole seconds from 0 to 24h`},
	{"service set www.example.org --ttl 2d", exitUsage, `: expected whole seconds`},
	{"server set www.example.org web9 --target 192.0.2.300", exitRefused, "only addresses end in a number"},
	{"service set www.example.org --fallback 192.0.2.300", exitRefused, "only addresses end in a number"},
	{"server set www.example.org web9 --address 192.0.2.300", exitUsage, "expected an IP address"},
	{"help nosuch", exitUsage, `unknown command "nosuch" for "farm"`},
	{"help server sett", exitUsage, `unknown command "sett" for "farm server"; did you mean set?`},
	{"completion foo", exitUsage, `unknown command "foo" for "farm completion"`},
	{"server set www.example.org web1 --wieght 0", exitUsage, "unknown flag: --wieght; did you mean --weight?"},
	{"redis://:secret@127.0.0.1", exitUsage, `unknown command "(a URL)"`},
	{"-rredis://:secret@127.0.0.1 status", exitUsage, "unknown shorthand flag: 'r'; see"},
	{"status --redis redis://:Sup3rSecret/xyz@127.0.0.1", exitUsage, "an @ stands behind a /"},
	{"agent --probe http://admin:Sup3rSecret/xyz@127.0.0.1/health", exitUsage, `flag --probe: "(a URL)": expected a URL`},
	{"agent --probe ftp://u:Sup3rSecret@h", exitUsage, `flag --probe: "(a URL)": expected the scheme http, https, tcp or grpc`},
	{"agent --probe u:Sup3rSecret@h", exitUsage, `flag --probe: "(a URL)": expected a URL`},
	{"service set www.example.org --answers 0", exitUsage, `expected a whole number from 1 to 8`},
	{"server set www.example.org web1 --port 0", exitUsage, `expected a whole number from 1 to 65535`},
	{"service set www.example.org --answers 9", exitUsage, `: expected a whole number from 1 to 8`},
	{"service set www.example.org --hard 1100%", exitUsage, `: expected a part of one above 0 and up to 10`},
	{"service set www.example.org --soft NaN", exitUsage, "flag --soft: "},
	{"service set www.example.org --drain -1s", exitUsage, `: expected a duration from 0 to 24h`},
	{"server set www.example.org web1 --address nowhere", exitUsage, `: expected an IP address`},
	{"server set www.example.org web1 --port 65536", exitUsage, `: expected a whole number from 1 to 65535`},
	{"server set www.example.org web1 --weight -1", exitUsage, `: expected a number from 0 to 65535`},
	{"report www.example.org web1 --health fine", exitUsage, `: expected one of up, degraded, down`},
	{"report www.example.org web1 --utilization x", exitUsage, "flag --utilization: "},
	{"status --redis http://127.0.0.1", exitUsage, "expected redis"},
	{"status --prefix a{b}", exitUsage, "prefix"},

	{"status --redis NOBODY", exitUnreachable, "connection refused; is it running there?; --redis"},
	{"report www.example.org web1 --redis NOBODY", exitUnreachable, "--redis or $FARM_REDIS"},

	{"status ww.example.org", exitNotFound, "no service ww.example.org.; did you mean www.example.org.?"},
	{"service show mail.test", exitNotFound, "no service mail.test.; farm service list shows what there is"},
	{"service delete ww.example.org", exitNotFound, "did you mean www.example.org.?"},
	{"server show www.example.org web2", exitNotFound, "no server web2 in www.example.org.; did you mean web1?"},
	{"server delete www.example.org web1 db", exitNotFound, "no server db in www.example.org."},
	{"maint www.example.org web1 web9", exitNotFound, "no server web9 in www.example.org.; did you mean web1?"},
	{"maint --everywhere wbe1", exitNotFound, "no server wbe1 in any service; did you mean web1?"},
	{"explain example.org", exitNotFound, "nothing stands at example.org. itself, but below it: www.example.org."},
	{"explain example.net", exitNotFound, "no service example.net."},
	{"report www.example.org web2", exitNotFound, "no server web2 in www.example.org."},

	{"service set www..example.org", exitRefused, "service name"},
	{"service set www.example.org --soft 2 --hard 1", exitRefused, "expected soft <= hard"},
	{"server set www.example.org web_2 --address 192.0.2.2", exitRefused, `id "web_2"`},
	{"server set www.example.org web2", exitRefused, "0 addresses: expected 1 to 8, or a target"},
	{"server set www.example.org web1 --target www.example.net", exitRefused, "addresses and target: expected one of them"},
	{"report www.example.org web1 --lease 0", exitRefused, "lease 0: expected 0.1 s or more"},
	{"agent --service www.example.org --weight 1 --server WE_B", exitRefused, "configuration: server: expected"},
	{"agent -c nowhere.yaml --check", exitRefused, "configuration: open nowhere.yaml: no such file"},
}

// Every error is one line on the standard error, and nothing is printed beside it.
func TestErrors(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("server", "set", "www.example.org", "web1", "--address", "192.0.2.1")
	nobody := "redis://:secret@127.0.0.1:" + storetest.FreePort(t)
	for _, tc := range mistakes {
		tc.args = strings.Replace(tc.args, "NOBODY", nobody, 1)
		got := f.run(strings.Fields(tc.args)...)
		if got.code != tc.code || !strings.Contains(got.err, tc.want) || got.out != "" {
			t.Errorf("farm %s: got exit code %d, want %d; standard error %q, want %q in it; output %q",
				tc.args, got.code, tc.code, got.err, tc.want, got.out)
		}
		if strings.Count(got.err, "\n") != 1 || !strings.HasPrefix(got.err, "farm: ") || strings.Contains(got.err, "ecret") {
			t.Errorf("farm %s: standard error %q: want one line without secrets", tc.args, got.err)
		}
	}
}

// A Redis that takes connections and answers nothing is out of reach once the time is up.
func TestTimeout(t *testing.T) {
	f, r := onRedis(t)
	r.Stop()
	defer r.Cont()
	got := f.run("status", "--timeout", "100ms")
	if got.code != exitUnreachable {
		t.Errorf("%+v", got)
	}
}

// A Redis that answers, and refuses, is not out of reach.
func TestNoPassword(t *testing.T) {
	f, r := onRedis(t)
	r.Do("CONFIG", "SET", "requirepass", "secret")
	if got := f.run("status"); got.code != exitFailed || !strings.Contains(got.err, "NOAUTH") {
		t.Errorf("%+v", got)
	}
}
