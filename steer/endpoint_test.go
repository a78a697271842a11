package steer

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestWithheld(t *testing.T) {
	at := func(port uint16) *Server { return &Server{ID: "a", Port: port} }
	h2 := Build(Input{Service: Service{Name: "www.example.org.", ALPN: []string{"h2"}}})
	plain := Build(Input{Service: Service{Name: "www.example.org."}})
	named := Build(Input{Service: Service{Name: "_8443._https.www.example.org."}})
	for _, tc := range []struct {
		farm *Farm
		of   RecordType
		port uint16
		out  bool
	}{
		{plain, SRV, 0, true}, {plain, SRV, 80, false}, {plain, HTTPS, 0, true}, {plain, HTTPS, 80, true}, {plain, HTTPS, 443, false},
		{plain, SVCB, 0, false}, {plain, OtherType, 0, false}, {h2, HTTPS, 0, false}, {named, HTTPS, 8443, false}, {named, HTTPS, 25, true},
	} {
		if why := tc.farm.Withheld(tc.of, at(tc.port)); (why != NotOmitted) != tc.out {
			t.Errorf("%s type %d port %d: got %q", tc.farm.Service.Name, tc.of, tc.port, why)
		}
	}
}

func TestHTTPSPort(t *testing.T) {
	for name, want := range map[string]uint16{
		"www.example.org.": 443, "_8443._https.www.example.org.": 8443, "_0._https.a.": 443, "_65535._https.a.": 65535, "_65536._https.a.": 443,
		"_x._https.a.": 443, "_._https.a.": 443, "_80._http.a.": 443, "_99999999999999999999._https.a.": 443,
	} {
		if got := httpsPort(name); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

// The shares that an explanation shows are those of decisions.
func TestExplainedSharesAreDecided(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		policy := []Policy{Weighted, RoundRobin, Headroom, First}[round%4]
		var members []Member
		for i := range 1 + rnd.IntN(8) {
			m := reporting(server(i, func(s *Server) {
				s.Priority = uint16(rnd.IntN(2))
				s.Weight = new(float64(rnd.IntN(4)))
				s.Capacity = float64(1 + rnd.IntN(100))
			}), rnd.Float64()*1.1)
			switch rnd.IntN(8) {
			case 0:
				m = down(m)
			case 1:
				m = silent(m)
			case 2:
				m = admin(m, Maint)
			}
			members = append(members, m)
		}
		f := build(policy, members...)
		e := Explain(f, nil, &Query{Family: V4})
		const n = 20_000
		got := shares(f, Query{Family: V4, Answers: 1}, n)
		for i := range e.Candidates {
			c := &e.Candidates[i]
			if math.Abs(got[c.Server.ID]-c.Share) > 0.01 {
				t.Errorf("round %d, %s: %s has share %.3f and is given %.3f", round, policy, c.Server.ID, c.Share, got[c.Server.ID])
			}
		}
	}
}
