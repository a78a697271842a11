package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

// node is the node record of a replica with the Corefile of the world's board.
func (w *world) node() Node {
	n := Node{Lost: w.r.lostLines(w.now), Static: &Static{Servers: map[string]map[string]steer.Server{svc: {"a": {ID: "a"}, "z": {ID: "z"}}}}}
	for i := range n.Lost {
		n.Lost[i].Data, _ = json.Marshal(n.Lost[i].value)
	}
	data, err := json.Marshal(n)
	if err != nil {
		w.t.Fatal(err)
	}
	var read Node
	if err := json.Unmarshal(data, &read); err != nil {
		w.t.Fatal(err)
	}
	return read
}

// seen is what the commands see of a, when the database is empty and the node records are these.
func (w *world) seen(nodes ...Node) string {
	db := &Database{replica: newReplica(), Nodes: nodes}
	db.replica.once = true
	byName := make(map[string]*ServiceRecord)
	db.take(Shard(svc), &dump{epoch: 9, now: w.redis()}, byName)
	for _, f := range db.Snapshot(Base{Servers: map[string][]steer.Server{svc: {{ID: "a"}, {ID: "z"}}}}).Farms() {
		return f.State[f.ByID("a")].Gate.String()
	}
	return ""
}

// Of several replicas, the one that heard the newest counts, and of the same the most careful one.
func TestWhatReplicasRememberOfLostServers(t *testing.T) {
	silent := newCorefileWorld(t)
	silent.flush()
	silent.pass(60_000)
	leaves := newCorefileWorld(t)
	leaves.follow(leaves.left("a", LeftStopped))
	leaves.flush()
	leaves.pass(60_000)
	back := newCorefileWorld(t)
	back.pass(50_000)
	back.follow(back.report("a", 3600, ""))
	back.flush()
	back.pass(9_000)
	revived := silent.node()
	for i := range revived.Lost {
		revived.Lost[i].Left = 5000
	}
	for _, tt := range []struct {
		name  string
		nodes []Node
		want  string
	}{
		{"nobody remembers anything", nil, "open"},
		{"silent", []Node{silent.node()}, "silent"},
		{"left", []Node{leaves.node()}, "left"},
		{"left, by one of two", []Node{silent.node(), leaves.node()}, "left"},
		{"back since", []Node{leaves.node(), back.node(), silent.node()}, "open"},
		{"silent for one, for the other not yet", []Node{revived, silent.node()}, "silent"},
	} {
		if got := silent.seen(tt.nodes...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A node record is as good as who writes it: what is not a record, or of a server that nobody has, is left out.
func TestForeignLinesOfNodeRecords(t *testing.T) {
	w := newCorefileWorld(t)
	at := w.redis()
	for _, l := range []stateLine{
		{Kind: kindAdmin, Service: "..", ID: "a", Data: json.RawMessage(`{}`)},
		{Kind: kindAdmin, Service: svc, ID: "a", Data: json.RawMessage(`{"state":"off","since":1}`)},
		{Kind: kindServer, Service: svc, ID: "a", Data: json.RawMessage(`{}`)},
		{Kind: kindReport, Service: svc, ID: "a", Data: json.RawMessage(`[]`)},
		{Kind: kindAdmin, Service: svc, ID: "b", Data: json.RawMessage(fmt.Sprintf(`{"state":"maint","since":%d}`, at))},
	} {
		n := w.node()
		n.Lost = []stateLine{l}
		if got := w.seen(n); got != "open" {
			t.Errorf("%+v: %s, want open", l, got)
		}
	}
}

// A server that the database has lost and that is kept out is not among those still served, unless nobody else is there.
func TestServedOrphans(t *testing.T) {
	w := newWorld(t)
	w.rev = 10
	w.load(serverRec("a"), serverRec("b"), serverRec("c"), w.report("a", 10, ""), w.report("b", 3600, ""))
	w.flush()
	w.pass(60_000)
	orphans := func() []string {
		var st Status
		sh := w.r.shards[Shard(svc)]
		sh.count(&st, sh.clock.at(w.now))
		if st.Orphans != len(st.orphans) {
			t.Errorf("%d orphans, named %v", st.Orphans, st.orphans)
		}
		return st.orphans
	}
	if got, want := orphans(), []string{svc + " b", svc + " c"}; !slices.Equal(got, want) {
		t.Errorf("orphans %v, want %v", got, want)
	}
	if n := w.r.countLost(w.now); n != (lostCount{lost: 3, out: 1}) {
		t.Errorf("%+v", n)
	}
}
