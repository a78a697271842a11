package steer

import (
	"strings"
	"testing"
)

func TestAliasLoop(t *testing.T) {
	for _, tc := range []struct{ services, want string }{ // NAME=TARGET,... or NAME=!FALLBACK
		{"a.=b. b.=x.", ""},
		{"a.=b. b.=a.", "a. b. a."},
		{"a.=b. b.=c. c.=d. d.=a.", "a. b. c. d. a."},
		{"a.=b. b.=c. c.=b.", ""}, // not back to a; b is said of b
		{"a.=192.0.2.1,b. b.=a.", "a. b. a."},
		{"a.=b. b.=!a.", "a. b. a."},
		{"a.=!b. b.=!a.", ""}, // each stands in for the other
		{"a.=!b. b.=c. c.=a.", "a. b. c. a."},
		{"a.=x.w. *.w.=a.", "a. x.w. a."},
		{"*.w.=b. b.=y.w.", ""},
		{"a.=s0.b. b.=a.", "a. s0.b. a."}, // by the name of b's server
		{"a.=b. b.=192.0.2.1", ""},
		{"a.=b.,c. b.=x. c.=a.", "a. c. a."},
	} {
		s := snapshotOf(tc.services)
		if got := strings.Join(s.AliasLoop("a."), " "); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.services, got, tc.want)
		}
	}
	if got := strings.Join(snapshotOf("*.w.=b. b.=y.w.").AliasLoop("*.w."), " "); got != "*.w. b. y.w." {
		t.Errorf("Through a wildcard: got %q", got)
	}
}

func snapshotOf(services string) *Snapshot {
	var farms []*Farm
	for text := range strings.FieldsSeq(services) {
		name, to, _ := strings.Cut(text, "=")
		in := Input{Service: Service{Name: name}}
		for i, target := range strings.Split(to, ",") {
			if fallback, ok := strings.CutPrefix(target, "!"); ok {
				in.Service.Fallback = append(in.Service.Fallback, fallback)
				continue
			}
			s := server(i)
			s.ID = "s" + string(rune('0'+i))
			if !strings.HasPrefix(target, "192.") {
				s.Addresses, s.Target = nil, target
			}
			in.Members = append(in.Members, Member{Server: s, Report: NoReport})
		}
		farms = append(farms, Build(in))
	}
	return NewSnapshot(farms, nil)
}
