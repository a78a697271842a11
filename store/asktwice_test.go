package store

import (
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store/storetest"
)

// A replica that has not heard of a grant does not replace it: two may be asked at once.
func TestAskWithoutKnowing(t *testing.T) {
	r := storetest.Start(t)
	s, err := Open(Config{URLs: []string{r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := s.View(Base{})
	client := qos.Client(qos.KindID, "alice")
	at := func(server string) *Request {
		return &Request{Grant: qos.Grant{Service: svc, Client: client, Server: server, Asked: "gold",
			Offer: qos.Offer{Level: "gold", Unit: 400_000, NeedsServer: true, Duration: 300}}}
	}
	server := func(want string) func() bool {
		return func() bool { g, ok := v.Grant(svc, client); return ok && g.Server == want }
	}
	// In one batch, both are on their way before anything is heard of either.
	if err := s.ask(t.Context(), []*Request{at("a"), at("b")}); err != nil {
		t.Fatal(err)
	}
	if got := s.asks.read(); got.Asked != 2 || got.Held != 1 {
		t.Errorf("counted %+v", got)
	}
	storetest.Eventually(t, "the first is there", server("a"))
	if err := s.ask(t.Context(), []*Request{at("b")}); err != nil { // now it knows
		t.Fatal(err)
	}
	storetest.Eventually(t, "the client has moved", server("b"))
	if n := s.Status().Grants; n != 1 {
		t.Errorf("%d live grants", n)
	}
}
