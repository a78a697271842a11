package main

import (
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"
)

// aReplica has zones within each other, name servers, a next plugin, and a part of the database that it has lost.
const aReplica = `{"name":"dns1-1","static":{
	"default":{"example.org.":{},"sub.example.org.":{},"slow.example.org.":{"ttl":60},"old.example.net.":{}},
	"services":{},"servers":{},
	"blocks":[
		{"zones":["example.org."],"ns":[{"name":"a.dns.example.org.","addresses":["192.0.2.53"]}],"next":["."]},
		{"zones":["old.example.net."],"rewrite":true}
	]},"shards":[SHARDS]}`

func replicaOn(r *storetest.Redis, synced string) {
	shards := strings.Repeat(`{"synced":`+synced+`},`, 16)
	r.Do("SET", "farm:node:dns1-1", strings.Replace(aReplica, "SHARDS", strings.TrimSuffix(shards, ","), 1))
}

// What explain shows is what a replica with these zones answers; what only the replica knows, explain names.
func TestExplainSeesZones(t *testing.T) {
	f, r := onRedis(t)
	replicaOn(r, "true")
	long := strings.Repeat("l", 63)
	for _, command := range []string{
		"server set *.example.org w --address 192.0.2.61",
		"server set example.org top --target www.example.net --port 443",
		"server set mixed.example.org a --address 192.0.2.1 --priority 1",
		"server set mixed.example.org cdn --target www.example.net",
		"server set old.example.net a --address 192.0.2.2",
		"server set dns.example.org a --address 192.0.2.3 --port 53",
		"server set named.example.org cdn --target www.example.net",
		"server set " + long + "." + long + "." + long + ".example.org " + long + " --address 192.0.2.4 --port 443",
		"server set tiers.example.org a --address 192.0.2.5 --port 443",
		"server set tiers.example.org b --address 192.0.2.6 --port 443 --priority 1",
	} {
		f.ok(strings.Fields(command)...)
	}
	for _, tc := range []struct {
		ask  string
		code int
		want string
	}{
		{"x.example.org", exitOK, "(fallthrough) are not the wildcard's"},
		{"x.sub.example.org", exitNotFound, "*.example.org. does not cover x.sub.example.org."},
		{"sub.example.org", exitNotFound, "sub.example.org. is the top of a zone"},
		{"a.dns.example.org", exitOK, "a.dns.example.org.: 192.0.2.53\nwhy: it is the name of a name server of zone example.org."},
		{"ns.sub.example.org", exitOK, "answers with the address at which the query comes in"},
		{"example.org", exitOK, "TXT at _farm.example.org. shows them"},
		{"example.org --type HTTPS", exitOK, "of no region: HTTPS 0 www.example.net., the name of top\n"},
		{"mixed.example.org", exitOK, "of no region: CNAME www.example.net., the name of cdn\n"},
		{"named.example.org --type CNAME", exitOK, "of no region: CNAME www.example.net., the name of cdn\n"},
		{"tiers.example.org --type CNAME", exitOK, "of no region: no CNAME record\n"},
		{"tiers.example.org --type SRV", exitOK, "of no region: a\nrung normal, ttl 20s, chance 1\nwhy: "},
		{"tiers.example.org --type SRV", exitOK, "\nwith lower priorities: b\n"},
		{"old.example.net", exitOK, "the next plugin answers here (rewrite)"},
		{"dns.example.org --type SRV", exitOK, "no SRV record of a: its name is answered with the addresses of another host\n"},
		{long + "." + long + "." + long + ".example.org --type SRV", exitOK, "no SRV record of " + long + ": its name is longer than names in DNS can be\n"},
	} {
		got := f.run(strings.Fields("explain --chance 1 " + tc.ask)...)
		if got.code != tc.code || !strings.Contains(got.out+got.err, tc.want) {
			t.Errorf("%s: got %d\n%s%swant %q in it", tc.ask, got.code, got.out, got.err, tc.want)
		}
	}
	for _, want := range []string{
		"dns.example.org. a: SRV leaves it out, for a.dns.example.org. is the name of a name server: give it another id",
		"is longer than names in DNS can be: give it a shorter id",
	} {
		if got := f.ok("status"); strings.Count(got, want) != 1 {
			t.Errorf("the status does not have %q once:\n%s", want, got)
		}
	}
	replicaOn(r, "false")
	if got := f.ok("explain", "tiers.example.org"); !strings.Contains(got, "but: 1 of 1 replica cannot follow the database") {
		t.Errorf("explain does not name the stale replica:\n%s", got)
	}
}
