package steer

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestCutLabel(t *testing.T) {
	for _, tc := range []struct{ name, label, above string }{
		{"www.example.org.", "www", "example.org."},
		{"org.", "org", ""},
		{".", "", ""},
		{`x\.y.example.org.`, `x\.y`, "example.org."},
		{`x\\.example.org.`, `x\\`, "example.org."},
		{`x\\\.y.example.org.`, `x\\\.y`, "example.org."},
		{`\046\000.org.`, `\046\000`, "org."},
	} {
		if label, above := CutLabel(tc.name); label != tc.label || above != tc.above {
			t.Errorf("%s: got %q and %q, want %q and %q", tc.name, label, above, tc.label, tc.above)
		}
	}
}

func TestIsBelow(t *testing.T) {
	for _, tc := range []struct {
		name, top string
		want      bool
	}{
		{"www.example.org.", "example.org.", true},
		{"www.example.org.", ".", true},
		{"example.org.", "example.org.", false},
		{".", ".", false},
		{"badexample.org.", "example.org.", false},
		{`www\.example.org.`, "example.org.", false},
		{`www\\.example.org.`, "example.org.", true},
		{`www\\\.example.org.`, "example.org.", false},
	} {
		if got := IsBelow(tc.name, tc.top); got != tc.want {
			t.Errorf("%s below %s: got %t", tc.name, tc.top, got)
		}
	}
}

// wireName makes the name of any octets that a client could send, in presentation form; false if they are none.
func wireName(octets []byte) (string, bool) {
	name, end, err := dns.UnpackDomainName(append(slices.Clone(octets), 0), 0)
	return strings.ToLower(name), err == nil && end > 0
}

// FuzzNames compares with the functions of miekg/dns, which made the names.
func FuzzNames(f *testing.F) {
	for _, seed := range []struct{ name, top string }{
		{"\x03www\x07example\x03org", "\x07example\x03org"},
		{"\x04x.z2\x04test", "\x02z2\x04test"},
		{"\x02x\\\x02z2\x04test", "\x02z2\x04test"},
		{"\x03x\\.\x04test", "\x04test"},
		{"", ""},
	} {
		f.Add([]byte(seed.name), []byte(seed.top))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		name, ok1 := wireName(a)
		top, ok2 := wireName(b)
		if !ok1 || !ok2 {
			return
		}
		var labels []string
		for up := name; up != "" && up != "."; {
			var label string
			label, up = CutLabel(up)
			labels = append(labels, label)
		}
		if want := dns.SplitDomainName(name); !slices.Equal(labels, want) {
			t.Errorf("Labels of %q: got %q, want %q", name, labels, want)
		}
		below := dns.IsSubDomain(top, name) && name != top
		if got := IsBelow(name, top); got != below {
			t.Errorf("%q below %q: got %t", name, top, got)
		}
		if child := ChildOf(top, name); below && (!dns.IsSubDomain(child, name) || dns.CountLabel(child) != dns.CountLabel(top)+1) {
			t.Errorf("Child of %q on the way to %q: got %q", top, name, child)
		}
	})
}

// A farm of wildcards, against the definition of RFC 4592: the closest encloser is the longest name that exists.
func TestFindWildcard(t *testing.T) {
	build := func(service string, ids ...string) *Farm {
		in := Input{Service: Service{Name: service}}
		for _, id := range ids {
			in.Members = append(in.Members, Member{Server: &Server{ID: id}, Report: NoReport})
		}
		return Build(in)
	}
	snap := NewSnapshot([]*Farm{
		build("*.z.test.", "top"), build("*.z2.z.test.", "w1"), build("_http._tcp.typed.z.test.", "s"), build("*.w2.z.test.", "x"),
		build("exact.z.test.", "e"),
	}, nil)
	for name, want := range map[string]string{
		"a.z2.z.test.":               "*.z2.z.test.",
		"b.a.z2.z.test.":             "*.z2.z.test.",
		`a\.b.z2.z.test.`:            "*.z2.z.test.",
		`x\.z2.z.test.`:              "*.z.test.", // one label
		`w1\.z2.z.test.`:             "*.z.test.",
		`\\.z2.z.test.`:              "*.z2.z.test.",
		"x.w1.z2.z.test.":            "", // w1.z2.z.test exists: it is a server's name
		"y.x.w1.z2.z.test.":          "",
		"x.top.z.test.":              "",
		"x.s.typed.z.test.":          "",
		"x.typed.z.test.":            "",
		"x._http._tcp.typed.z.test.": "",
		"x.exact.z.test.":            "",
		"x.e.exact.z.test.":          "",
		"other.z.test.":              "*.z.test.",
		"a.x.w2.z.test.":             "",
		"*.z2.z.test.":               "*.z2.z.test.",
		"x.*.z2.z.test.":             "",
		"test.":                      "",
		`\z.test.`:                   "",
	} {
		got := ""
		if match, farm, _ := snap.Find(name); match == ServiceMatch {
			got = farm.Service.Name
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
