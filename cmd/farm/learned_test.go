package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

const predicted = "www.example.org."

// exportOf is what a replica tells that was asked by a few resolvers for some minutes, one of them a giant.
func exportOf(t *testing.T, servers int) []byte {
	t.Helper()
	l := steer.NewLearned(10, 1)
	var f *steer.Farm
	for now := int64(1_000_000); now < 1_600_000; now += 1000 {
		in := steer.Input{Service: steer.Service{Name: predicted, Policy: steer.Predict}, Now: now, Prev: f}
		rps := 40 + float64(now/1000%2) // a report that never changes is not measured
		for i := range servers {
			id := fmt.Sprintf("web%d", i+1)
			in.Members = append(in.Members, steer.Member{
				Server:   &steer.Server{ID: id, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Capacity: 100},
				Report:   steer.Report{Utilization: rps / 100, RPS: rps, Lease: 60},
				Reported: true, LeaseEnd: now + 60_000,
				Measured: steer.Measured{Capacity: 100},
			})
		}
		f = steer.Build(in)
		l.Tick([]*steer.Farm{f}, now)
		for r := range 4 {
			if int(now/1000)%(20+r) == 0 {
				q := steer.Query{Client: client(r), Family: steer.V4, Chance: f.Turn(), Now: now}
				p := steer.DecideWith(f, l, &q)
				l.Note(f, &q, &p)
			}
		}
	}
	loads := l.Export(f, 256, nil)
	if len(loads) < 2 {
		t.Fatal("nothing was learned")
	}
	return loads
}

func client(r int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(r)}), 32)
}

// What replicas have told of a resolver stands in the explanation of its answer; of a stranger, that nobody knows it.
func TestExplainPrediction(t *testing.T) {
	f, r := onRedis(t)
	for _, command := range []string{
		"service set www.example.org --policy predict",
		"server set www.example.org web1 --address 192.0.2.1 --capacity 100",
		"server set www.example.org web2 --address 192.0.2.2 --capacity 100",
		"server set www.example.org web3 --address 192.0.2.3 --capacity 100",
		"report www.example.org web1 --utilization 40% --rps 40 --lease 24h",
		"report www.example.org web2 --utilization 20% --rps 40 --lease 24h",
		"report www.example.org web3 --utilization 80% --rps 40 --lease 24h",
	} {
		f.ok(strings.Fields(command)...)
	}
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	read, err := db.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Replace(store.Keys(store.DefaultPrefix, predicted)[0], "rev", "lrn:", 1) + predicted
	say := func(replica string, loads []byte) {
		data, _ := json.Marshal(map[string]any{"at": read.Now, "loads": loads, "capacity": map[string]float64{"web2": 200}})
		r.Do("HSET", key, replica, string(data))
	}
	say("one-1", exportOf(t, 3))
	say("two-2", []byte("garbage"))

	explain := func(args ...string) (x explanation) {
		all := append(strings.Fields("explain www.example.org --chance 17 -o json"), args...)
		if err := json.Unmarshal([]byte(f.ok(all...)), &x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	known := explain("--client", client(0).String())
	if known.Method != "predict" || known.Resolver == nil || !known.Resolver.Known || known.Resolver.Load <= 0 || !known.Personal {
		t.Errorf("of a resolver that is known: %+v, %+v", known, known.Resolver)
	}
	if known.Resolver.Replicas != 2 || known.Resolver.Damaged != 1 || known.Resolver.Why == "" {
		t.Errorf("what it rests on: %+v", known.Resolver)
	}
	for _, c := range known.Candidates {
		if c.Predicted == nil || c.Score == nil || *c.Score <= *c.Predicted {
			t.Errorf("candidate %+v has no prediction", c)
		}
		if c.ID == "web2" && c.Capacity != 200 {
			t.Errorf("capacity %v, want the measured one", c.Capacity)
		}
	}
	if stranger := explain("--client", "203.0.113.9"); stranger.Resolver == nil || stranger.Resolver.Known {
		t.Errorf("of a stranger: %+v", stranger.Resolver)
	}
	text := f.ok("explain", "www.example.org", "--chance", "17", "--client", client(0).String())
	for _, want := range []string{"resolver: ", "requests/s behind it", "PREDICTED", "loads from 2 replicas, 1 of them not readable"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	t.Log("\n" + text)

	// Where nobody reports, that is said.
	f.ok(strings.Fields("service set idle.example.org --policy predict")...)
	f.ok(strings.Fields("server set idle.example.org a --address 192.0.2.1")...)
	if text := f.ok("explain", "idle.example.org"); !strings.Contains(text, "no server reports utilisation, so here by capacity") {
		t.Errorf("of servers that do not report: %q", text)
	}
}
