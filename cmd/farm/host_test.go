package main

import (
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store"
)

// A name stands for one server. What would make it stand for two is refused here; what others write is named in the status.
func TestHostNames(t *testing.T) {
	f, r := onRedis(t)
	f.ok(strings.Fields("server set _grpc._tcp.api.example.org m --address 192.0.2.7 --port 9090")...)
	f.ok(strings.Fields("server set www.example.org web1 --address 192.0.2.1")...)
	for command, want := range map[string]string{
		"server set api.example.org m --address 192.0.2.6":      "m.api.example.org. is a name of _grpc._tcp.api.example.org., with other addresses: choose another id than m",
		"service set web1.www.example.org":                      "web1.www.example.org. is the name of server web1 of www.example.org.: choose another name",
		"server set web1.www.example.org x --address 192.0.2.3": "web1.www.example.org. is the name of server web1 of www.example.org.: choose another name",
	} {
		if got := f.run(strings.Fields(command)...); got.code != exitRefused || !strings.Contains(got.err, want) {
			t.Errorf("farm %s: got %d and %q, want %q", command, got.code, got.err, want)
		}
	}
	f.ok(strings.Fields("server set api.example.org m --address 192.0.2.7 --port 8080")...) // the same machine
	f.ok(strings.Fields("server set web1.www.example.org x --address 192.0.2.1")...)
	if got := f.ok("status"); strings.Contains(got, "answered with the addresses") {
		t.Errorf("no conflict, yet the status says:\n%s", got)
	}
	r.Do("HSET", store.Keys("farm", "api.example.org.")[3], "m", `{"addresses":["192.0.2.6"]}`)
	const want = "m.api.example.org. is answered with the addresses of _grpc._tcp.api.example.org., so SRV leaves the server out: give it another id"
	if got := f.ok("status"); strings.Count(got, want) != 1 {
		t.Errorf("the status does not name the conflict once:\n%s", got)
	}
}
