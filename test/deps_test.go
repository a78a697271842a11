package test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/coredns-farm/farm"

// pure is all of the standard library that the decision may use: nothing that could read a clock, a file or a network.
var pure = []string{"cmp", "encoding/binary", "errors", "hash/maphash", "math", "math/bits", "math/rand/v2", "net/netip", "slices", "strings", "sync/atomic"}

// TestImports holds the direction of dependencies: who may import whom, and why not.
func TestImports(t *testing.T) {
	for _, rule := range []struct {
		room   string
		banned []string // import path prefixes
		why    string
	}{
		{"store", []string{"github.com/coredns/", "github.com/miekg/dns", module}, "the store knows no DNS server"},
		{"qos/broker", []string{"github.com/coredns/", "github.com/miekg/dns", "github.com/redis/", module}, "a broker takes requests from the store to elements"},
		{"qos/element", []string{"github.com/coredns/", "github.com/miekg/dns", "github.com/redis/", module}, "an element knows grants, and no DNS"},
		{"agent", []string{"github.com/coredns/", "github.com/miekg/dns", "github.com/redis/", module}, "an agent writes through the store"},
		{"", []string{"github.com/redis/", "github.com/alicebob/", module + "/agent", module + "/cmd"}, "the plugin reads through the store"},
		{"plugin", []string{module}, "the list of plugins is a leaf"},
		{"suggest", []string{module, "github.com/"}, "suggestions are of words alone"},
		{"denial", []string{module, "github.com/coredns/coredns/plugin/dnssec"}, "proofs know no services, and reach dnssec through its handler"},
		{"cmd/farm", []string{"github.com/coredns/", "github.com/redis/"}, "the command line reads and writes through the store"},
	} {
		for _, path := range imports(t, rule.room) {
			for _, banned := range rule.banned {
				if matches(path, banned) && !allowed[rule.room][path] {
					t.Errorf("%q imports %s: %s", rule.room, path, rule.why)
				}
			}
		}
	}
}

// allowed are the rooms of ours that a room with a ban on ours may still use.
var allowed = map[string]map[string]bool{
	"store":       {module + "/steer": true, module + "/qos": true, module + "/suggest": true},
	"qos/broker":  {module + "/store": true, module + "/qos": true, module + "/steer": true, module + "/qos/element": true, module + "/qos/element/linux": true, module + "/qos/element/camara": true, module + "/conf": true},
	"qos/element": {module + "/qos": true, module + "/steer": true},
	"agent":       {module + "/store": true, module + "/qos": true, module + "/steer": true, module + "/conf": true, module + "/suggest": true}, // steer for its records alone
}

// TestImportsOfTheDecision allows the decision nothing but the pure part of the standard library.
func TestImportsOfTheDecision(t *testing.T) {
	may := make(map[string]bool)
	for _, path := range pure {
		may[path] = true
	}
	for _, path := range imports(t, "steer") {
		if !may[path] {
			t.Errorf("steer imports %s: the decision is pure", path)
		}
	}
}

// TestImportsOfQoS allows what handles, levels and grants are made of no more than the standard library without a clock, files or
// a network, and the decision's levels. Brokers and elements below it have rules of their own.
func TestImportsOfQoS(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{join .Imports \"\\n\"}}", module+"/qos").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		switch path {
		case "os", "net", "net/http", "context", "log", "log/slog", "math/rand", "math/rand/v2":
			t.Errorf("qos imports %s: it is pure", path)
		}
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && path != module+"/steer" {
			t.Errorf("qos imports %s: it knows levels, and nothing else of ours or of others", path)
		}
	}
}

// TestOnlyTheStoreTalksToRedis: every other room goes through it.
func TestOnlyTheStoreTalksToRedis(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, path := range fields[1:] {
			if strings.HasPrefix(path, "github.com/redis/go-redis") && !strings.HasPrefix(fields[0], module+"/store") {
				t.Errorf("%s imports %s", fields[0], path)
			}
		}
	}
}

// imports returns the direct imports of a room and of the folders below it; of the top level, its own alone.
func imports(t *testing.T, room string) []string {
	t.Helper()
	pattern := module
	if room != "" {
		pattern += "/" + room + "/..."
	}
	out, err := exec.Command("go", "list", "-f", "{{join .Imports \"\\n\"}}", pattern).Output()
	if err != nil {
		t.Fatalf("cannot list the imports of %q: %v", room, err)
	}
	paths := strings.Fields(string(out))
	own := paths[:0]
	for _, path := range paths {
		if room == "" || !strings.HasPrefix(path, module+"/"+room) {
			own = append(own, path)
		}
	}
	return own
}

func matches(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (prefix != module || path == module || strings.HasPrefix(path, module+"/"))
}
