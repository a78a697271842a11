package store

import (
	"slices"
	"strings"
)

// Bounds of names and records. The scripts hold writers to them, and readers hold the database to them.
const (
	maxName     = 254  // a domain name as text, with its final dot
	maxID       = 63   // one label
	maxRecord   = 8192 // octets of one JSON record
	maxServers  = 100_000
	maxServices = 10_000 // a shard
)

// CheckServiceName says whether name is a lower-case FQDN that can be a service: labels of [a-z0-9_-], at most 63
// octets each, after an optional leading "*.".
func CheckServiceName(name string) error {
	if err := checkFQDN(strings.TrimPrefix(name, "*.")); err != nil || len(name) > maxName {
		return bad("name", "service name %q: expected a lower-case name with its final dot, such as www.example.org.", clip(name))
	}
	return nil
}

// CheckAlias says whether the names that stand for a service lead somewhere: the service itself is a loop.
func CheckAlias(service string, names ...string) error {
	if slices.Contains(names, service) {
		return bad("name", "an alias of %s: expected another name than its own", clip(service))
	}
	return nil
}

// CheckID says whether id can name a server or a reporter: one label of lower-case letters, digits and inner hyphens.
func CheckID(id string) error {
	if !isID(id) {
		return bad("name", "id %q: expected 1 to 63 lower-case letters, digits and inner hyphens", clip(id))
	}
	return nil
}

func isID(id string) bool {
	return id != "" && len(id) <= maxID && id[0] != '-' && id[len(id)-1] != '-' && only(id, "-")
}

func checkFQDN(name string) error {
	rest, rooted := strings.CutSuffix(name, ".")
	if !rooted || len(name) > maxName {
		return bad("name", "name %q: expected a final dot", clip(name))
	}
	for label := range strings.SplitSeq(rest, ".") {
		if label == "" || len(label) > maxID || !only(label, "-_") {
			return bad("name", "name %q: expected labels of lower-case letters, digits, - and _", clip(name))
		}
	}
	if endsInNumber(rest) {
		return bad("name", "name %q: expected a name or an address; only addresses end in a number", clip(name))
	}
	return nil
}

// endsInNumber reports whether the last label of a name is a number. There are no such top-level domains, so that programs
// take these names for addresses (https://url.spec.whatwg.org/#ends-in-a-number-checker), and what looks like one is a
// mistyped address.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// only says whether s is of lower-case letters, digits and the extra ones.
func only(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}
